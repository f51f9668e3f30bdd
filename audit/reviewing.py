"""Review of a run: the sample out to people, their judgements back in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from audit import adjudication_phase, free_text, frozen_plan, reports, text_cache
from audit.config import AuditConfig
from audit.drawing import load_seed
from audit.errors import ConfigurationError, FatalError, InputError
from audit.lineage import verification
from audit.model import Shard
from audit.review import known_answers
from audit.review.assignment import Draw, Sharing, slot_name, was_given
from audit.review.checking import Expectation, Import, collect
from audit.review.exchange import ADJUDICATION, KNOWN_ANSWER, PHASES, REVIEW, Worksheet, refusal
from audit.review.formats import FORMATS, recognise
from audit.review.judgements import JudgementStore
from audit.review.texts import SampleRow, shuffled, write_privately
from audit.run import Run
from audit.standing import JUDGING
from audit.statistics.sampling import commitment

PHASE = REVIEW


@dataclass(frozen=True)
class _Drawn:
    """A document of the review sample, and where its text lies."""

    draw: Draw
    shard: str
    position: int
    text_digest: str
    url: str | None


def export(
    run: Run, out: Path, file_format: str, *, reviewers: int | None = None, phase: str = REVIEW
) -> dict[str, Any]:
    """Write the sample with its texts, read from the sources again: a file a reviewer.

    Args:
        run: A run that was evaluated; locked.
        out: File to write. Of several reviewers each gets one, numbered: ``sample-1.csv`` …
        file_format: A name of ``FORMATS``.
        reviewers: People; by default as many as are configured.
        phase: ``review``, or ``adjudication``: what waits to be adjudicated, in one file.

    Raises:
        ConfigurationError: Unknown format or phase, nothing to adjudicate, or a source that is not where it
            was.
        FatalError: The corpus changed since it was screened.
    """
    _check_choice(file_format, list(FORMATS), "format", "--format")
    _check_choice(phase, list(PHASES), "phase", "--phase")
    config, run_id = run.config(), run.header()["run_id"]
    people = 1 if phase == ADJUDICATION else reviewers or config.sampling.reviewers
    with run.connect() as db:
        drawn, controls = _drawn(db), _controls(run, config, db, run_id)
        if phase == ADJUDICATION:
            waits = set(adjudication_phase.waiting(db))
            drawn, controls = [each for each in drawn if each.draw.doc_id in waits], {}
    if not drawn and phase == ADJUDICATION:
        raise ConfigurationError(
            f"no document waits for {phase}", file=run.place, remedy="Import judgements first"
        )
    rows = [*_rows(run, drawn), *(item.row(doc_id) for doc_id, item in controls.items())]
    files: list[Path] = []
    for sheet in _sheets(config, rows, drawn, run_id, phase, people):
        who = sheet.assignment.partition("/")[0]
        path = out.with_name(f"{out.stem}-{who}{out.suffix}") if who else out
        files += _write(FORMATS[file_format].write(sheet), path)
    frozen_plan.freeze(run, "export")
    data = {"format": file_format, "documents": len(drawn), "reviewers": people, "phase": phase}
    run.journal.append("exported", data)
    asked = ", ".join(question.name for question in config.sampling.questions)
    return {"documents": len(drawn), "questions": asked, "file": ", ".join(map(str, files))}


def _sheets(
    config: AuditConfig,
    rows: Sequence[SampleRow],
    drawn: Sequence[_Drawn],
    run_id: str,
    phase: str,
    people: int,
) -> Iterator[Worksheet]:
    """A worksheet a reviewer: the share that is given to each, and what is no document, which all get."""
    sharing = Sharing(people, config.sampling.overlap, config.sampling.overlap_reviewers)
    given = {each.draw.doc_id: sharing.given(each.draw) for each in drawn}
    everybody = tuple(range(1, people + 1))
    for who in everybody:
        mine = [row for row in rows if who in given.get(row.doc_id, everybody)]
        name = slot_name(who, people)
        ordered = shuffled(mine, run_id, f"{phase if phase != REVIEW else ''}{name}")
        yield Worksheet(ordered, config.sampling.questions, run_id, phase, name)


def open_adjudication(run: Run) -> None:
    """Begin the adjudication: from now on, evaluations select what is looked at again; run locked."""
    if not adjudication_phase.is_open(run.sample):
        share = run.config().sampling.adjudication_share
        run.journal.append("adjudication opened", {"share": share})
        adjudication_phase.open_phase(run.sample, share)


def take_in(run: Run, files: Sequence[Path]) -> list[str]:
    """Import judgements in any of the formats: every file, or none of them.

    Returns:
        Notes for people: what was taken, what was left out and why.
    """
    config, run_id = run.config(), run.header()["run_id"]
    with run.connect() as db:
        drawn = {each.draw.doc_id: each for each in _drawn(db)}
        sampling = config.sampling

        def given(doc_id: str, assignment: str) -> bool:
            draw = drawn[doc_id].draw
            return was_given(assignment, draw, sampling.overlap, sampling.overlap_reviewers)

        answers = [(path, list(recognise(path).read(path, sampling.questions))) for path in files]
        controls = _controls(run, config, db, run_id)
        # All at once, and only those that the sample does not hold: a look at all ids is not for nothing.
        others = {each.doc_id for _, some in answers for each in some} - drawn.keys() - controls.keys()
        expected = Expectation(
            run_id,
            sampling.questions,
            {doc_id: each.text_digest for doc_id, each in drawn.items()},
            _held(db, others),
            controls=controls,
            assigned=given,
            masked=free_text.masked,
        )
        imports = [collect(path, some, expected) for path, some in answers]
    _refuse_repeated(files, imports)
    frozen_plan.freeze(run, "judgements")
    run.journal.append(JUDGING, {"judgements": sum(len(taken.judgements) for taken in imports)})
    receipt = JudgementStore(run.judgements).add([j for taken in imports for j in taken.judgements])
    digests = {f"{run.judgements.name}/{name}": digest for name, digest in receipt.files.items()}
    run.journal.append(
        verification.JUDGED, {"added": receipt.added, "changed": receipt.changed, "files": digests}
    )
    return [_note(path, taken) for path, taken in zip(files, imports, strict=True)]


def _check_choice(given: str, known: Sequence[str], what: str, key: str) -> None:
    if given not in known:
        raise ConfigurationError(f"unknown {what} {given!r}", key=key, remedy=f"Known: {', '.join(known)}")


def _controls(
    run: Run, config: AuditConfig, db: duckdb.DuckDBPyConnection, run_id: str
) -> dict[str, known_answers.KnownItem]:
    """Known-answer items under the ids that they travel with; like those of the first draws, which stay."""
    items = known_answers.kept(run.sample, config.sampling.questions)
    if not items:
        return {}
    # The first draws of the strata stay when the sample is extended.
    rows = db.execute(
        "SELECT doc_id FROM samples WHERE phase = ? AND draw = 1 ORDER BY stratum", [PHASE]
    ).fetchall()
    like = [doc_id for (doc_id,) in rows]
    return known_answers.disguised(items, like, run_id, lambda doc_id: bool(_held(db, {doc_id})))


def _write(contents: Any, out: Path) -> Iterator[Path]:
    """Write a format's files; those beside the sample are named after it."""
    for suffix, content in contents.items():
        path = out.with_name(out.stem + suffix) if suffix else out
        write_privately(path, content)
        yield path


