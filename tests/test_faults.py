"""What befalls a pass, and that the result is the same as of an undisturbed one, but for what is told.

Faults that need a whole command (kills of the driver, signals, a full disk) are in ``test_resume``.
"""

import json
import re
import sys
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import audit
from audit import config as configuration
from audit import pipeline, screens
from audit.engines.local import LocalEngine
from audit.errors import FatalError
from audit.lineage import journal, verification
from audit.progress import Quiet
from audit.run import Run
from audit.stages.request import Request
from audit.tasks import screen_shard
from audit.trails import CRASHED
from audit.workers.memory import MIB
from tests.conftest import key_file, sentence
from tests.engine_here import EngineHere, Stop
from tests.fake_screen import ARMED, FakeScreen, OtherScreen, PlainScreen
from tests.test_pipeline import parts, tables

DOCUMENTS = 11
SHARE = 500 * MIB
HARM = {"a": (5, "FAULTS"), "b": (3, "EATS"), "c": (9, "HANGS"), "d": (1, "ONCE")}


@pytest.fixture(scope="module", autouse=True)
def fakes():
    known = {screen.name: screen for screen in (FakeScreen, OtherScreen, PlainScreen)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "available", lambda: known)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "in"
    folder.mkdir()
    for name, (row, word) in HARM.items():
        texts = [f"{sentence(ord(name) * 99 + n)} {word if n == row else ''}" for n in range(DOCUMENTS)]
        rows = [{"id": f"{name}{n}", "text": text} for n, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def screened(corpus, out, engine):
    """Audit the corpus into a folder beside it."""
    data = {"corpus": {"name": "test"}, "run": {"batch_rows": 4}, "sampling": {"size": 20}}
    run = Run(out)
    pipeline.audit(Request(configuration.parse(data), corpus.parent, (str(corpus),)), run, engine, Quiet())
    return run


@pytest.fixture(scope="module")
def calm(corpus, tmp_path_factory):
    """An undisturbed run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        return screened(corpus, corpus.with_name("calm"), EngineHere())


class ScreenedByProcesses(LocalEngine):
    """Screens in worker processes; what comes after, which is not at stake, takes none."""

    def map(self, function, tasks, advance, *needs):
        engine = super() if function is screen_shard else EngineHere()
        return engine.map(function, tasks, advance, *needs)


def evidence(run):
    return parts(run), tables(run), (run.folder / "scorecard.json").read_bytes()


def shard_ids(run):
    return {Path(entry["name"]).stem: entry["shard"] for entry in run.manifest()["inputs"]}


def shard_parts(run):
    """Digests of the parts that are of one shard."""
    known = set(shard_ids(run).values())
    return {name: digest for name, digest in parts(run).items() if name.split("/")[1].split(".")[0] in known}


def rows(run, family, shard):
    (path,) = run.store.folder.glob(f"{family}/{shard}.*.parquet")
    return pq.read_table(path).to_pylist()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
def test_a_document_that_crashes_hangs_or_starves_a_worker_is_all_that_is_lost(
    corpus, calm, tmp_path, monkeypatch
):
    """A worker killed once, a crash in native code, memory that runs out, a screen that never returns."""
    monkeypatch.setenv(ARMED, str(tmp_path / "mark"))
    run = screened(corpus, tmp_path / "run", ScreenedByProcesses(2, SHARE, stall_seconds=4.0))
    before, after, ids = shard_parts(calm), shard_parts(run), shard_ids(run)
    seen = re.compile(
        r"(fake|other|slices|cells|finding_cells)/(" + "|".join(ids[name] for name in "abc") + r")\."
    )
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= set(filter(seen.match, before))
    for name, (row, word) in HARM.items():
        for family in ("fake", "other"):
            was, now = rows(calm, family, ids[name]), rows(run, family, ids[name])
            if word != "ONCE":
                assert now[row][f"{family}_length"] is None
                assert now[row]["state"] == (CRASHED if family == "fake" else None)
                del was[row], now[row]
            assert was == now
    with run.connect() as db:
        failed = db.execute(
            "SELECT screen, sum(failed), sum(evaluated) FROM evaluations GROUP BY 1 ORDER BY 1"
        )
        assert failed.fetchall() == [("fake", 3, 41), ("other", 0, 44), ("plain", 0, 44)]
    told, expected = (each.scorecard()["accounting"] for each in (run, calm))
    assert told.pop("disk") != expected.pop("disk")  # states in place of measurements
    assert told == expected
    assert int((tmp_path / "mark.bytes").read_text()) <= 2 * SHARE


def test_a_clock_that_jumps_changes_nothing(corpus, calm, tmp_path, monkeypatch):
    """Years forward and back, at every look."""
    jumps, today = count(), time.time()

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=3_000 * (-1) ** next(jumps))

    monkeypatch.setattr(time, "time", lambda: today + 1e8 * (-1) ** next(jumps))
    monkeypatch.setattr(journal, "datetime", Jumping)
    run = screened(corpus, tmp_path / "run", EngineHere())
    assert next(jumps) > 3
    assert evidence(run) == evidence(calm)
    assert verification.verify(run.folder).intact


def test_nothing_is_measured_by_a_clock_that_can_jump():
    sources = {path: path.read_text(encoding="utf-8") for path in Path(audit.__file__).parent.rglob("*.py")}
    assert [path.name for path, text in sources.items() if re.search(r"\btime\.(time|time_ns)\(", text)] == []
    dated = {path.name for path, text in sources.items() if re.search(r"\.(now|utcnow|today)\(", text)}
    assert dated <= {"journal.py", "standing.py"}, "dates of entries and waivers only"


def test_a_second_run_into_the_folder_is_refused_and_the_first_goes_on(corpus, calm, tmp_path):
    class Disturbed(EngineHere):
        refused = 0

        def map(self, function, tasks, advance, *needs):
            for outcome in super().map(function, tasks, advance, *needs):
                with pytest.raises(FatalError, match="another process works in"):
                    screened(corpus, tmp_path / "run", EngineHere())
                self.refused += 1
                yield outcome

    engine = Disturbed()
    run = screened(corpus, tmp_path / "run", engine)
    assert engine.refused >= 2 * len(HARM)  # in every stage, whatever they hand out
    assert evidence(run) == evidence(calm)


def test_a_shard_that_changes_while_it_is_read_is_refused_and_told(corpus, calm, tmp_path, monkeypatch):
    mine = tmp_path / "in"
    mine.mkdir()
    for path in corpus.iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    victim, whole = mine / "c.jsonl", (mine / "c.jsonl").read_bytes()
    before = FakeScreen.measure

    def measure(self, batch, context):
        if batch.column("doc_id")[0].as_py() == "c4":
            victim.write_bytes(whole.replace(b"people", b"nobody"))
        return before(self, batch, context)

    with monkeypatch.context() as patch:
        patch.setattr(FakeScreen, "measure", measure)
        run = screened(mine, tmp_path / "run", EngineHere())
    (told,) = run.scorecard()["accounting"]["incomplete_shards"]
    assert told["reason"].startswith("changed_while_reading")
    ids = shard_ids(run)
    assert not [name for name in parts(run) if ids["c"] in name]
    others = {name: digest for name, digest in shard_parts(calm).items() if ids["c"] not in name}
    assert shard_parts(run) == others
    victim.write_bytes(whole)
    again = screened(mine, tmp_path / "run", EngineHere())
    assert parts(again) == parts(calm)
    assert (again.folder / "scorecard.json").read_bytes() == (calm.folder / "scorecard.json").read_bytes()


class Opened:
    """Names of the corpus' files as they are opened in this process."""

    def __init__(self):
        self.names, self.folder = [], None
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if self.folder and event == "open" and str(arguments[0]).startswith(self.folder):
            self.names.append(Path(str(arguments[0])).stem)

    def during(self, folder, action):
        """Names, once each, that an action opens."""
        self.names, self.folder = [], f"{folder}/"
        try:
            action()
        except Stop:
            pass
        finally:
            self.folder = None
        return sorted(set(self.names))


@pytest.fixture(scope="module")
def opened():
    return Opened()  # such a hook cannot be taken back: one for all tests


def test_a_resume_opens_no_shard_that_is_done(corpus, calm, tmp_path, opened):
    out = tmp_path / "run"
    assert opened.during(corpus, lambda: screened(corpus, out, EngineHere(tasks=1))) == ["a"]
    assert opened.during(corpus, lambda: screened(corpus, out, EngineHere(tasks=2))) == ["b", "c"]
    # One shard to screen, and two to slice, which takes no reading.
    assert opened.during(corpus, lambda: screened(corpus, out, EngineHere(tasks=3))) == ["d"]
    assert opened.during(corpus, lambda: screened(corpus, out, EngineHere())) == []
    assert evidence(Run(out)) == evidence(calm)
    assert opened.during(corpus, lambda: screened(corpus, out, EngineHere())) == []
