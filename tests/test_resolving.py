"""The second stage of corpus-wide screens: the same part from threads, from workers, and after a kill."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import resolving, sources
from audit.duplicates.exchange import threads
from audit.engine_runner import EngineRunner, grouped
from audit.engines.local import LocalEngine
from audit.resolving import StoredSketches
from audit.screens import ScreenContext
from audit.screens.exact_duplicates import ExactDuplicates
from audit.screens.near_duplicates import NearDuplicates
from audit.screens.repeated_paragraphs import RepeatedParagraphs
from audit.sources import ColumnMapping, ReadLimits
from audit.storage.store import Part, Store
from audit.workers.stage_times import Ledger

from .engine_here import EngineHere, Stop

SCREENS = (ExactDuplicates(), NearDuplicates(), RepeatedParagraphs(minimum_documents=3))
SHARDS = 7


def _texts() -> list[list[str]]:
    """Families of pages that share most words, some of them copies, in shards of very different sizes."""
    random = np.random.default_rng(5)
    words = [f"word{n}" for n in range(3_000)]
    pages = []
    for _ in range(60):
        page = random.choice(words, 120)
        for changes in random.choice([0, 0, 1, 4, 9, 15, 40], random.integers(1, 6)):
            member = page.copy()
            member[random.integers(0, len(page), changes)] = random.choice(words, changes)
            footer = (
                f"\nAll that the Example Gazette of page {random.integers(3)} prints is fictional, every word"
            )
            pages.append(" ".join(member) + footer)
    order = random.permutation(len(pages))
    cuts = np.sort(random.integers(0, len(pages), SHARDS - 1))
    return [[pages[n] for n in some] for some in np.split(order, cuts)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sketches of every screen in a store, and the sources that they were made of."""
    folder = tmp_path_factory.mktemp("corpus")
    store = Store(folder / "parts")
    for number, texts in enumerate(_texts()):
        lines = [json.dumps({"id": f"{number}-{at}", "text": text}) for at, text in enumerate(texts)]
        (folder / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    planned = sources.plan([str(folder / "*.jsonl")])
    limits, columns = ReadLimits(), ColumnMapping()
    for shard in planned:
        batches = [batch.documents for batch in sources.read(shard, columns, limits)]
        documents = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        for screen in SCREENS:
            measured = screen.measure(documents, ScreenContext({})).measurements
            names = ["position", *(f"{screen.name}_{measure}" for measure in measured)]
            table = pa.table([documents["position"], *measured.values()], names=names)
            store.write(Part(screen.name, shard.shard, "0" * 64), table, {})
    return store, {shard.shard: shard for shard in planned}


def _sketches(corpus, screen, **how) -> StoredSketches:
    store, shards = corpus
    parts = {shard: Part(screen.name, shard, "0" * 64) for shard in shards}
    return StoredSketches(store, parts, shards, ColumnMapping(), ReadLimits(), **how)


def _resolved(corpus, screen, **how) -> tuple[bytes, dict]:
    """The part's bytes and what it tells; the part is removed."""
    store, _ = corpus
    resolution = resolving.resolve(screen, _sketches(corpus, screen, **how))
    path = store.path(resolution.part)
    found = path.read_bytes(), dict(resolution.statistics)
    path.unlink()
    return found


def _pickled(function, tasks):
    for task in tasks:
        again, work = pickle.loads(pickle.dumps((function, task)))  # noqa: S301
        yield pickle.loads(pickle.dumps(again(work)))  # noqa: S301


@pytest.fixture(scope="module")
def expected(corpus):
    return {screen.name: _resolved(corpus, screen, runner=threads) for screen in SCREENS}


@pytest.fixture
def many_tasks(monkeypatch):
    """Make the search give tasks to workers although the corpus is small, and cut it fine."""
    monkeypatch.setattr("audit.screens.near_duplicates._FEW", 0)
    monkeypatch.setattr("audit.duplicates.clusters.stretch_of", lambda records: 64)
    monkeypatch.setattr("audit.duplicates.digest_exchange.stretch_of", lambda records, least: 32)
    monkeypatch.setattr("audit.duplicates.digest_exchange._RUN", 20)
    monkeypatch.setattr("audit.duplicates.cluster_diameters._TASK", 8)
    monkeypatch.setattr("audit.duplicates.paragraph_exchange._PARTITION", 16)
    monkeypatch.setattr("audit.duplicates.paragraph_exchange._RUN", 10)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
@pytest.mark.parametrize("size", [1, 3, SHARDS])
def test_the_part_is_the_same_however_the_work_is_cut(corpus, expected, many_tasks, screen, size):
    shards = sorted(corpus[1])
    groups = [shards[start : start + size] for start in range(0, SHARDS, size)]
    assert _resolved(corpus, screen, runner=_pickled, groups=groups) == expected[screen.name]


def test_the_corpus_has_what_there_is_to_find(expected):
    near = expected["near_duplicates"][1]
    assert near["duplicates"] > 30
    assert near["settled_exactly"] > 10
    assert near["distinct"] < near["documents"]
    assert expected["repeated_paragraphs"][1]["repeated_paragraphs"] >= 3


def test_workers_give_the_same_part_and_their_time_is_told(corpus, expected, many_tasks):
    ledger, groups = Ledger(), grouped(sorted(corpus[1]), 2)
    with LocalEngine(2) as engine:
        for screen in SCREENS:
            runner = EngineRunner(engine, ledger, screen.name)
            assert _resolved(corpus, screen, runner=runner, groups=groups) == expected[screen.name]
    assert set(ledger.workers) >= {screen.name for screen in SCREENS}


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
def test_a_stage_that_was_stopped_anywhere_begins_again(corpus, expected, screen):
    store, _ = corpus
    for tasks in (0, 1, SHARDS, SHARDS + 2, 2 * SHARDS + 1):
        runner = EngineRunner(EngineHere(tasks), Ledger(), screen.name)
        try:
            assert _resolved(corpus, screen, runner=runner) == expected[screen.name]
        except Stop:
            store.clear_scratch()
    assert _resolved(corpus, screen, runner=threads) == expected[screen.name]
    assert not any(path for path in store.scratch.iterdir() if path.is_dir())


def test_every_task_can_be_done_twice(corpus, expected, many_tasks):
    def twice(function, tasks):
        for task in tasks:
            function(task)
            yield function(task)

    for screen in SCREENS:
        assert _resolved(corpus, screen, runner=twice) == expected[screen.name]


def test_a_task_takes_along_its_own_shards_alone(corpus):
    sketches = _sketches(corpus, SCREENS[0], runner=_pickled, groups=[[shard] for shard in sorted(corpus[1])])
    pieces = sketches.split()
    assert [list(piece.shards) for piece in pieces] == [[shard] for shard in sketches.shards]
    assert all(len(pickle.dumps(piece)) < 3_000 for piece in pieces)
    assert [shard for piece in pieces for shard, _ in piece.read([])] == sketches.shards


def test_few_row_groups_hold_a_shard(corpus):
    """Rows are in the order of shards, and statistics tell which row groups hold one."""
    store, _ = corpus
    for screen in SCREENS:
        resolution = resolving.resolve(screen, _sketches(corpus, screen))
        table = store.read(resolution.part)
        shards = table["shard"].to_pylist()
        assert shards == sorted(shards)
        footer = pq.read_metadata(store.path(resolution.part))
        column = footer.schema.names.index("shard")
        told = footer.row_group(0).column(column).statistics
        assert (told.min, told.max) == (shards[0], shards[-1])
        store.path(resolution.part).unlink()
