import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from scipy.special import expit

from audit.recalibration import Judged, section
from audit.renderers import render

CARD = json.loads((Path(__file__).parent / "scorecard.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((resources.files("audit") / "schemas/scorecard.schema.json").read_text(encoding="utf-8"))


def term(name, flagged, language="en"):
    return {"language": language, "term": name, "sentences": 10, "flagged": flagged}


SHIPPED = {
    "threshold": 0.12,
    "model_sha256": "ab" * 32,
    "digest": "cd" * 32,
    "sentences": 12000,
    "neutral_sentences": 6000,
    "false_positive_rate": 0.037,
    "recall": 0.9,
    "auc": {"value": 0.95, "low": 0.94, "high": 0.96},
    "terms": [
        {
            "term": name,
            "neutral_sentences": 60,
            "toxic_sentences": 60,
            "false_positive_rate": rate,
            "subgroup_auc": 0.9,
            "bpsn_auc": 0.531,
            "bnsp_auc": None,
        }
        for name, rate in (("group one", 0.4), ("other", None))
    ],
}


def bias(**changes):
    model = {
        "model": "toxicity",
        "threshold": 0.12,
        "not_evaluated": None,
        "sentences": 200,
        "flagged": 16,
        "ordinary": {"sentences": 40, "flagged": 1},
        "terms": [term("Group <One>", 9), term("group one", 7), *(term(f"t{n}", 0) for n in range(18))],
        "shipped": SHIPPED,
    }
    return {"models": [model | changes], "mentions": {"flagged": 50, "naming_a_group": 20}}


def calibration(positives=200):
    random = np.random.default_rng(1)
    logits = random.normal(-1, 2, 500)
    positive = random.random(500) < expit(logits) if positives else np.zeros(500, bool)
    return section(Judged(expit(logits), positive, np.full(500, 0.1), 3, 4), 0.12)


def card(**sections):
    made = CARD | {"identity_bias": bias(), "calibration": calibration()} | sections
    jsonschema.validate(json.loads(render(made, "json")), SCHEMA)
    return made


@pytest.mark.parametrize("format", ["html", "md"])
def test_identity_bias_is_told(format):
    page = render(card(), format)
    assert "16 of 200 sentences (8.00%), and 1 of 40 of the same" in page
    assert "20 (40.0%) name a group of people" in page
    assert "9 of 10" in page
    assert "90.0%" in page
    assert "0.531" in page
    assert "and 15 more terms in scorecard.json, none of them" in page
    assert "Group <One>" not in page


@pytest.mark.parametrize("format", ["html", "md"])
def test_calibration_is_told(format):
    made = card()
    page = render(made, format)
    assert f"{made['calibration']['slope']['value']:.2f}" in page
    assert "At the threshold of 0.12" in page
    assert "3 without a clear answer, 4 without a score" in page
    assert "0.5 to 0.8" in page


def test_the_plot_has_a_point_a_band():
    made = card()
    page = render(made, "html")
    plot = page[page.index('class="reliability"') :]
    plot = plot[: plot.index("</svg>")]
    assert plot.count("<circle") == len(made["calibration"]["reliability"])
    assert 'href="#toxicity"' in page


@pytest.mark.parametrize("format", ["html", "md"])
def test_what_is_missing_is_said_or_left_out(format):
    missing = bias(not_evaluated="the model is not there", terms=[], shipped=None, sentences=0)
    page = render(card(identity_bias=missing, calibration=calibration(0)), format)
    assert "No evidence: the model is not there" in page
    assert "No evidence: 0 toxic and 500 other documents" in page
    without = render(card(identity_bias=None, calibration=None), format)
    assert "Identity bias" not in without
    assert "Toxicity models" not in without
    assert render(CARD, format) == render(CARD, format)
    assert "Toxicity models" not in render(CARD, format)
