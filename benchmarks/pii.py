"""The pii screen's search against Presidio's own pattern recognisers: the same hits, many times as fast.

    python -m benchmarks.pii DATA [--share 1.0] [--out FILE]

DATA holds ``web_docs.parquet`` (column ``text``) and ``pii.parquet`` (``dataset``, ``text``; the rows of
``spamassassin``). Both sides read the same documents in the same run, one process, CPU time. Nothing that
was matched is printed: differences are shown by shape.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tldextract.tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider

from audit.pii.pii_kinds import kind_of
from audit.pii.pii_search import Texts, search
from audit.pii.presidio import library_versions, recognisers
from benchmarks.machine import machine
from benchmarks.pii_cases import texts as generated_texts

PHONE = "PHONE_NUMBER"
#: Stock hits that a kind needs in real text; below, generated cases are counted too.
ENOUGH = 100
CASES = 600
SEED = 20_240_601
#: Share of the documents on which the whole AnalyzerEngine is timed.
ENGINE_SHARE = 0.08
REPEATS = 3

#: Document, start, end, score.
Hit = tuple[int, int, int, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--share", type=float, default=1.0, help="seeded share of the documents, for both sides"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # Presidio's messages quote values
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    corpora = {name: _share(texts, options.share) for name, texts in _corpora(options.data).items()}
    stock = _stock_recognisers()
    result: dict[str, Any] = {
        "machine": machine(),
        "versions": library_versions(),
        "share": options.share,
        "corpora": {name: _compare(texts, stock) for name, texts in corpora.items()},
    }
    result["agreement"] = _total(result["corpora"].values(), stock)
    rendered = json.dumps(result, indent=2, ensure_ascii=False)
    print(rendered)
    if options.out:
        options.out.write_text(rendered + "\n", encoding="utf-8")


def _corpora(data: Path) -> dict[str, list[str]]:
    mail = pq.read_table(data / "pii.parquet", columns=["dataset", "text"])
    mail = mail.filter(pc.equal(mail["dataset"], "spamassassin"))
    web = pq.read_table(data / "web_docs.parquet", columns=["text"])
    return {"web_docs": web["text"].to_pylist(), "spamassassin": mail["text"].to_pylist()}


def _share(texts: Sequence[str], share: float) -> list[str]:
    chosen = random.Random(SEED).sample(range(len(texts)), max(1, round(share * len(texts))))
    return [texts[k] for k in sorted(chosen)]


def _stock_recognisers() -> dict[str, Any]:
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    found = {r.supported_entities[0]: r for r in registry.recognizers if r.name != "SpacyRecognizer"}
    return dict(sorted(found.items()))


def _compare(texts: list[str], stock: dict[str, Any]) -> dict[str, Any]:
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    theirs, seconds = _stock_hits(texts, stock)
    ours = _our_hits(texts, stock)
    # What the screen searches for unless told otherwise: URLs, dates and the like are not personal alone.
    usual = [kind for kind in stock if kind_of(kind).default]
    sets = {
        "all_stock_kinds": list(stock),
        "all_stock_kinds_without_phones": [k for k in stock if k != PHONE],
        "default_kinds": usual,
        "default_kinds_without_phones": [k for k in usual if k != PHONE],
        "phones_alone": [PHONE],
    }
    return {
        "documents": len(texts),
        "megabytes": round(megabytes, 2),
        "kinds": {kind: _agreement(theirs[kind], ours[kind]) for kind in stock},
        "differences": {k: d for k in stock if (d := _differences(texts, theirs[k], ours[k]))},
        "stock_cpu_seconds": {kind: round(s, 3) for kind, s in seconds.items()},
        "throughput": {
            name: _throughput(texts, stock, kinds, sum(seconds[k] for k in kinds), megabytes)
            for name, kinds in sets.items()
        },
        "analyzer_engine": _engine(texts, stock),
    }


def _stock_hits(texts: list[str], stock: dict[str, Any]) -> tuple[dict[str, set[Hit]], dict[str, float]]:
    hits: dict[str, set[Hit]] = {}
    seconds: dict[str, float] = {}
    for kind, recogniser in stock.items():
        begin = time.process_time()
        found = [recogniser.analyze(text, [kind]) for text in texts]
        seconds[kind] = time.process_time() - begin
        hits[kind] = {(k, r.start, r.end, r.score) for k, results in enumerate(found) for r in results}
    return hits, seconds


def _ours(stock: dict[str, Any], kinds: Sequence[str]) -> Any:
    return recognisers((), kinds, stock[PHONE].supported_regions)


def _our_hits(texts: list[str], stock: dict[str, Any]) -> dict[str, set[Hit]]:
    found, over = search(Texts(pa.array(texts, pa.large_string())), _ours(stock, list(stock)), 1 << 60)
    assert not over
    hits: dict[str, set[Hit]] = defaultdict(set)
    for hit in found:
        hits[hit.span.kind].add((hit.row, hit.span.start, hit.span.end, hit.span.score))
    return hits


def _agreement(theirs: set[Hit], ours: set[Hit]) -> dict[str, Any]:
    both = len(theirs & ours)
    return {
        "stock": len(theirs),
        "ours": len(ours),
        "recall": both / len(theirs) if theirs else None,
        "precision": both / len(ours) if ours else None,
    }


def _differences(texts: list[str], theirs: set[Hit], ours: set[Hit]) -> list[list[object]]:
    shapes: Counter[tuple[str, str]] = Counter()
    for side, hits in (("missing", theirs - ours), ("extra", ours - theirs)):
        shapes.update((side, _shape(texts[row][start:end])) for row, start, end, _ in hits)
    return [[side, shape, n] for (side, shape), n in shapes.most_common(20)]


def _shape(value: str) -> str:
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "#", value))[:80]


def _throughput(
    texts: list[str], stock: dict[str, Any], kinds: Sequence[str], stock_seconds: float, megabytes: float
) -> dict[str, float]:
    column, chosen = pa.array(texts, pa.large_string()), _ours(stock, kinds)
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        search(Texts(column), chosen, 1 << 60)
        times.append(time.process_time() - begin)
    seconds = sorted(times)[REPEATS // 2]
    return {
        "stock_mb_s": round(megabytes / stock_seconds, 3),
        "ours_mb_s": round(megabytes / seconds, 2),
        "times": round(stock_seconds / seconds, 1),
    }


def _engine(texts: list[str], stock: dict[str, Any]) -> dict[str, float]:
    """Time the path that a user takes, with context words and overlaps but without a language model."""
    sample = _share(texts, ENGINE_SHARE)
    configuration = {"nlp_engine_name": "no_op", "models": [{"lang_code": "en", "model_name": "no_op"}]}
    engine = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine(),
        supported_languages=["en"],
    )
    megabytes = sum(len(text.encode()) for text in sample) / 1e6
    begin = time.process_time()
    for text in sample:
        engine.analyze(text, language="en")
    stock_seconds = time.process_time() - begin
    return {"documents": len(sample), **_throughput(sample, stock, list(stock), stock_seconds, megabytes)}


def _total(corpora: Iterable[dict[str, Any]], stock: dict[str, Any]) -> dict[str, Any]:
    """Add up kinds over the corpora; those with too few stock hits are searched for in generated texts."""
    parts = list(corpora)
    totals = {}
    for kind, recogniser in stock.items():
        counts = [part["kinds"][kind] for part in parts]
        hits = sum(count["stock"] for count in counts)
        both = sum(round((count["recall"] or 0) * count["stock"]) for count in counts)
        ours = sum(count["ours"] for count in counts)
        totals[kind] = {
            "stock": hits,
            "recall": both / hits if hits else None,
            "precision": both / ours if ours else None,
        }
        cases = generated_texts(kind, CASES, SEED)
        only = {kind: recogniser, PHONE: stock[PHONE]}
        theirs = _stock_hits(cases, only)[0][kind]
        mine = _our_hits(cases, only)[kind]
        totals[kind]["generated"] = _agreement(theirs, mine)
        totals[kind]["generated_differences"] = _differences(cases, theirs, mine)
    return totals


if __name__ == "__main__":
    main()
