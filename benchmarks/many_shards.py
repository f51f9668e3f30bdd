"""A run of many shards for measurements: the parts of a few audited shards under many names.

Synthetic are the corpus' files, each one line that is never read, and the shards' parts: rows of four audited
shards under other ids and work keys, with random sketches and digests, written straight into packs. Counts
may tell of more documents than the parts hold: cells, evaluations and footers are then those of the four
shards, multiplied. Names, keys and layout are those that a pass gives, so that ``pipeline.audit`` finds every
shard screened and sliced. All the rest is its work: the plan, the recall, duplicates, totals, counts, index,
log of shards, manifest, draw and evaluation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit import canaries, drawing, hmac_key, partindex, pipeline, slicing, tasks
from audit import config as configuration
from audit import reports as shardlog
from audit.canaries import Flock
from audit.engines.local import LocalEngine
from audit.inputs import SeenInputs
from audit.model import Shard
from audit.progress import Quiet
from audit.run import Run
from audit.slicing import FAMILIES, SliceTask
from audit.stages.request import Request, plan
from audit.stages.slices import slicing_of
from audit.storage import packs
from audit.storage.store import Part, Store
from audit.tasks import Screening

SEEDS = 4
#: Files in a folder of the corpus.
_FOLDER = 1000
#: Shards whose rows are made at once.
_AT_ONCE = 2048
#: What tells documents apart, and what is compared of them.
_RANDOM = ("text_digest", "digest", "signature", "second", "hashes")
_COUNTED = ("documents", "rejected", "lost")


@dataclass(frozen=True)
class Original:
    """A part of an audited shard: rows, what its footer holds, and bytes."""

    rows: pa.Table
    told: Mapping[str, Any]
    bytes: int


def request(folder: Path) -> Request:
    """What is audited: the corpus in a folder."""
    data = {"corpus": {"name": "scale"}, "sampling": {"size": 1000}, "run": {"text_cache_mib": 0}}
    return Request(configuration.parse(data), folder, (str(folder / "corpus"),))


def audit(folder: Path) -> Run:
    """Audit the corpus in a folder into a run beside it, or bring that run up to date."""
    run = Run(folder / "run")
    with LocalEngine(1) as engine:
        pipeline.audit(request(folder), run, engine, Quiet())
    return run


def audited(folder: Path, documents: int) -> Run:
    """A run over ``SEEDS`` shards of so many documents."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for shard in range(SEEDS):
        rows = [_page(shard * documents + n, shard) for n in range(documents)]
        (corpus / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return audit(folder)


def _page(number: int, shard: int) -> dict[str, str]:
    words = [hashlib.sha256(f"{number} {n}".encode()).hexdigest()[:7] for n in range(60)]
    mail = f"\nWrite to name{number}@example.com." if number % 3 == 0 else ""
    url = f"https://www.agency{number % 3}.gov/{number}"
    return {"id": f"p{number}", "text": " ".join(words) + mail, "url": url, "source": f"source {shard % 2}"}


def screened(base: Run, folder: Path, shards: int, factor: int) -> Run:
    """A run whose pass was killed when all of its shards had been screened and sliced.

    Args:
        base: As ``audited`` made it.
        folder: Gets the corpus and the run.
        shards: How many.
        factor: Documents that counts tell of, for one that the parts hold.
    """
    _write_files(folder / "corpus", shards)
    asked, run = request(folder), Run(folder / "run")
    drawing.keep_seed(run.sample, drawing.load_seed(base.sample))
    planned = plan(asked).shards
    digests = [hashlib.sha256(f"content {shard.shard}".encode()).hexdigest() for shard in planned]
    seen = SeenInputs(run.cache / "inputs.jsonl")
    for shard, digest in zip(planned, digests, strict=True):
        seen.saw(shard, digest)
    named = _named(asked, run, planned, digests)
    for family, originals in _originals(base, factor).items():
        for group in _groups(named[family], originals, asked.config.run.compact_mib << 20):
            _write_pack(run.store, family, group, originals)
    packs.forget()
    return run


def _write_files(corpus: Path, shards: int) -> None:
    for start in range(0, shards, _FOLDER):
        below = corpus / f"{start // _FOLDER:05}"
        below.mkdir(parents=True)
        for number in range(start, min(start + _FOLDER, shards)):
            (below / f"{number:08}.jsonl").write_bytes(b"{}\n")


def _screening(asked: Request, run: Run) -> Screening:
    config, key = asked.config, hmac_key.load_or_create(outside=run.folder)
    how = (config.build_screens(), config.corpus.columns, config.read_limits(), key.key_id, key.key)
    return Screening(run.store.resolved(), *how, Flock(canaries.packaged()))


def _named(
    asked: Request, run: Run, planned: Sequence[Shard], digests: Sequence[str]
) -> dict[str, list[tuple[str, str, int]]]:
    """Family -> shard, work key and number of the original of each part, by shard."""
    screening = _screening(asked, run)
    how = slicing_of(asked.config, screening)
    named: dict[str, list[tuple[str, str, int]]] = {}
    for number, (shard, digest) in enumerate(zip(planned, digests, strict=True)):
        keys = tasks.work_keys(screening, shard, digest)
        sliced = slicing.slice_keys(SliceTask(how, shard.shard, keys))
        for family, key in (*keys.items(), *((family, part.key) for family, part in sliced.items())):
            named.setdefault(family, []).append((shard.shard, key, number % SEEDS))
    return {family: sorted(parts) for family, parts in named.items()}


def _originals(base: Run, factor: int) -> dict[str, list[Original]]:
    """Family -> the parts of the audited shards, with counts multiplied."""
    catalogue = partindex.Catalogue.recorded(base.store)
    reports = shardlog.load(base.store.folder / shardlog.FILE)
    families = [*reports[0].keys, *FAMILIES]
    return {
        family: [_original(base.store, part, factor) for part in catalogue.family(family)]
        for family in families
    }


def _original(store: Store, part: Part, factor: int) -> Original:
    rows, told = store.read(part), dict(store.metadata(part))
    if part.family in (slicing.CELLS, slicing.FINDING_CELLS):
        for at, field in enumerate(rows.schema):
            if field.type == pa.int64() and field.name != "max_tokens":
                rows = rows.set_column(at, field, pc.multiply(rows.column(field.name), factor))
    for name in _COUNTED:
        if name in told:
            told[name] *= factor
    if "evaluations" in told:
        told["evaluations"] = {state: count * factor for state, count in told["evaluations"].items()}
    return Original(rows, told, store.size(part))


def _groups(
    named: Sequence[tuple[str, str, int]], originals: Sequence[Original], target: int
) -> Iterator[list[tuple[str, str, int]]]:
    """Parts of a pack, cut where it is full, as ``compaction`` cuts them."""
    group: list[tuple[str, str, int]] = []
    size = 0
    for each in named:
        group.append(each)
        size += originals[each[2]].bytes
        if size >= target:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write_pack(
    store: Store, family: str, group: Sequence[tuple[str, str, int]], originals: Sequence[Original]
) -> None:
    """A pack and its list, in the layout of ``compaction.write_pack``."""
    identity = hashlib.sha256("".join(f"{s}.{key}\n" for s, key, _ in group).encode()).hexdigest()[:16]
    pack = packs.Pack(store.folder, family, identity)
    for path in (pack.path, pack.list_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([len(original.rows) for original in originals])[[number for *_, number in group]]
    told = [json.dumps(dict(o.told) | {"work_key": "?"}, sort_keys=True).split('"?"') for o in originals]
    listing = {
        "shard": [shard for shard, _, _ in group],
        "key": [key for _, key, _ in group],
        "start": np.cumsum(rows) - rows,
        "rows": rows,
        "bytes": [originals[number].bytes for *_, number in group],
        "metadata": [f'"{key}"'.join(told[number]) for _, key, number in group],
    }
    with pa.OSFile(str(pack.list_path), "wb") as sink, pa.ipc.new_file(sink, packs.LIST_SCHEMA) as writer:
        writer.write_table(pa.table(listing, schema=packs.LIST_SCHEMA))
    schema = _plain(originals[0].rows).schema.remove_metadata()
    with pq.ParquetWriter(pack.path, schema, compression="zstd", compression_level=3) as to:
        for start in range(0, len(group), _AT_ONCE):
            table = _rows(group[start : start + _AT_ONCE], originals, start)
            if len(table):
                to.write_table(table.cast(schema), row_group_size=8192)


def _rows(group: Sequence[tuple[str, str, int]], originals: Sequence[Original], seed: int) -> pa.Table:
    """Rows of many shards: those of their originals, under names of their own."""
    base = _plain(pa.concat_tables([_plain(original.rows) for original in originals])).combine_chunks()
    sizes = np.array([len(original.rows) for original in originals])
    starts = np.cumsum(sizes) - sizes
    numbers = np.array([number for *_, number in group])
    counts = sizes[numbers]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = base.take(pa.array(np.repeat(starts[numbers], counts) + within))
    shards = pa.array([shard for shard, *_ in group]).take(pa.array(np.repeat(np.arange(len(group)), counts)))
    random = np.random.default_rng(seed)
    for at, field in enumerate(taken.schema):
        column = taken.column(at).combine_chunks()
        if field.name == "shard":
            taken = taken.set_column(at, field, shards)
        elif field.name in ("doc_id", "url"):
            taken = taken.set_column(at, field, pc.binary_join_element_wise(column, shards, "-"))
        elif field.name.rpartition("_")[2] in _RANDOM or field.name in _RANDOM:
            taken = taken.set_column(at, field, _random(column, random))
    return taken


def _random(column: pa.Array, random: np.random.Generator) -> pa.Array:
    """Binary values of the same lengths."""
    column = pa.concat_arrays([column])  # from offset 0
    *others, values = column.buffers()
    return pa.Array.from_buffers(
        column.type, len(column), [*others, pa.py_buffer(random.bytes(values.size))], column.null_count
    )


def _plain(rows: pa.Table) -> pa.Table:
    kinds = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in rows.schema]
    return rows.cast(pa.schema(kinds))
