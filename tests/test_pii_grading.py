from __future__ import annotations

import pytest

from audit.pii.pii_grading import is_company_number, is_public_address, is_role_address, is_version, severity


@pytest.mark.parametrize(
    "local",
    ["info", "Support", "webmaster", "no-reply", "info-de", "sales.uk", "support+42", "contact1".rstrip("1")],
)
def test_role_addresses(local: str) -> None:
    assert is_role_address(f"{local}@example.com")


@pytest.mark.parametrize("local", ["jane.doe", "jdoe", "infojane", "j.support-doe", "de", "info.jane"])
def test_private_addresses(local: str) -> None:
    assert not is_role_address(f"{local}@example.com")


@pytest.mark.parametrize(
    ("value", "before"),
    [
        *(("1-800-555-0123", ""), ("(888) 555-0123", ""), ("+1 866 555 0123", ""), ("0800 555 0123", "")),
        *(("+800 1234 5678", ""), ("+49 30 23125-0", ""), ("030 / 23125 - 0", ""), ("902 555 012", "")),
        *(
            ("212-555-0123", "our switchboard: "),
            ("212-555-0123", "Customer service hotline at "),
            ("0845 555 0123", ""),
        ),
    ],
)
def test_company_numbers(value: str, before: str) -> None:
    assert is_company_number(value, before)


@pytest.mark.parametrize(
    ("value", "before"),
    [
        *(("212-555-0123", "call Jane at "), ("+49 151 2312500", ""), ("+44 20 7946 0958", "phone ")),
        ("212-555-0100", "the hotline was closed, so he used her private number, "),
    ],
)
def test_private_numbers(value: str, before: str) -> None:
    assert not is_company_number(value, before)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        *(
            ("1.2.3.4", "version ", ""),
            ("1.2.3.4", "v", ""),
            ("1.2.3.4", "Version: ", " is"),
            ("10.0.2.1", "Chrome/", ""),
        ),
        *(("1.3.6.1", "", ".4.1"), ("3.6.1.4", "1.", ""), ("2.1.3.4", "see section ", "")),
    ],
)
def test_versions(value: str, before: str, after: str) -> None:
    assert is_version(value, before, after)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        ("1.2.3.4", "server ", "."),
        ("1.2.3.4", "from ", ""),
        ("2001:db8::1", "version ", ""),
        ("8.8.8.8", "http://", "/"),
    ],
)
def test_addresses_are_no_versions(value: str, before: str, after: str) -> None:
    assert not is_version(value, before, after)


def test_networks_are_told_apart() -> None:
    assert is_public_address("8.8.8.8")
    assert is_public_address("2001:4860:4860::8888")
    for value in (
        "10.0.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "192.0.2.17",
        "0.1.2.3",
        "::1",
        "2001:db8::1",
        "fe80::1%eth0",
    ):
        assert not is_public_address(value)
    assert not is_public_address("no address")


def test_severity_is_only_ever_lowered() -> None:
    assert severity("EMAIL_ADDRESS", "info@example.com", "", "high") == "low"
    assert severity("EMAIL_ADDRESS", "jane@example.com", "", "high") == "high"
    assert severity("IP_ADDRESS", "10.0.0.1", "", "medium") == "low"
    assert severity("IP_ADDRESS", "8.8.8.8", "", "medium") == "medium"
    assert severity("US_SSN", "219-09-9999", "hotline ", "critical") == "critical"
