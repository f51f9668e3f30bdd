"""The formats by name, and which one a file is of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from audit.review import argilla, csv, doccano, jsonl, label_studio, prodigy, xlsx
from audit.review.exchange import Format, refusal
from audit.review.records import load_lines, load_list, read_text

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": csv,
        "xlsx": xlsx,
        "jsonl": jsonl,
        "label-studio": label_studio,
        "argilla": argilla,
        "prodigy": prodigy,
        "doccano": doccano,
    }
)

#: What records of a format have, and no other format's do.
_SIGNS = {
    "jsonl": {"answers"},
    "prodigy": {"audit", "_task_hash"},
    "label-studio": {"data", "annotations"},
    "argilla": {"fields", "responses"},
}
_DOCCANO = ({"text", "cats"}, {"text", "entities"}, {"text", "label"})
_REMEDY = f"Known: {', '.join(FORMATS)}"


def recognise(path: Path) -> Format:
    """The format of a file, by its content.

    Raises:
        ConfigurationError: It is of none.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(4096)
    except OSError as error:
        raise refusal(path, None, f"cannot be read ({error.strerror})", "Name a readable file") from error
    if start.startswith(b"PK\x03\x04"):
        return xlsx
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return csv
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return _of(path, next((record.fields for record in load_list(path)), {}))
    if text.startswith(b"{"):
        return _of(path, load_lines(path)[0].fields)
    if path.suffix.lower() in (".json", ".jsonl"):
        read_text(path)
        raise refusal(path, None, "the file is of no known format", _REMEDY)
    return csv


def _of(path: Path, fields: Mapping[str, Any]) -> Format:
    for name, signs in _SIGNS.items():
        if signs <= fields.keys():
            return FORMATS[name]
    if any(signs <= fields.keys() for signs in _DOCCANO):
        return doccano
    raise refusal(path, None, "the file is of no known format", _REMEDY)
