"""Near duplicates measured: speed side by side, estimation error, recall and precision on known pairs.

    python -m benchmarks.near_duplicates DATA [--seconds 3] [--out FILE]

DATA holds ``web_docs.parquet``, ``pii.parquet``, ``neardup_docs.parquet`` and ``neardup_pairs.parquet``
(columns ``a, b, jaccard_w5, source``: exact Jaccard of lower-cased ``\\w+`` 5-gram sets). Needs the ``bench``
extra. Rates are per CPU-second of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from audit.duplicates.clusters import Clusters
from audit.duplicates.duplicate_counts import statistics
from audit.duplicates.duplicate_groups import DigestGroups
from audit.duplicates.lsh import similarities
from audit.duplicates.pair_files import split_pairs
from audit.kernels.banding import matching
from audit.kernels.fast_similarity import bit_agreements
from audit.kernels.shingles import (
    jaccard_sorted,
    minhash,
    permutations,
    shingle_sets,
    sketch,
    truncate,
    truncate_to_bytes,
)
from audit.screens import ScreenContext
from audit.screens.near_duplicates import NearDuplicates
from benchmarks.machine import machine
from benchmarks.memory_sketches import MemorySketches

PERMUTATIONS = 128
#: Pairs of the synthetic measurement of bias: its standard error is then under 0.0005.
PAIRS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each rate")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    data, seconds = arguments.data, arguments.seconds
    found: dict[str, object] = {"machine": machine(), "load_before": os.getloadavg()[0]}
    for name in ("web_docs", "neardup_docs"):
        found[f"signatures_{name}"] = compare_speed(_texts(data / f"{name}.parquet"), seconds)
    found["two_threads"] = scaling(_texts(data / "neardup_docs.parquet"), seconds)
    found["synthetic_pairs"] = synthetic_error(PAIRS)
    found["s_curve"] = dict(NearDuplicates().s_curve())
    found["known_pairs"] = known_pairs(data)
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _texts(path: Path) -> pa.Array:
    return pq.read_table(path, columns=["text"])["text"].combine_chunks().cast(pa.string())


def _rate(work: Callable[[], object], amount: float, seconds: float) -> float:
    """Best of repeated runs, per CPU-second."""
    best, until = np.inf, time.monotonic() + seconds
    while best is np.inf or time.monotonic() < until:
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return amount / best


def compare_speed(texts: pa.Array, seconds: float) -> dict[str, float]:
    """Signatures of 128 permutations over 5-word shingles: ours, datasketch, rensa, on the same texts."""
    a, b = permutations(PERMUTATIONS, 1)
    minhash(texts.slice(0, 1), 5, a, b)
    batch = pa.record_batch({"text": texts})
    screen = NearDuplicates()
    screen.measure(batch.slice(0, 1), ScreenContext({}))
    few = texts.slice(0, 400)
    rates = {
        "ours": _rate(lambda: minhash(texts, 5, a, b), texts.nbytes / 1e6, seconds),
        "whole_screen": _rate(lambda: screen.measure(batch, ScreenContext({})), texts.nbytes / 1e6, seconds),
        "datasketch_bulk": _rate(lambda: _datasketch(few), few.nbytes / 1e6, seconds),
        "rensa_rminhash": _rate(lambda: _rensa(few), few.nbytes / 1e6, seconds),
    }
    return {
        "texts": len(texts),
        "megabytes": texts.nbytes / 1e6,
        **{f"{name}_mb_per_cpu_second": rate for name, rate in rates.items()},
        "ours_documents_per_cpu_second": rates["ours"] / texts.nbytes * 1e6 * len(texts),
        "times_datasketch_bulk": rates["ours"] / rates["datasketch_bulk"],
        "times_rensa": rates["ours"] / rates["rensa_rminhash"],
    }


def _python_shingles(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]


def _datasketch(texts: pa.Array) -> object:
    from datasketch import MinHash

    shingles = [[s.encode() for s in _python_shingles(text)] for text in texts.to_pylist()]
    return MinHash.bulk(shingles, num_perm=PERMUTATIONS)


def _rensa(texts: pa.Array) -> object:
    from rensa import RMinHash

    signatures = []
    for text in texts.to_pylist():
        signature = RMinHash(num_perm=PERMUTATIONS, seed=1)
        signature.update(_python_shingles(text))
        signatures.append(signature)
    return signatures


@njit(nogil=True)
def _spin(rounds: int) -> int:
    x = np.uint64(1)
    for i in range(rounds):
        x = (x ^ np.uint64(i)) * np.uint64(0x9E3779B97F4A7C15)
    return x


def scaling(texts: pa.Array, seconds: float) -> dict[str, float]:
    """Two threads against one: ours, and a kernel that shares nothing, by turns in the same minutes."""
    a, b = permutations(PERMUTATIONS, 1)
    half = len(texts) // 2
    parts = (texts.slice(0, half), texts.slice(half))
    _spin(1)
    works = [lambda p=p: minhash(p, 5, a, b) for p in parts]
    ours = reference = 0.0
    for _ in range(3):
        ours = max(ours, _two_against_one(works, seconds / 2))
        reference = max(reference, _two_against_one([lambda: _spin(100_000_000)] * 2, seconds / 2))
    return {"ours": ours, "reference_kernel": reference, "share_of_reference": ours / reference}


def _two_against_one(works: Sequence[Callable[[], object]], seconds: float) -> float:
    single = double = np.inf
    until = time.monotonic() + 2 * seconds
    while time.monotonic() < until:
        start = time.monotonic()
        for work in works:
            work()
        single = min(single, time.monotonic() - start)
        start = time.monotonic()
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        double = min(double, time.monotonic() - start)
    return single / double


def synthetic_error(pairs: int) -> dict[str, dict[str, float]]:
    """Bias and RMSE over independent pairs of texts of known Jaccard similarity, spread over 0 to 1.

    Each pair is new, so the errors are independent and the standard error of the bias is known.
    """
    left, right = _pairs_of_texts(pairs, np.random.default_rng(5))
    coefficients = permutations(PERMUTATIONS, 1)
    (low, _, low_bits), (high, _, high_bits) = (sketch(t, 5, *coefficients, 512) for t in (left, right))
    truth = _exact(left, right)
    table = similarities(PERMUTATIONS)
    whole, narrow = (truncate(low), truncate(high)), (truncate_to_bytes(low), truncate_to_bytes(high))
    second = np.array([bit_agreements(x, y) for x, y in zip(low_bits, high_bits, strict=True)])
    agree = [matching(x, y) for x, y in zip(*narrow, strict=True)]
    first_theory = truth * (1 - truth) / PERMUTATIONS
    return {
        "16_bits_a_value": _error((whole[0] == whole[1]).mean(axis=1), truth, first_theory),
        "8_bits_a_value": _error(table[agree], truth, first_theory),
        "second_sketch": _error(2 * second / 512 - 1, truth, (1 - truth**2) / 512),
    }


def _pairs_of_texts(count: int, random: np.random.Generator) -> tuple[pa.Array, pa.Array]:
    left, right = [], []
    for _ in range(count):
        page = random.integers(0, 10**9, 150)
        changed = random.random(150) < random.choice([0.005, 0.01, 0.02, 0.05, 0.1, 0.3])
        left.append(" ".join(map(str, page)))
        right.append(" ".join(map(str, np.where(changed, random.integers(0, 10**9, 150), page))))
    return pa.array(left), pa.array(right)


def _exact(left: pa.Array, right: pa.Array) -> np.ndarray:
    (one, starts), (two, ends) = shingle_sets(left, 5), shingle_sets(right, 5)
    return np.array(
        [jaccard_sorted(one[starts[i] : starts[i + 1]], two[ends[i] : ends[i + 1]]) for i in range(len(left))]
    )


def _error(estimates: np.ndarray, truth: np.ndarray, variance: np.ndarray) -> dict[str, float]:
    errors = estimates - truth
    rmse, theory = np.sqrt((errors**2).mean()), np.sqrt(variance.mean())
    return {
        "pairs": len(errors),
        "rmse": float(rmse),
        "theory": float(theory),
        "ratio": float(rmse / theory),
        "bias": float(errors.mean()),
        "bias_standard_error": float(errors.std() / np.sqrt(len(errors))),
    }


def known_pairs(data: Path) -> dict[str, dict[str, object]]:
    """Estimation error, recall, precision and diameters on the document sets with known pairs."""
    pairs = pq.read_table(data / "neardup_pairs.parquet").to_pandas()
    pii = pq.read_table(data / "pii.parquet", columns=["id", "text", "dataset"]).to_pandas()
    documents = {
        "django_docs": pq.read_table(data / "neardup_docs.parquet").to_pandas().set_index("doc_id").text,
        "spamassassin": pii[pii.dataset == "spamassassin"].set_index("id").text,
        "web_docs": pq.read_table(data / "web_docs.parquet").to_pandas().set_index("doc_id").text,
    }
    found: dict[str, dict[str, object]] = {}
    for source, texts in documents.items():
        known = pairs[pairs.source == source]
        places = {doc_id: i for i, doc_id in enumerate(texts.index)}
        left = known.a.map(places).to_numpy(np.int64)
        right = known.b.map(places).to_numpy(np.int64)
        jaccard = known.jaccard_w5.to_numpy()
        found[source] = {
            "documents": len(texts),
            "known_pairs": len(known),
            "estimation": estimation_error(texts.tolist(), left, right, jaccard),
            **recall_and_precision(texts.tolist(), left, right, jaccard),
        }
    return found


def estimation_error(
    texts: list[str], left: np.ndarray, right: np.ndarray, jaccard: np.ndarray
) -> dict[str, float]:
    """RMSE and bias of estimates over many seeds, against theory: sqrt(mean J (1 - J) / k)."""
    column = pa.array(texts, pa.large_string())
    errors = []
    for seed in range(10):
        values = truncate_to_bytes(minhash(column, 5, *permutations(PERMUTATIONS, seed))[0])
        agree = (values[left] == values[right]).sum(axis=1)
        errors.append(similarities(PERMUTATIONS)[agree] - jaccard)
    stacked = np.array(errors)
    rmse, theory = np.sqrt((stacked**2).mean()), np.sqrt((jaccard * (1 - jaccard)).mean() / PERMUTATIONS)
    means = stacked.mean(axis=1)
    return {
        "rmse": float(rmse),
        "theory": float(theory),
        "ratio": float(rmse / theory),
        "bias": float(stacked.mean()),
        "bias_standard_error_over_seeds": float(means.std(ddof=1) / np.sqrt(len(means))),
    }


def recall_and_precision(
    texts: list[str], left: np.ndarray, right: np.ndarray, jaccard: np.ndarray
) -> dict[str, object]:
    """Recall of known pairs, precision of all that was accepted, and cluster diameters."""
    screen = NearDuplicates()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        groups, clusters = screen.find(MemorySketches(screen, {"0": texts}), Path(folder))
        elapsed = time.monotonic() - start
        counts = statistics(groups, clusters, screen.rules, screen.permutations)
    node = np.full(len(texts), -1, np.int64)
    node[groups.positions] = groups.group
    u, v = np.minimum(node[left], node[right]), np.maximum(node[left], node[right])
    accepted = (u == v) | np.isin(u.astype(np.uint64) << np.uint64(32) | v.astype(np.uint64), clusters.pairs)
    together = clusters.leader[u] == clusters.leader[v]
    recall = {
        f"{low:.2f}-{min(high, 1):.2f}": {
            "pairs": int(chosen.sum()),
            "recall": float(accepted[chosen].mean()),
            "in_one_cluster": float(together[chosen].mean()),
        }
        for low, high in ((0.85, 1.01), (0.8, 0.85))
        if (chosen := (jaccard >= low) & (jaccard < high)).any()
    }
    checked = _check_accepted(texts, groups, clusters, screen.threshold)
    return {"recall": recall, **checked, "seconds": elapsed, "counts": counts}


def _check_accepted(
    texts: list[str], groups: DigestGroups, clusters: Clusters, threshold: float
) -> dict[str, float]:
    """Exact similarity of every accepted pair, and of every two members of a cluster."""
    chosen = pa.array([texts[groups.positions[i]] for i in groups.first], pa.large_string())
    flat, bounds = shingle_sets(chosen, 5)

    def exact(i: int, j: int) -> float:
        return float(jaccard_sorted(flat[bounds[i] : bounds[i + 1]], flat[bounds[j] : bounds[j + 1]]))

    low, high = split_pairs(clusters.pairs)
    right = [exact(i, j) >= threshold for i, j in zip(low, high, strict=True)]
    least = 1.0
    for leader in np.flatnonzero(np.bincount(clusters.leader) > 1):
        members = np.flatnonzero(clusters.leader == leader)
        least = min(least, *(exact(i, j) for i, j in combinations(members, 2)))
    return {
        "accepted_pairs": len(right),
        "precision": float(np.mean(right)) if right else 1.0,
        "least_similar_two_members": least,
    }


if __name__ == "__main__":
    main()
