"""The same run from this machine's processes and from a Ray cluster that loses a node, both on an S3 server.

    python -m benchmarks.cluster [--out benchmarks/results/cluster.json] [--shards 24] [--documents 600]

Starts a real S3 server (SeaweedFS) and a Ray cluster of two nodes with one core each on this machine. A
corpus of synthetic pages is put into a bucket and audited twice into the same bucket, by ``LocalEngine(2)``
and by ``RayEngine``; when a third of the documents are screened, one node's processes are killed. Then every
object of both runs is compared, and every table. Wall times tell of one small machine that holds both nodes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from audit import config as configuration
from audit.engines import Engine
from audit.engines.local import LocalEngine
from audit.engines.ray import Cluster, RayEngine
from audit.objects.object_stores import ObjectFolder
from audit.pipeline import audit
from audit.progress import Quiet, Reporter
from audit.run import Run
from audit.stages.request import Request
from benchmarks.machine import machine
from benchmarks.synthetic_documents import texts
from tests.engines.ray_cluster_fixture import Saboteur, two_nodes
from tests.object_server import running_server

SETTINGS = {"corpus": {"name": "cluster-benchmark"}, "sampling": {"size": 100}}
TABLES = ("shards", "documents", "findings", "duplicates", "evaluations", "strata", "samples", "gates")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--documents", type=int, default=600, help="of a shard")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(Path(folder), arguments.shards, arguments.documents)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


def compare(folder: Path, shards: int, documents_each: int) -> dict[str, Any]:
    """Run both ways and compare what is in the bucket."""
    os.environ["AUDIT_HMAC_KEY_FILE"] = str(folder / "key" / "hmac.key")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    with ExitStack() as stack:
        server = stack.enter_context(running_server(folder / "objects"))
        os.environ.update(server.environment())
        bucket = ObjectFolder(f"s3://{server.make_bucket()}")
        size = write_corpus(bucket, shards, documents_each)
        with LocalEngine(2) as here:
            local, local_seconds = timed(bucket, "local", here, Quiet())
        cluster = stack.enter_context(two_nodes(server.environment()))
        notes: list[str] = []
        engine = stack.enter_context(RayEngine(Cluster(cluster.address), notes.append))
        strike = Strike(cluster.kill_node)
        saboteur = Saboteur(strike, shards * documents_each // 3)
        strike.begin()
        ray, ray_seconds = timed(bucket, "ray", engine, saboteur)
        return {
            "machine": {**machine(), "ray": engine._module.__version__},
            "corpus": {"shards": shards, "documents": shards * documents_each, "bytes": size},
            "seconds": {"local, 2 workers": local_seconds, "ray, 2 nodes, then 1": ray_seconds},
            "node_killed": {"at_seconds": strike.at, "notes": notes},
            **differences(local, ray),
        }


class Strike:
    """Does something once, and remembers when."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action, self._since, self.at = action, time.monotonic(), 0.0

    def begin(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        self.at = round(time.monotonic() - self._since, 1)
        self._action()


def write_corpus(bucket: ObjectFolder, shards: int, documents_each: int) -> int:
    """Put JSONL objects; returns their bytes. One page in fifty is a copy, one in twenty holds an address."""
    total = shards * documents_each
    pages, size = texts(0, total, total).to_pylist(), 0
    for shard in range(shards):
        rows = []
        for number in range(shard * documents_each, (shard + 1) * documents_each):
            text = pages[number - 1] if number % 50 == 1 else pages[number]
            contact = f"\nWrite to person{number}@example.com." if number % 20 == 2 else ""
            rows.append(json.dumps({"id": f"d{number}", "text": text + contact}))
        content = ("\n".join(rows) + "\n").encode()
        bucket.put(f"corpus/{shard:03}.jsonl", content)
        size += len(content)
    return size


def timed(bucket: ObjectFolder, name: str, engine: Engine, report: Reporter) -> tuple[Run, float]:
    """One audit of the corpus, and its wall time."""
    target = Run.at(bucket.address_of(name))
    request = Request(configuration.parse(SETTINGS), Path.cwd(), (bucket.address_of("corpus"),))
    began = time.monotonic()
    audit(request, target, engine, report)
    return target, round(time.monotonic() - began, 1)


def differences(one: Run, two: Run) -> dict[str, Any]:
    """Objects and tables of two runs side by side."""
    first, second = digests(one), digests(two)
    same = {key for key, digest in first.items() if second.get(key) == digest}
    parts = sorted(key for key in first if key.endswith(".parquet"))
    listing = "".join(f"{first[key]}  {key}\n" for key in parts)
    return {
        "objects": {
            "local": len(first),
            "ray": len(second),
            "identical": len(same),
            "parts": len(parts),
            "parts_identical": len(same & set(parts)),
            "only_one_has": sorted(set(first) ^ set(second)),
            "others_that_differ": sorted((set(first) & set(second)) - same),
            "digest_of_parts": hashlib.sha256(listing.encode()).hexdigest(),
        },
        "tables_identical": {name: rows(one, name) == rows(two, name) for name in TABLES},
        "scorecards_differ_in": different(one.scorecard(), two.scorecard()),
        "manifests_differ_in": different(one.manifest(), two.manifest()),
    }


def different(one: Any, two: Any, where: str = "") -> list[str]:
    """Places at which two JSON documents differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        keys = sorted(one.keys() | two.keys())
        return [place for key in keys for place in different(one.get(key), two.get(key), f"{where}/{key}")]
    return [] if one == two else [where]


def digests(run: Run) -> dict[str, str]:
    """Key -> SHA-256 of every object of a run."""
    folder = ObjectFolder(run.place)
    return {info.key: hashlib.sha256(folder.get(info.key)).hexdigest() for info in folder.list()}


def rows(run: Run, table: str) -> list[tuple[Any, ...]]:
    db: duckdb.DuckDBPyConnection
    with run.connect() as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


if __name__ == "__main__":
    main()
