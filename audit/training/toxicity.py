"""Trains the toxicity model: ``python -m audit.training.toxicity DATA_FOLDER --out FOLDER``.

DATA_FOLDER holds ``toxicity.parquet`` (labelled texts), ``web_docs.parquet`` (pages for calibration and for
the check on neutral text) and ``lists_and_fixtures.tar.gz`` (identity sentences). FOLDER receives the model,
its card as JSON and as Markdown. The same data give the same files on one machine: ``--check`` trains again
and fails where the model in FOLDER has other bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from audit.screens.toxicity import Toxicity
from audit.toxicity.calibration import Calibration, Doubles
from audit.toxicity.toxicity_model import MODEL_FILE, ToxicityModel
from audit.training.calibrating import (
    REFERENCE_PREVALENCE,
    cross_fit,
    cross_fit_thresholds,
    fit_calibration,
    matching_threshold,
    reliability,
)
from audit.training.card import write_card
from audit.training.crossfit import (
    Scores,
    Subject,
    aucs,
    cross_validate,
    development_aucs,
    enough_labels,
    fit_model,
)
from audit.training.data import NEUTRAL_SET, Labelled, read_identity_sentences, read_labelled
from audit.training.evaluation import Interval
from audit.training.exploring import explored
from audit.training.figures import (
    data_set_figures,
    label_figures,
    neutral_figures,
    reserved_figure,
    with_evidence,
)
from audit.training.identity import identity_figures
from audit.training.limits import learning_curve, rater_limits
from audit.training.linear import extract_features
from audit.training.plan import Plan, variations
from audit.training.planted import planted_figures

_log = logging.getLogger(__name__)

#: Buckets of the features; no plan may ask for more.
_FEATURE_BITS = 20


def read_subject(folder: Path) -> Subject:
    """The labelled texts of a data folder, ready to train on."""
    data = read_labelled(folder)
    languages = tuple(sorted(set(data.languages.tolist())))
    groups = np.array([languages.index(language) for language in data.languages], np.int8)
    return Subject(data, extract_features(data.texts, _FEATURE_BITS), languages, groups)


def calibrated_model(
    subject: Subject,
    plan: Plan,
    margins: Scores,
    languages: Sequence[str],
    labels: dict[str, tuple[str, ...]],
) -> ToxicityModel:
    """The model to ship: fitted to all rows that may be trained on, calibrated on out-of-fold margins."""
    data = subject.data
    model = fit_model(subject, plan, data.trainable, languages, labels)
    found = [toxicity_calibration(data, margins, language) for language in languages]
    slope, intercept = model.heads.slope.copy(), model.heads.intercept.copy()
    for place, language in enumerate(languages):
        for head, name in enumerate(model.heads.labels):
            if name in labels[language]:
                of_label = _label_calibration(data, margins, language, name)
                slope[place, head] *= of_label.slope
                intercept[place, head] = of_label.intercept
    return dataclasses.replace(
        model,
        slope=np.array([one.slope for one in found], np.float32),
        intercept=np.array([one.intercept for one in found], np.float32),
        heads=dataclasses.replace(model.heads, slope=slope, intercept=intercept),
    )


def toxicity_calibration(data: Labelled, margins: Scores, language: str) -> Calibration:
    """Calibration of a language's margins to the reference mix."""
    rows = data.languages == language
    return fit_calibration(data, margins.toxicity, rows, data.toxic, REFERENCE_PREVALENCE)


def _label_calibration(data: Labelled, margins: Scores, language: str, name: str) -> Calibration:
    """Calibration of a label's margins; the label's share of toxic texts is that of the data sets."""
    values = data.labels[name]
    rows = (data.languages == language) & ~np.isnan(values)
    labelled = rows & (data.datasets != NEUTRAL_SET) & data.toxic & data.trainable
    prevalence = REFERENCE_PREVALENCE * float((values[labelled] > 0).mean())
    return fit_calibration(data, margins.labels[:, margins.names.index(name)], rows, values > 0, prevalence)


def cross_fitted_logits(data: Labelled, margins: Scores, languages: Sequence[str]) -> Doubles:
    """Calibrated logits of every row, by what saw the other folds only; NaN without a model."""
    logits = np.full(len(data.texts), np.nan)
    for language in languages:
        rows = data.languages == language
        found = cross_fit(data, margins.toxicity, rows, data.toxic, REFERENCE_PREVALENCE)
        logits[rows] = found[rows]
    return logits


