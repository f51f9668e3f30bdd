"""Trains the toxicity model: ``python -m audit.training.toxicity DATA_FOLDER --out FOLDER``.

DATA_FOLDER holds ``toxicity.parquet`` (labelled texts), ``web_docs.parquet`` (pages for calibration and for
the check on neutral text) and ``lists_and_fixtures.tar.gz`` (identity sentences). FOLDER receives the model,
its card as JSON and as Markdown. The same data give the same files.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.screens.toxicity import Toxicity
from audit.toxicity_model import MODEL_FILE, ToxicityModel
from audit.training.card import write_card
from audit.training.data import FOLDS, NEUTRAL_SET, Labelled, read_identity_sentences, read_labelled, read_web
from audit.training.evaluation import Calibration, Doubles, Interval, auc, calibrate, share
from audit.training.linear import Features, Settings, extract_features, fit, quantise

_log = logging.getLogger(__name__)

#: Segment lengths in code points: a sentence end closes from the first, the second is the longest.
WINDOW = (200, 500)
#: A language gets a model when a data set's AUC is surely above this, out of fold.
EVIDENCE_AUC = 0.80
#: Share of toxic segments to which probabilities are calibrated. Unselected Wikipedia talk has 0.6%.
REFERENCE_PREVALENCE = 0.01
#: Of the negatives' weight in calibration.
NATURAL_SHARE = 0.9
#: Text that nobody selected for its tone.
_NATURAL_SETS = ("wiki_context_gn", NEUTRAL_SET)
#: Pages that were neither trained on nor calibrated with.
_CHECK_SOURCES = ("digital.gov", "c4_sample")

_THRESHOLD_LOGIT = float(np.log(Toxicity.threshold / (1 - Toxicity.threshold)))

Groups = npt.NDArray[np.int8]


def document_logits(model: ToxicityModel, texts: pa.Array, groups: Groups) -> Doubles:
    """Largest segment logit of each document; every text holds at least one code point."""
    scores = model.score(texts, groups)
    return np.maximum.reduceat(scores.logits, scores.offsets[:-1]).astype(np.float64)


def _uncalibrated(weights: npt.NDArray[np.float32], languages: tuple[str, ...]) -> ToxicityModel:
    steps, scale = quantise(weights)
    one = np.ones(len(languages), np.float32)
    return ToxicityModel(languages, steps, scale, one, 0 * one, WINDOW)


def cross_validate(
    data: Labelled, features: Features, groups: Groups, languages: tuple[str, ...], settings: Settings
) -> Doubles:
    """Logits of every row, by a model that saw neither it nor a copy of it."""
    logits = np.zeros(len(data.texts))
    for fold in range(FOLDS):
        rows = np.flatnonzero((data.folds != fold) & data.trainable)
        weights = fit(features, groups, data.targets, data.importance, rows, settings)
        model = _uncalibrated(weights, languages)
        test = np.flatnonzero(data.folds == fold)
        logits[test] = document_logits(model, data.texts.take(pa.array(test)), groups[test])
    return logits


def aucs(data: Labelled, logits: Doubles) -> dict[tuple[str, str], Interval]:
    """AUC of each data set and language that has both labels."""
    masks = _masks(data)
    return {key: auc(logits[mask], data.toxic[mask]) for key, mask in masks.items() if data.toxic[mask].any()}


def _masks(data: Labelled) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
    keys = sorted(set(zip(data.datasets.tolist(), data.languages.tolist(), strict=True)))
    return {key: (data.datasets == key[0]) & (data.languages == key[1]) for key in keys}


def languages_with_evidence(figures: dict[tuple[str, str], Interval]) -> tuple[str, ...]:
    """Languages of which a data set's lower AUC limit reaches ``EVIDENCE_AUC``."""
    return tuple(sorted({language for (_, language), auc_ in figures.items() if auc_.low >= EVIDENCE_AUC}))


