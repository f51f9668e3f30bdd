import hashlib
import json
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pytest

from audit.errors import ConfigurationError, FatalError
from audit.model import DOCUMENT_SCHEMA, FINDING_SCHEMA
from audit.screens import Screen, ScreenContext
from audit.screens.toxicity import IDENTITY_MENTION, LABELS, Toxicity
from audit.toxicity.toxicity_model import Heads, ToxicityModel, packaged_card, packaged_model, read_model

ABUSE = "You are a stupid idiot, shut up you worthless moron."
CALM = "The library opens at nine and lends books for four weeks. Returns are free at every branch."


def measure(texts, languages, **parameters):
    rows = [{"position": i, "doc_id": str(i), "text": text} for i, text in enumerate(texts)]
    batch = pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)
    context = ScreenContext({"language_label": pa.array(languages, pa.string())})
    return Toxicity(**parameters).measure(batch, context)


@pytest.mark.parametrize(
    ("language", "abuse", "calm"),
    [
        ("en", ABUSE, CALM),
        ("de", "Halt die Fresse du dummes Arschloch!", "Die Bibliothek öffnet um neun Uhr am Morgen."),
        ("pt", "vai se foder seu filho da puta", "A biblioteca abre às nove horas da manhã."),
        ("zh", "黑鬼滚回非洲去，垃圾。", "图书馆早上九点开门，可以借书四个星期。"),
    ],
)
def test_abuse_ranks_over_plain_prose(language, abuse, calm):
    scores = measure([abuse, calm], [language] * 2).measurements["score"].to_pylist()
    assert scores[0] > 5 * scores[1]
    assert scores[1] < 0.05


def test_a_language_without_evidence_is_not_evaluated():
    result = measure([ABUSE, CALM, CALM, CALM], ["fr", "en", "und", None])
    assert result.not_evaluated == {
        0: "skipped: no toxicity model for language fr",
        2: "skipped: no toxicity model for language und",
        3: "skipped: language not evaluated",
    }
    for name, column in result.measurements.items():
        missing = name in LABELS and name not in packaged_card()["labels"]["en"]
        assert [value is None for value in column.to_pylist()] == [True, missing, True, True]


def test_nothing_evaluated_gives_nulls():
    result = measure(["", ABUSE], ["en", "xx"])
    assert result.not_evaluated[0] == "skipped: empty text"
    assert result.measurements["score"].null_count == 2
    assert result.findings.num_rows == 0
    assert measure([], []).measurements["score"].to_pylist() == []


def test_a_long_page_is_scored_by_segment():
    text = CALM * 10 + "\n\n" + (ABUSE + " ") * 6 + "\n\n" + CALM * 10
    result = measure([text], ["en"])
    values = {name: column[0].as_py() for name, column in result.measurements.items()}
    assert values["flagged"]
    assert 0 < values["toxic_segments"] < 1
    assert values["mean"] < values["score"]
    for finding in result.findings.to_pylist():
        assert "idiot" in text[finding["start"] : finding["end"]]
        assert finding["score"] >= Toxicity.threshold


def test_findings_count_code_points_and_hold_no_text():
    text = "🙂é" * 300 + ". " + (ABUSE + " ") * 5
    result = measure([CALM, text], ["en", "en"])
    assert result.findings.schema == FINDING_SCHEMA
    found = result.findings.to_pylist()
    assert {finding["row"] for finding in found} == {1}
    assert max(finding["end"] for finding in found) == len(text)
    assert all(finding["preview"] is None for finding in found)


def test_severity_follows_the_score():
    texts = [ABUSE, "what a stupid thing to say", CALM]
    found = measure(texts, ["en"] * 3, threshold=0.0001).findings.to_pylist()
    rule = [(0.9, "high"), (0.5, "medium"), (0.0, "low")]
    assert [finding["row"] for finding in found if finding["kind"] == "toxicity"] == [0, 1, 2]
    for finding in found:
        assert finding["severity"] == next(name for bound, name in rule if finding["score"] >= bound)


def test_a_slice_measures_the_same():
    context = ScreenContext({"language_label": pa.array(["en"])})
    rows = [{"position": i, "doc_id": str(i), "text": text} for i, text in enumerate([CALM, ABUSE])]
    batch = pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)
    alone = Toxicity().measure(batch.slice(1), context).measurements["score"]
    assert alone[0] == measure([CALM, ABUSE], ["en", "en"]).measurements["score"][1]


