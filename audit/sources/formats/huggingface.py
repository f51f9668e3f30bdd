"""Hugging Face data sets, streamed through ``datasets``."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode

import orjson
import pyarrow as pa

from audit.errors import ConfigurationError, InputError, RetryableError
from audit.model import Batch, Shard
from audit.sources.columns import ColumnMapping
from audit.sources.contracts import ReadLimits
from audit.sources.records import Item, RecordBatches, grouped
from audit.sources.streams import ContentDigest
from audit.sources.values import Refusal

_SCHEME = "hf://"
_KEYS = ("config", "split", "revision", "data_files", "data_dir")
_REMEDY = "Write hf://name?config=…&split=…&revision=…"
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class HuggingFace:
    """Records of ``hf://name?config=…&split=…&revision=…``, without a copy on disk.

    Without ``split`` all splits are read. ``name`` may also be a builder of ``datasets`` (``json``,
    ``parquet``, ``text`` …) with ``data_files`` (repeatable) or ``data_dir``. Each shard of the data set
    is a shard here; name a revision, or a resumed run may meet another version. The digest covers the
    records as JSON with sorted keys, binary values by their SHA-256: what the files' bytes are is not
    seen. Media are not decoded.
    """

    name: ClassVar[str] = "huggingface"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("datasets", "pyarrow")
    scheme: ClassVar[str] = "hf"

    def shards(self, address: str, base: Path) -> Sequence[Shard]:
        """As in ``AddressSource``."""
        name, options = _parse(address)
        for key in ("data_files", "data_dir"):
            options[key] = [_below(base, path) for path in options.get(key, [])]
        loaded = _load(name, options)
        splits = loaded if isinstance(loaded, Mapping) else {options["split"][0]: loaded}
        found: list[Shard] = []
        for split, data in sorted(splits.items(), key=lambda pair: str(pair[0])):
            uri = _address(name, {**options, "split": [str(split)]})
            found += _cut(uri, _label(name, options, str(split)), data.num_shards)
        return found

    def read(
        self,
        shard: Shard,
        columns: ColumnMapping,
        limits: ReadLimits,
        digest: ContentDigest | None,
        wanted: frozenset[int] | None,
    ) -> Iterator[Batch]:
        """As in ``Source``."""
        batches = RecordBatches(shard, columns, limits)
        for group in grouped(_items(shard, limits, digest, wanted), limits):
            yield batches.build_items(group, sum(item.size for item in group))
        if wanted is None:
            batches.check()

    def digest(self, shard: Shard, digest: ContentDigest) -> None:
        """As in ``Source``."""
        for _, line in _records(shard):
            digest.update(line)


def _items(
    shard: Shard, limits: ReadLimits, digest: ContentDigest | None, wanted: frozenset[int] | None
) -> Iterator[Item]:
    last = None if wanted is None else max(wanted, default=-1)
    for position, (record, line) in enumerate(_records(shard)):
        if last is not None and position > last:
            return
        if digest is not None:
            digest.update(line)
        if wanted is not None and position not in wanted:
            continue
        too_large = len(line) > limits.max_document_bytes
        yield Item(position, Refusal("too_large", f"{len(line)} bytes") if too_large else record, len(line))


def _records(shard: Shard) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Records with their canonical lines."""
    name, options = _parse(shard.uri)
    data = _load(name, options)
    if shard.start is not None:
        data = data.shard(num_shards=data.num_shards, index=shard.start)
    try:
        for record in data:
            yield record, _canonical(record)
    except (ConnectionError, TimeoutError) as error:
        raise RetryableError(f"the connection to {name} broke: {type(error).__name__}") from error
    except (_datasets().exceptions.DatasetsError, pa.ArrowException, ValueError, OSError) as error:
        raise InputError("corrupt", f"the data set cannot be read on ({type(error).__name__})") from error


def _canonical(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, default=_plain, option=_OPTIONS) + b"\n"
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return json.dumps(record, default=_plain, sort_keys=True).encode() + b"\n"


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return str(value)


def _load(name: str, options: Mapping[str, Sequence[str]]) -> Any:
    datasets = _datasets()
    single = {key: next(iter(options.get(key, ())), None) for key in _KEYS}
    try:
        loaded = datasets.load_dataset(
            name,
            single["config"],
            data_dir=single["data_dir"],
            data_files=list(options.get("data_files") or []) or None,
            split=single["split"],
            revision=single["revision"],
            streaming=True,
        )
    except (ConnectionError, TimeoutError) as error:
        raise RetryableError(f"cannot reach the hub for {name}: {type(error).__name__}") from error
    except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"the data set {name!r} cannot be opened ({type(error).__name__})",
            key="corpus.inputs",
            remedy="Check its name, config, split and revision",
        ) from error
    if isinstance(loaded, Mapping):
        return {split: data.decode(False) for split, data in loaded.items()}
    return loaded.decode(False)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ConfigurationError(
            "hf:// addresses need the package datasets",
            key="corpus.inputs",
            remedy='pip install "corpus-audit[huggingface]"',
        ) from error
    return datasets


def _parse(address: str) -> tuple[str, dict[str, list[str]]]:
    name, _, query = address.removeprefix(_SCHEME).partition("?")
    options = parse_qs(query)
    for key in options:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            remedy = f"Did you mean {near[0]}?" if near else _REMEDY
            raise ConfigurationError(f"{key!r} is no part of a data set's address", remedy=remedy)
    if not name:
        raise ConfigurationError("a data set's address lacks its name", remedy=_REMEDY)
    return name, options


def _address(name: str, options: Mapping[str, Sequence[str]]) -> str:
    pairs = [(key, value) for key in _KEYS for value in options.get(key, ())]
    return f"{_SCHEME}{name}?{urlencode(pairs, safe='/')}"


def _below(base: Path, path: str) -> str:
    return path if "://" in path else str(base / path)


def _label(name: str, options: Mapping[str, Sequence[str]], split: str) -> str:
    """The shard's name: without folders, so that data files may move."""
    files = [Path(path).name for path in options.get("data_files", ())]
    return "/".join([name, *options.get("config", ()), *options.get("revision", ()), *files, split])


def _cut(uri: str, name: str, count: int) -> Iterator[Shard]:
    for index in range(count):
        cut = (index, index + 1) if count > 1 else (None, None)
        part = f"{name}:{index}-{index + 1}" if count > 1 else name
        identity = hashlib.sha256(part.encode()).hexdigest()[:16]
        yield Shard(identity, uri, part, HuggingFace.name, 0, *cut)
