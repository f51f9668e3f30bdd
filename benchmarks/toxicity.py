"""Toxicity measured: AUC by data set against the goals, speed side by side with a BERT-base Detoxify.

    python -m benchmarks.toxicity DATA [--out benchmarks/results/toxicity.json] [--seconds 5] [--baseline]

DATA holds ``toxicity.parquet``, ``web_docs.parquet`` and ``lists_and_fixtures.tar.gz``. AUCs are out of fold,
by cross-validation from scratch (near-copies share a fold, fold 0 is left out: settings were chosen on it).
``--baseline`` adds TF-IDF (words, character 2- to 5-grams) with logistic regression on the same folds; needs
the ``train`` extra. Detoxify is timed, with random weights, where the ``detoxify`` extra is installed. Rates
are per second of one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audit.screens import ScreenContext
from audit.screens.toxicity import Toxicity
from audit.toxicity_model import packaged_card, packaged_model
from audit.training.crossfit import Subject, aucs, cross_validate
from audit.training.data import DEVELOPMENT_FOLD, FOLDS, read_identity_sentences, read_web
from audit.training.identity import identity_figures
from audit.training.plan import Plan
from audit.training.toxicity import read_subject

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
SPEED_GOAL_MB = 40.0
DETOXIFY_GOAL = 1000.0
_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each rate")
    parser.add_argument("--baseline", action="store_true", help="also fit TF-IDF with logistic regression")
    parser.add_argument("--speed-only", action="store_true", help="leave out everything but the rates")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "command": "python -m benchmarks.toxicity DATA" + (" --baseline" if arguments.baseline else ""),
        "machine": f"{_processor()}, Python {platform.python_version()}",
        "model": packaged_card()["sha256"],
        "speed": speed(read_web(arguments.data / "web_docs.parquet", "c4_sample", "en"), arguments.seconds),
    }
    if not arguments.speed_only:
        subject = read_subject(arguments.data)
        figures["auc"] = auc_figures(subject, arguments.baseline)
        sentences = read_identity_sentences(arguments.data / "lists_and_fixtures.tar.gz")
        figures["identity"] = identity_figures(packaged_model(), sentences, Toxicity.threshold)
    text = json.dumps(figures, indent=2) + "\n"
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    _report(figures)


def speed(texts: pa.Array, seconds: float) -> dict[str, Any]:
    """Rates of the screen, and of Detoxify where it is installed, over the same English pages."""
    batch = pa.record_batch({"text": texts})
    context = ScreenContext({"language_label": pa.array(["en"] * len(texts))})
    n_bytes = sum(len(text.as_py().encode()) for text in texts)
    screen = Toxicity()
    per_pass = _seconds(lambda: screen.measure(batch, context), seconds)
    rates: dict[str, Any] = {"screen_mb_per_s": n_bytes / 1e6 / per_pass, "goal_mb_per_s": SPEED_GOAL_MB}
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        rates["detoxify_mb_per_s"] = _detoxify([text.as_py() for text in texts.slice(0, _BATCH)], seconds)
        rates["times_detoxify"] = rates["screen_mb_per_s"] / rates["detoxify_mb_per_s"]
        rates["goal_times_detoxify"] = DETOXIFY_GOAL
    return rates


def _seconds(run: Callable[[], object], least: float) -> float:
    """Seconds of CPU of one run, once compiled; the median over as many runs as fit."""
    run()
    taken: list[float] = []
    while sum(taken) < least or len(taken) < 3:
        start = time.thread_time()
        run()
        taken.append(time.thread_time() - start)
    return float(np.median(taken))


def _detoxify(texts: list[str], least: float) -> float:
    """Megabytes a second of BERT-base with six labels and random weights, 512 tokens, one thread.

    Tokens are drawn at random, as many as the text has words and a third (at most 512): weights and words do
    not change how long a transformer takes. Texts are sorted by length, so padding is small. Bytes beyond the
    512 tokens count as read.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = BertForSequenceClassification(BertConfig(num_labels=6)).eval()
    lengths = sorted(min(512, 2 + len(text.split()) * 4 // 3) for text in texts)
    batches = [lengths[i : i + 8] for i in range(0, len(lengths), 8)]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                tokens = torch.randint(1000, 30000, (len(batch), batch[-1]))
                mask = torch.tensor([[1] * n + [0] * (batch[-1] - n) for n in batch])
                model(input_ids=tokens, attention_mask=mask)

    return sum(len(text.encode()) for text in texts) / 1e6 / _seconds(run, least)


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
        rows = (
            labelled
            & (data.languages == language)
            & ~np.isin(data.datasets, ("civil_remainders", "civil_spans"))
        )
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
    for name, value in figures["speed"].items():
        print(f"  {name:28s} {value:12.4f}")
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
