"""Verification: is every byte of a run's evidence what the journal says it was?

The journal's last ``completed`` entry holds the digests of the small files and of the index of parts;
the index holds those of the parts; ``judged`` entries hold those of the judgement files; ``recovered``
entries those of incomplete lines that a crash left. What none of them accounts for is reported too.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from audit.errors import ConfigurationError
from audit.lineage.journal import RECOVERED, Entry, Journal, Problem
from audit.lineage.places import RESTORE, Folder, Objects, Place
from audit.objects.object_stores import ObjectFolder
from audit.storage.store import digest_file, write_atomically

JOURNAL = "journal.jsonl"

#: One canonical JSON line a part, sorted by path: {"path" (relative to the run), "bytes", "sha256", …}.
PARTS_INDEX = "parts/index.jsonl"

#: Files that wait for a thread: of a million, few are held at a time.
_AT_ONCE = 4096

#: Events whose data carry ``files``: relative path -> SHA-256. The last ``completed`` counts; of
#: ``judged``, every one, the last for each file.
COMPLETED = "completed"
JUDGED = "judged"

#: Neither evidence nor read as such: locks, caches, work in progress, parts of other settings.
_IGNORED = re.compile(
    r"\.lock|\.pull|\.lease|\.mirror\.json|cache/.*|parts/\.(?:tmp|retired)/.*|(?:.*/)?\.[^/]+\.[0-9a-f]{32}"
)


@dataclass(frozen=True)
class Report:
    """What verification found; ``head`` is the journal's last readable digest, to be kept elsewhere."""

    problems: tuple[Problem, ...]
    files: int
    bytes: int
    head: str | None

    @property
    def intact(self) -> bool:
        """Whether everything is as it was."""
        return not self.problems


@dataclass(frozen=True)
class _Expected:
    digest: str
    bytes: int | None = None


def verify(run_folder: Path, expected_head: str | None = None) -> Report:
    """Check all evidence of a run against its journal; changes nothing.

    Args:
        run_folder: The run.
        expected_head: A journal head that was kept elsewhere, to detect a journal that was cut back or
            written anew as a whole.

    Raises:
        ConfigurationError: There is no such folder.
    """
    if not run_folder.is_dir():
        raise ConfigurationError("no such run folder", file=str(run_folder), remedy="Name an existing run")
    return _verify(Folder(run_folder), Journal(run_folder / JOURNAL), expected_head)


def verify_objects(remote: ObjectFolder, expected_head: str | None = None) -> Report:
    """Check all evidence of a run on an object store, reading every byte of it there; see ``verify``.

    Raises:
        ConfigurationError: There is nothing at that address.
        RetryableError: The store does not answer.
    """
    place = Objects(remote)
    if not place.names():
        raise ConfigurationError("no such run", file=remote.address, remedy="Name an existing run")
    with tempfile.TemporaryDirectory(prefix="audit-verify-") as folder:
        journal = Journal(Path(folder) / JOURNAL)
        if (content := place.content(JOURNAL)) is not None:
            write_atomically(journal.path, content)
        return _verify(place, journal, expected_head)


def _verify(place: Place, journal: Journal, expected_head: str | None) -> Report:
    problems = journal.verify(expected_head)
    entries = [item for item in journal.scan() if isinstance(item, Entry)]
    expected, complaints = _accounted(entries)
    if any(entry.event == COMPLETED for entry in entries):
        parts, part_complaints = _parts(place, expected)
        expected |= parts
        complaints += [*part_complaints, *_unaccounted(place, expected)]
    else:
        remedy = "Give the command that made the run again: it resumes and completes it"
        complaints.append(Problem(JOURNAL, "no completed audit is journaled", remedy))
    checked = _check(place, expected)
    problems += [*complaints, *(problem for problem, _ in checked if problem)]
    size = journal.path.stat().st_size if journal.path.exists() else 0
    return Report(
        tuple(problems),
        files=sum(read is not None for _, read in checked) + journal.path.exists(),
        bytes=sum(read or 0 for _, read in checked) + size,
        head=entries[-1].digest if entries else None,
    )


