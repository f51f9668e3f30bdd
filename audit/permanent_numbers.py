"""Permanent random numbers of documents: uniform on 64 bits, from the document and a seed alone."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.kernels.hashing import siphash64


def salted_seed(seed: bytes, salt: str) -> bytes:
    """Sixteen bytes that give numbers independent of the seed's own."""
    return hashlib.sha256(b"corpus-audit sample\0" + seed + salt.encode()).digest()[:16]


def permanent_random_numbers(
    identity: pa.Array, text_digest: pa.Array, seed: bytes
) -> npt.NDArray[np.uint64]:
    """Number of each document, uniform on 64 bits, shape (n,).

    Args:
        identity: Source id or URL, n strings; null counts as empty.
        text_digest: Digests of one width, n binaries, so that identity and digest cannot run together.
        seed: Sixteen bytes, the key of SipHash-2-4.

    Raises:
        ValueError: A digest is missing, or the seed is not 16 bytes.
    """
    if len(seed) != 16:
        raise ValueError("the seed must be 16 bytes")
    if text_digest.null_count:
        raise ValueError("a document has no text digest")
    names = pc.fill_null(pc.cast(identity, pa.string()), "").cast(pa.binary())
    joined = pc.binary_join_element_wise(names, text_digest.cast(pa.binary()), b"")
    return siphash64(joined, (int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little")))


def document_numbers(documents: pa.Table | pa.RecordBatch, seed: bytes) -> npt.NDArray[np.uint64]:
    """Number of each document, shape (n,), copies not yet told apart.

    Args:
        documents: ``doc_id``, ``url`` and ``text_digest`` as the family ``documents`` holds them.
        seed: Sixteen bytes.
    """
    if documents.num_rows == 0:
        return np.empty(0, np.uint64)
    names = ("url", "doc_id", "text_digest")
    url, doc_id, digests = (_one_array(documents.column(name)) for name in names)
    # A URL outlives a new numbering of the shard; ids may be derived from the position.
    return permanent_random_numbers(pc.coalesce(url, doc_id), digests, seed)


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