def test_columns_match_the_contract():
    screen = Toxicity()
    assert isinstance(screen, Screen)
    result = measure([CALM], ["en"])
    assert {name: column.type for name, column in result.measurements.items()} == dict(Toxicity.measures)


def test_the_threshold_is_a_probability():
    with pytest.raises(ConfigurationError):
        Toxicity(threshold=0.0)


def test_the_packaged_model_is_the_one_on_the_card():
    content = (files("audit") / "models" / "toxicity.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert packaged_card()["sha256"] == packaged_model().sha256 == digest
    assert Toxicity().resources()["toxicity.safetensors"] == f"sha256:{digest}"
    assert digest in (files("audit") / "models" / "toxicity.md").read_text(encoding="utf-8")
    assert len(content) <= 4_000_000


def test_the_card_shows_what_was_measured():
    card = json.loads((files("audit") / "models" / "toxicity.json").read_text(encoding="utf-8"))
    assert card["threshold"] == Toxicity.threshold
    figures = {row["data_set"]: row["auc"] for row in card["data_sets"] if "auc" in row}
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in figures.values())
    assert card["matching_threshold"] == pytest.approx(Toxicity.threshold, rel=0.2)
    assert {term["term"] for term in card["identity"]["terms"]} >= {"gay", "muslim"}
    assert set(card["reliability"]) == set(card["languages"])


def test_labels_are_claimed_on_evidence_only():
    card = packaged_card()
    assert {row["label"] for row in card["label_figures"] if not row["claimed"]} >= {
        "severe_toxicity",
        "threat",
    }
    for row in card["label_figures"]:
        if row["claimed"]:
            assert row["positives"] >= 100
            assert row["auc"]["low"] >= 0.8
        assert not row["claimed"] or row["label"] in card["labels"].get(row["language"], [row["label"]])


def test_a_label_without_evidence_in_a_language_is_null():
    columns = measure([ABUSE, "黑鬼滚回非洲去，垃圾。"], ["en", "zh"]).measurements
    claimed = packaged_card()["labels"]
    for name in LABELS:
        for row, language in enumerate(("en", "zh")):
            assert columns[name].is_valid()[row].as_py() == (name in claimed[language])


def test_findings_name_their_label():
    text = "vai se foder seu filho da puta, buceta, caralho"
    kinds = set(measure([text], ["pt"], threshold=0.01).findings["kind"].to_pylist())
    assert "toxicity" in kinds
    assert kinds - {"toxicity"} <= set(packaged_card()["labels"]["pt"])


def test_flagged_segments_that_name_a_group_are_marked():
    named = "You stupid idiot, all Muslims are stupid, shut up you worthless moron."
    calm = "The mosque invited Muslims and Jews to a feast, and many came."
    long = CALM * 8 + "\n\n" + CALM.replace("Returns", "Muslims") * 8 + "\n\n" + (ABUSE + " ") * 6
    result = measure([ABUSE, named, calm, long], ["en"] * 4)
    found = [f for f in result.findings.to_pylist() if f["kind"] == IDENTITY_MENTION]
    assert [f["row"] for f in found] == [1]
    assert found[0]["severity"] == "low"
    assert found[0]["score"] is None
    assert {f["row"] for f in result.findings.to_pylist()} == {0, 1, 3}


def small_model():
    one = np.ones(1, np.float32)
    heads = Heads(("insult",), np.ones((1, 4, 1), np.int8), np.zeros(1, np.int8), one[None], one[None])
    return ToxicityModel(("en",), np.arange(-8, 8, dtype=np.int8)[None], one, one, 0 * one, (20, 50), heads)


def test_a_model_survives_its_file(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(small_model().to_bytes())
    read = read_model(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert read.languages == ("en",)
    assert read.window == (20, 50)
    np.testing.assert_array_equal(read.weights, small_model().weights)
    assert read.heads.labels == ("insult",)
    np.testing.assert_array_equal(read.heads.weights, small_model().heads.weights)
    assert small_model().to_bytes() == small_model().to_bytes()


def test_a_changed_model_is_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    content = bytearray(small_model().to_bytes())
    digest = hashlib.sha256(content).hexdigest()
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(FatalError, match="digest"):
        read_model(file, digest)