def calibrate_language(data: Labelled, logits: Doubles, language: str) -> Calibration:
    """Calibration to text of which ``REFERENCE_PREVALENCE`` is toxic.

    Positives: every data set that has some counts the same. Negatives: ``NATURAL_SHARE`` of the weight on
    text that nobody selected for its tone (``_NATURAL_SETS``), the rest on the other data sets' own
    negatives, which are near misses and rarer on the web than there.

    Args:
        data: All labelled texts.
        logits: Theirs, out of fold.
        language: To calibrate.
    """
    rows = (data.languages == language) & data.trainable
    natural = np.isin(data.datasets, _NATURAL_SETS)
    groups = {
        "positive": (rows & data.toxic, REFERENCE_PREVALENCE),
        "natural": (rows & natural & ~data.toxic, (1 - REFERENCE_PREVALENCE) * NATURAL_SHARE),
        "selected": (rows & ~natural & ~data.toxic, (1 - REFERENCE_PREVALENCE) * (1 - NATURAL_SHARE)),
    }
    weights = np.zeros(len(logits))
    for mask, mass in groups.values():
        names = np.unique(data.datasets[mask].astype(str))
        for name in names:
            part = mask & (data.datasets == name)
            weights[part] = mass / len(names) / part.sum()
    if not groups["natural"][0].any():
        weights[rows & ~data.toxic] /= 1 - NATURAL_SHARE
    weights *= rows.sum()
    return calibrate(logits[rows], data.toxic[rows], weights[rows])


def train(folder: Path, settings: Settings) -> tuple[ToxicityModel, dict[str, Any]]:
    """The model and the figures of its card."""
    data = read_labelled(folder)
    every = tuple(sorted(set(data.languages.tolist())))
    groups = np.array([every.index(language) for language in data.languages], np.int8)
    features = extract_features(data.texts, settings.bits)
    _log.info("%d texts, %d to train on", len(data.texts), data.trainable.sum())
    margins = cross_validate(data, features, groups, every, settings)
    figures = aucs(data, margins)
    for (name, language), figure in figures.items():
        _log.info("AUC %s (%s) %.3f [%.3f, %.3f]", name, language, figure.value, figure.low, figure.high)
    languages = languages_with_evidence(figures)
    calibrations = {language: calibrate_language(data, margins, language) for language in languages}
    rows = np.flatnonzero(data.trainable)
    fitted = fit(features, groups, data.targets, data.importance, rows, settings)
    steps, scale = quantise(fitted[[every.index(language) for language in languages]])
    slope = np.array([calibrations[language].slope for language in languages], np.float32)
    intercept = np.array([calibrations[language].intercept for language in languages], np.float32)
    model = ToxicityModel(languages, steps, scale, slope, intercept, WINDOW)
    logits = _calibrated(data, margins, calibrations)
    card = {
        "settings": dataclasses.asdict(settings) | {"window": WINDOW},
        "languages": list(languages),
        "calibration": {language: dataclasses.asdict(found) for language, found in calibrations.items()},
        "data_sets": _data_set_figures(data, figures, logits),
        "reserved": _reserved_figure(model, data),
        "neutral_text": _neutral_figures(model, folder),
        "identity": _identity_figures(model, folder),
    }
    return model, card


def _calibrated(data: Labelled, margins: Doubles, calibrations: dict[str, Calibration]) -> Doubles:
    """Calibrated logits; NaN in languages without a model."""
    logits = np.full(len(margins), np.nan)
    for language, found in calibrations.items():
        mask = data.languages == language
        logits[mask] = found.slope * margins[mask] + found.intercept
    return logits


