import json

import pytest

from audit.toxicity.identity_terms import neutral_sentences


def card_of(run):
    return json.loads((run.folder / "scorecard.json").read_text(encoding="utf-8"))


@pytest.fixture
def abusive(tmp_path, run_audit):
    """A run over pages of which one abuses a group, one somebody, and the others nobody."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    texts = [
        "You stupid idiots, all Muslims are stupid idiots, shut up you worthless morons.",
        "You stupid idiots, shut up you worthless morons, all of you are stupid idiots.",
        *(f"The Muslims and Jews of town number {n} met in the library to read." for n in range(10)),
    ]
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)]
    (folder / "pages.jsonl").write_text("\n".join(lines))
    return run_audit(folder, screens={"language": {}, "toxicity": {"threshold": 0.5}}).run


def test_a_run_tells_identity_bias_and_what_calibration_lacks(abusive):
    card = card_of(abusive)
    assert card["identity_bias"]["mentions"] == {"flagged": 2, "naming_a_group": 1}
    (model,) = card["identity_bias"]["models"]
    assert (model["model"], model["threshold"]) == ("toxicity", 0.5)
    assert model["sentences"] == sum(1 for sentence in neutral_sentences() if sentence.term)
    assert "0 toxic and 0 other documents" in card["calibration"]["not_evaluated"]
    with abusive.connect() as db:
        assert db.sql("SELECT screen, slope, reason IS NULL FROM calibration").fetchall() == [
            ("toxicity", None, False)
        ]
        assert db.sql("SELECT count(*) FROM reliability").fetchall() == [(0,)]
    for name in ("md", "html"):
        assert "Identity bias" in (abusive.folder / f"scorecard.{name}").read_text(encoding="utf-8")


def test_without_a_toxicity_model_there_is_no_section(tmp_path, run_audit):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "pages.jsonl").write_text(json.dumps({"id": "a", "text": "A page about a library."}))
    card = card_of(run_audit(folder, screens={"language": {}}).run)
    assert card["identity_bias"] is card["calibration"] is None
