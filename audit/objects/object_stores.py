"""Objects on S3-compatible stores, Google Cloud Storage and Azure, addressed as folders of keys.

An address is ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``; it is taken
literally (no percent-encoding). Credentials, endpoint and region come from the environment only. The client
is obstore, with its own retries switched off: what is tried again, and for how long, is decided here
(``audit.objects.retrying``).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.store import GCSStore

from audit.objects.object_addresses import is_object_address, split_address
from audit.objects.object_clients import Client, client_of
from audit.objects.object_errors import (
    CLIENT_ERRORS,
    ObjectArchived,
    ObjectChanged,
    ObjectExists,
    ObjectMissing,
    classify,
)
from audit.objects.retrying import TransientError, budget_from_environment, with_retries

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, PutMode

__all__ = [
    "ObjectArchived",
    "ObjectChanged",
    "ObjectExists",
    "ObjectFolder",
    "ObjectInfo",
    "ObjectMissing",
    "is_object_address",
    "split_address",
]

Result = TypeVar("Result")
_PAGE = 1000


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the store lists it.

    Attributes:
        key: Relative to the folder that was asked.
        size: Bytes.
        etag: Names this version of the content; None where the store has none.
        modified_ns: Nanoseconds since 1970; many stores keep whole seconds.
    """

    key: str
    size: int
    etag: str | None
    modified_ns: int


@dataclass(frozen=True)
class ObjectFolder:
    """The objects below an address. Holds the address only, so it can be pickled and printed.

    Every operation is tried again while the store is busy or the connection breaks, within the budget of
    ``audit.objects.retrying``. All raise:

        RetryableError: The budget is spent; the same call may succeed later.
        ConfigurationError: Credentials, bucket, region or endpoint are wrong.
        FatalError: The store refuses the request for another reason.

    Args:
        address: ``s3://bucket/prefix``, ``gs://…``, ``az://…``.
    """

    address: str

    def __post_init__(self) -> None:
        scheme, bucket, key = split_address(self.address)
        object.__setattr__(self, "address", "/".join(filter(None, (f"{scheme}://{bucket}", key))))

    def address_of(self, key: str) -> str:
        """The address of an object in this folder."""
        return f"{self.address}/{key}" if key else self.address

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object below a folder (``prefix`` is whole segments), sorted by key.

        A listing that breaks goes on after the last key. Objects that stand for folders (a key with ``/`` at
        its end, without content) are left out by the client.
        """
        yield from sorted(self._listed(prefix), key=lambda info: info.key)

    def children(self, prefix: str = "") -> tuple[Sequence[ObjectInfo], Sequence[str]]:
        """The objects directly in a folder, and the folders in it, which end with ``/``; both sorted."""
        below = len(self._path(""))
        answer = self._call(
            lambda client, _: obstore.list_with_delimiter(client, self._path(prefix) or None),
            "listing",
            prefix,
        )
        infos = [
            _info(meta, meta["path"][below + 1 :] if below else meta["path"]) for meta in answer["objects"]
        ]
        folders = [path[below + 1 :] if below else path for path in answer["common_prefixes"]]
        return sorted(infos, key=lambda info: info.key), sorted(f"{path.rstrip('/')}/" for path in folders)

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        listing = _Listing(self._path(prefix))
        below = len(self._path("")) + 1 if self._path("") else 0
        while page := self._call(lambda client, _: listing.page(client), "listing", prefix):
            yield from (_info(meta, meta["path"][below:]) for meta in page)

    def folders(self, prefix: str = "") -> builtins.list[str]:
        """Names of the folders directly below a folder, sorted."""
        where = self._path(prefix)
        found = self._call(
            lambda client, _: obstore.list_with_delimiter(client, where or None), "listing", prefix
        )
        return sorted({path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"]})

    def head(self, key: str) -> ObjectInfo | None:
        """What the store knows of an object; None when there is none."""
        try:
            meta = self._call(lambda client, _: obstore.head(client, self._path(key)), "looking up", key)
        except ObjectMissing:
            return None
        return _info(meta, key)

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        """The whole content.

        Raises:
            ObjectMissing: There is none.
            ObjectChanged: It is not the version of ``etag``.
            ObjectArchived: It must be restored first.
        """
        return self._call(lambda client, _: self._get(client, key, etag, None), "reading", key)

    def get_range(self, key: str, start: int, stop: int, *, etag: str | None = None) -> bytes:
        """The bytes ``[start, stop)``, exactly so many.

        Raises:
            ObjectMissing: There is no object.
            ObjectChanged: It is not the version of ``etag``, or ends before ``stop``.
            ObjectArchived: It must be restored first.
        """
        if stop <= start:
            return b""
        return self._call(lambda client, _: self._get(client, key, etag, (start, stop)), "reading", key)

    def _get(self, client: Client, key: str, etag: str | None, span: tuple[int, int] | None) -> bytes:
        options: GetOptions = {}
        if etag is not None:
            options["if_match"] = etag
        if span is not None:
            options["range"] = span
        answer = obstore.get(client, self._path(key), options=options)
        changed = etag is not None and answer.meta["e_tag"] != etag  # a store that ignores the condition
        if changed or (span is not None and answer.meta["size"] < span[1]):
            raise ObjectChanged(f"{self.address_of(key)} has changed")
        start, stop = answer.range
        wanted = stop - start if span is None else span[1] - span[0]
        data = answer.bytes().to_bytes()
        if len(data) != wanted:
            raise TransientError(f"{len(data)} bytes came of {wanted}")
        return data

    def put(
        self, key: str, data: bytes | Path, *, create: bool = False, etag: str | None = None
    ) -> str | None:
        """Write an object in one step: readers see the old one or the whole new one.

        A conditional write that was done although its answer was lost finds its own content when it is tried
        again; that is success. Two writers of the same bytes can therefore both succeed: what must have one
        winner (a lock) has to hold something of its own.

        Args:
            key: In this folder.
            data: The content, or the file that holds it. With a condition it is in memory at once.
            create: Only when there is none.
            etag: Only while the object is this version.

        Returns:
            The new version's etag.

        Raises:
            ObjectExists: ``create``, and there is one.
            ObjectChanged: ``etag``, and the object is another version or gone.
        """
        if create and etag is not None:
            raise ValueError("create and etag exclude each other")
        return self._call(
            lambda client, failed: self._put(client, key, data, create, etag, failed), "writing", key
        )

    def _put(
        self, client: Client, key: str, data: bytes | Path, create: bool, etag: str | None, failed: int
    ) -> str | None:
        mode: PutMode = "overwrite"
        if create:
            mode = "create"
        elif etag is not None:
            mode = self._version(client, key, etag)
        try:
            put = obstore.put(client, self._path(key), data, mode=mode, chunk_size=_chunk_bytes(data))
            return put["e_tag"]
        except CLIENT_ERRORS as error:
            failure = classify(error, self.address_of(key))
        if failed and isinstance(failure, ObjectExists | ObjectChanged):
            content = data.read_bytes() if isinstance(data, Path) else data
            answer = obstore.get(client, self._path(key))
            if answer.meta["size"] == len(content) and answer.bytes().to_bytes() == content:
                return answer.meta["e_tag"]
        raise failure

    def _version(self, client: Client, key: str, etag: str) -> PutMode:
        """What names a version to be replaced: Google's stores want the generation beside the etag."""
        if not isinstance(client, GCSStore):
            return {"e_tag": etag}
        meta = obstore.head(client, self._path(key))
        if meta["e_tag"] != etag:
            raise ObjectChanged(f"{self.address_of(key)} has changed")
        return {"e_tag": etag, "version": meta["version"]}

    def copy(self, key: str, to: str) -> None:
        """Copy within the store, over what stands there.

        Raises:
            ObjectMissing: There is nothing to copy.
        """
        self._call(lambda client, _: obstore.copy(client, self._path(key), self._path(to)), "copying", key)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        try:
            self._call(lambda client, _: obstore.delete(client, self._path(key)), "removing", key)
        except ObjectMissing:
            return

    def _path(self, key: str) -> str:
        return "/".join(filter(None, (split_address(self.address)[2], key.strip("/"))))

    def _call(self, operation: Callable[[Client, int], Result], doing: str, key: str) -> Result:
        address = self.address_of(key)

        def attempt(failed: int) -> Result:
            try:
                return operation(client, failed)
            except CLIENT_ERRORS as error:
                failure = classify(error, address)
            raise failure  # outside of the handler: the client's message must not be kept as the context

        client = client_of(*split_address(self.address)[:2])
        return with_retries(attempt, f"{doing} {address}", budget_from_environment())


