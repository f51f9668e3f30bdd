"""Near duplicates measured: speed side by side, estimation error, recall and precision on known pairs.

    python -m benchmarks.near_duplicates DATA [--seconds 3]

DATA holds ``web_docs.parquet``, ``pii.parquet``, ``neardup_docs.parquet`` and ``neardup_pairs.parquet``
(columns ``a, b, jaccard_w5, source``: exact Jaccard of lower-cased ``\\w+`` 5-gram sets). Needs the ``bench``
extra. Rates are per CPU-second of one core.
"""

from __future__ import annotations

import argparse
import platform
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from audit.clusters import Clusters
from audit.duplicate_groups import DigestGroups
from audit.kernels.shingles import jaccard_sorted, minhash, permutations, shingle_sets, truncate
from audit.lsh import split_pairs
from audit.screens.near_duplicates import NearDuplicates
from benchmarks.memory_sketches import MemorySketches

PERMUTATIONS = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each rate")
    arguments = parser.parse_args()
    print(f"machine: {_processor()}, Python {platform.python_version()}, NumPy {np.__version__}")
    for name in ("web_docs", "neardup_docs"):
        compare_speed(name, _texts(arguments.data / f"{name}.parquet"), arguments.seconds)
    scaling(_texts(arguments.data / "neardup_docs.parquet"), arguments.seconds)
    print("\nS-curve of the default setting: Jaccard, P(candidate)")
    for jaccard, probability in NearDuplicates().s_curve():
        print(f"  {jaccard:.2f}  {probability:.5f}")
    known_pairs(arguments.data)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]} x {len(models)}" if models else platform.processor()


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


def compare_speed(name: str, texts: pa.Array, seconds: float) -> None:
    """Signatures of 128 permutations over 5-word shingles: ours, datasketch, rensa, on the same texts."""
    a, b = permutations(PERMUTATIONS, 1)
    minhash(texts.slice(0, 1), 5, a, b)
    ours = _rate(lambda: minhash(texts, 5, a, b), texts.nbytes / 1e6, seconds)
    few = texts.slice(0, 400)
    peers = {
        "datasketch bulk": _rate(lambda: _datasketch(few), few.nbytes / 1e6, seconds),
        "rensa RMinHash": _rate(lambda: _rensa(few), few.nbytes / 1e6, seconds),
    }
    print(f"\nsignatures of {name}: {len(texts)} texts, {texts.nbytes / 1e6:.1f} MB")
    print(f"  ours             {ours:8.1f} MB/s  {ours / texts.nbytes * 1e6 * len(texts):9.0f} docs/s")
    for peer, rate in peers.items():
        print(f"  {peer:16s} {rate:8.1f} MB/s  ours is {ours / rate:.0f} times as fast")


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


def scaling(texts: pa.Array, seconds: float) -> None:
    """Two threads against one: ours, and a kernel that shares nothing."""
    a, b = permutations(PERMUTATIONS, 1)
    half = len(texts) // 2
    parts = (texts.slice(0, half), texts.slice(half))
    _spin(1)
    ours = _two_against_one([lambda p=p: minhash(p, 5, a, b) for p in parts], seconds)
    reference = _two_against_one([lambda: _spin(100_000_000)] * 2, seconds)
    print(f"\ntwo threads: {ours:.2f} times one, reference kernel {reference:.2f}")


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


def known_pairs(data: Path) -> None:
    """Estimation error, recall, precision and diameters on the document sets with known pairs."""
    pairs = pq.read_table(data / "neardup_pairs.parquet").to_pandas()
    pii = pq.read_table(data / "pii.parquet", columns=["id", "text", "dataset"]).to_pandas()
    documents = {
        "django_docs": pq.read_table(data / "neardup_docs.parquet").to_pandas().set_index("doc_id").text,
        "spamassassin": pii[pii.dataset == "spamassassin"].set_index("id").text,
        "web_docs": pq.read_table(data / "web_docs.parquet").to_pandas().set_index("doc_id").text,
    }
    for source, texts in documents.items():
        known = pairs[pairs.source == source]
        places = {doc_id: i for i, doc_id in enumerate(texts.index)}
        left = known.a.map(places).to_numpy(np.int64)
        right = known.b.map(places).to_numpy(np.int64)
        print(f"\n{source}: {len(texts)} documents, {len(known)} known pairs")
        estimation_error(texts.tolist(), left, right, known.jaccard_w5.to_numpy())
        recall_and_precision(texts.tolist(), left, right, known.jaccard_w5.to_numpy())


def estimation_error(texts: list[str], left: np.ndarray, right: np.ndarray, jaccard: np.ndarray) -> None:
    """RMSE and bias of estimates over many seeds, against theory: sqrt(mean J (1 - J) / k)."""
    column = pa.array(texts, pa.large_string())
    errors = []
    for seed in range(10):
        signatures = truncate(minhash(column, 5, *permutations(PERMUTATIONS, seed))[0])
        errors.append((signatures[left] == signatures[right]).mean(axis=1) - jaccard)
    stacked = np.array(errors)
    rmse, theory = np.sqrt((stacked**2).mean()), np.sqrt((jaccard * (1 - jaccard)).mean() / PERMUTATIONS)
    print(f"  RMSE {rmse:.5f}, theory {theory:.5f}, ratio {rmse / theory:.3f}; bias {stacked.mean():+.5f}")


def recall_and_precision(texts: list[str], left: np.ndarray, right: np.ndarray, jaccard: np.ndarray) -> None:
    """Recall of known pairs, precision of all that was accepted, and cluster diameters."""
    screen = NearDuplicates()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        groups, clusters = screen.find(MemorySketches(screen, {"0": texts}), Path(folder))
        elapsed = time.monotonic() - start
    node = np.full(len(texts), -1, np.int64)
    node[groups.positions] = groups.group
    u, v = np.minimum(node[left], node[right]), np.maximum(node[left], node[right])
    accepted = (u == v) | np.isin(u.astype(np.uint64) << np.uint64(32) | v.astype(np.uint64), clusters.pairs)
    together = clusters.leader[u] == clusters.leader[v]
    for low, high in ((0.85, 1.01), (0.8, 0.85)):
        chosen = (jaccard >= low) & (jaccard < high)
        if chosen.any():
            print(
                f"  Jaccard {low:.2f}-{min(high, 1):.2f}: {chosen.sum()} pairs, "
                f"recall {accepted[chosen].mean():.4f}, in one cluster {together[chosen].mean():.4f}"
            )
    _check_accepted(texts, groups, clusters, screen.threshold)
    print(f"  {elapsed:.1f} s; " + ", ".join(f"{k} {v:g}" for k, v in clusters.statistics.items()))


def _check_accepted(texts: list[str], groups: DigestGroups, clusters: Clusters, threshold: float) -> None:
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
        least = min(least, *(exact(i, j) for k, i in enumerate(members) for j in members[:k]))
    precision = np.mean(right) if right else 1.0
    print(
        f"  precision of {len(right)} accepted pairs {precision:.4f}; least similar two members {least:.3f}"
    )


if __name__ == "__main__":
    main()
