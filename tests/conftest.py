"""Small corpora and whole runs over them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit import config as configuration
from audit import pipeline
from audit.engines.local import LocalEngine
from audit.model import Verdict
from audit.progress import Quiet
from audit.run import Run
from audit.stages.request import Request
from tests.engine_here import EngineHere
from tests.object_server import bucket, object_server  # noqa: F401 - fixtures of all tests

SUBJECTS = ("river", "library", "harbour", "orchard", "railway", "museum", "bakery", "garden")
VERBS = ("crosses", "borders", "feeds", "overlooks", "remembers", "surrounds", "supplies", "divides")
PLACES = ("old town", "northern valley", "market square", "stone bridge", "quiet suburb", "coastal road")


def sentence(number: int) -> str:
    """A sentence of plain English that no other number gives."""
    subject, verb = SUBJECTS[number % 8], VERBS[number // 8 % 8]
    place = PLACES[number // 64 % 6]
    return f"The {subject} number {number} {verb} the {place} where {number * 7} people lived in those days."


def page(number: int) -> str:
    """A page of several sentences, unlike any other page."""
    return "\n".join(sentence(number * 31 + line) for line in range(6))


def key_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A key file outside the user's home, always the same: samples are drawn under it."""
    path = tmp_path_factory.getbasetemp() / "keys" / "hmac.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700)
        path.touch(mode=0o600)
        path.write_text(hashlib.sha256(b"key of the tests").hexdigest() + "\n")
    return str(path)


@pytest.fixture(autouse=True)
def private_key_file(tmp_path_factory, monkeypatch):
    """See ``key_file``; texts are cached outside the user's home, too."""
    monkeypatch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
    monkeypatch.setenv("AUDIT_TEXT_CACHE", str(tmp_path_factory.getbasetemp() / "texts"))


def write_corpus(folder: Path) -> Path:
    """Two files: JSONL pages with a copy and an address, Parquet comments with a date."""
    folder.mkdir()
    pages = [
        {"id": f"p{n}", "text": page(n), "url": f"https://www.agency{n % 3}.gov/p/{n}", "source": "pages"}
        for n in range(40)
    ]
    pages.append({"id": "copy", "text": page(3), "url": "https://blog.example.com/copy", "source": "pages"})
    contact = page(50) + "\nWrite to jane.sample@example.com or call (202) 555-0143 for more."
    pages.append({"id": "contact", "text": contact, "source": "pages"})
    lines = "".join(json.dumps(row) + "\n" for row in pages)
    (folder / "pages.jsonl").write_text(lines, encoding="utf-8")
    comments = [
        {"id": f"c{n}", "text": page(100 + n), "date": f"20{10 + n % 5}-03-01", "source": "comments"}
        for n in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(comments), folder / "comments.parquet")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """See ``write_corpus``."""
    return write_corpus(tmp_path / "corpus")


#: Of ``standing``: a limit that clean labels meet, all harmful ones break, and no label leaves open.
STANDING = {
    "corpus": {"name": "test"},
    "sampling": {"size": 40},
    "policy": {"gates": [{"name": "toxic", "metric": "toxicity", "limit": 0.5}]},
}


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One finished run over ``write_corpus``, for tests that only read it."""
    folder = tmp_path_factory.mktemp("standing")
    inputs = write_corpus(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_HMAC_KEY_FILE", key_file(tmp_path_factory))
        patch.setenv("AUDIT_TEXT_CACHE", str(tmp_path_factory.getbasetemp() / "texts"))
        run = Run(folder / "run")
        request = Request(configuration.parse(STANDING), folder, (str(inputs),))
        pipeline.audit(request, run, EngineHere(), Quiet())
    return run


@pytest.fixture
def copied(standing: Run, tmp_path: Path) -> Run:
    """A copy of ``standing``, for tests that change it."""
    shutil.copytree(standing.folder, tmp_path / "copied")
    return Run(tmp_path / "copied")


@dataclass
class Audit:
    """A run and what it came to."""

    run: Run
    verdict: Verdict


@pytest.fixture
def run_audit(tmp_path: Path) -> Callable[..., Audit]:
    """Run an audit: in this process, which spares the start of workers, or in so many of them."""

    def run(
        inputs: Path | list[str],
        name: str = "run",
        *,
        workers: int | None = None,
        fresh: bool = False,
        **sections: object,
    ) -> Audit:
        data = {"corpus": {"name": "test"}, "sampling": {"size": 20}, **sections}
        config = configuration.parse(data)
        paths = tuple(inputs) if isinstance(inputs, list) else (str(inputs),)
        target = Run(tmp_path / name)
        request = Request(config, tmp_path, paths)
        with EngineHere() if workers is None else LocalEngine(workers) as engine:
            return Audit(target, pipeline.audit(request, target, engine, Quiet(), fresh=fresh))

    return run
