"""Files and objects behind input addresses, and the source that reads each."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.errors import ConfigurationError
from audit.objects.object_stores import ObjectFolder, ObjectInfo, ObjectMissing
from audit.sources.contracts import FileSource, Source
from audit.sources.objects import FoundObject, find_objects

KEY = "corpus.inputs"
_SAVED = ("state.json", "dataset_info.json")


@dataclass(frozen=True)
class InputFile:
    """A file or an object; ``root`` is where its name begins, in segments."""

    uri: str
    name: str
    root: tuple[str, ...]
    info: ObjectInfo | None = None


def _file(path: Path, root: Path) -> InputFile:
    name = os.fsencode(path.relative_to(root)).decode("utf-8", "replace")
    return InputFile(str(path), name, root.parts[1:])


class Finder:
    """Finds the files of an input, and tells their source by suffix."""

    def __init__(self, sources: Mapping[str, Source], format: str) -> None:
        self._forced = None if format == "auto" else _file_source(sources, format)
        candidates = [self._forced] if self._forced else sources.values()
        self._by_suffix = {
            suffix: source
            for source in candidates
            if isinstance(source, FileSource)
            for suffix in source.suffixes
        }
        self.skipped: dict[str, int] = {}  # with sizes, of objects

    def source(self, uri: str) -> FileSource:
        """The source of a file that was found."""
        source = self._forced or self._of_suffix(uri)
        assert source is not None
        return source

    def _of_suffix(self, uri: str) -> FileSource | None:
        name = uri.rpartition("/")[2].lower()
        found = [suffix for suffix in self._by_suffix if name.endswith(suffix)]
        return self._by_suffix[max(found, key=len)] if found else None

    def find(self, address: str, base: Path) -> Iterator[InputFile]:
        """Files of a path or a glob.

        Raises:
            ConfigurationError: Nothing is there.
        """
        path = Path(os.path.normpath(base / address))
        if os.path.lexists(path):
            yield from self._take(path, path if path.is_dir() else path.parent)
            return
        # Not Path.glob: that one takes hidden files.
        found = glob.glob(_pattern(address, base), recursive=True)  # noqa: PTH207
        matches = sorted(map(Path, found))
        if not matches:
            raise ConfigurationError(
                f"{address!r} matches nothing", key=KEY, remedy=f"Relative paths start at {base}"
            )
        root = _fixed_prefix(path)
        for match in matches:
            yield from self._take(match, root)

    def objects(self, address: str) -> Iterator[InputFile]:
        """Objects of an address.

        Raises:
            ConfigurationError: Nothing is there.
            RetryableError: The store does not answer.
        """
        found = find_objects(address)
        if not found:
            raise ConfigurationError(
                f"{address!r} matches nothing",
                key=KEY,
                remedy="Check the bucket, the prefix and the endpoint",
            )
        yield from self.taken(found)

    def taken(self, found: Sequence[FoundObject]) -> Iterator[InputFile]:
        """Of the objects that were found, those that are read; the others are skipped."""
        saved = _saved_objects(found)
        for each in found:
            folder = each.address.rpartition("/")[0]
            unsaved = folder in saved and each.address not in saved[folder]
            forced = self._forced is not None and each.exact
            if each.hidden is not None:
                self.skipped[each.hidden] = self.skipped.get(each.hidden, 0) + each.info.size
            elif (forced or self._of_suffix(each.address)) and not unsaved:
                yield InputFile(each.address, each.name, each.root, each.info)
            else:
                self.skipped[each.address] = each.info.size

    def _take(self, path: Path, root: Path) -> Iterator[InputFile]:
        if path.is_dir():
            yield from self._walk(path, root, frozenset())
        elif self._forced or self._of_suffix(str(path)):
            yield _file(path, root)
        else:
            self.skipped[str(path)] = 0

    def _walk(self, folder: Path, root: Path, above: frozenset[Path]) -> Iterator[InputFile]:
        real = folder.resolve()
        if real in above:
            return  # a link to a folder above
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise ConfigurationError(
                f"the folder {str(folder)!r} cannot be listed ({error.strerror})",
                key=KEY,
                remedy="Allow reading it, or leave it out of the inputs",
            ) from error
        saved = _saved_files(folder, entries)
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield from self._walk(entry, root, above | {real})
            elif self._is_wanted(entry, saved):
                yield _file(entry, root)
            else:
                self.skipped[str(entry)] = 0

    def _is_wanted(self, entry: Path, saved: set[str] | None) -> bool:
        if entry.name.startswith(".") or self._of_suffix(entry.name) is None:
            return False
        return saved is None or entry.name in saved


def _file_source(sources: Mapping[str, Source], format: str) -> FileSource:
    source = sources.get(format)
    if not isinstance(source, FileSource):
        names = [name for name, known in sources.items() if isinstance(known, FileSource)]
        raise ConfigurationError(
            f"{format!r} is no file format",
            key="corpus.format",
            remedy=f"Use auto, {', '.join(sorted(names))}",
        )
    return source


def _saved_files(folder: Path, entries: Iterable[Path]) -> set[str] | None:
    """Names of the data files of a folder that ``datasets.save_to_disk`` wrote; None for other folders."""
    names = {entry.name for entry in entries}
    return _saved_names(names, lambda: (folder / "state.json").read_bytes())


def _saved_objects(found: Iterable[FoundObject]) -> dict[str, set[str]]:
    """Folders (addresses) that ``datasets.save_to_disk`` wrote -> addresses of their data files."""
    names: dict[str, set[str]] = {}
    for each in found:
        folder, _, name = each.address.rpartition("/")
        names.setdefault(folder, set()).add(name)
    saved = {
        folder: _saved_names(some, lambda folder=folder: ObjectFolder(folder).get(_SAVED[0]))  # type: ignore[misc]
        for folder, some in names.items()
    }
    return {f: {f"{f}/{name}" for name in some} for f, some in saved.items() if some is not None}


def _saved_names(names: set[str], state: Callable[[], bytes]) -> set[str] | None:
    """Data files of a saved data set: its folder may also hold cached intermediate results, no part of it."""
    if "dataset_dict.json" in names:
        return set()
    if not names.issuperset(_SAVED):
        return None
    try:
        return {str(file["filename"]) for file in json.loads(state())["_data_files"]}
    except (OSError, ObjectMissing, ValueError, KeyError, TypeError):
        return {name for name in names if name.endswith(".arrow") and not name.startswith("cache-")}


def _pattern(address: str, base: Path) -> str:
    return address if Path(address).is_absolute() else str(Path(glob.escape(str(base))) / address)


def _fixed_prefix(pattern: Path) -> Path:
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def known_formats(sources: Mapping[str, Source]) -> str:
    """A sentence for the remedy of what cannot be read."""
    suffixes = sorted(
        {s for source in sources.values() if isinstance(source, FileSource) for s in source.suffixes}
    )
    return (
        f"Known are {', '.join(suffixes)}; s3://, gs://, az:// and hf:// addresses; "
        "set corpus.format for files of another name"
    )
