from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest

from audit.errors import ConfigurationError
from audit.pii import pii_profiles
from audit.pii.pii_budget import Budget
from audit.pii.pii_kinds import KINDS
from audit.pii.pii_patterns import search_patterns
from audit.pii.pii_recognisers import BUILT_IN, built_in, custom, program_size
from audit.screens import ScreenContext
from audit.screens.pii import Pii

STAFF = """
recognisers:
  - kind: STAFF_NUMBER
    severity: high
    patterns:
      - {regex: '\\bEMP-(?P<value>\\d{6})\\b', score: 0.3}
    context: [staff, badge]
"""


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(STAFF, encoding="utf-8")
    return path


def findings(screen: Pii, *texts: str) -> list[dict[str, object]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    found = screen.measure(batch, ScreenContext({}, bytes(range(32)))).findings
    assert found is not None
    return found.to_pylist()


def test_a_few_lines_of_yaml_are_a_recogniser(staff: Path) -> None:
    screen = Pii(custom=str(staff), profile="secrets_only")
    rows = findings(screen, "EMP-123456", "é staff EMP-123456 and jane@example.com", "nothing")
    assert [(r["row"], r["kind"], r["start"], r["end"], r["severity"]) for r in rows] == [
        (1, "STAFF_NUMBER", 12, 18, "high")
    ]
    assert rows[0]["score"] == pytest.approx(0.65)


def test_another_content_is_another_resource(staff: Path) -> None:
    screen = Pii(custom=str(staff))
    before = screen.resources()
    staff.write_text(STAFF.replace("0.3", "0.9"), encoding="utf-8")
    assert screen.resources() != before
    assert len(findings(screen, "EMP-123456")) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("severity: high", "severity: grave", "severity"),
        ("context:", "contexts:", "contexts"),
        ("kind: STAFF_NUMBER", "kind: staff", "kind"),
        ("\\bEMP-", "(?<=x)EMP-", "RE2"),
        ("\\bEMP-", "(EMP-", "RE2"),
        ("score: 0.3", "score: 3", "score"),
        ("context: [staff, badge]", "checks: [lun]", "luhn"),
        ("context: [staff, badge]", "anchors: [ab]", "anchors"),
        ("recognisers:", "recognizers:", "recogni"),
        ("recognisers:", "a: [", "YAML"),
    ],
)
def test_mistakes_are_configuration_errors(staff: Path, old: str, new: str, message: str) -> None:
    staff.write_text(STAFF.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        Pii(custom=str(staff)).resources()


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Pii(custom=str(tmp_path / "none.yaml")).resources()


def test_a_bomb_does_not_stall(staff: Path) -> None:
    staff.write_text(STAFF.replace("\\bEMP-(?P<value>\\d{6})\\b", "(a+)+(b|a)*c$"), encoding="utf-8")
    began = time.process_time()
    search_patterns(pa.array(["a" * 100_000]), custom(str(staff)).recognisers, Budget())
    assert time.process_time() - began < 5


@pytest.mark.parametrize("regex", ["(a{100}){100}", "((\\w{1,50} ){1,20}){1,10}!", "\\pL{1,900}x"])
def test_repeats_that_multiply_are_refused_in_plain_words(staff: Path, regex: str) -> None:
    staff.write_text(STAFF.replace("\\bEMP-(?P<value>\\d{6})\\b", regex), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="its repeats are too many"):
        custom(str(staff))


def test_a_pattern_that_reads_whole_texts_is_bounded_by_steps(staff: Path) -> None:
    staff.write_text(STAFF.replace("\\bEMP-(?P<value>\\d{6})\\b", "(?:a?){500}a{500}"), encoding="utf-8")
    bare = custom(str(staff)).recognisers
    texts = pa.array(["a" * 1000, "a" * 100_000])
    size = program_size(bare[0].patterns[0].regex)
    hits, over = search_patterns(texts, bare, Budget(max_pattern_steps=1000 * size))
    assert [flags.tolist() for flags in over.values()] == [[False, True]]
    assert {hit.row for hit in hits} == {0}


def test_built_in_files_are_valid_and_kinds_are_told_apart() -> None:
    for name in BUILT_IN:
        assert all(each.severity and each.patterns for each in built_in(name).recognisers)
    assert all(each.kind.startswith("SECRET_") for each in built_in("secrets").recognisers)


@pytest.mark.parametrize("name", pii_profiles.names())
def test_profiles_name_what_exists(name: str) -> None:
    loaded = pii_profiles.load(name)
    assert Pii(profile=name).resources()[f"profile {name}"] == loaded.digest
    known = {*KINDS, *(each.kind for n in BUILT_IN for each in built_in(n).recognisers)}
    for kind in (*loaded.profile.kinds, *loaded.profile.severities):
        assert kind in known or kind.endswith("*") or kind in loaded.profile.searched


def test_profiles_select_and_grade() -> None:
    text = (
        "jane@example.com 00-00-5E-00-53-01 DOB: 01/02/1980 https://bob:s3cr3tpw@db.example.com seen 3/4/2019"
    )
    kinds = {
        name: {r["kind"]: r["severity"] for r in findings(Pii(profile=name), text)}
        for name in pii_profiles.names()
    }
    assert kinds["secrets_only"] == {"SECRET_URL_PASSWORD": "critical"}
    assert kinds["hipaa_safe_harbor"].keys() >= {"EMAIL_ADDRESS", "MAC_ADDRESS", "DATE_OF_BIRTH", "DATE_TIME"}
    assert "SECRET_URL_PASSWORD" not in kinds["hipaa_safe_harbor"]
    assert kinds["default"]["MAC_ADDRESS"] == "low"
    assert kinds["gdpr"]["MAC_ADDRESS"] == "medium"


def test_profile_entities_and_languages_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="profile"):
        Pii(profile="none").resources()
    with pytest.raises(ConfigurationError, match="exclude"):
        Pii(profile="gdpr", entities=("URL",)).resources()
    with pytest.raises(ConfigurationError, match="languages"):
        Pii(languages=("xx",)).resources()


def test_languages_switch_countries_on() -> None:
    assert [r["kind"] for r in findings(Pii(languages=("es",)), "DNI 12345678Z")] == ["ES_NIF"]
    assert findings(Pii(), "DNI 12345678Z") == []


def test_own_kinds_can_be_named_as_entities() -> None:
    text = "jane@example.com DOB: 01/02/1980"
    assert [r["kind"] for r in findings(Pii(entities=("DATE_OF_BIRTH",)), text)] == ["DATE_OF_BIRTH"]