def _data_set_figures(
    data: Labelled, figures: dict[tuple[str, str], Interval], logits: Doubles
) -> list[dict[str, Any]]:
    rows = []
    for (name, language), mask in _masks(data).items():
        row: dict[str, Any] = {
            "data_set": name,
            "language": language,
            "licence": "; ".join(sorted(set(data.licences[mask]))),
            "rows": int(mask.sum()),
            "trained_on": int((mask & data.trainable).sum()),
            "positive": float(data.toxic[mask].mean()),
        }
        both = (name, language) in figures
        if both:
            row["auc"] = dataclasses.asdict(figures[name, language])
        if not np.isnan(logits[mask]).any():
            flagged, toxic = logits[mask] >= _THRESHOLD_LOGIT, data.toxic[mask]
            row["recall"] = share(flagged[toxic])
            row["false_positive_rate"] = share(flagged[~toxic])
        if both and "recall" in row:
            row["calibration"] = dataclasses.asdict(calibrate(logits[mask], toxic, np.ones(len(toxic))))
        rows.append(row)
    return rows


def _reserved_figure(model: ToxicityModel, data: Labelled) -> dict[str, Any]:
    """AUC of the shipped model on the comments that are reserved for audits."""
    rows = np.flatnonzero((data.datasets == "civil_toxic_spans") & ~data.trainable)
    groups = np.full(len(rows), model.languages.index("en"), np.int8)
    logits = document_logits(model, data.texts.take(pa.array(rows)), groups)
    return {"rows": len(rows), "auc": dataclasses.asdict(auc(logits, data.toxic[rows]))}


def _neutral_figures(model: ToxicityModel, folder: Path) -> list[dict[str, Any]]:
    """Flagged pages among those that had no part in training or calibration (English)."""
    rows = []
    for source in _CHECK_SOURCES:
        texts = read_web(folder / "web_docs.parquet", source, "en")
        logits = document_logits(model, texts, np.full(len(texts), model.languages.index("en"), np.int8))
        flagged = int((logits >= _THRESHOLD_LOGIT).sum())
        rows.append({"source": source, "language": "en", "documents": len(texts), "flagged": flagged})
    return rows


def _identity_figures(model: ToxicityModel, folder: Path) -> dict[str, Any]:
    """False-positive rates on neutral template sentences, over all and by identity term (English)."""
    sentences = read_identity_sentences(folder / "lists_and_fixtures.tar.gz")
    texts = pa.array(sentences["phrase"].to_list(), pa.large_string())
    groups = np.full(len(texts), model.languages.index("en"), np.int8)
    logits = document_logits(model, texts, groups)
    toxic, terms = sentences["toxic"].to_numpy(), sentences["term"].to_numpy()
    flagged = logits >= _THRESHOLD_LOGIT
    names = sorted({term for term in terms if term is not None})
    by_term = [
        {
            "term": name,
            "neutral_sentences": int(((terms == name) & ~toxic).sum()),
            "false_positive_rate": float(flagged[(terms == name) & ~toxic].mean()),
            "subgroup_auc": auc(logits[terms == name], toxic[terms == name]).value,
        }
        for name in names
    ]
    return {
        "sentences": len(texts),
        "neutral_sentences": int((~toxic).sum()),
        "false_positive_rate": float(flagged[~toxic].mean()),
        "recall": float(flagged[toxic].mean()),
        "auc": dataclasses.asdict(auc(logits, toxic)),
        "terms": by_term,
    }


def main() -> None:
    """Parse the command line, train, write."""
    parser = argparse.ArgumentParser(prog="python -m audit.training.toxicity", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the training data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its card")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model, card = train(arguments.data, Settings())
    content = model.to_bytes()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / MODEL_FILE).write_bytes(content)
    card = {
        "model": MODEL_FILE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "threshold": Toxicity.threshold,
        **card,
    }
    write_card(arguments.out, card)
    for row in card["neutral_text"]:
        _log.info(
            "%s (%s): %d of %d flagged", row["source"], row["language"], row["flagged"], row["documents"]
        )
    _log.info("neutral identity sentences flagged: %.2f%%", 100 * card["identity"]["false_positive_rate"])


if __name__ == "__main__":
    main()
