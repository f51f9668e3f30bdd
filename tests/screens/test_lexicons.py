from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from audit.errors import ConfigurationError, FatalError
from audit.list_files import DIGESTS, read_packaged
from audit.model import DOCUMENT_SCHEMA, FINDING_SCHEMA
from audit.screens import Screen, ScreenContext
from audit.screens.lexicons import Lexicons

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "lexicons.yaml").read_text(encoding="utf-8"))


def measure(texts, languages, **parameters):
    rows = [{"position": i, "doc_id": str(i), "text": text} for i, text in enumerate(texts)]
    batch = pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)
    context = ScreenContext({"language_label": pa.array(languages, pa.string())})
    return Lexicons(**parameters).measure(batch, context)


def values(result, row=0):
    return {name: column[row].as_py() for name, column in result.measurements.items()}


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_cases(case):
    result = measure([case["text"]], [case["language"]])
    found = {case["text"][f["start"] : f["end"]]: f["kind"] for f in result.findings.to_pylist()}
    assert found == case["found"]
    assert values(result)["hits"] == len(case["found"])


def test_measures_count_words_and_entries():
    text = "bullshit and Bullshit on strip club strip " + "calm " * 90
    result = values(measure([text], ["en"]))
    assert result["hits"] == 3
    assert result["entries"] == 2
    assert result["word_share"] == pytest.approx(4 / 97)
    assert result["flagged"]


def test_the_flag_follows_both_rules():
    text = "bullshit " + "calm " * 99
    assert values(measure([text], ["en"], minimum_share=0.01))["flagged"]
    assert not values(measure([text], ["en"], minimum_share=0.0101))["flagged"]
    assert not values(measure([text], ["en"], minimum_entries=2))["flagged"]


def test_a_language_without_a_list_is_not_evaluated():
    result = measure(["bullshit", "bullshit", "bullshit", "..."], ["sw", None, "en", "en"])
    assert result.not_evaluated == {
        0: "skipped: no word list for language sw",
        1: "skipped: language not evaluated",
        3: "skipped: no words",
    }
    for column in result.measurements.values():
        assert [value is None for value in column.to_pylist()] == [True, True, False, True]


def test_findings_show_no_letter_and_are_bounded():
    result = measure(["bullshit " * 60, "étron naïve étron"], ["en", "fr"])
    assert result.findings.schema == FINDING_SCHEMA
    found = result.findings.to_pylist()
    assert len([f for f in found if f["row"] == 0]) == 50
    assert values(result)["hits"] == 60
    assert set("".join(f["preview"] for f in found)) <= set("x# ")
    assert all(f["value_hash"] is None and f["severity"] == "low" for f in found)
    assert [(f["start"], f["end"]) for f in found if f["row"] == 1] == [(0, 5), (12, 17)]


def test_lists_of_ones_own(tmp_path):
    text_file = tmp_path / "en.rival.txt"
    text_file.write_text("# a comment\nAcme Corporation\n\nsnark\n", encoding="utf-8")
    yaml_file = tmp_path / "more.yaml"
    yaml_file.write_text("- {language: cy, entries: [drwg]}\n- {language: en, entries: [bullshit]}\n")
    files = (str(text_file), str(yaml_file))
    texts = ["acme corporation, snark and bullshit", "mae'n ddrwg iawn, drwg"]
    found = measure(texts, ["en", "cy"], lists=files).findings.to_pylist()
    assert [f["kind"] for f in found] == ["RIVAL_TERM", "RIVAL_TERM", "LISTED_TERM", "LISTED_TERM"]
    alone = measure(texts, ["en", "de"], lists=files, packaged=False)
    assert alone.not_evaluated == {1: "skipped: no word list for language de"}


def test_a_changed_list_is_another_resource_and_is_read_again(tmp_path):
    file = tmp_path / "en.txt"
    file.write_text("snark\n")
    screen = Lexicons(lists=(str(file),))
    before = screen.resources()
    assert measure(["snark"], ["en"], lists=(str(file),)).findings.num_rows == 1
    file.write_text("another word\n")
    assert measure(["snark"], ["en"], lists=(str(file),)).findings.num_rows == 0
    assert screen.resources() != before
    assert screen.resources()["ldnoobw.json.gz"] == f"sha256:{DIGESTS['ldnoobw.json.gz']}"
    assert not any(str(tmp_path) in text for text in (*before, *before.values()))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("en.txt", b"fine\n??\n", "line 2 holds no letter"),
        ("words.txt", b"fine\n", "name of a word list"),
        ("en.txt", b"\xff\xfe", "not UTF-8"),
        ("a.yaml", b"language: [", "not valid YAML"),
        ("a.yaml", b"{language: en, entries: [yes]}", "not a list of texts"),
        ("a.yaml", b"{language: English, entries: [a]}", "no language such as en"),
        ("a.yaml", b"{language: en, entry: [a]}", "not a mapping"),
        ("a.yaml", b"{language: en, entries: ['ok', '!']}", "entry 2 of list 1"),
        ("en.txt", b"# nothing\n", "no list to look for"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        measure(["text"], ["en"], lists=(str(file),), packaged=False)


def test_wrong_parameters_are_refused():
    for parameters in ({"minimum_share": 0}, {"minimum_entries": 0}, {"packaged": False}):
        with pytest.raises(ConfigurationError):
            Lexicons(**parameters)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Lexicons(lists=("nowhere/en.txt",)).resources()


def test_a_changed_packaged_list_is_refused(monkeypatch):
    read_packaged.cache_clear()
    monkeypatch.setitem(DIGESTS, "ldnoobw.json.gz", "0" * 64)
    with pytest.raises(FatalError, match="digest"):
        read_packaged("ldnoobw.json.gz")
    read_packaged.cache_clear()


def test_columns_match_the_contract():
    assert isinstance(Lexicons(), Screen)
    result = measure(["calm", ""], ["en", "en"])
    assert {name: column.type for name, column in result.measurements.items()} == dict(Lexicons.measures)
    assert measure([], []).measurements["hits"].to_pylist() == []
