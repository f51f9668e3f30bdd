"""The adjudication of a run: whether it was opened, what it selects, and the final labels of its database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from audit.adjudication import (
    NO,
    PHASE,
    YES,
    Adjudicated,
    Reviewed,
    adjudicate,
    consensus,
    labels_for_limits,
    number,
)
from audit.storage.store import write_atomically

#: Within the run's ``sample`` folder; there once adjudication was opened.
FILE = "adjudication.json"


def open_phase(folder: Path, share: float) -> None:
    """Note in a run's ``sample`` folder that answers are adjudicated from now on."""
    write_atomically(folder / FILE, (json.dumps({"share": share}, sort_keys=True) + "\n").encode())


def is_open(folder: Path) -> bool:
    """Whether answers of the run are adjudicated."""
    return (folder / FILE).is_file()


def reviewed(db: duckdb.DuckDBPyConnection, question: str) -> list[Reviewed]:
    """Documents of the review sample with an answer to a question, in draw order.

    Args:
        db: With ``samples`` (phase review) and ``judgements``, whose ``harm`` reduces labels to yes and no.
        question: A metric.
    """
    rows = db.execute(
        """WITH said AS (
            SELECT doc_id, text_digest,
                list(harm ORDER BY reviewer) FILTER (phase = 'review') AS labels,
                list(harm ORDER BY reviewer) FILTER (phase = 'adjudication') AS adjudicated
            FROM judgements WHERE question = ? AND NOT superseded AND harm IS NOT NULL GROUP BY ALL)
        SELECT samples.doc_id, said.text_digest, stratum, draw, inclusion_probability, labels, adjudicated
        FROM samples JOIN sampled_documents AS documents USING (shard, position)
        JOIN said ON said.doc_id = samples.doc_id AND said.text_digest = documents.text_digest
        WHERE phase = 'review' AND labels IS NOT NULL ORDER BY stratum, draw""",
        [question],
    ).fetchall()
    return [
        Reviewed(doc_id, digest, stratum, draw, probability, tuple(labels), tuple(again or ()))
        for doc_id, digest, stratum, draw, probability, labels, again in rows
    ]


def fill(
    db: duckdb.DuckDBPyConnection, questions: Sequence[str], share: float | None, seed: bytes
) -> dict[str, dict[str, int]]:
    """Fill ``final_labels``, and the second phase of ``samples``.

    Args:
        db: As ``reviewed`` wants it.
        questions: Metrics.
        share: Of the negatives; None while adjudication is not open: then the final label is what the
            reviewers agree on.
        seed: Of the sample.

    Returns:
        Per question what was selected, adjudicated and overturned; empty while not open.
    """
    counts = {}
    finals: list[tuple[Reviewed, str | None, float | None]]
    for question in questions:
        documents = reviewed(db, question)
        if share is None:
            finals = [(d, consensus(d.labels), None) for d in documents]
        else:
            second = adjudicate(documents, share, seed)
            finals = [(d.reviewed, d.label, d.weight) for d in labels_for_limits(second)]
            _insert_sample(db, question, [d for d in second if d.selected], seed)
            counts[question] = _counts(second)
        rows = [(d.doc_id, d.text_digest, question, label, weight) for d, label, weight in finals]
        names = ("doc_id", "text_digest", "question", "label", "weight")
        _insert(db, "INSERT INTO final_labels BY NAME SELECT * FROM incoming", names, rows)
    return counts


def waiting(db: duckdb.DuckDBPyConnection) -> list[str]:
    """Ids of documents that were selected and that nobody has adjudicated, for one question at least."""
    rows = db.execute(
        """SELECT DISTINCT doc_id FROM samples WHERE phase = 'adjudication' AND NOT EXISTS (
            FROM judgements WHERE judgements.doc_id = samples.doc_id AND phase = 'adjudication'
                AND judgements.question = samples.question AND NOT superseded)
        ORDER BY doc_id"""
    ).fetchall()
    return [doc_id for (doc_id,) in rows]


def _insert_sample(
    db: duckdb.DuckDBPyConnection, question: str, selected: Sequence[Adjudicated], seed: bytes
) -> None:
    ordered = sorted(selected, key=lambda d: number(seed, d.reviewed.doc_id, d.reviewed.text_digest))
    ranks: dict[str, int] = {}
    rows = []
    for d in ordered:
        stratum = d.reviewed.stratum
        ranks[stratum] = ranks.get(stratum, 0) + 1
        chance = d.reviewed.probability * d.probability
        rows.append((d.reviewed.doc_id, stratum, chance, ranks[stratum], question))
    names = ("doc_id", "stratum", "inclusion_probability", "draw", "question")
    _insert(
        db,
        f"""INSERT INTO samples BY NAME
        SELECT incoming.*, '{PHASE}' AS phase, shard, position FROM incoming
        JOIN (SELECT doc_id, shard, position FROM samples WHERE phase = 'review') USING (doc_id)""",
        names,
        rows,
    )


def _insert(
    db: duckdb.DuckDBPyConnection, query: str, names: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """Run a query over rows, which it knows as ``incoming``."""
    if rows:
        columns = (list(column) for column in zip(*rows, strict=True))
        db.register("incoming", pa.table(dict(zip(names, columns, strict=True))))
        db.execute(query)
        db.unregister("incoming")


def _counts(documents: Sequence[Adjudicated]) -> dict[str, int]:
    done = [d for d in documents if d.selected and d.reviewed.adjudicated]
    overturned = [d for d in done if d.label in (YES, NO) and d.label != consensus(d.reviewed.labels)]
    return {
        "selected": sum(d.selected for d in documents),
        "negatives_selected": sum(d.selected and d.reviewed.is_negative for d in documents),
        "adjudicated": len(done),
        "overturned": len(overturned),
        "negatives_overturned": sum(d.reviewed.is_negative for d in overturned),
    }
