from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from audit.masking import value_hash
from audit.model import FINDING_SCHEMA, ScreenResult
from audit.pii.pii_search import Texts, search
from audit.pii.presidio import MatchingError, hits, recognisers
from audit.pii.spans import Span
from audit.screens import ScreenContext, available
from audit.screens.pii import Pii

KEY = bytes(range(32))
WALLET = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"  # the genesis block's


def measure(*texts: str, screen: Pii | None = None) -> ScreenResult:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    return (screen or Pii()).measure(batch, ScreenContext({}, KEY))


def found(text: str, screen: Pii | None = None) -> list[tuple[str, str]]:
    findings = measure(text, screen=screen).findings
    assert findings is not None
    return [(f["kind"], text[f["start"] : f["end"]]) for f in findings.to_pylist()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("EMAIL_ADDRESS", "jane.doe@example.com"),
        ("PHONE_NUMBER", "(212) 555-0123"),
        ("PHONE_NUMBER", "+44 20 7946 0958"),
        ("PHONE_NUMBER", "+49 30 23125 000"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32"),
        ("US_SSN", "219-09-9999"),
        ("UK_NINO", "AA 12 34 56 A"),
        ("IP_ADDRESS", "192.0.2.17"),
        ("IP_ADDRESS", "2001:db8::1"),
        ("MAC_ADDRESS", "00-00-5E-00-53-01"),
        ("MAC_ADDRESS", "aa:bb:cc:dd:ee:ff"),
        ("CRYPTO", WALLET),
    ],
)
def test_values_are_found_where_they_stand(kind: str, value: str) -> None:
    for before, after in [("", ""), ("See ", " there."), ("«Größe» 😀😀 ", "\n\nÄÖÜ"), ("\t", "\r\n")]:
        assert found(before + value + after) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "In 2019 and 2020, 15,000 people from 1939–1945 came.",
        "Version 1.2.3 costs 19.99, ISBN 978-3-16-148410-0",
        "12:30:45 and Foo::bar() and 50%",
        "😀" * 2000,
        "an @ alone, and @handle",
        "",
    ],
)
def test_ordinary_text_is_clean(text: str) -> None:
    result = measure(text)
    assert found(text) == []
    assert result.measurements["findings"].to_pylist() == [0]
    assert result.measurements["severity"].to_pylist() == [None]
    assert result.measurements["flagged"].to_pylist() == [False]
    assert not result.not_evaluated


@pytest.mark.parametrize(
    ("alone", "in_context"),
    [
        ("order 9434765919", "NHS number 9434765919"),
        ("order 2125550123", "Telephone: 2125550123"),
        ("order 219099999", "social security 219099999"),
        ("order 123 456 782", "social insurance number 123 456 782"),
    ],
)
def test_weak_kinds_need_their_context(alone: str, in_context: str) -> None:
    assert found(alone) == []
    assert len(found(in_context)) == 1


def test_context_is_whole_words_before_the_hit() -> None:
    assert found("microphone 2125550123") == []
    assert found("2125550123 phone") == []
    assert found("phone one two three four five six seven eight 2125550123") == []
    assert found("phones: 2125550123") == [("PHONE_NUMBER", "2125550123")]


def test_measurements_grade_the_document() -> None:
    result = measure("192.0.2.17", "jane@example.com and 219-09-9999", "nothing")
    assert result.measurements["findings"].to_pylist() == [1, 2, 0]
    assert result.measurements["severity"].to_pylist() == ["low", "critical", None]
    assert result.measurements["flagged"].to_pylist() == [False, True, False]
    assert {k: v.type for k, v in result.measurements.items()} == dict(Pii.measures)
    assert result.findings is not None
    assert result.findings.schema == FINDING_SCHEMA


def test_findings_carry_mask_and_hash_and_no_value() -> None:
    result = measure("Mail Jane.Doe@Example.com or jane.doe@example.com")
    assert result.findings is not None
    rows = result.findings.to_pylist()
    assert [r["value_hash"] for r in rows] == [value_hash(KEY, "EMAIL_ADDRESS", "jane.doe@example.com")] * 2
    assert "jane" not in str(rows).lower()
    assert "example" not in str(rows).lower()


def test_a_slice_is_measured_as_its_own_batch() -> None:
    batch = pa.record_batch({"text": ["a@example.com", "über 212-555-0123", "ß b@example.com"]})
    whole = Pii().measure(batch, ScreenContext({}, KEY)).findings
    part = Pii().measure(batch.slice(1), ScreenContext({}, KEY)).findings
    assert whole is not None
    assert part is not None
    assert [f | {"row": f["row"] + 1} for f in part.to_pylist()] == whole.to_pylist()[1:]


