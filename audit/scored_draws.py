"""The judged sample with what a screen said of the same documents, by stratum, overall or in a slice."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit.dimensions import REPORTED, conditions
from audit.drawing import PHASE, Drawing
from audit.slicing import NO_SCORE
from audit.statistics.second_phase import SecondPhase, second_phase
from audit.statistics.stratum_samples import LABELS, UNSURE, completed_prefix

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

#: Scores are rounded as the additive sums of the cells are, so that both speak of the same numbers.
_DIGITS = 6


@dataclass(frozen=True)
class Detector:
    """A screen that predicts the answer to a question.

    Attributes:
        question, screen: Names.
        scored: Whether it gives a score of harm, and not only a flag.
    """

    question: str
    screen: str
    scored: bool


@dataclass(frozen=True, eq=False)
class ScoredPart:
    """What is known of one stratum, or of a slice's part of it.

    Attributes:
        stratum: Label.
        documents: All there are.
        total: Sum of the scores of all of them; what the screen did not evaluate counts 0, as not flagged.
        least, most: Range of those scores, by the bands that they lie in.
        labels: Of the completed prefix of the stratum's draw order, shape (n,).
        scores: Of the same documents, 0 where the screen did not evaluate, shape (n,).
        flagged: Whether the screen flags them, shape (n,).
        evaluated: Whether it evaluated them, shape (n,).
        positions: Row of each in the table of draws, shape (n,).
        weights: What each stands for among the judged ones: 1 / pi2 of the second look at negative answers,
            0 for one that nobody is to look at again, shape (n,); None while answers are not adjudicated.
        heaviest: The most that one could stand for.
    """

    stratum: str
    documents: int
    total: float
    least: float
    most: float
    labels: Codes
    scores: Floats
    flagged: npt.NDArray[np.bool_]
    evaluated: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.int64]
    weights: Floats | None = None
    heaviest: float = 1.0

    @property
    def counts(self) -> Floats:
        """What each judged document stands for, shape (n,)."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights

    @property
    def undecided(self) -> int:
        """Documents that wait for adjudication, or stayed unsure after it; 0 while there is none."""
        return 0 if self.weights is None else int(((self.labels == UNSURE) & (self.weights > 0)).sum())


def draws(db: duckdb.DuckDBPyConnection, detector: Detector) -> pa.Table:
    """The review sample in draw order: answer, dimensions, the screen's score and flag (null: not evaluated).

    Args:
        db: With ``samples``, ``final_labels`` and the views over the parts, the screen's among them.
        detector: Question and screen.
    """
    dimensions = ", ".join(f"documents.{name}" for name in REPORTED)
    flagged = f"documents.{detector.screen}_flagged"
    score = f"documents.{detector.screen}_score" if detector.scored else flagged
    return db.sql(
        f"""WITH answers AS (SELECT doc_id, text_digest, label, weight FROM final_labels WHERE question = ?)
        SELECT samples.stratum, samples.draw, samples.shard, samples.position, answers.label,
            answers.weight, CAST({score} AS DOUBLE) AS score, CAST({flagged} AS BOOLEAN) AS flagged,
            {dimensions}
        FROM samples JOIN sampled_documents AS documents USING (shard, position)
        LEFT JOIN answers ON answers.doc_id = samples.doc_id AND answers.text_digest = documents.text_digest
        WHERE samples.phase = '{PHASE}' ORDER BY samples.stratum, samples.draw""",
        params=[detector.question],
    ).to_arrow_table()


