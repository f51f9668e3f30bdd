"""How far reviewers agree, and how each of them does.

Krippendorff's alpha by coincidences: nominal for labels, ordinal for grades and severity (K. Krippendorff,
"Content Analysis", 4th ed. 2018, ch. 12). A document's coincidences are a matrix of its own, so a
bootstrap over documents sums matrices (A. F. Hayes, K. Krippendorff, "Answering the call for a standard
reliability measure for coding data", 2007, resample pairs; resampling whole documents keeps the pairs of
one document together).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from audit.model import SEVERITIES
from audit.questions import ALWAYS, Question

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal"]

#: Fewest documents with two answers or more for which alpha is given.
MIN_PAIRED = 10
_RESAMPLES = 2000
_ALPHA = 0.025


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha of one question.

    Attributes:
        question: Its name, with ``.severity`` where the severities are compared.
        level: Nominal, or ordinal.
        value, low, high: Alpha with a 95% bootstrap interval; None where there is none.
        documents: With two answers or more.
        answers: Of those documents.
        reason: Why there is no alpha, or no interval; empty where there is.
    """

    question: str
    level: Level
    value: float | None
    low: float | None
    high: float | None
    documents: int
    answers: int
    reason: str = ""


def coincidences(counts: Floats) -> Floats:
    """Coincidence matrices of documents.

    Args:
        counts: How many reviewers gave which label, shape (documents, labels); two or more each.

    Returns:
        Shape (documents, labels, labels).
    """
    given = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    matrices: Floats = pairs / (given - 1)[:, None, None]
    return matrices


def alpha(coincidence: Floats, level: Level) -> Floats:
    """Krippendorff's alpha of coincidence matrices.

    Args:
        coincidence: Shape (…, labels, labels); ordinal: labels in ascending order.
        level: How far apart two labels are.

    Returns:
        Shape (…); NaN where only one label occurs.
    """
    totals = coincidence.sum(axis=-1)
    n = totals.sum(axis=-1)
    distances = _distances(totals, level)
    observed = (coincidence * distances).sum(axis=(-2, -1))
    expected = (totals[..., :, None] * totals[..., None, :] * distances).sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)
    return found


def _distances(totals: Floats, level: Level) -> Floats:
    size = totals.shape[-1]
    if level == "nominal":
        return 1.0 - np.eye(size)
    # Ordinal: the ranks between two labels, those at the ends counted half (Krippendorff, ch. 12.3.4).
    middle = np.cumsum(totals, axis=-1) - totals / 2
    squared: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return squared


def measure(question: str, labels: Sequence[Sequence[str]], order: Sequence[str], level: Level) -> Agreement:
    """Alpha of one question with an interval.

    Args:
        question: Its name, which also seeds the bootstrap.
        labels: Per document what reviewers said, without unsure and skipped.
        order: Labels of the question, ascending where ordinal.
        level: Nominal, or ordinal.
    """
    paired = [said for said in labels if len(said) > 1]
    answers = sum(map(len, paired))

    def absent(reason: str) -> Agreement:
        return Agreement(question, level, None, None, None, len(paired), answers, reason)

    if len(paired) < MIN_PAIRED:
        return absent(f"{len(paired)} documents have two decided answers or more; {MIN_PAIRED} are needed")
    place = {label: number for number, label in enumerate(order)}
    counts = np.zeros((len(paired), len(order)))
    for row, said in enumerate(paired):
        np.add.at(counts[row], [place[label] for label in said], 1)
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return absent("only one category occurs, so there is no chance agreement to compare with")
    matrices = coincidences(counts)
    value = float(alpha(matrices.sum(axis=0), level))
    low, high, reason = _interval(matrices, level, question)
    return Agreement(question, level, value, low, high, len(paired), answers, reason)


def _interval(matrices: Floats, level: Level, question: str) -> tuple[float | None, float | None, str]:
    """Percentiles of alpha over documents drawn with replacement."""
    seed = int.from_bytes(hashlib.sha256(f"agreement {question}".encode()).digest()[:8], "big")
    documents, size, _ = matrices.shape
    shares = np.full(documents, 1 / documents)
    weights = np.random.default_rng(seed).multinomial(documents, shares, _RESAMPLES)
    sums = (weights @ matrices.reshape(documents, -1)).reshape(_RESAMPLES, size, size)
    found = alpha(sums, level)
    known = found[np.isfinite(found)]
    if len(known) < 0.95 * _RESAMPLES:
        # Dropping them would leave out the very resamples in which the rare label is missing.
        return None, None, "no interval: a label is so rare that many resamples hold only the other"
    low, high = np.quantile(known, [_ALPHA, 1 - _ALPHA])
    return float(low), float(high), ""


