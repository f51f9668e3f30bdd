"""Raw hits of Presidio's phone recogniser, by the scan that is compiled from the numbering plans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from audit.kernels.candidates import code_points_before
from audit.phones import LENIENCY, PhoneNumbers
from audit.phones import search as search_phones
from audit.pii_budget import Budget, Over
from audit.pii_search import Hit, Texts
from audit.presidio import CONTEXT_REACH, Recogniser
from audit.spans import Span


def is_compiled(recogniser: Recogniser) -> TypeGuard[PhoneRecognizer]:
    """Whether the scan answers for a recogniser: it reads phone numbers at Presidio's own leniency."""
    return isinstance(recogniser, PhoneRecognizer) and recogniser.leniency == LENIENCY


def search_numbers(
    texts: Texts, recognisers: Sequence[PhoneRecognizer], budget: Budget
) -> tuple[list[Hit], Over]:
    """Find phone numbers, and the texts that were not searched to their end.

    Args:
        texts: n texts.
        recognisers: Whose regions are read.
        budget: ``max_phone_steps``, ``max_library_bytes`` and ``max_candidates``, for each recogniser.

    Returns:
        The hits, of texts over budget those found until then, and by kind n flags.
    """
    hits: list[Hit] = []
    over: dict[str, npt.NDArray[np.bool_]] = {}
    for recogniser in recognisers:
        found = search_phones(
            texts.data,
            texts.offsets,
            recogniser.supported_regions,
            max_steps=budget.max_phone_steps,
            max_library_bytes=budget.max_library_bytes,
            max_numbers=budget.max_candidates,
        )
        hits += _hits(texts, recogniser, found)
        kind = recogniser.supported_entities[0]
        over[kind] = over[kind] | found.over if kind in over else found.over
    return hits, over


def _hits(texts: Texts, recogniser: PhoneRecognizer, found: PhoneNumbers) -> Iterator[Hit]:
    kind = recogniser.supported_entities[0]
    points = code_points_before(texts.data, texts.offsets, found.spans)
    for (row, start, stop), point in zip(found.spans.tolist(), points.tolist(), strict=True):
        first = int(texts.offsets[row])
        value = texts.data[first + start : first + stop].tobytes().decode()
        span = Span(point, point + len(value), kind, recogniser.SCORE)
        yield Hit(row, span, recogniser, value, _before(texts, row, first + start))


def _before(texts: Texts, row: int, stop: int) -> str:
    first = max(int(texts.offsets[row]), stop - 4 * CONTEXT_REACH)
    return texts.data[first:stop].tobytes().decode("utf-8", "ignore")[-CONTEXT_REACH:]
