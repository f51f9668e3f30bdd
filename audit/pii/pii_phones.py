"""Raw hits of Presidio's phone recogniser, by the scan that is compiled from the numbering plans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.pii.phones import search as search_phones
from audit.pii.pii_budget import Budget, Over
from audit.pii.pii_search import Hit, Texts, number_hits
from audit.pii.presidio_library import PhoneRecognizer


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
        hits += number_hits(texts, recogniser, found)
        kind = recogniser.supported_entities[0]
        over[kind] = over[kind] | found.over if kind in over else found.over
    return hits, over
