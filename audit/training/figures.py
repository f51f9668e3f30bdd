"""Figures of the model card: by data set, by label, on rows kept out and on plain pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audit.toxicity.calibration import Booleans, Doubles, calibrate
from audit.toxicity.toxicity_model import ToxicityModel
from audit.training.crossfit import LEAST_LABELLED, Scores, Subject, document_scores, set_masks
from audit.training.data import LABELS, NEUTRAL_SET, Labelled, read_web
from audit.training.evaluation import Interval, auc, share

#: A language, and a label in it, is claimed when a data set's AUC is surely above this, out of fold.
EVIDENCE_AUC = 0.80
#: Pages that were neither trained on nor calibrated with.
CHECK_SOURCES = ("digital.gov", "c4_sample")


def with_evidence(figures: Mapping[tuple[str, str], Interval]) -> tuple[str, ...]:
    """Languages of which a data set's lower AUC limit reaches ``EVIDENCE_AUC``."""
    return tuple(sorted({language for (_, language), found in figures.items() if found.low >= EVIDENCE_AUC}))


def label_figures(subject: Subject, margins: Scores) -> list[dict[str, Any]]:
    """AUC of each label on each data set that has it, and whether it is claimed there."""
    data, rows = subject.data, []
    for name in LABELS.values():
        values = data.labels[name]
        known = data.reported & ~np.isnan(values) & (data.datasets != NEUTRAL_SET)
        for (data_set, language), mask in set_masks(data, known).items():
            positive = values[mask] > 0
            row: dict[str, Any] = {
                "label": name,
                "data_set": data_set,
                "language": language,
                "rows": len(positive),
                "positives": int(positive.sum()),
                "claimed": False,
            }
            if min(positive.sum(), (~positive).sum()) >= LEAST_LABELLED and name in margins.names:
                found = auc(margins.labels[mask, margins.names.index(name)], positive)
                row["auc"] = dataclasses.asdict(found)
                row["claimed"] = found.low >= EVIDENCE_AUC
            rows.append(row)
    return rows


def data_set_figures(
    data: Labelled, figures: Mapping[tuple[str, str], Interval], logits: Doubles, thresholds: Doubles
) -> list[dict[str, Any]]:
    """A row for each data set and language: what it is, and how the model does on its reported folds.

    Args:
        data: Labelled texts.
        figures: AUCs over the reported rows.
        logits: Calibrated, out of fold; NaN in languages without a model.
        thresholds: Logit from which each row counts as flagged.
    """
    rows = []
    for (name, language), mask in set_masks(data, data.reported).items():
        whole = (data.datasets == name) & (data.languages == language)
        row: dict[str, Any] = {
            "data_set": name,
            "language": language,
            "licence": "; ".join(sorted(set(data.licences[mask]))),
            "rows": int(whole.sum()),
            "trained_on": int((whole & data.trainable).sum()),
            "reported": int(mask.sum()),
            "positives": int(data.toxic[mask].sum()),
        }
        if (name, language) in figures:
            row["auc"] = dataclasses.asdict(figures[name, language])
        if not np.isnan(logits[mask]).any():
            flagged, toxic = logits[mask] >= thresholds[mask], data.toxic[mask]
            row["recall"] = share(flagged[toxic])
            row["false_positive_rate"] = share(flagged[~toxic])
            if "auc" in row:
                row["calibration"] = dataclasses.asdict(calibrate(logits[mask], toxic, np.ones(len(toxic))))
        rows.append(row)
    return rows


def reserved_figure(model: ToxicityModel, data: Labelled) -> dict[str, Any]:
    """AUC of the shipped model on the comments that are reserved for audits."""
    rows = _english(data, (data.datasets == "civil_toxic_spans") & ~data.trainable)
    logits = document_scores(model, data.texts.take(pa.array(rows)), _groups(model, len(rows))).toxicity
    return {"rows": len(rows), "auc": dataclasses.asdict(auc(logits, data.toxic[rows]))}


def _english(data: Labelled, mask: Booleans) -> Any:
    return np.flatnonzero(mask & (data.languages == "en"))


def _groups(model: ToxicityModel, n: int) -> Any:
    return np.full(n, model.languages.index("en"), np.int8)


def neutral_figures(model: ToxicityModel, folder: Path, threshold: float) -> list[dict[str, Any]]:
    """Flagged pages among those that had no part in training or calibration (English)."""
    least = np.log(threshold / (1 - threshold))
    rows = []
    for source in CHECK_SOURCES:
        texts = read_web(folder / "web_docs.parquet", source, "en")
        flagged = int((document_scores(model, texts, _groups(model, len(texts))).toxicity >= least).sum())
        rows.append({"source": source, "language": "en", "documents": len(texts), "flagged": flagged})
    return rows
