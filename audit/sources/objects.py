"""Objects behind an address: one object, a folder of keys, or a glob, listed as folders of files are."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from audit.errors import RetryableError
from audit.objects.object_addresses import split_address
from audit.objects.object_stores import ObjectFolder, ObjectInfo

Listing = TypeVar("Listing")

_LISTINGS: Final = 5


class FoundObject(NamedTuple):
    """An object of an input.

    Attributes:
        address: Of the object.
        name: Its key below the input's root.
        root: Scheme, bucket and key of the root, in segments.
        info: Size and version, as listed.
        named: Segments of the name that the input itself names, or its wildcards.
    """

    address: str
    name: str
    root: tuple[str, ...]
    info: ObjectInfo
    named: int

    @property
    def exact(self) -> bool:
        """Whether the input names the object itself, not a folder that holds it."""
        return self.named == self.name.count("/") + 1

    @property
    def hidden(self) -> str | None:
        """Address of the hidden object, or of the hidden folder, that keeps this one from being read."""
        segments = self.name.split("/")
        for depth in range(self.named, len(segments)):
            if segments[depth].startswith("."):
                return self.address.removesuffix(self.name) + "/".join(segments[: depth + 1])
        return None


def find_objects(address: str) -> list[FoundObject]:
    """The objects of an address, hidden ones included.

    As for files: an object is itself, below its own folder; a glob (``*``, ``?``, ``[…]``, ``**`` for any
    number of segments) takes the objects that match, and all below the folders that match; another address is
    a folder. An empty object whose key is a folder too stands for the folder.

    Raises:
        ConfigurationError: The address, the bucket or the credentials cannot be used.
        RetryableError: The store does not answer, or what it lists keeps changing.
    """
    scheme, bucket, key = split_address(address)
    store = ObjectFolder(f"{scheme}://{bucket}")
    segments = tuple(key.split("/")) if key else ()
    single = store.head(key) if key and not address.endswith("/") else None
    if single is not None and single.size:
        return [_single(store, segments, single)]
    found = list(
        _globbed(store, segments) if single is None and glob.has_magic(key) else _below(store, segments)
    )
    if single is not None and not found:
        return [_single(store, segments, single)]
    return found


def _single(store: ObjectFolder, segments: Sequence[str], info: ObjectInfo) -> FoundObject:
    *parent, name = segments
    return FoundObject(store.address_of(info.key), name, (*_root(store), *parent), info, 1)


def _below(store: ObjectFolder, root: tuple[str, ...]) -> Iterator[FoundObject]:
    folder = ObjectFolder(store.address_of("/".join(root)))
    for info in settled(lambda: list(folder.list()), folder.address):
        yield FoundObject(folder.address_of(info.key), info.key, (*_root(store), *root), info, 0)


def _globbed(store: ObjectFolder, pattern: tuple[str, ...]) -> Iterator[FoundObject]:
    """Objects that match; of the folders on the way, only those that match are listed."""
    fixed = next(
        depth for depth, part in enumerate(pattern) if glob.has_magic(part) or depth == len(pattern) - 1
    )
    folders, depth = [pattern[:fixed]], fixed
    while depth < len(pattern) - 1 and pattern[depth] != "**":
        folders = [
            (*folder, name) for folder in folders for name in _subfolders(store, folder, pattern[depth])
        ]
        depth += 1
    for folder in folders:
        for each in _below(store, folder):
            segments = each.info.key.split("/")
            if matched := _matched(segments, pattern[depth:]):
                name = "/".join((*folder[fixed:], each.info.key))
                root = (*_root(store), *pattern[:fixed])
                yield FoundObject(each.address, name, root, each.info, depth - fixed + matched)


def _subfolders(store: ObjectFolder, folder: tuple[str, ...], pattern: str) -> list[str]:
    if not glob.has_magic(pattern):
        return [pattern]
    path = "/".join(folder)
    names = settled(lambda: store.folders(path), store.address_of(path))
    return [name for name in names if _fits(name, pattern)]


def settled(listing: Callable[[], Listing], what: str) -> Listing:
    """What is listed twice in a row: a store that lists late, or that is being written, shows.

    Raises:
        RetryableError: No two listings in a row are the same.
    """
    last = listing()
    for _ in range(_LISTINGS - 1):
        now = listing()
        if now == last:
            return now
        last = now
    raise RetryableError(
        f"what {what} lists keeps changing; wait until it is written, or name the inputs more narrowly"
    )


def _matched(segments: Sequence[str], pattern: Sequence[str]) -> int:
    """Leading segments that a pattern matches, the fewest: a key, or a folder above it; 0 for none."""
    return next((n for n in range(1, len(segments) + 1) if _matches(segments[:n], pattern)), 0)


def _matches(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not segments
    if pattern[0] == "**" and _matches(segments, pattern[1:]):
        return True
    if not segments or not _fits(segments[0], "*" if pattern[0] == "**" else pattern[0]):
        return False
    return _matches(segments[1:], pattern if pattern[0] == "**" else pattern[1:])


def _fits(segment: str, pattern: str) -> bool:
    hidden = segment.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatch.fnmatchcase(segment, pattern)


def _root(store: ObjectFolder) -> tuple[str, str]:
    scheme, bucket, _ = split_address(store.address)
    return f"{scheme}:", bucket