def file_digests(folder: Path, relative_paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files by relative path, sorted; what ``completed`` and ``judged`` entries carry.

    Raises:
        OSError: A file cannot be read.
    """
    names = sorted(set(relative_paths))
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda name: digest_file(folder / name), names), strict=True))


def _accounted(entries: Iterable[Entry]) -> tuple[dict[str, _Expected], list[Problem]]:
    """Return the files that the journal speaks of."""
    completed: dict[str, object] = {}
    others: dict[str, object] = {}
    for entry in entries:
        if entry.event == COMPLETED:
            completed = dict(_mapping(entry.data.get("files")))
        elif entry.event == JUDGED:
            others |= _mapping(entry.data.get("files"))
        elif entry.event == RECOVERED:
            others[str(entry.data.get("file"))] = entry.data.get("digest")
    expected, problems = {}, []
    for name, digest in (completed | others).items():
        if _is_inside(name) and isinstance(digest, str):
            expected[name] = _Expected(digest)
        else:
            problems.append(Problem(JOURNAL, "a journaled file has no usable path or digest", RESTORE))
    return expected, problems


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {"": value}


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


def _parts(place: Place, expected: Mapping[str, _Expected]) -> tuple[dict[str, _Expected], list[Problem]]:
    """Read the index of parts."""
    if PARTS_INDEX not in expected:
        return {}, [Problem(JOURNAL, f"the completed audit does not account for {PARTS_INDEX}", RESTORE)]
    lines = place.content(PARTS_INDEX)
    if lines is None:
        return {}, []  # reported as missing with the other files
    parts, problems = {}, []
    for number, line in enumerate(io.BytesIO(lines), 1):
        part = _index_line(line)
        if part is None:
            problems.append(Problem(PARTS_INDEX, f"line {number} is not an entry of the index", RESTORE))
        else:
            parts[part["path"]] = _Expected(part["sha256"], part["bytes"])
    return parts, problems


def _index_line(line: bytes) -> dict[str, Any] | None:
    try:
        part = json.loads(line)
    except ValueError:
        return None
    shape = {"path": str, "bytes": int, "sha256": str}
    usable = isinstance(part, dict) and all(isinstance(part.get(key), kind) for key, kind in shape.items())
    return part if usable and _is_inside(part["path"]) else None


def _check(place: Place, expected: Mapping[str, _Expected]) -> list[tuple[Problem | None, int | None]]:
    """Read every file that is accounted for; yields what is wrong and how many bytes were read."""
    names, found = sorted(expected), list[tuple[Problem | None, int | None]]()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            found += pool.map(lambda name: _check_file(place, name, expected[name]), some)
    return found


def _check_file(place: Place, name: str, expected: _Expected) -> tuple[Problem | None, int | None]:
    size = place.size(name)
    if isinstance(size, Problem):
        return size, None
    digest = place.digest(name)
    if isinstance(digest, Problem):
        return digest, None
    if expected.bytes is not None and size != expected.bytes:
        what = "truncated" if size < expected.bytes else "grown"
        return Problem(name, f"{what}: {size} bytes instead of {expected.bytes}", RESTORE), size
    if digest != expected.digest:
        return Problem(name, "changed: its digest is not the journaled one", RESTORE), size
    return None, size


def _unaccounted(place: Place, expected: Mapping[str, _Expected]) -> Iterator[Problem]:
    for name in place.names():
        if name not in expected and name != JOURNAL and not _IGNORED.fullmatch(name):
            yield Problem(name, "unaccounted: nothing journaled speaks of it", _remedy(name))


def _remedy(name: str) -> str:
    if name.startswith("judgements/"):
        return "Import the judgements again: an interrupted import is then completed"
    return "Remove it if it is not yours to keep here, or give the last command again"
