"""Whole rounds of review over a run: formats, several reviewers, known answers, adjudication, agreement."""

import json
import shutil

import numpy as np
import pytest

from audit import commands, evaluation, pipeline, reviewing
from audit import config as configuration
from audit.errors import ConfigurationError
from audit.lineage import verification
from audit.progress import Quiet
from audit.review.formats import FORMATS
from audit.run import Run
from audit.stages.request import Request
from audit.statistics import stratified_limits as limits
from audit.statistics.adjudicated_limits import adjudicated_values
from tests.conftest import key_file, write_corpus
from tests.engine_here import EngineHere
from tests.review.filling import SUFFIX, Said, change, fill, identity, read_records

KNOWN = [
    {"text": "You are a fool, all of you.", "answers": {"toxicity": "yes"}},
    {"text": "The library opens at nine.", "answers": {"toxicity": "no"}},
]
CONFIG = {
    "corpus": {"name": "test"},
    "screens": {"language": {}},
    "sampling": {
        "size": 40,
        "strata": ["source"],
        "questions": [
            "toxicity",
            {"name": "quality", "type": "rating", "positive": ["1"], "guideline": "5 is worth reading."},
            {"name": "remarks", "type": "text"},
        ],
        "overlap": 0.5,
        "known_answers": "known.jsonl",
        "adjudication_share": 0.25,
    },
    "policy": {"gates": [{"name": "toxic", "metric": "toxicity", "limit": 0.5}]},
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rounds")
    inputs = write_corpus(folder / "corpus")
    lines = "".join(json.dumps(line) + "\n" for line in KNOWN)
    (folder / "known.jsonl").write_text(lines, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        run = Run(folder / "run")
        request = Request(configuration.parse(CONFIG), folder, (str(inputs),))
        pipeline.audit(request, run, EngineHere(), Quiet())
    return run


@pytest.fixture
def run(audited, tmp_path):
    shutil.copytree(audited.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def sample(run, path, name="csv", **more):
    arguments = {"file_format": name, "size": None, "quiet": True, **more}
    return commands.sample(run.folder, path, **arguments)


def ids(name, path):
    return list(dict.fromkeys(identity(name, record)["doc_id"] for record in read_records(name, path)))


def say(path, label, *, name="csv", reviewer="1", others=None):
    answers = {doc_id: {"toxicity": Said(label)} for doc_id in ids(name, path)}
    fill(name, path, {**answers, **(others or {})}, reviewer)
    return path


def judge(run, *paths):
    return commands.judge(run.folder, list(paths), quiet=True)


def query(run, sql):
    with run.connect() as db:
        return db.execute(sql).fetchall()


def drawn(run):
    return [doc_id for (doc_id,) in query(run, "SELECT doc_id FROM samples WHERE phase = 'review'")]


@pytest.mark.parametrize("name", FORMATS)
def test_a_round_in_every_format_decides(run, tmp_path, name):
    path = tmp_path / f"sample.{SUFFIX[name]}"
    sample(run, path, name)
    assert len(ids(name, path)) == 42
    result = judge(run, say(path, "no", name=name))
    assert result["verdict"] == "GO"
    assert "2 answers to known-answer items" in result["notes"][0]
    assert query(run, "SELECT value, n FROM estimates WHERE metric = 'toxicity' AND slice = 'all'") == [
        (0, 40)
    ]
    assert verification.verify(run.folder).problems == ()


def test_reviewers_get_files_of_their_own_in_an_order_of_their_own(run, tmp_path):
    sample(run, tmp_path / "sample.csv", reviewers=3)
    files = [tmp_path / f"sample-{who}.csv" for who in (1, 2, 3)]
    everybody = [ids("csv", path) for path in files]
    controls = set(everybody[0]) - set(drawn(run))
    assert len(controls) == len(KNOWN)
    assert all(controls < set(mine) for mine in everybody)
    assert set().union(*everybody) == {*drawn(run), *controls}
    shared = sum(map(len, everybody)) - 3 * len(controls) - 40
    assert shared == pytest.approx(20, abs=2)
    orders = [[doc_id for doc_id in mine if doc_id in controls] for mine in everybody]
    assert all(mine != sorted(mine) for mine in everybody), orders
    result = judge(run, *(say(path, "no", reviewer=str(who)) for who, path in enumerate(files)))
    assert result["verdict"] == "GO"


def test_an_extension_keeps_who_judges_what(run, tmp_path):
    sample(run, tmp_path / "a.csv", reviewers=2)
    sample(run, tmp_path / "b.csv", reviewers=2, size=60)
    for who in (1, 2):
        assert set(ids("csv", tmp_path / f"a-{who}.csv")) <= set(ids("csv", tmp_path / f"b-{who}.csv"))


def test_a_file_of_another_reviewers_share_is_refused(run, tmp_path):
    sample(run, tmp_path / "sample.csv", reviewers=2)
    first, second = (tmp_path / f"sample-{who}.csv" for who in (1, 2))
    alone = next(doc_id for doc_id in ids("csv", first) if doc_id not in ids("csv", second))
    say(first, "no")
    change("csv", first, alone, lambda fields: fields.update(assignment="2/2"))
    with pytest.raises(ConfigurationError, match=r"row \d+: the document was not given to this assignment"):
        judge(run, first)


def test_two_files_of_one_reviewer_may_not_hold_one_answer(run, tmp_path):
    sample(run, tmp_path / "a.csv")
    sample(run, tmp_path / "b.jsonl", "jsonl")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    files = [say(tmp_path / "a.csv", "no"), say(tmp_path / "b.jsonl", "no", name="jsonl")]
    with pytest.raises(ConfigurationError, match=r"b\.jsonl: row 1: row \d+ of a\.csv holds an answer"):
        judge(run, *files)
    assert before == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def test_known_answers_tell_how_reliable_reviewers_are_and_enter_no_estimate(run, tmp_path):
    sample(run, tmp_path / "sample.csv")
    judge(run, say(tmp_path / "sample.csv", "yes"))
    (reviewer,) = run.scorecard()["agreement"]["reviewers"]
    assert (reviewer["known_answers"], reviewer["known_answers_right"], reviewer["judgements"]) == (2, 1, 40)
    accuracy = reviewer["accuracy"]
    assert accuracy["low"] < accuracy["value"] == 0.5 < accuracy["high"]
    assert run.scorecard()["sampling"]["judgements"]["total"] == 40
    assert query(run, "SELECT count(*) FROM judgements WHERE phase = 'known_answer'") == [(2,)]


def test_agreement_is_measured_on_what_several_judged(run, tmp_path):
    sample(run, tmp_path / "sample.csv", reviewers=2)
    files = [tmp_path / f"sample-{who}.csv" for who in (1, 2)]
    both = sorted(set(ids("csv", files[0])) & set(ids("csv", files[1])) & set(drawn(run)))
    harmful = {doc_id: {"toxicity": Said("yes")} for doc_id in both[:6]}
    odd = {both[6]: {"toxicity": Said("yes")}}
    judge(
        run, say(files[0], "no", others=harmful), say(files[1], "no", reviewer="2", others={**harmful, **odd})
    )
    measured = {row["question"]: row for row in run.scorecard()["agreement"]["questions"]}
    toxicity = measured["toxicity"]
    assert toxicity["documents"] == len(both)
    assert 0.5 < toxicity["low"] < toxicity["value"] < 1 == pytest.approx(toxicity["high"], abs=0.01)
    assert measured["quality"]["value"] is None
    assert "0 documents" in measured["quality"]["reason"]
    first, second = run.scorecard()["agreement"]["reviewers"]
    assert (first["differing"], second["differing"], first["compared"]) == (1, 1, len(both))
    card = (run.folder / "scorecard.md").read_text(encoding="utf-8")
    page = (run.folder / "scorecard.html").read_text(encoding="utf-8")
    assert all("Agreement of reviewers" in shown and "Known answers right" in shown for shown in (card, page))


def test_judged_documents_that_are_no_longer_drawn_are_counted(run, tmp_path):
    sample(run, tmp_path / "sample.csv", size=45)
    judge(run, say(tmp_path / "sample.csv", "no"))
    assert run.scorecard()["sampling"]["judgements"]["no_longer_drawn"] == 0
    with run.locked():
        evaluation.evaluate(run, Quiet(), 40)
    assert run.scorecard()["sampling"]["judgements"]["no_longer_drawn"] == 5
    for name in ("scorecard.md", "scorecard.html"):
        assert "5 documents were judged and are no longer drawn" in (run.folder / name).read_text()


def adjudicated(run, tmp_path, label, **others):
    """A review with three positives, and an adjudication that answers ``label`` to all."""
    sample(run, tmp_path / "sample.csv")
    positives = sorted(drawn(run))[:3]
    judge(run, say(tmp_path / "sample.csv", "no", others={d: {"toxicity": Said("yes")} for d in positives}))
    sample(run, tmp_path / "again.csv", phase="adjudication")
    waiting = ids("csv", tmp_path / "again.csv")
    answers = {doc_id: {"toxicity": Said(others.get("negatives", label))} for doc_id in waiting}
    answers |= {doc_id: {"toxicity": Said(label)} for doc_id in positives}
    fill("csv", tmp_path / "again.csv", answers, "9")
    return positives, waiting, judge(run, tmp_path / "again.csv")


def test_adjudication_takes_positives_and_a_share_of_negatives_and_has_the_last_word(run, tmp_path):
    positives, waiting, result = adjudicated(run, tmp_path, "no")
    assert set(positives) < set(waiting) < set(drawn(run))
    assert result["verdict"] in ("GO", "INSUFFICIENT EVIDENCE")  # it depends on how many were taken
    assert query(run, "SELECT value FROM estimates WHERE metric = 'toxicity' AND slice = 'all'") == [(0.0,)]
    rows = query(
        run,
        """SELECT doc_id, second.inclusion_probability / first.inclusion_probability
        FROM samples AS second JOIN samples AS first USING (doc_id)
        WHERE second.phase = 'adjudication' AND first.phase = 'review' AND second.question = 'toxicity'""",
    )
    chances = dict(rows)
    assert all(chances[doc_id] == pytest.approx(1.0) for doc_id in positives)
    assert all(0 < chance < 1 for doc_id, chance in chances.items() if doc_id not in positives)
    (counts,) = [c for c in run.scorecard()["agreement"]["adjudication"] if c["question"] == "toxicity"]
    assert (counts["overturned"], counts["negatives_overturned"]) == (3, 0)
    assert counts["selected"] == counts["adjudicated"] == len(chances)
    assert verification.verify(run.folder).problems == ()


def test_limits_after_adjudication_are_those_of_two_phases(run, tmp_path):
    adjudicated(run, tmp_path, "yes", negatives="no")
    strata = """SELECT strata.documents, count(*) FILTER (weight = 1),
            count(*) FILTER (weight = 1 AND label = 'yes'), count(*) FILTER (weight <> 1),
            count(*) FILTER (weight > 1), 0, sum(weight), count(*)
        FROM final_labels JOIN samples USING (doc_id) JOIN strata USING (phase, stratum)
        WHERE phase = 'review' AND final_labels.question = 'toxicity' GROUP BY stratum, strata.documents"""
    rows = np.array(query(run, strata), float)
    assert rows[:, 6] == pytest.approx(rows[:, 7])  # what was looked at again stands for all
    total = rows[:, 0].sum()
    values = adjudicated_values(rows[:, 0] / total, *rows[:, 1:6].T)
    found = query(
        run, "SELECT value, low, high, method FROM estimates WHERE metric = 'toxicity' AND slice = 'all'"
    )
    ((value, low, high, method),) = found
    assert "1/pi2" in method
    assert value == pytest.approx(rows[:, 0] / total @ (rows[:, 2] / rows[:, 7]))
    seen = rows[:, 2].sum() / total, 1 - rows[:, 4].sum() / total  # no limit is beyond what was seen
    # The declared look has half of alpha; another look can only be better.
    assert max(limits.lower_limit(values, 0.025), seen[0]) - 1e-6 <= low <= value
    assert value <= high <= min(limits.upper_limit(values, 0.025), seen[1]) + 1e-6


def test_positives_that_wait_for_adjudication_are_harm_for_the_upper_limit_only(run, tmp_path):
    sample(run, tmp_path / "sample.csv")
    judge(run, say(tmp_path / "sample.csv", "yes"))
    sample(run, tmp_path / "again.csv", phase="adjudication")
    result = commands.gate(run.folder, strict=False)
    assert result["verdict"] == "INSUFFICIENT EVIDENCE"


def test_a_negative_that_is_overturned_puts_the_others_in_doubt(run, tmp_path):
    _, _, result = adjudicated(run, tmp_path, "yes", negatives="yes")
    assert result["verdict"] != "GO"
    labels = query(run, "SELECT DISTINCT label FROM final_labels WHERE question = 'toxicity' ORDER BY 1")
    assert labels == [("unsure",), ("yes",)]


def test_nothing_waits_once_all_is_adjudicated(run, tmp_path):
    adjudicated(run, tmp_path, "no")
    with pytest.raises(ConfigurationError, match="no document waits for adjudication"):
        sample(run, tmp_path / "more.csv", phase="adjudication")


def test_free_text_is_kept_without_personal_values(run, tmp_path):
    sample(run, tmp_path / "sample.csv")
    doc_id = drawn(run)[0]
    text = "Gives jane.sample@example.com away."
    fill("csv", tmp_path / "sample.csv", {doc_id: {"remarks": Said(text=text)}})
    judge(run, tmp_path / "sample.csv")
    ((kept,),) = query(run, "SELECT free_text FROM judgements WHERE question = 'remarks'")
    assert kept.startswith("Gives ")
    assert kept.endswith(" away.")
    stored = b"".join(path.read_bytes() for path in run.judgements.iterdir())
    assert b"jane" not in stored


def test_every_metric_has_estimates_and_no_other_question(run, tmp_path):
    sample(run, tmp_path / "sample.csv")
    answers = {doc_id: {"quality": Said("1")} for doc_id in drawn(run)}
    fill("csv", tmp_path / "sample.csv", answers)
    judge(run, tmp_path / "sample.csv")
    found = dict(query(run, "SELECT metric, value FROM estimates WHERE slice = 'all'"))
    assert found["quality"] == pytest.approx(1.0)
    assert "remarks" not in found


@pytest.mark.parametrize(
    ("more", "message"), [({"name": "pdf"}, "unknown format"), ({"phase": "party"}, "unknown phase")]
)
def test_unknown_choices_are_refused_with_the_known_ones(run, tmp_path, more, message):
    with pytest.raises(ConfigurationError, match=message):
        sample(run, tmp_path / "x", **more)


def test_the_export_is_journaled_and_readable_by_its_owner_alone(run, tmp_path):
    reviewing.export(run, tmp_path / "sample.json", "label-studio", reviewers=2)
    written = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert written == ["sample-1.config.xml", "sample-1.json", "sample-2.config.xml", "sample-2.json"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()} == {0o600}
    last = list(run.journal.read())[-1]
    assert last.data == {"format": "label-studio", "documents": 40, "reviewers": 2, "phase": "review"}
