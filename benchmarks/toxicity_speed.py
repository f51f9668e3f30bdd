"""How fast the toxicity screen and the stronger models read the same pages, side by side, in one run.

    python -m benchmarks.toxicity_speed DATA [--out benchmarks/results/toxicity.json] [--seconds 5]

DATA holds ``web_docs.parquet``; the pages are its English ones from C4. Rates are per second of CPU time of
one thread. The BiLSTM runs where `audit models fetch bilstm` put it. Detoxify is the probe itself; its
checkpoint is a BERT-base with random weights and a WordPiece vocabulary of 30,522 trained on these pages: not
weights but the number of tokens decides how long a transformer takes. It reads every 31st page, and the
screen is timed on these, too. ``--out`` replaces the timings in that file and keeps what else it holds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from audit.errors import ConfigurationError
from audit.probes.bilstm import Bilstm
from audit.probes.detoxify import Detoxify
from audit.screens import ScreenContext
from audit.screens.toxicity import Toxicity
from audit.toxicity.toxicity_model import packaged_card
from audit.training.data import read_web

SCREEN_GOAL_MB, BILSTM_GOAL, DETOXIFY_GOAL = 40.0, 10.0, 1000.0
_EVERY = 31
_VOCABULARY = 30_522


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file whose timings are replaced")
    parser.add_argument("--seconds", type=float, default=5.0, help="least time for each rate")
    arguments = parser.parse_args()
    figures = speed(read_pages(arguments.data), arguments.seconds)
    if arguments.out:
        kept = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
        arguments.out.write_text(json.dumps({**kept, "speed": figures}, indent=2) + "\n", encoding="utf-8")
    report(figures)


def read_pages(data: Path) -> pa.Array:
    """The English pages from C4 in a data folder."""
    return read_web(data / "web_docs.parquet", "c4_sample", "en")


def speed(pages: pa.Array, seconds: float) -> dict[str, Any]:
    """Rates of the screen, and of the BiLSTM and Detoxify where they are installed."""
    some = pages.take(pa.array(range(0, len(pages), _EVERY)))
    on_all = _rates(Toxicity(), pages, seconds)
    figures: dict[str, Any] = {
        "screen_model": packaged_card()["sha256"],
        "pages": len(pages),
        "megabytes": _megabytes(pages),
        "screen_mb_per_s": on_all["mb_per_s"],
        "screen_docs_per_s": on_all["docs_per_s"],
        "goal_mb_per_s": SCREEN_GOAL_MB,
    }
    if importlib.util.find_spec("torch"):
        figures |= _bilstm(pages, on_all, seconds)
    if importlib.util.find_spec("detoxify"):
        figures |= _detoxify(pages, some, seconds)
    return figures


def _bilstm(pages: pa.Array, screen: dict[str, float], seconds: float) -> dict[str, Any]:
    try:
        found = _rates(Bilstm(), pages, seconds)
    except ConfigurationError as error:
        return {"bilstm": f"not measured: {error.message}"}
    return {
        "bilstm_mb_per_s": found["mb_per_s"],
        "bilstm_docs_per_s": found["docs_per_s"],
        "times_bilstm": screen["mb_per_s"] / found["mb_per_s"],
        "goal_times_bilstm": BILSTM_GOAL,
    }


def _detoxify(pages: pa.Array, some: pa.Array, seconds: float) -> dict[str, Any]:
    figures: dict[str, Any] = {"detoxify_pages": len(some), "detoxify_megabytes": _megabytes(some)}
    screen = _rates(Toxicity(), some, seconds)
    figures["screen_mb_per_s_on_these"] = screen["mb_per_s"]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, digest = random_bert_base(Path(folder), pages)
        dtypes: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")
        for dtype in dtypes:
            probe = Detoxify("original", checkpoint, digest, folder, dtype=dtype, device="cpu")
            found = _rates(probe, some, seconds)
            name = "detoxify" if dtype == "float32" else f"detoxify_{dtype}"
            figures[f"{name}_mb_per_s"] = found["mb_per_s"]
            figures[f"{name}_docs_per_s"] = found["docs_per_s"]
            figures[f"times_{name}"] = screen["mb_per_s"] / found["mb_per_s"]
        words = sum(len(page.as_py().split()) for page in some)
        figures["detoxify_tokens_per_word"] = _tokens(probe, some) / words
    return {**figures, "goal_times_detoxify": DETOXIFY_GOAL}


def _tokens(probe: Detoxify, pages: pa.Array) -> int:
    encoded = probe._model().tokenizer(pages.to_pylist(), add_special_tokens=False, verbose=False)
    return sum(len(tokens) for tokens in encoded["input_ids"])


def _rates(detector: Toxicity | Bilstm | Detoxify, pages: pa.Array, seconds: float) -> dict[str, float]:
    """Megabytes and documents a second of CPU time, after one page that loads and compiles."""
    import torch

    torch.set_num_threads(1)
    batch = pa.record_batch({"text": pages})
    context = ScreenContext({"language_label": pa.array(["en"] * len(pages))})
    detector.measure(batch.slice(0, 1), ScreenContext({"language_label": pa.array(["en"])}))
    taken = _seconds(lambda: detector.measure(batch, context), seconds)
    return {"mb_per_s": _megabytes(pages) / taken, "docs_per_s": len(pages) / taken}


def _seconds(run: Callable[[], object], least: float) -> float:
    """Seconds of CPU of one run, all threads of the process; the median over as many runs as fit."""
    taken: list[float] = []
    while sum(taken) < least or (len(taken) < 3 and sum(taken) < 20 * least):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def _megabytes(pages: pa.Array) -> float:
    return sum(len(page.as_py().encode()) for page in pages) / 1e6


def random_bert_base(folder: Path, pages: pa.Array) -> tuple[str, str]:
    """Write a checkpoint of Detoxify's ``original`` with random weights; returns its path and SHA-256."""
    import torch
    import transformers
    from tokenizers import BertWordPieceTokenizer

    words = BertWordPieceTokenizer()
    words.train_from_iterator(pages.to_pylist(), vocab_size=_VOCABULARY, show_progress=False)
    words.save_model(str(folder))
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.BertConfig(vocab_size=_VOCABULARY, num_labels=6)
    config.save_pretrained(folder)
    arguments = {
        "model_type": "random",
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 6,
    }
    classes = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    settings = {"arch": {"args": arguments}, "dataset": {"args": {"classes": classes}}}
    path = folder / "random.ckpt"
    state = transformers.BertForSequenceClassification(config).state_dict()
    torch.save({"config": settings, "state_dict": state}, path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def report(figures: dict[str, Any]) -> None:
    """Print the rates."""
    for name, value in figures.items():
        print(f"  {name:28s} {value:12.4f}" if isinstance(value, float) else f"  {name:28s} {value}")


if __name__ == "__main__":
    main()