@dataclass(frozen=True)
class Trained:
    """The model to ship, and what it rests on.

    Attributes:
        model: Fitted and calibrated.
        margins: Out of fold, of every row.
        figures: AUC of each data set and language, out of fold.
        label_figures: The same of each label.
        labels: Those claimed, by language.
    """

    model: ToxicityModel
    margins: Scores
    figures: dict[tuple[str, str], Interval]
    label_figures: list[dict[str, Any]]
    labels: dict[str, tuple[str, ...]]


def train(subject: Subject, plan: Plan) -> Trained:
    """Cross-validate, see which languages and labels have evidence, and fit the model to ship."""
    data = subject.data
    _log.info("%d texts, %d to train on", len(data.texts), data.trainable.sum())
    margins = cross_validate(subject, plan, enough_labels(subject))
    figures = aucs(data, margins.toxicity, data.reported)
    for (name, language), figure in figures.items():
        _log.info("AUC %s (%s) %.3f [%.3f, %.3f]", name, language, figure.value, figure.low, figure.high)
    of_labels = label_figures(subject, margins)
    labels = {code: _claimed(of_labels, code) for code in with_evidence(figures)}
    model = calibrated_model(subject, plan, margins, tuple(labels), labels)
    return Trained(model, margins, figures, of_labels, labels)


def card_figures(folder: Path, subject: Subject, plan: Plan, trained: Trained) -> dict[str, Any]:
    """The figures of the model card."""
    data, model, margins = subject.data, trained.model, trained.margins
    languages = model.languages
    logits = cross_fitted_logits(data, margins, languages)
    english = data.languages == "en"
    return {
        "plan": dataclasses.asdict(plan),
        "languages": list(languages),
        "labels": {code: list(names) for code, names in trained.labels.items()},
        "matching_threshold": float(expit(matching_threshold(data, logits, english))),
        "calibration": {
            code: dataclasses.asdict(toxicity_calibration(data, margins, code)) for code in languages
        },
        "data_sets": data_set_figures(
            data, trained.figures, logits, cross_fit_thresholds(data, logits, english)
        ),
        "label_figures": trained.label_figures,
        "reliability": {
            code: reliability(data, logits, data.reported & (data.languages == code)) for code in languages
        },
        "reserved": reserved_figure(model, data),
        "neutral_text": neutral_figures(model, folder, Toxicity.threshold),
        "identity": identity_figures(
            model, read_identity_sentences(folder / "lists_and_fixtures.tar.gz"), Toxicity.threshold
        ),
        "variations": {
            name: development_aucs(subject, changed) for name, changed in variations(plan).items()
        },
        "raters": rater_limits(folder),
        "learning_curve": learning_curve(subject, plan),
        "planted": planted_figures(subject, folder, plan),
        "explored": explored(subject, plan),
    }


def _claimed(figures: Sequence[dict[str, Any]], language: str) -> tuple[str, ...]:
    names = [row["label"] for row in figures if row["claimed"] and row["language"] == language]
    return tuple(dict.fromkeys(names))


def main() -> None:
    """Parse the command line, train, write."""
    parser = argparse.ArgumentParser(prog="python -m audit.training.toxicity", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the training data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its card")
    parser.add_argument("--check", action="store_true", help="write nothing: compare with the model there")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    subject, plan = read_subject(arguments.data), Plan()
    trained = train(subject, plan)
    content = trained.model.to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    _log.info("model: %d bytes, SHA-256 %s", len(content), digest)
    if arguments.check:
        _check(arguments.out / MODEL_FILE, digest)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / MODEL_FILE).write_bytes(content)
    about = {"model": MODEL_FILE, "sha256": digest, "bytes": len(content), "threshold": Toxicity.threshold}
    card = about | card_figures(arguments.data, subject, plan, trained)
    write_card(arguments.out, card)
    _log.info("threshold that matches the prevalence: %.4f", card["matching_threshold"])


def _check(file: Path, digest: str) -> None:
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        sys.exit(f"{file.name} has other bytes than training gives now")
    _log.info("the same bytes as %s", file.name)


if __name__ == "__main__":
    main()
