"""Review of a run: the sample out to people, their judgements back in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from audit import reports, sources
from audit.errors import ConfigurationError, FatalError, InputError
from audit.lineage import verification
from audit.model import Shard
from audit.review import csv
from audit.review.exchange import Import
from audit.review.judgements import JudgementStore
from audit.review.texts import SampleRow
from audit.run import Run
from audit.standing import JUDGING

PHASE = "review"
_FORMATS = ("csv",)


def export(run: Run, out: Path, file_format: str) -> dict[str, Any]:
    """Write the review sample with its texts, read from the sources again.

    Raises:
        ConfigurationError: Unknown format, or a source that is not where it was.
        FatalError: The corpus changed since it was screened.
    """
    if file_format not in _FORMATS:
        raise ConfigurationError(
            f"unknown format {file_format!r}", key="--format", remedy=f"Known: {', '.join(_FORMATS)}"
        )
    config, run_id = run.config(), run.manifest()["run_id"]
    with run.connect() as db:
        rows = list(_rows(run, db))
    written = csv.export(rows, out, questions=config.sampling.questions, run_id=run_id)
    run.journal.append("exported", {"format": file_format, "documents": written})
    return {"documents": written, "questions": ", ".join(config.sampling.questions), "file": str(out)}


def take_in(run: Run, files: Sequence[Path]) -> list[str]:
    """Import judgements: every file, or none of them.

    Returns:
        Notes for people: what was taken, what was left out and why.
    """
    config, run_id = run.config(), run.manifest()["run_id"]
    with run.connect() as db:
        drawn = dict(_drawn(db))
        imports = [
            csv.parse(
                path, run_id=run_id, questions=config.sampling.questions, drawn=drawn, known=_membership(db)
            )
            for path in files
        ]
    run.journal.append(JUDGING, {"judgements": sum(len(taken.judgements) for taken in imports)})
    receipt = JudgementStore(run.judgements).add([j for taken in imports for j in taken.judgements])
    digests = {f"{run.judgements.name}/{name}": digest for name, digest in receipt.files.items()}
    run.journal.append(
        verification.JUDGED, {"added": receipt.added, "changed": receipt.changed, "files": digests}
    )
    return [_note(path, taken) for path, taken in zip(files, imports, strict=True)]


def _rows(run: Run, db: duckdb.DuckDBPyConnection) -> Iterator[SampleRow]:
    config = run.config()
    shards = {report.shard.shard: report.shard for report in reports.load(run.store.folder / reports.FILE)}
    known = {(shard, position): rest for shard, position, *rest in _sampled(db)}
    for shard in sorted({shard for shard, _ in known}):
        positions = [position for where, position in known if where == shard]
        texts = _texts(shards[shard], config.corpus.columns, config.read_limits(), positions)
        for position, _, text in texts:
            doc_id, digest, url = known.pop((shard, position))
            yield SampleRow(doc_id, text, digest, url)
    if known:
        raise FatalError(f"{len(known)} sampled documents are no longer where they were; run the audit again")


def _texts(
    shard: Shard, columns: sources.ColumnMapping, limits: sources.ReadLimits, positions: Sequence[int]
) -> Iterator[tuple[int, str, str]]:
    try:
        yield from sources.texts(shard, columns, limits, set(positions))
    except InputError as error:
        raise ConfigurationError(
            f"sampled documents cannot be read again ({error})",
            file=shard.name,
            remedy="Put the corpus back as it was, or run the audit again",
        ) from error


def _sampled(db: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return db.execute(
        """SELECT shard, position, samples.doc_id, documents.text_digest, documents.url
        FROM samples JOIN documents USING (shard, position) WHERE phase = ? ORDER BY shard, position""",
        [PHASE],
    ).fetchall()


def _drawn(db: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return [(doc_id, digest) for _, _, doc_id, digest, _ in _sampled(db)]


def _membership(db: duckdb.DuckDBPyConnection) -> Callable[[str], bool]:
    ids = {doc_id for (doc_id,) in db.execute("SELECT doc_id FROM documents").fetchall()}
    return ids.__contains__


def _note(path: Path, taken: Import) -> str:
    parts = [f"{path.name}: {len(taken.judgements):,} judgements taken"]
    if taken.left_out_undrawn:
        parts.append(f"{taken.left_out_undrawn:,} answers left out, of documents that were not drawn")
    if taken.unanswered:
        parts.append(f"{taken.unanswered:,} questions unanswered")
    return ", ".join(parts)
