"""What a run takes on disk, against its budget: rows at most 150 bytes a document, sketches at most 256.

Sizes are those of the parts' own files, so that they are the same whether parts are packed or not, in a
folder or on an object store; packed, they take less.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROW_BYTES, SKETCH_BYTES = 150, 256
#: Below so many documents what each file takes by itself outweighs the documents, and nothing is judged.
LEAST_DOCUMENTS = 100_000
#: Bytes of a web page in a compressed file (WARC text extracts and JSON lines, gzip: about 2 kB): few.
_INPUT_BYTES = 2_000


def section(families: Sequence[Mapping[str, Any]], documents: int) -> dict[str, Any]:
    """The scorecard's section: JSON values.

    Args:
        families: Rows with ``family``, ``parts``, ``bytes`` and ``sketches`` (whether it holds sketches).
        documents: That were screened.
    """
    rows = sum(each["bytes"] for each in families if not each["sketches"])
    sketches = sum(each["bytes"] for each in families if each["sketches"])
    told = {
        "rows": _held_against(rows, documents, ROW_BYTES),
        "sketches": _held_against(sketches, documents, SKETCH_BYTES),
    }
    return {"bytes": rows + sketches, **told, "families": [dict(each) for each in families]}


def _held_against(size: int, documents: int, budget: int) -> dict[str, Any]:
    each = round(size / documents, 1) if documents else None
    over = None if each is None or documents < LEAST_DOCUMENTS else each > budget
    return {"bytes": size, "bytes_per_document": each, "budget": budget, "over_budget": over}


def sentence(section: Mapping[str, Any]) -> str:
    """What the run takes, in words; says so where it is over its budget."""
    parts = []
    for name in ("rows", "sketches"):
        found = section[name]
        if found["bytes_per_document"] is not None:
            over = " (over budget)" if found["over_budget"] else ""
            each = f"{found['bytes_per_document']:,.0f} bytes a document of {found['budget']}{over}"
            parts.append(f"{name} {each}")
    return f"Parts on disk: {section['bytes'] / 1e6:,.1f} MB; {', '.join(parts) or 'no document'}."


def shortage(folder: Path, input_bytes: int) -> str | None:
    """A warning where the disk is likely to fill before a pass ends; None where it is not.

    Args:
        folder: Of the run; its nearest parent that exists is looked at.
        input_bytes: Of the shards that are to be screened; a rough guess of their documents follows.
    """
    standing = next(each for each in (folder, *folder.resolve().parents) if each.exists())
    needed = input_bytes // _INPUT_BYTES * (ROW_BYTES + SKETCH_BYTES)
    free = shutil.disk_usage(standing).free
    if needed <= free:
        return None
    return (
        f"the run folder needs about {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; "
        "`audit forecast` tells it more exactly"
    )
