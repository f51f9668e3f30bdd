"""What a review knows of each stratum: the completed prefix of its draw order, and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.statistics.census import Unit
from audit.statistics.second_phase import SecondPhase, second_phase
from audit.statistics.sequential import DECLARED

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]

NO, YES, UNSURE = 0, 1, 2
#: Labels of a judgement by code.
LABELS = {"no": NO, "yes": YES, "unsure": UNSURE, "skipped": UNSURE}


@dataclass(frozen=True, eq=False)
class StratumSample:
    """What the review knows of one stratum (or of a slice's part of it).

    Attributes:
        stratum: Label.
        documents, tokens: All there are.
        labels: ``NO``, ``YES`` or ``UNSURE`` of the completed prefix, in draw order, shape (n,).
        judged_tokens: Tokens of the same documents, shape (n,).
        max_tokens: Tokens of the longest document; None: unknown, so it could hold them all.
        waiting: Documents that were drawn and are not in the completed prefix.
        ranks: Places of the labels in the stratum's draw order, from 1, ascending; None: 1 to n.
        waiting_ranks, waiting_tokens: Of the waiting documents; None: they follow, of unknown length.
        drawn: Draws of the whole stratum; None: labels and waiting are all.
        looks: Draws of the whole stratum at each look of the sequential rule; None: all there are, at the
            declared size, and no other look.
        second: The second look at negative answers; None while answers are not adjudicated. Labels are
            adjudicated ones then, unsure where that is to come.
    """

    stratum: str
    documents: int
    tokens: int
    labels: Codes
    judged_tokens: Ints
    max_tokens: int | None = None
    waiting: int = 0
    ranks: Ints | None = None
    waiting_ranks: Ints | None = None
    waiting_tokens: Ints | None = None
    drawn: int | None = None
    looks: Mapping[int, int] | None = None
    second: SecondPhase | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.labels), len(self.judged_tokens)}
        lengths |= set() if self.ranks is None else {len(self.ranks)}
        if len(self.labels) > self.documents or len(lengths) > 1:
            raise ValueError(f"stratum {self.stratum}: judgements do not fit its documents")

    def total(self, unit: Unit) -> int:
        """Documents or tokens in the stratum."""
        return self.documents if unit == "documents" else self.tokens

    def sizes(self, unit: Unit) -> Floats:
        """Documents (1 each) or tokens of the judged documents."""
        return np.ones(len(self.labels)) if unit == "documents" else self.judged_tokens.astype(float)

    def longest(self, unit: Unit) -> float:
        """The most that one document of the stratum can count."""
        if unit == "documents":
            return 1.0
        return float(self.tokens if self.max_tokens is None else self.max_tokens)

    def size_at(self, look: int) -> int | None:
        """Draws of the whole stratum at a look; None where fewer were drawn."""
        drawn = len(self.labels) + self.waiting if self.drawn is None else self.drawn
        if self.looks is None:
            return drawn if look == DECLARED else None
        size = self.looks.get(look)
        return size if size is not None and size <= drawn else None

    @property
    def is_known(self) -> bool:
        """Whether all documents were judged, and, where answers are adjudicated, all looked at again."""
        return len(self.labels) == self.documents and bool((self.weights > 0).all())

    @cached_property
    def weights(self) -> Floats:
        """What each judged document stands for among the judged ones: 1 / pi2, or 0; shape (n,)."""
        if self.second is None or self.second.tells_nothing:
            return np.ones(len(self.labels))
        return self.second.weights(self._ranks())

    @cached_property
    def final(self) -> Codes:
        """Labels; unsure for the negatives of a stratum of which none is looked at again, shape (n,)."""
        if self.second is None or not self.second.tells_nothing:
            return self.labels
        doubted = np.isin(self._ranks(), self.second.negatives)
        return np.where(doubted, np.int8(UNSURE), self.labels)

    @property
    def heaviest(self) -> float:
        """The most judged documents that one could stand for."""
        return 1.0 if self.second is None else self.second.stands_for

    def declared(self) -> StratumSample:
        """The same stratum as far as it was declared before the first judgement."""
        size = None if self.looks is None else self.size_at(DECLARED)
        return self if size is None else self.first(size)

    def first(self, size: int) -> StratumSample:
        """The same stratum when only so many draws had been made."""
        ranks, waiting = self._ranks(), self._waiting_ranks()
        kept, waits = ranks <= size, waiting <= size
        return replace(
            self,
            labels=self.labels[kept],
            judged_tokens=self.judged_tokens[kept],
            waiting=int(waits.sum()),
            ranks=ranks[kept],
            waiting_ranks=waiting[waits],
            waiting_tokens=None if self.waiting_tokens is None else self.waiting_tokens[waits],
            drawn=size,
            looks=None,
            second=None if self.second is None else self.second.first(size),
        )

    def imputed(self) -> StratumSample:
        """The same stratum with all that waits judged unsure."""
        tokens = self.waiting_tokens
        if tokens is None:
            tokens = np.full(self.waiting, int(self.longest("tokens")), np.int64)
        return replace(
            self,
            labels=np.concatenate((self.labels, np.full(self.waiting, UNSURE, np.int8))),
            judged_tokens=np.concatenate((self.judged_tokens, tokens)),
            ranks=np.concatenate((self._ranks(), self._waiting_ranks())),
            waiting=0,
            waiting_ranks=None,
            waiting_tokens=None,
        )

    def _ranks(self) -> Ints:
        return np.arange(1, len(self.labels) + 1) if self.ranks is None else self.ranks

    def _waiting_ranks(self) -> Ints:
        if self.waiting_ranks is not None:
            return self.waiting_ranks
        ranks = self._ranks()
        return np.arange(self.waiting) + (int(ranks[-1]) + 1 if len(ranks) else 1)


def completed_prefix(draw: npt.NDArray[np.int64], judged: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which draws of one stratum count: those before the first without a judgement, in draw order."""
    waiting = draw[~judged]
    first: int | float = waiting.min() if len(waiting) else np.inf
    return np.asarray(draw < first)


def stratum_samples(
    strata: pa.Table, draws: pa.Table, looks: Mapping[str, Mapping[int, int]] | None = None
) -> tuple[StratumSample, ...]:
    """Bring draws and judgements together, stratum by stratum.

    Args:
        strata: ``stratum``, ``documents``, ``tokens`` and, for tighter limits of tokens, ``max_tokens``.
            For a slice: of the slice's part of each stratum.
        draws: ``stratum``, ``draw`` (rank from 1), ``label`` (null: not judged yet), ``tokens``. For a
            slice: all draws of the strata all the same, with a boolean column ``member`` that says which
            lie in the slice: the prefix is that of the whole stratum. Optional ``weight``: 1 / pi2 of the
            adjudication, null throughout where answers are not adjudicated.
        looks: Draws of each stratum at each look, by stratum; None: what was drawn is the declared size.

    Raises:
        ValueError: A label is unknown, or a draw's stratum is.
    """
    table = draws.sort_by([("stratum", "ascending"), ("draw", "ascending")])
    names = strata.column("stratum").combine_chunks()
    if pc.any(pc.is_null(pc.index_in(table.column("stratum"), value_set=names))).as_py():
        raise ValueError("a draw belongs to no stratum of the design")
    longest = (
        strata.column("max_tokens").to_pylist()
        if "max_tokens" in strata.column_names
        else [None] * len(strata)
    )
    columns = (strata.column(name).to_pylist() for name in ("stratum", "documents", "tokens"))
    codes = _label_codes(table.column("label"))
    at = np.asarray(pc.index_in(table.column("stratum"), value_set=names))
    member = table.column("member").to_numpy() if "member" in table.column_names else np.ones(len(at), bool)
    tokens, draw = table.column("tokens").to_numpy(), table.column("draw").to_numpy()
    weights = _weights(table)
    samples = []
    for code, (stratum, documents, total, most) in enumerate(zip(*columns, longest, strict=True)):
        rows = np.flatnonzero(at == code)
        if not documents:
            continue
        prefix = completed_prefix(draw[rows], codes[rows] >= 0)
        counts, judged = prefix & member[rows], rows[prefix]
        waits, known = rows[member[rows] & ~counts], rows[counts]
        samples.append(
            StratumSample(
                stratum,
                documents,
                total,
                codes[known],
                tokens[known],
                most,
                waiting=len(waits),
                ranks=draw[known],
                waiting_ranks=draw[waits],
                waiting_tokens=tokens[waits],
                drawn=len(rows),
                looks=None if looks is None else looks[stratum],
                second=None if weights is None else second_phase(draw[judged], weights[judged]),
            )
        )
    return tuple(samples)


def _weights(draws: pa.Table) -> Floats | None:
    """Weights of the second phase; None where no answer is adjudicated."""
    if "weight" not in draws.column_names or draws.column("weight").null_count == len(draws):
        return None
    weights: Floats = draws.column("weight").to_numpy().astype(float)
    return weights


def _label_codes(labels: pa.ChunkedArray) -> Codes:
    """Codes of the labels, -1 where there is none yet."""
    known = pa.array(list(LABELS), pa.string())
    index = pc.index_in(pc.cast(labels, pa.string()), value_set=known)
    if pc.any(pc.and_(pc.is_null(index), pc.is_valid(labels))).as_py():
        raise ValueError(f"a judgement's label is none of {', '.join(LABELS)}")
    codes = np.array([*LABELS.values(), -1], np.int8)
    coded: Codes = codes[pc.fill_null(index, len(LABELS)).to_numpy()]
    return coded
