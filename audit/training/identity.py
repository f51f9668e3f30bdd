"""Identity bias of the packaged model: ``python -m audit.training.identity DATA_FOLDER [--threshold P]``.

DATA_FOLDER holds ``lists_and_fixtures.tar.gz`` with template sentences that name groups of people, neutral
and toxic (Dixon et al., "Measuring and Mitigating Unintended Bias in Text Classification", AIES 2018).
Prints JSON. The three AUCs are those of Borkan et al., "Nuanced Metrics for Measuring Unintended Bias"
(WWW 2019).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from audit.screens.toxicity import Toxicity
from audit.toxicity.calibration import Booleans, Doubles
from audit.toxicity.toxicity_model import ToxicityModel, packaged_model
from audit.training.crossfit import document_scores
from audit.training.data import read_identity_sentences
from audit.training.evaluation import auc

#: Sentences of each label under which a term has no AUC.
_LEAST = 10


def identity_bias(
    logits: Doubles, toxic: Booleans, terms: npt.NDArray[np.object_], threshold: float
) -> list[dict[str, Any]]:
    """Bias figures of each term, sorted by term.

    ``subgroup_auc``: within sentences with the term. ``bpsn_auc`` (background positive, subgroup negative):
    its neutral sentences against other toxic ones; low when the term alone raises scores. ``bnsp_auc``: its
    toxic sentences against other neutral ones; low when the term lowers scores. None under ten sentences of
    a label. ``false_positive_rate``: share of its neutral sentences flagged.

    Args:
        logits: Scores of any model, log odds, shape (n,).
        toxic: Labels.
        terms: The term in each sentence, None without one.
        threshold: Log odds from which a sentence counts as flagged.
    """
    rows = []
    for name in sorted({term for term in terms if term is not None}):
        own = terms == name
        neutral = own & ~toxic
        rows.append(
            {
                "term": name,
                "neutral_sentences": int(neutral.sum()),
                "toxic_sentences": int((own & toxic).sum()),
                "false_positive_rate": float((logits[neutral] >= threshold).mean())
                if neutral.any()
                else None,
                "subgroup_auc": _auc(logits, own & toxic, neutral),
                "bpsn_auc": _auc(logits, ~own & toxic, neutral),
                "bnsp_auc": _auc(logits, own & toxic, ~own & ~toxic),
            }
        )
    return rows


def _auc(logits: Doubles, above: Booleans, below: Booleans) -> float | None:
    if min(above.sum(), below.sum()) < _LEAST:
        return None
    used = above | below
    return auc(logits[used], above[used]).value


def identity_figures(model: ToxicityModel, sentences: pl.DataFrame, threshold: float) -> dict[str, Any]:
    """Bias figures of a model with English weights, over all sentences and by term.

    Args:
        model: The model.
        sentences: As ``read_identity_sentences`` gives them.
        threshold: Probability from which a sentence is flagged.
    """
    texts = pa.array(sentences["phrase"].to_list(), pa.large_string())
    groups = np.full(len(texts), model.languages.index("en"), np.int8)
    logits = document_scores(model, texts, groups).toxicity
    toxic = sentences["toxic"].to_numpy()
    least = float(np.log(threshold / (1 - threshold)))
    return {
        "sentences": len(texts),
        "neutral_sentences": int((~toxic).sum()),
        "false_positive_rate": float((logits[~toxic] >= least).mean()),
        "recall": float((logits[toxic] >= least).mean()),
        "auc": dataclasses.asdict(auc(logits, toxic)),
        "terms": identity_bias(logits, toxic, np.array(sentences["term"].to_list(), object), least),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m audit.training.identity", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with lists_and_fixtures.tar.gz")
    parser.add_argument("--threshold", type=float, default=Toxicity.threshold)
    arguments = parser.parse_args()
    sentences = read_identity_sentences(arguments.data / "lists_and_fixtures.tar.gz")
    figures = identity_figures(packaged_model(), sentences, arguments.threshold)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
