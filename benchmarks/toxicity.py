"""Toxicity measured: AUC by data set against the goals, speed side by side with a BERT-base Detoxify.

    python -m benchmarks.toxicity DATA [--out benchmarks/results/toxicity.json] [--seconds 5] [--baseline]

DATA holds ``toxicity.parquet``, ``web_docs.parquet`` and ``lists_and_fixtures.tar.gz``. AUCs are out of fold,
by cross-validation from scratch (near-copies share a fold, fold 0 is left out: settings were chosen on it).
``--baseline`` adds TF-IDF (words, character 2- to 5-grams) with logistic regression on the same folds; needs
the ``train`` extra. Speeds are those of ``benchmarks.toxicity_speed``. ``--out`` keeps
what else the file holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from audit.screens.toxicity import Toxicity
from audit.toxicity.toxicity_model import packaged_card, packaged_model
from audit.training.crossfit import Subject, aucs, cross_validate
from audit.training.data import DEVELOPMENT_FOLD, FOLDS, read_identity_sentences
from audit.training.identity import identity_figures
from audit.training.parts import DERIVED_SETS
from audit.training.plan import Plan
from audit.training.toxicity import read_subject
from benchmarks import toxicity_speed

#: What is asked for, and the figure of TF-IDF with logistic regression that it was set against.
GOALS = {
    "jigsaw_lilac": (0.92, 0.91),
    "davidson_tweets": (0.98, 0.98),
    "wiki_context_gn": (0.86, 0.85),
    "civil_toxic_spans": (0.66, 0.62),
    "germeval2018": (0.82, 0.82),
    "told_br": (0.82, 0.81),
    "cold_zh": (0.94, 0.94),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each rate")
    parser.add_argument("--baseline", action="store_true", help="also fit TF-IDF with logistic regression")
    parser.add_argument("--no-speed", action="store_true", help="leave the rates in the file as they are")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "command": "python -m benchmarks.toxicity DATA" + (" --baseline" if arguments.baseline else ""),
        "machine": f"{_processor()}, Python {platform.python_version()}",
        "model": packaged_card()["sha256"],
    }
    if not arguments.no_speed:
        pages = toxicity_speed.read_pages(arguments.data)
        figures["speed"] = toxicity_speed.speed(pages, arguments.seconds)
    subject = read_subject(arguments.data)
    figures["auc"] = auc_figures(subject, arguments.baseline)
    sentences = read_identity_sentences(arguments.data / "lists_and_fixtures.tar.gz")
    figures["identity"] = identity_figures(packaged_model(), sentences, Toxicity.threshold)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        kept = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
        arguments.out.write_text(json.dumps({**kept, **figures}, indent=2) + "\n", encoding="utf-8")
    _report(figures)


def auc_figures(subject: Subject, with_baseline: bool) -> list[dict[str, Any]]:
    """AUC of each data set out of fold, with its interval and its goal."""
    data = subject.data
    found = aucs(data, cross_validate(subject, Plan(), {}).toxicity, data.reported)
    ours = _baseline(subject) if with_baseline else {}
    rows = []
    for (name, language), figure in found.items():
        row: dict[str, Any] = {"data_set": name, "language": language, **dataclasses.asdict(figure)}
        if name in GOALS:
            row["goal"], row["bracket"] = GOALS[name]
            row["met"] = figure.value >= row["goal"]
        if (name, language) in ours:
            row["baseline_on_these_folds"] = ours[name, language]
        rows.append(row)
    return rows


def _baseline(subject: Subject) -> dict[tuple[str, str], float]:
    """TF-IDF with logistic regression, one model a language, on the rows and folds of the screen."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    data = subject.data
    labelled = data.datasets != "wikipedia_articles"
    margins = np.zeros(len(data.texts))
    texts = np.array(data.texts.to_pylist(), object)
    for language in subject.languages:
        rows = labelled & (data.languages == language) & ~np.isin(data.datasets, DERIVED_SETS)
        for fold in range(FOLDS):
            if fold == DEVELOPMENT_FOLD:
                continue
            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
            characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3)
            model = make_pipeline(make_union(words, characters), LogisticRegression(C=4.0, max_iter=300))
            train, test = rows & (data.folds != fold) & data.trainable, rows & (data.folds == fold)
            model.fit(texts[train], data.toxic[train])
            margins[test] = model.decision_function(texts[test])
    return {key: figure.value for key, figure in aucs(data, margins, data.reported).items()}


def _report(figures: dict[str, Any]) -> None:
    print(f"machine: {figures['machine']}")
    if "speed" in figures:
        toxicity_speed.report(figures["speed"])
    for row in figures.get("auc", []):
        goal = f"goal {row['goal']:.2f} ({row['bracket']:.2f})" if "goal" in row else "reported"
        mark = {True: "met", False: "not met"}.get(row.get("met"), "")
        print(
            f"  {row['data_set']:18s} {row['language']}  {row['value']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]  {goal} {mark}"
        )
    if "identity" in figures:
        print(f"  neutral identity sentences flagged: {figures['identity']['false_positive_rate']:.2%}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} x {len(models)}" if models else platform.processor()


if __name__ == "__main__":
    main()