def _rows(run: Run, drawn: Iterable[_Drawn]) -> Iterator[SampleRow]:
    config = run.config()
    known = {(each.shard, each.position): each for each in drawn}
    shards = reports.shards(run.store.folder / reports.FILE, {shard for shard, _ in known})
    kept = text_cache.place(commitment(load_seed(run.sample)))
    for shard in sorted({shard for shard, _ in known}):
        wanted = {p: bytes.fromhex(each.text_digest) for (where, p), each in known.items() if where == shard}
        for position, text in _texts(shards[shard], config, kept, wanted):
            each = known.pop((shard, position))
            yield SampleRow(each.draw.doc_id, text, each.text_digest, each.url)
    if known:
        raise FatalError(f"{len(known)} sampled documents are no longer where they were; run the audit again")


def _texts(
    shard: Shard, config: AuditConfig, kept: Path | None, wanted: Mapping[int, bytes]
) -> Iterator[tuple[int, str]]:
    columns, limits = config.corpus.columns, config.read_limits()
    try:
        for batch in text_cache.documents_at(kept, shard, columns, limits, wanted):
            yield from zip(*(batch.column(name).to_pylist() for name in ("position", "text")), strict=True)
    except InputError as error:
        raise ConfigurationError(
            f"sampled documents cannot be read again ({error})",
            file=shard.name,
            remedy="Put the corpus back as it was, or run the audit again",
        ) from error


def _drawn(db: duckdb.DuckDBPyConnection) -> list[_Drawn]:
    rows = db.execute(
        """SELECT samples.doc_id, stratum, draw, shard, position, documents.text_digest, documents.url
        FROM samples JOIN sampled_documents AS documents USING (shard, position)
        WHERE phase = ? ORDER BY shard, position""",
        [PHASE],
    ).fetchall()
    return [_Drawn(Draw(*row[:3]), *row[3:]) for row in rows]


def _held(db: duckdb.DuckDBPyConnection, doc_ids: Collection[str]) -> set[str]:
    """Those of the ids that documents of the corpus have."""
    if not doc_ids:
        return set()
    rows = db.execute(
        """SELECT doc_id FROM base_documents WHERE list_contains($ids, doc_id)
        UNION SELECT doc_id FROM renamed_documents WHERE list_contains($ids, doc_id)""",
        {"ids": sorted(doc_ids)},
    ).fetchall()
    return {doc_id for (doc_id,) in rows}


def _refuse_repeated(files: Sequence[Path], imports: Sequence[Import]) -> None:
    """Refuse a judgement that two of the files hold, naming the later row."""
    seen: dict[tuple[str, ...], str] = {}
    for path, taken in zip(files, imports, strict=True):
        for judgement, row in zip(taken.judgements, taken.rows, strict=True):
            if (first := seen.setdefault(judgement.asked, f"row {row} of {path.name}")) != (
                f"row {row} of {path.name}"
            ):
                message = f"{first} holds an answer of this reviewer to this question already"
                raise refusal(path, row, message, "Keep one of the two")


def _note(path: Path, taken: Import) -> str:
    controls = sum(judgement.phase == KNOWN_ANSWER for judgement in taken.judgements)
    parts = [f"{path.name}: {len(taken.judgements) - controls:,} judgements taken"]
    if controls:
        parts.append(f"{controls:,} answers to known-answer items, which enter no estimate")
    if taken.left_out_undrawn:
        parts.append(f"{taken.left_out_undrawn:,} answers left out, of documents that were not drawn")
    if taken.unanswered:
        parts.append(f"{taken.unanswered:,} questions unanswered")
    return ", ".join(parts)
