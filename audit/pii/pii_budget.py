"""How much work personal data in one document may cost, counted so that no result depends on the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from audit.kernels.candidates import Windows

#: Kind -> n flags: the text was not searched for that kind to its end.
Over: TypeAlias = Mapping[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Budget:
    """What one document may cost; beyond, it is not evaluated for the kind in question.

    Attributes:
        max_bytes: Bytes of windows that a kind's recognisers read, in each pass.
        max_candidates: Raw hits of a kind that are checked and graded; those beyond, in order of the
            passes and of position, are dropped.
        max_pattern_steps: Bytes times instructions of the compiled pattern, for the recognisers that are
            data: RE2 needs no more steps than that.
        max_phone_steps: Symbols that the phone scan looks at, over all regions.
        max_library_bytes: Bytes that ``phonenumbers`` itself reads, over all regions.
    """

    max_bytes: int = 1_000_000
    max_candidates: int = 20_000
    max_pattern_steps: int = 1_000_000_000
    max_phone_steps: int = 50_000_000
    max_library_bytes: int = 100_000


def window_bytes(windows: Windows, rows: int) -> npt.NDArray[np.int64]:
    """Return the bytes of windows in each of n texts."""
    work = np.zeros(rows, np.int64)
    np.add.at(work, windows[:, 0], windows[:, 2] - windows[:, 1])
    return work
