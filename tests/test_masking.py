from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.masking import MAX_PREVIEW, mask, normalise, value_hash

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("kind", "value", "preview"),
    [
        ("EMAIL_ADDRESS", "jane.doe@example.com", "xxxx@xxxx.xxx"),
        ("PHONE_NUMBER", "+44 (0)20 7946 0958", "+## (#)## #### ####"),
        ("US_SSN", "219-09-9999", "###-##-####"),
        ("CREDIT_CARD", "4111111111111111", "####"),
        ("URL", "https://example.com/jane-doe?id=1", "xxxx://xxxx.xxx"),
    ],
)
def test_previews_show_the_shape(kind: str, value: str, preview: str) -> None:
    assert mask(value, kind) == preview


@given(st.text(min_size=1), st.sampled_from(["EMAIL_ADDRESS", "PHONE_NUMBER", "URL", "OTHER"]))
def test_previews_show_no_letter_and_no_digit(value: str, kind: str) -> None:
    preview = mask(value, kind)
    assert len(preview) <= MAX_PREVIEW
    assert not any(c.isalnum() for c in preview if c != "x")
    assert "xxxxx" not in preview
    assert "#####" not in preview or "#" in value


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("EMAIL_ADDRESS", "Jane.Doe@Example.COM", "jane.doe@example.com"),
        ("PHONE_NUMBER", "+1 (212) 555-0123", "+1.212.555.0123"),
        ("PHONE_NUMBER", "+44 (0)20 7946 0958", "0044 20 7946 0958"),
        ("PHONE_NUMBER", "212-555-0123 ext. 45", "(212) 555-0123"),
        ("CREDIT_CARD", "4111-1111-1111-1111", "4111 1111 1111 1111"),
        ("US_SSN", "219099999", "219-09-9999"),
        ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32", "gb82west12345698765432"),
        ("PHONE_NUMBER", "212-555-0123", "212-555-0123"),
    ],
)
def test_spellings_of_one_value_hash_alike(kind: str, one: str, other: str) -> None:
    assert value_hash(KEY, kind, one) == value_hash(KEY, kind, other)


def test_different_values_kinds_and_keys_hash_differently() -> None:
    hashes = {
        value_hash(KEY, "PHONE_NUMBER", "212-555-0123"),
        value_hash(KEY, "PHONE_NUMBER", "212-555-0124"),
        value_hash(KEY, "US_BANK_NUMBER", "2125550123"),
        value_hash(KEY[::-1], "PHONE_NUMBER", "212-555-0123"),
        value_hash(KEY, "CRYPTO", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
        value_hash(KEY, "CRYPTO", "1boatSLRHtKNngkdXEeobR76b53LETtpyT"),
    }
    assert len(hashes) == 6
    assert all(len(h) == 32 and int(h, 16) >= 0 for h in hashes)


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="hides nothing"):
        value_hash(b"", "EMAIL_ADDRESS", "jane@example.com")


@given(st.text(), st.sampled_from(["EMAIL_ADDRESS", "PHONE_NUMBER", "CRYPTO", "US_SSN", "OTHER"]))
def test_any_text_can_be_normalised(value: str, kind: str) -> None:
    assert isinstance(normalise(kind, value), str)
    assert value_hash(KEY, kind, value) == value_hash(KEY, kind, value)