def test_without_the_key_it_refuses_to_work() -> None:
    batch = pa.record_batch({"text": ["x"]})
    with pytest.raises(ConfigurationError, match="HMAC key"):
        Pii().measure(batch, ScreenContext({}))


@pytest.mark.parametrize(
    ("screen", "key"),
    [
        (lambda: Pii(countries=("uss",)).resources(), "countries"),
        (lambda: Pii(entities=("EMAIL",)).resources(), "entities"),
        (lambda: Pii(phone_regions=("UK",)).resources(), "phone_regions"),
        (lambda: Pii(minimum_score=2), "minimum_score"),
        (lambda: Pii(max_candidate_bytes=0), "max_candidate_bytes"),
        (lambda: Pii(max_candidates=0), "max_candidates"),
        (lambda: Pii(max_phone_steps=0), "max_phone_steps"),
    ],
)
def test_unknown_names_and_ranges_are_configuration_errors(screen: object, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"screens.pii.{key}"):
        screen()  # type: ignore[operator]


def test_entities_and_countries_choose_what_is_sought() -> None:
    text = "jane@example.com, https://example.com, DNI 12345678Z"
    assert found(text, Pii(entities=("URL",))) == [("URL", "example.com"), ("URL", "https://example.com")]
    assert ("ES_NIF", "12345678Z") in found(text, Pii(countries=("es",)))
    assert Pii.name in available()
    assert set(Pii().resources()) >= {"presidio-analyzer", "phonenumbers"}


def test_over_budget_is_not_evaluated_and_never_clean() -> None:
    result = measure("1 2 " * 500, "jane@example.com", screen=Pii(max_phone_steps=300))
    assert result.not_evaluated == {0: "failed: budget for PHONE_NUMBER"}
    assert result.measurements["findings"].to_pylist() == [None, 1]
    assert result.measurements["flagged"].to_pylist() == [None, True]
    assert result.measurements["not_evaluated"].to_pylist() == [["PHONE_NUMBER"], None]


def test_other_kinds_stand_beside_the_one_that_is_over_budget() -> None:
    endless = "(at) " * 2000
    result = measure(f"219-09-9999 {endless}", f"10.0.0.1 {endless}", screen=Pii(max_candidate_bytes=5000))
    assert result.findings is not None
    assert [f["kind"] for f in result.findings.to_pylist()] == ["US_SSN", "IP_ADDRESS"]
    # The flagged one stays flagged, whatever else is in it; the other is a hit for upper limits.
    assert list(result.not_evaluated) == [1]
    assert result.measurements["flagged"].to_pylist() == [True, None]
    assert result.measurements["findings"].to_pylist() == [1, 1]
    kinds = result.measurements["not_evaluated"].to_pylist()
    assert kinds[0] == kinds[1]
    assert "EMAIL_ADDRESS" in kinds[0]
    assert "US_SSN" not in kinds[0]


def test_of_too_many_candidates_the_first_are_findings() -> None:
    text = "".join(f"u{n}@example.com " for n in range(30)) + "219-09-9999"
    result = measure(text, screen=Pii(max_candidates=10))
    assert result.findings is not None
    found = result.findings.sort_by("start").to_pylist()
    assert [f["kind"] for f in found] == ["EMAIL_ADDRESS"] * 10 + ["US_SSN"]
    assert found[9]["start"] < text.index("u10@")
    assert result.measurements["not_evaluated"].to_pylist() == [["EMAIL_ADDRESS"]]
    assert not result.not_evaluated


def test_an_address_list_does_not_decode_its_document_for_each_address() -> None:
    text = "192.0.2.17, " * 3000
    result = measure(text + "word " * 100_000)
    assert result.measurements["findings"].to_pylist() == [3000]


@pytest.mark.parametrize(
    "text",
    [
        *("😀" * 100_000, "9" * 100_000, "9 " * 20_000, "1-" * 20_000, ":" * 20_000, "a:" * 20_000),
        *("a" * 200_000 + "@", "a." * 100_000 + "@b", "@" * 2_000, "(" * 50_000, "x" * 500_000),
    ],
)
def test_work_is_bounded_on_odd_text(text: str) -> None:
    began = time.process_time()
    measure(text)
    assert time.process_time() - began < 10


def test_a_pattern_that_times_out_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.pii.presidio.TIMEOUT_SECONDS", 1e-9)
    recogniser = recognisers((), ("US_SSN",), ())[0]
    with pytest.raises(MatchingError, match="US_SSN"):
        hits(recogniser, "219-09-9999 " * 100_000)


def test_presidio_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("presidio-analyzer")
    with caplog.at_level(logging.DEBUG):
        logger.error("Failed to validate text %s", "GB00 0000")
        measure("iban GB82 WEST 1234 5698 7654 32, 4111 1111 1111 1111")
        with pytest.raises(MatchingError):
            logger.warning("Regex pattern '%s' timed out after %s seconds, skipping.", "p", 60)
    assert not [record for record in caplog.records if record.name == "presidio-analyzer"]


