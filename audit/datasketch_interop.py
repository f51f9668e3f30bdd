"""Signatures to and from datasketch's ``LeanMinHash``, for its LSH indexes and its estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

#: Kind of permutation, in datasketch's words: a x + b mod 2**32.
SCHEME = "affine32"

if TYPE_CHECKING:
    from datasketch import LeanMinHash


def to_lean_minhash(signatures: npt.NDArray[np.unsignedinteger], seed: int) -> list[LeanMinHash]:
    """Return a ``LeanMinHash`` a signature, for comparison among themselves.

    datasketch compares values for equality only. Ours carry its scheme ``affine32``, whose kind of
    permutation they share, but not its coefficients: an index must not hold both.

    Args:
        signatures: Unsigned (n, k), whole or truncated values.
        seed: Of our permutations; datasketch refuses to compare signatures of different seeds.
    """
    from datasketch import LeanMinHash

    return [LeanMinHash(seed=seed, hashvalues=row.astype(np.uint32), scheme=SCHEME) for row in signatures]


def from_lean_minhash(
    minhashes: Sequence[LeanMinHash], dtype: npt.DTypeLike = np.uint32
) -> npt.NDArray[np.unsignedinteger]:
    """Return the values of datasketch signatures, shape (n, k).

    Raises:
        ValueError: They differ in length, seed or scheme, or a value does not fit ``dtype``.
    """
    if len({(len(m), m.seed, m.scheme) for m in minhashes}) > 1:
        raise ValueError("signatures differ in length, seed or scheme")
    values = np.array([m.hashvalues for m in minhashes], np.uint64)
    if values.size and values.max() > np.iinfo(np.dtype(dtype)).max:
        raise ValueError(f"values do not fit {np.dtype(dtype)}")
    return values.astype(dtype)
