"""What a run says of its detectors, and with their help: against a corpus whose whole truth is known."""

import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from audit import commands, probes
from audit.assisted_estimates import assisted
from audit.scored_draws import Detector, ScoredPart
from audit.statistics.estimation import UNSURE, Prevalence, StratumSample
from tests.conftest import page
from tests.fake_probe import FakeProbe
from tests.review.filling import Said, fill, identity, read_records

ABUSE = "You stupid idiots, shut up you worthless morons, all of you are stupid idiots."
#: Harm that the screen sees, harm that it misses, and abuse that nobody minds.
SEEN, MISSED, ALARMS, CLEAN = 30, 20, 10, 60


def texts():
    for n in range(SEEN + ALARMS):
        yield f"d{n}", f"{ABUSE} {page(n)[:60]}"
    for n in range(SEEN + ALARMS, SEEN + ALARMS + MISSED + CLEAN):
        yield f"d{n}", page(n)


def harmful(doc_id: str) -> bool:
    n = int(doc_id[1:])
    return n < SEEN or SEEN + ALARMS <= n < SEEN + ALARMS + MISSED


@pytest.fixture
def judged(tmp_path, run_audit, monkeypatch):
    """A run over known documents; reviewers tell the truth of all that were drawn."""
    monkeypatch.setattr(probes, "available", lambda: {"fake": FakeProbe})

    def run(size: int, **more) -> dict:
        folder: Path = tmp_path / "corpus"
        folder.mkdir()
        rows = [
            json.dumps({"id": doc_id, "text": text, "source": f"s{int(doc_id[1:]) % 2}"})
            for doc_id, text in texts()
        ]
        (folder / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
        sections = {"screens": {"language": {}, "toxicity": {"threshold": 0.5}}, **more}
        sampling = {"size": size, "strata": ["toxicity_band"], **sections.pop("sampling", {})}
        done = run_audit(folder, sampling=sampling, **sections).run
        path = tmp_path / "sample.csv"
        commands.sample(done.folder, path, file_format="csv", size=None, quiet=True)
        drawn = [identity("csv", record)["doc_id"] for record in read_records("csv", path)]
        fill("csv", path, {i: {"toxicity": Said("yes" if harmful(i) else "no")} for i in drawn}, "1")
        commands.judge(done.folder, [path], quiet=True)
        return done

    return run


def whole(run, sql):
    with run.connect() as db:
        cursor = db.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def estimate(run, metric):
    return whole(run, f"SELECT * FROM estimates WHERE metric = '{metric}' AND slice = 'all'")[0]


def test_with_all_judged_every_figure_is_the_truth(judged):
    run = judged(SEEN + MISSED + ALARMS + CLEAN)
    (row,) = whole(run, "SELECT * FROM detector_quality WHERE slice = 'all'")
    assert (row["harmful"], row["flagged"]) == (SEEN + MISSED, SEEN + ALARMS)
    assert row["precision"] == pytest.approx(SEEN / (SEEN + ALARMS))
    assert row["recall"] == pytest.approx(SEEN / (SEEN + MISSED))
    assert row["precision_low"] < row["precision"] < row["precision_high"]
    assert row["recall_low"] < row["recall"] < row["recall_high"]
    truth = (SEEN + MISSED) / (SEEN + MISSED + ALARMS + CLEAN)
    assisted = estimate(run, "toxicity.model_assisted")
    assert assisted["value"] == pytest.approx(truth, abs=1e-3)  # folds have weights of their own
    assert "decides no gate" in assisted["method"]
    card = run.scorecard()
    schema = (resources.files("audit") / "schemas/scorecard.schema.json").read_text(encoding="utf-8")
    jsonschema.validate(card, json.loads(schema))
    found = next(r for r in card["detector_quality"]["rows"] if r["slice"] == "all")
    assert found["slope"] == card["calibration"]["slope"]["value"]
    assert found["slope_high"] == card["calibration"]["slope"]["high"]
    for name in ("md", "html"):
        assert "Detector quality" in (run.folder / f"scorecard.{name}").read_text(encoding="utf-8")


def test_a_sample_covers_the_truth_and_a_gate_does_not_take_it(judged):
    policy = {"gates": [{"name": "g", "metric": "toxicity.model_assisted", "limit": 0.9}]}
    run = judged(60, policy=policy)
    truth = (SEEN + MISSED) / (SEEN + MISSED + ALARMS + CLEAN)
    labels, assisted = estimate(run, "toxicity"), estimate(run, "toxicity.model_assisted")
    for found in (labels, assisted):
        assert found["low"] < truth < found["high"]
        assert found["n"] == 60
    gate = run.scorecard()["gates"][0]
    assert gate["outcome"] == "insufficient evidence"
    assert "decides no gate" in gate["reason"]


def test_a_nested_probe_makes_it_three_phases(judged):
    sampling = {"probe": {"size": 90, "nested": True, "predicts": {"toxicity": "fake.score"}}}
    run = judged(50, probes={"fake": {"word": "idiots"}}, sampling=sampling)
    found = estimate(run, "toxicity.three_phase")
    truth = (SEEN + MISSED) / (SEEN + MISSED + ALARMS + CLEAN)
    assert found["low"] < truth < found["high"]
    assert "fake.score on a sample" in found["method"]


def test_an_independent_probe_does_not(judged):
    sampling = {"probe": {"size": 90, "predicts": {"toxicity": "fake.score"}}}
    run = judged(50, probes={"fake": True}, sampling=sampling)
    assert not whole(run, "SELECT 1 FROM estimates WHERE metric = 'toxicity.three_phase'")


def test_without_judgements_nothing_is_evaluated(standing):
    rows = whole(standing, "SELECT * FROM detector_quality")
    assert rows
    assert all(row["precision"] is row["recall"] is row["slope"] is None for row in rows)
    assert {row["reason"] for row in rows} == {"nobody has judged a document of it"}
    assert estimate(standing, "toxicity.model_assisted")["value"] is None


def test_intervals_with_scores_cover_and_are_narrower_than_without():
    rng, replicates, alpha = np.random.default_rng(3), 80, 0.05
    scores = np.round(np.sort(rng.beta(0.1, 0.3, 40_000)), 6)
    yes = rng.random(len(scores)) < scores
    strata = [np.arange(0, 30_000), np.arange(30_000, 40_000)]
    missed, widths = np.zeros(2), []
    for _ in range(replicates):
        parts, samples = [], []
        for name, members in zip("ab", strata, strict=True):
            at = rng.choice(members, 150, replace=False)
            labels = yes[at].astype(np.int8)
            nothing, every = np.zeros(150, bool), np.ones(150, bool)
            total = float(scores[members].sum())
            sizes = (name, len(members), total, 0.0, 1.0)
            parts.append(ScoredPart(*sizes, labels, scores[at], nothing, every, at))
            tokens = np.ones(150, np.int64)
            samples.append(StratumSample(name, len(members), len(members), labels, tokens))
        (found,) = assisted(Detector("toxicity", "toxicity", scored=True), "all", parts, alpha)
        alone = Prevalence("toxicity", "all", tuple(samples)).estimate(alpha)
        missed += [found.low > yes.mean(), found.high < yes.mean()]
        widths.append((found.high - found.low) / (alone.high - alone.low))
    assert (missed / replicates <= alpha + 3 * (alpha / replicates) ** 0.5).all()
    assert np.mean(widths) < 0.97


def test_unsure_answers_widen_an_assisted_estimate():
    labels = np.array([0] * 30 + [1] * 10, np.int8)
    scores = np.linspace(0.0, 0.9, 40)
    sizes = ("a", 1000, 400.0, 0.0, 1.0)
    every = np.ones(40, bool)
    detector = Detector("toxicity", "toxicity", scored=True)
    unsure = labels.copy()
    unsure[[5, 20, 35]] = UNSURE
    (sure,), (open_,) = (
        assisted(detector, "all", [ScoredPart(*sizes, each, scores, every, every, np.arange(40))], 0.05)
        for each in (labels, unsure)
    )
    assert open_.low < sure.low
    assert open_.high > sure.high
    assert (sure.n, open_.n) == (40, 37)