def report(
    db: duckdb.DuckDBPyConnection, questions: Sequence[Question], adjudicated: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """What the scorecard says of reviewers: JSON values, names of people left out.

    Args:
        db: With ``judgements``.
        questions: That were asked.
        adjudicated: Per question counts of the adjudication.
    """
    if db.execute("SELECT count(*) FROM judgements").fetchall() == [(0,)]:
        return {}
    found = [each for question in questions for each in _measures(db, question)]
    return {
        "questions": [vars(each) for each in found],
        "reviewers": _reviewers(db),
        "adjudication": [{"question": name, **counts} for name, counts in adjudicated.items()],
    }


def _measures(db: duckdb.DuckDBPyConnection, question: Question) -> list[Agreement]:
    if question.type == "text":
        return []
    decided = [label for label in question.answers if label not in ALWAYS]
    level: Level = "ordinal" if question.ordinal else "nominal"
    found = [measure(question.name, _said(db, question.name, "label", decided), decided, level)]
    severities = _said(db, question.name, "severity", SEVERITIES)
    if question.asks_severity and any(len(said) > 1 for said in severities):
        found.append(measure(f"{question.name}.severity", severities, SEVERITIES, "ordinal"))
    return found


def _said(db: duckdb.DuckDBPyConnection, question: str, column: str, known: Sequence[str]) -> list[list[str]]:
    rows = db.execute(
        f"""SELECT list({column} ORDER BY reviewer) FROM judgements
        WHERE question = ? AND NOT superseded AND phase = 'review' AND list_contains(?, {column})
        GROUP BY doc_id, text_digest ORDER BY doc_id, text_digest""",
        [question, list(known)],
    ).fetchall()
    return [said for (said,) in rows]


def _reviewers(db: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Per reviewer, numbered in the order of their names: who is who only the database says."""
    rows = db.execute(
        """WITH given AS (SELECT * FROM judgements WHERE NOT superseded),
        pairs AS (
            SELECT mine.reviewer, mine.doc_id, mine.question, bool_or(mine.label <> other.label) AS differs
            FROM given AS mine JOIN given AS other
                ON mine.doc_id = other.doc_id AND mine.text_digest = other.text_digest
                AND mine.question = other.question AND mine.reviewer <> other.reviewer
            WHERE mine.phase = 'review' AND other.phase = 'review'
                AND mine.label NOT IN ('unsure', 'skipped', 'answered')
                AND other.label NOT IN ('unsure', 'skipped', 'answered')
            GROUP BY ALL),
        compared AS (
            SELECT reviewer, count(*) AS compared, count(*) FILTER (differs) AS differing
            FROM pairs GROUP BY reviewer)
        SELECT reviewer, count(*) FILTER (phase = 'review'), count(*) FILTER (phase = 'adjudication'),
            list(seconds) FILTER (seconds IS NOT NULL), count(*) FILTER (label IN ('unsure', 'skipped')),
            count(*) FILTER (expected IS NOT NULL), count(*) FILTER (expected = label),
            any_value(compared), any_value(differing)
        FROM given LEFT JOIN compared USING (reviewer) GROUP BY reviewer ORDER BY reviewer"""
    ).fetchall()
    return [_reviewer(number, *row[1:]) for number, row in enumerate(rows, 1)]


def _reviewer(
    number: int,
    reviewed: int,
    adjudicated: int,
    seconds: list[float] | None,
    undecided: int,
    known: int,
    right: int,
    compared: int | None,
    differing: int | None,
) -> dict[str, Any]:
    return {
        "reviewer": number,
        "judgements": reviewed,
        "adjudications": adjudicated,
        "undecided": undecided,
        "median_seconds": median(seconds) if seconds else None,
        "known_answers": known,
        "known_answers_right": right,
        "accuracy": accuracy(right, known),
        "compared": compared or 0,
        "differing": differing or 0,
    }


def accuracy(right: int, known: int) -> dict[str, float | None]:
    """Share of right answers with a 95% interval after Clopper and Pearson (1934); absent without answers."""
    if not known:
        return {"value": None, "low": None, "high": None}
    low = float(betaincinv(right, known - right + 1, _ALPHA)) if right else 0.0
    high = float(betaincinv(right + 1, known - right, 1 - _ALPHA)) if right < known else 1.0
    return {"value": right / known, "low": low, "high": high}
