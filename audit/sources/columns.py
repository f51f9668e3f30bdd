"""Which column holds what: the mapping, and the well-known names that are tried without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from audit.errors import InputError

#: Names that are tried, in this order, for a field that is not mapped. The first that exists counts.
WELL_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("text", "content", "raw_content", "body", "messages", "conversations", "conversation"),
    "id": ("doc_id", "id", "_id", "uuid", "document_id", "docid", "guid"),
    "url": ("url", "uri", "link", "source_url", "metadata.url", "meta.url", "metadata.uri"),
    "timestamp": (
        "timestamp", "date", "crawl_date", "created", "created_at", "published", "date_download",
        "metadata.timestamp", "metadata.date", "meta.timestamp", "meta.date", "added",
    ),
    "language": ("language", "lang", "metadata.language", "metadata.lang", "meta.language", "meta.lang"),
    "source": ("source", "dataset", "subset"),
}  # fmt: skip

#: Says that a record has no such column, which is not the same as a column that is null.
MISSING: Final = object()

_PRESENTABLE = re.compile(r"[A-Za-z_][\w.\-: ]{0,39}", re.ASCII)
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class ColumnMapping:
    """Which column holds which field of a document.

    A column is a name, or a dotted path into a struct (``meta.url``); a column whose own name holds the
    dots goes first. The text may also be a list of chat messages: see ``audit.sources.values.text_of``.
    None looks for the names of ``WELL_KNOWN``: in the schema where the format has one (Parquet, Arrow), in
    each record where it has none (JSONL, so that the result does not depend on where a file is cut).

    Attributes:
        id, text, url, timestamp, language, source: Column of each field.
        metadata: Columns kept, as one JSON object, in ``metadata``.
    """

    id: str | None = None
    text: str | None = None
    url: str | None = None
    timestamp: str | None = None
    language: str | None = None
    source: str | None = None
    metadata: tuple[str, ...] = ()

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic reads it from the class

    def candidates(self, field: str) -> tuple[str, ...]:
        """The columns that may hold a field, best first."""
        mapped = getattr(self, field)
        return WELL_KNOWN[field] if mapped is None else (mapped,)

    def mapped(self) -> dict[str, str]:
        """Mapped column -> the key that maps it."""
        found = dict.fromkeys(self.metadata, "metadata")
        for field in WELL_KNOWN:
            if (name := getattr(self, field)) is not None:
                found[name] = field
        return found


def check_columns(columns: ColumnMapping, exists: Callable[[str], bool], names: Iterable[str]) -> None:
    """Refuse a shard that lacks a mapped column, or any column for the text.

    Args:
        columns: The mapping.
        exists: Whether the shard has a column.
        names: The shard's columns, for the message.

    Raises:
        InputError: ``no_such_column`` or ``no_text_column``, naming the columns that exist.
    """
    for name, field in columns.mapped().items():
        if not exists(name):
            raise InputError("no_such_column", f"{field} is mapped to {name!r}; {_list(names)}")
    if not any(exists(name) for name in columns.candidates("text")):
        raise InputError("no_text_column", f"no column for the text; map corpus.columns.text; {_list(names)}")


def _list(names: Iterable[str]) -> str:
    """The columns in words. A header can be data (a CSV without one): only plain names are shown."""
    ordered = sorted(set(names))
    shown = [name if _PRESENTABLE.fullmatch(name) else "(other)" for name in ordered[:_NAMES_SHOWN]]
    more = f" and {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else ""
    return f"columns here: {', '.join(shown) or 'none'}{more}"


def getter(path: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function that takes a column out of a record, or ``MISSING``."""
    steps = path.split(".")

    def get(record: Mapping[str, Any]) -> Any:
        if path in record:
            return record[path]
        value: Any = record
        for step in steps:
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
        return value

    return get