FRAGMENTS = [
    *("jane.doe@example.com", "(212) 555-0123", "+44 20 7946 0958", "4111 1111 1111 1111", "219-09-9999"),
    *("GB82 WEST 1234 5698 7654 32", "192.0.2.17", "2001:db8::1", "::", "00-00-5E-00-53-01", WALLET),
    *("aabb.ccdd.ee0f", "AA 12 34 56 A", "555-0123", "ext. 45", "x 12", "12", "7", "2019", "9434765919"),
    *(
        " ",
        " ",
        " ",
        "\n",
        "-",
        ".",
        "/",
        ":",
        "(",
        ")",
        "@",
        "+",
        "\u00a0",
        "\u3000",
        "１２３",
        "٤٥٦",
        "ß",
        "電話",
        "😀",
    ),
    *("word", "phone", "a" * 40, "ex", "Ж", "é", "$", "%"),
]
ALL = recognisers(("us", "uk", "ca", "au", "in", "sg", "es", "de", "se", "fi"), (), ("US", "GB"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join), min_size=1, max_size=3))
def test_windows_find_what_whole_texts_hold(texts: Sequence[str]) -> None:
    column = Texts(pa.array(texts, pa.string()))
    windowed, _ = search(column, ALL, 10**9)
    whole, _ = search(column, ALL, 10**9, prefilter=False)
    assert {(h.row, h.span, h.value, h.before) for h in windowed} == {
        (h.row, h.span, h.value, h.before) for h in whole
    }
    for hit in whole:
        assert hit.value == texts[hit.row][hit.span.start : hit.span.end]
        assert hit.before == texts[hit.row][max(0, hit.span.start - 120) : hit.span.start]


@pytest.mark.parametrize("fragment", FRAGMENTS[:12])
def test_hits_are_presidios_own(fragment: str) -> None:
    for recogniser in ALL:
        stock = recogniser.analyze(f"See {fragment}.", recogniser.supported_entities, None)
        own = hits(recogniser, f"See {fragment}.")
        assert set(own) == {Span(r.start, r.end, r.entity_type, r.score) for r in stock}


def test_a_text_on_which_the_phone_matcher_gives_up_is_an_error() -> None:
    with pytest.raises(MatchingError, match="broken phone numbers"):
        hits(recognisers((), ("PHONE_NUMBER",), ("US",))[0], "1 2 3 4 5 6 7 8 9 " * 10_000)
    assert not measure("1 2 3 4 5 6 7 8 9 " * 10_000).not_evaluated


def graded(text: str) -> list[tuple[str, str]]:
    findings = measure(text).findings
    assert findings is not None
    return [(f["kind"], f["severity"]) for f in findings.to_pylist()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("info@example.com", [("EMAIL_ADDRESS", "low")]),
        ("jane@example.com", [("EMAIL_ADDRESS", "medium")]),
        ("call 1-800-555-0123", [("PHONE_NUMBER", "low")]),
        ("10.0.0.1 and 8.8.8.8", [("IP_ADDRESS", "low"), ("IP_ADDRESS", "medium")]),
        ("Version 1.2.3.4 and OID 1.3.6.1.4.1", []),
    ],
)
def test_rules_lower_the_severity_and_keep_the_kind(text: str, expected: list[tuple[str, str]]) -> None:
    assert graded(text) == expected


def test_an_address_in_a_url_is_the_address_alone() -> None:
    assert found("https://example.com/unsubscribe?user=jane@example.com&x=1")[0] == (
        "EMAIL_ADDRESS",
        "jane@example.com",
    )


def test_a_disguised_value_hashes_like_the_plain_one() -> None:
    result = measure("jane [at] example [dot] com", "jane@example.com")
    assert result.findings is not None
    rows = result.findings.to_pylist()
    assert len(rows) == 2
    assert rows[0]["value_hash"] == rows[1]["value_hash"]
    assert (rows[0]["start"], rows[0]["end"]) == (0, 27)


def test_labels_of_other_languages_are_context() -> None:
    assert found("Teléfono: 2125550123") == [("PHONE_NUMBER", "2125550123")]
    assert found("Fax 2125550123") == [("PHONE_NUMBER", "2125550123")]


def test_secrets_show_nothing_of_their_shape() -> None:
    result = measure("db: postgres://bob:s3cr3tpw@db.example.com/x")
    assert result.findings is not None
    assert [(f["kind"], f["preview"]) for f in result.findings.to_pylist()] == [
        ("SECRET_URL_PASSWORD", "xxxx")
    ]
    assert result.measurements["severity"].to_pylist() == ["critical"]
