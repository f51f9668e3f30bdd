"""Texts on their way to reviewers: as they were screened, in random order, in a private file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from audit.errors import ConfigurationError, FatalError
from audit.kernels.hashing import PUBLIC_KEY, hex128, siphash128
from audit.storage.durable_files import private_file


@dataclass(frozen=True)
class SampleRow:
    """A sampled document as reviewers see it: no score, no stratum.

    ``text_digest`` is that of ``documents``: what was screened.
    """

    doc_id: str
    text: str
    text_digest: str
    url: str | None = None


def text_digests(texts: Sequence[str]) -> list[str]:
    """Digests of texts as ``documents.text_digest`` holds them: 32 hex digits each."""
    digests: list[str] = hex128(siphash128(pa.array(texts, pa.large_string()), PUBLIC_KEY)).to_pylist()
    return digests


def shuffled(rows: Iterable[SampleRow], run_id: str, whose: str = "") -> list[SampleRow]:
    """Order documents so that neither the draw nor a score shows: by a keyed hash of their ids.

    Args:
        rows: The documents.
        run_id: Of the run.
        whose: For whom: everybody gets another order.

    Raises:
        FatalError: A text is not the one that was screened.
    """
    key = hashlib.sha256(f"review order {run_id} {whose}".strip().encode()).digest()
    ordered = sorted(rows, key=lambda row: _place(row, key))
    if text_digests([row.text for row in ordered]) != [row.text_digest for row in ordered]:
        raise FatalError("the corpus changed since it was screened. Run the audit again, then draw")
    return ordered


def _place(row: SampleRow, key: bytes) -> bytes:
    return hashlib.blake2b(f"{row.doc_id}\0{row.text_digest}".encode(), key=key, digest_size=16).digest()


def write_privately(out: Path, data: bytes) -> None:
    """Put a file that holds texts of the corpus in place in one step, for its owner alone.

    Raises:
        ConfigurationError: It cannot be written there.
        FatalError: The disk is full.
    """
    try:
        with private_file(out) as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written ({error.strerror})", file=str(out), remedy="Name another file"
        ) from error
