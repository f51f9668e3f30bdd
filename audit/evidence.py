"""Gathers what gates are held against: screens' counts and people's judgements, by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit.dimensions import REPORTED, conditions, slice_name
from audit.drawing import PHASE, Drawing
from audit.model import WHOLE, Estimate
from audit.statistics.census import Census, Unit
from audit.statistics.estimation import SEQUENTIAL, Prevalence, Rule, StratumSample, stratum_samples

#: Values of a dimension that get estimates of their own, by documents; gates may name any other.
_VALUES = 12
_UNITS: tuple[Unit, Unit] = ("documents", "tokens")


@dataclass(frozen=True)
class DuplicateCount:
    """Removable copies, with the doubt that sketches leave; evidence for gates.

    Attributes:
        metric, slice: As gates name them.
        total, n: Documents (or tokens) of the slice, and documents screened.
        flagged: Of those, in copies that do not represent their cluster.
        fewer, more: How many documents (or tokens) of the whole corpus the screen may have taken for
            copies wrongly, or missed. They are charged to every slice in full, since nobody knows where
            they lie. What the screen did not evaluate in the slice counts as missed.
    """

    metric: str
    slice: str
    total: int
    flagged: int
    n: int
    fewer: float
    more: float

    reviewed: ClassVar[bool] = False
    unjudged: ClassVar[tuple[str, ...]] = ()
    waiting: ClassVar[int] = 0

    @property
    def value(self) -> float | None:
        """Share of copies; None where nothing was evaluated."""
        return self.flagged / self.total if self.total and self.n else None

    def upper_limit(self, alpha: float) -> float:
        """The share if every doubt is a copy, whatever the alpha."""
        del alpha
        return min(1.0, (self.flagged + self.more) / self.total) if self.total else 1.0

    def lower_limit(self, alpha: float) -> float:
        """The share if no doubt is a copy, whatever the alpha."""
        del alpha
        return max(0.0, (self.flagged - self.fewer) / self.total) if self.total else 0.0

    def p_value_at_most(self, limit: float) -> float:
        """0 where even the lower limit is over it, else 1."""
        return 0.0 if self.lower_limit(0.0) > limit else 1.0

    def estimate(self, alpha: float) -> Estimate:
        """As an estimate; the limits come from pairs within the sketch's error of the threshold."""
        if not self.total or not self.n:
            return Estimate(self.metric, self.slice, None, None, None, self.n, 1.0, _DUPLICATE_METHOD)
        return Estimate(
            self.metric,
            self.slice,
            self.value,
            self.lower_limit(alpha),
            self.upper_limit(alpha),
            self.n,
            1.0,
            _DUPLICATE_METHOD,
        )

    def labels_to_decide(self, limit: float, alpha: float) -> None:
        """None: no judgement changes the count."""
        del limit, alpha


_DUPLICATE_METHOD = (
    "census of the screen: copies beside one representative a cluster; limits: doubtful pairs all refused or "
    "all accepted, with what banding is expected to miss"
)

_PARAGRAPH_METHOD = (
    "census of the screen: bytes in paragraphs that many documents share, of all bytes; paragraphs under the "
    "least length count as not shared; limits: none or all of what it did not evaluate, at four bytes a "
    "character; n counts documents"
)

Evidence = Prevalence | Census | DuplicateCount


def gather(
    db: duckdb.DuckDBPyConnection,
    drawing: Drawing | None,
    questions: Sequence[str],
    wanted: Sequence[str],
    doubt: Mapping[str, float],
    *,
    screened: int,
    lost: int,
    rule: Rule = SEQUENTIAL,
) -> list[Evidence]:
    """All evidence of a run.

    Args:
        db: With the count tables, the views over the parts, and ``samples`` and ``judgements`` filled.
        drawing: The review sample; None when there is no document.
        questions: That reviewers are asked.
        wanted: Slices that gates name, beside those that are reported anyway.
        doubt: Statistics of the duplicate screen (``duplicates_low``, ``duplicates_high``).
        screened, lost: Documents, and records that should have been and were rejected.
        rule: When limits of judgements may be looked at.
    """
    evidence: list[Evidence] = [*_unscreened(lost, screened), *_censuses(db), *_duplicates(db, doubt)]
    evidence += _repeated_paragraphs(db)
    if drawing is None:
        return evidence
    slices = list(dict.fromkeys([WHOLE, *reported_slices(db), *wanted]))
    for question in questions:
        draws = judged_draws(db, question)
        for name in slices:
            evidence += _prevalences(question, name, drawing, draws, rule)
    return evidence


def _unscreened(lost: int, screened: int) -> Iterator[Census]:
    total = lost + screened
    method = "count of records that should be documents and could not be screened"
    yield Census("unscreened", WHOLE, total, total, lost, total, "documents", method)


def _censuses(db: duckdb.DuckDBPyConnection) -> Iterator[Census]:
    rows = db.execute(
        """SELECT dimension, value, screen, documents, tokens, evaluated, flagged, evaluated_tokens,
        flagged_tokens FROM slice_counts WHERE screen <> 'duplicates' ORDER BY ALL"""
    ).fetchall()
    for dimension, value, screen, documents, tokens, evaluated, flagged, seen_tokens, hit_tokens in rows:
        where = slice_name(dimension, value)
        yield Census(f"{screen}.flagged", where, documents, evaluated, flagged, evaluated, "documents")
        yield Census(f"{screen}.flagged_tokens", where, tokens, seen_tokens, hit_tokens, evaluated, "tokens")