def parts(name: str, drawing: Drawing, table: pa.Table, detector: Detector) -> tuple[ScoredPart, ...]:
    """What the sample knows of a slice, by stratum; nothing where the slice has no document.

    Args:
        name: Of the slice.
        drawing: The review sample.
        table: As ``draws`` gives it.
        detector: Question and screen.
    """
    wanted = conditions(name)
    cells = drawing.cells.filter(pa.array(_mask(drawing.cells, wanted)))
    column = f"{detector.screen}_score_ppm" if detector.scored else f"{detector.screen}_flagged"
    each = 1e-6 if detector.scored else 1.0
    low, high = _ranges(cells, detector)
    cells = cells.append_column("least", pa.array(low)).append_column("most", pa.array(high))
    sums = [("documents", "sum"), (column, "sum"), ("least", "min"), ("most", "max")]
    strata = cells.group_by("stratum", use_threads=False).aggregate(sums)
    member = _mask(table, wanted)
    counted = _prefixes(table)
    scores = np.nan_to_num(table.column("score").to_numpy(zero_copy_only=False).astype(float))
    flagged = pc.fill_null(table.column("flagged"), False).to_numpy(zero_copy_only=False).astype(bool)
    evaluated = table.column("score").is_valid().to_numpy(zero_copy_only=False).astype(bool)
    codes = np.array([LABELS.get(label, UNSURE) for label in table.column("label").to_pylist()], np.int8)
    names = np.asarray(table.column("stratum").to_pylist(), object)
    again = _again(table, names, counted)
    found = []
    for row in strata.sort_by("stratum").to_pylist():
        at = np.flatnonzero((names == row["stratum"]) & member & counted)
        labels, weights, heaviest = _adjudicated(codes[at], table, at, again.get(row["stratum"]))
        found.append(
            ScoredPart(
                row["stratum"],
                row["documents_sum"],
                row[f"{column}_sum"] * each,
                row["least_min"],
                row["most_max"],
                labels,
                np.round(scores[at], _DIGITS),
                flagged[at],
                evaluated[at],
                at,
                weights,
                heaviest,
            )
        )
    return tuple(found)


def _again(
    table: pa.Table, names: npt.NDArray[np.object_], counted: npt.NDArray[np.bool_]
) -> dict[str, SecondPhase]:
    """The second look at the negatives of each whole stratum; nothing where answers are not adjudicated."""
    weights = table.column("weight")
    if weights.null_count == len(weights):
        return {}
    values, ranks = weights.to_numpy().astype(float), table.column("draw").to_numpy()
    rows = {name: np.flatnonzero((names == name) & counted) for name in dict.fromkeys(names)}
    return {name: second_phase(ranks[at], values[at]) for name, at in rows.items()}


def _adjudicated(
    labels: Codes, table: pa.Table, at: npt.NDArray[np.int64], second: SecondPhase | None
) -> tuple[Codes, Floats | None, float]:
    """Labels, what they stand for, and the most that one could; as ``StratumSample`` has them for gates."""
    if second is None:
        return labels, None, 1.0
    ranks = table.column("draw").to_numpy()[at]
    if second.tells_nothing:
        doubted = np.where(np.isin(ranks, second.negatives), np.int8(UNSURE), labels)
        return doubted, np.ones(len(labels)), 1.0
    return labels, second.weights(ranks), second.stands_for


def _ranges(cells: pa.Table, detector: Detector) -> tuple[list[float], list[float]]:
    """Ends of the band of each cell; 0 where the screen did not evaluate."""
    if not detector.scored:
        return [0.0] * len(cells), [1.0] * len(cells)
    bands = [band.split("-") for band in cells.column(f"{detector.screen}_band").to_pylist()]
    ends = [(0.0, 0.0) if band == [NO_SCORE] else (float(band[0]), float(band[1])) for band in bands]
    return [round(low, _DIGITS) for low, _ in ends], [round(high, _DIGITS) for _, high in ends]


def _prefixes(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Draws before the first of their stratum that has no answer."""
    answered = table.column("label").is_valid().to_numpy(zero_copy_only=False).astype(bool)
    ranks = table.column("draw").to_numpy()
    codes = np.asarray(pc.dictionary_encode(table.column("stratum").combine_chunks()).indices)
    counted = np.zeros(len(table), bool)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        counted[rows] = completed_prefix(ranks[rows], answered[rows])
    return counted


def _mask(table: pa.Table, wanted: dict[str, str]) -> npt.NDArray[np.bool_]:
    mask = np.ones(len(table), bool)
    for dimension, value in wanted.items():
        mask &= np.asarray(pc.equal(table.column(dimension), value).to_numpy(zero_copy_only=False), bool)
    return mask