class _Listing:
    """Pages of a listing. After a failure it goes on behind the last key, where the keys come in order."""

    def __init__(self, where: str) -> None:
        self._where = where or None
        self._found: set[str] = set()
        self._last, self._ordered = "", True
        self._stream: Iterator[Sequence[ObjectMeta]] | None = None

    def page(self, client: Client) -> list[ObjectMeta]:
        """The next objects; none at the end."""
        if self._stream is None:
            after = self._last if self._ordered and self._last else None
            self._stream = iter(obstore.list(client, self._where, offset=after, chunk_size=_PAGE))
        stream, self._stream = self._stream, None  # one that fails is spent
        fresh: list[ObjectMeta] = []
        for page in stream:
            fresh = [meta for meta in page if meta["path"] not in self._found]
            if fresh:
                break
        self._stream = stream
        self._remember([meta["path"] for meta in fresh])
        return fresh

    def _remember(self, paths: list[str]) -> None:
        self._ordered = self._ordered and all(a < b for a, b in pairwise([self._last, *paths]))
        self._last = max([self._last, *paths])
        self._found.update(paths)


def _chunk_bytes(data: bytes | Path) -> int:
    """Bytes of a request of many: S3 takes 10,000 requests an object."""
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    return max(5 << 20, size // 9_000)


def _info(meta: ObjectMeta, key: str) -> ObjectInfo:
    modified = int(meta["last_modified"].timestamp() * 1_000_000) * 1_000
    return ObjectInfo(key, meta["size"], meta["e_tag"], modified)