def _duplicates(db: duckdb.DuckDBPyConnection, doubt: Mapping[str, float]) -> Iterator[DuplicateCount]:
    rows = db.execute(
        """SELECT dimension, value, documents, tokens, flagged, flagged_tokens, evaluated, evaluated_tokens
        FROM slice_counts WHERE screen = 'duplicates' ORDER BY ALL"""
    ).fetchall()
    whole = next((row for row in rows if row[0] == WHOLE), None)
    if whole is None:
        return
    fewer = max(0.0, whole[4] - doubt.get("duplicates_low", whole[4]))
    more = max(0.0, doubt.get("duplicates_high", whole[4]) - whole[4])
    each = whole[3] / max(whole[2], 1)  # a doubtful document's tokens are not known: the corpus' mean
    for dimension, value, documents, tokens, flagged, flagged_tokens, seen, seen_tokens in rows:
        where = slice_name(dimension, value)
        missed, missed_tokens = documents - seen, tokens - seen_tokens
        yield DuplicateCount("duplicates.documents", where, documents, flagged, seen, fewer, more + missed)
        yield DuplicateCount(
            "duplicates.tokens",
            where,
            tokens,
            flagged_tokens,
            seen,
            fewer * each,
            more * each + missed_tokens,
        )


def _repeated_paragraphs(db: duckdb.DuckDBPyConnection) -> Iterator[Census]:
    rows = db.execute(
        """SELECT dimension, value, bytes, evaluated_bytes, repeated_bytes, evaluated
        FROM paragraph_counts ORDER BY ALL"""
    ).fetchall()
    for dimension, value, total, seen, repeated, n in rows:
        where = slice_name(dimension, value)
        yield Census("repeated_paragraphs.bytes", where, total, seen, repeated, n, "bytes", _PARAGRAPH_METHOD)


def reported_slices(db: duckdb.DuckDBPyConnection) -> list[str]:
    """Slices that get estimates of their own: the largest of each dimension."""
    names = []
    for dimension in REPORTED:
        rows = db.execute(
            f"""SELECT {dimension}, sum(documents) FROM cell_counts
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_VALUES}"""
        ).fetchall()
        names += [slice_name(dimension, value) for value, _ in rows]
    return names


def judged_draws(db: duckdb.DuckDBPyConnection, question: str) -> pa.Table:
    """The sample in draw order with dimensions, tokens and the answer to one question.

    The answer is the final one (``audit.adjudication``): where people disagree and nobody decided between
    them it is unsure, harm for the upper limit, none for the lower. ``weight`` is that of the adjudication.
    """
    dimensions = ", ".join(f"documents.{name}" for name in REPORTED)
    return db.sql(
        f"""WITH answers AS (SELECT doc_id, text_digest, label, weight FROM final_labels WHERE question = ?)
        SELECT samples.stratum, samples.draw, answers.label, answers.weight,
            documents.n_tokens AS tokens, {dimensions}
        FROM samples JOIN sampled_documents AS documents USING (shard, position)
        LEFT JOIN answers ON answers.doc_id = samples.doc_id AND answers.text_digest = documents.text_digest
        WHERE samples.phase = '{PHASE}'
        ORDER BY samples.stratum, samples.draw""",
        params=[question],
    ).to_arrow_table()


def _prevalences(question: str, name: str, drawing: Drawing, draws: pa.Table, rule: Rule) -> list[Prevalence]:
    samples = slice_samples(name, drawing, draws)
    return [
        Prevalence(question if unit == "documents" else f"{question}.tokens", name, samples, unit, rule)
        for unit in _UNITS
        if samples
    ]


def slice_samples(name: str, drawing: Drawing, draws: pa.Table) -> tuple[StratumSample, ...]:
    """What a sample knows of a slice, stratum by stratum; nothing where the slice has no document.

    Args:
        name: Of the slice.
        drawing: The sample.
        draws: ``stratum``, ``draw``, ``label``, ``tokens``, ``weight`` where answers may be adjudicated, and
            the dimensions, of every draw.
    """
    wanted = conditions(name)
    cells = drawing.cells.filter(pa.array(_mask(drawing.cells, wanted)))
    if len(cells) == 0:
        return ()
    counts = [("documents", "sum"), ("tokens", "sum"), ("max_tokens", "max")]
    strata = cells.group_by("stratum", use_threads=False).aggregate(counts)
    strata = strata.rename_columns(["stratum", "documents", "tokens", "max_tokens"]).sort_by("stratum")
    names = strata.column("stratum").combine_chunks()
    members = draws.append_column("member", pa.array(_mask(draws, wanted)))
    members = members.filter(pc.is_in(members.column("stratum"), value_set=names))
    return stratum_samples(strata, members, drawing.design.looks if drawing.phase == PHASE else None)


def _mask(table: pa.Table, wanted: Mapping[str, str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.ones(len(table), bool)
    for dimension, value in wanted.items():
        mask &= np.asarray(pc.equal(table.column(dimension), value).to_numpy(), bool)
    return mask
