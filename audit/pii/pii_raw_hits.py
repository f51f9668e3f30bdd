"""Raw hits of everything that a selection switches on, within a budget for each document and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.pii.pii_budget import Budget, Over
from audit.pii.pii_obfuscation import search_disguised
from audit.pii.pii_patterns import PatternHit, search_patterns
from audit.pii.pii_phones import search_numbers
from audit.pii.pii_search import Hit, Texts, is_compiled, search
from audit.pii.pii_selection import Selection

AnyHit: TypeAlias = Hit | PatternHit


class TextReader:
    """Texts of a batch as strings; the last one is kept, for hits come text by text.

    Args:
        texts: n texts, without nulls.
    """

    def __init__(self, texts: pa.Array) -> None:
        self._texts, self._row, self._text = texts, -1, ""

    def __call__(self, row: int) -> str:
        """Return a text by its row."""
        if row != self._row:
            self._row, self._text = row, str(self._texts[row].as_py())
        return self._text


def raw_hits(
    texts: pa.Array, selection: Selection, budget: Budget
) -> tuple[list[AnyHit], dict[int, tuple[str, ...]]]:
    """Search n texts in three passes: Presidio's recognisers, disguises undone, recognisers that are data.

    Args:
        texts: n texts, without nulls.
        selection: Whom to ask.
        budget: What one text may cost.

    Returns:
        The hits, and the texts in which a budget was spent, with the kinds that it was spent for, in order
        of their names; hits of such a kind may be missing.

    Raises:
        MatchingError: A recogniser gave up.
    """
    column = Texts(texts)
    numbers, over_numbers = search_numbers(column, [r for r in selection.presidio if is_compiled(r)], budget)
    others = [r for r in selection.presidio if not is_compiled(r)]
    plain, over = search(column, others, budget.max_bytes)
    disguised, over_disguised = search_disguised(texts, selection.disguised(), budget)
    matched, over_patterns = search_patterns(texts, selection.patterns, budget)
    hits, over_candidates = _first_candidates((*plain, *numbers, *disguised, *matched), len(texts), budget)
    return hits, _kinds([over, over_numbers, over_disguised, over_patterns, over_candidates])


def _first_candidates(hits: Iterable[AnyHit], rows: int, budget: Budget) -> tuple[list[AnyHit], Over]:
    """Keep the first hits of each text and kind, and say where there were more."""
    kept: list[AnyHit] = []
    seen: Counter[tuple[int, str]] = Counter()
    over: dict[str, npt.NDArray[np.bool_]] = {}
    for hit in hits:
        place = (hit.row, hit.span.kind)
        seen[place] += 1
        if seen[place] <= budget.max_candidates:
            kept.append(hit)
        else:
            over.setdefault(hit.span.kind, np.zeros(rows, np.bool_))[hit.row] = True
    return kept, over


def _kinds(parts: Iterable[Over]) -> dict[int, tuple[str, ...]]:
    found: dict[int, set[str]] = {}
    for part in parts:
        for kind, flags in part.items():
            for row in np.flatnonzero(flags).tolist():
                found.setdefault(row, set()).add(kind)
    return {row: tuple(sorted(found[row])) for row in sorted(found)}
