"""The verdict as it stands: believed only while the journal vouches for what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from audit.coverage import Coverage
from audit.lineage import verification
from audit.lineage.journal import Entry
from audit.model import GateResult, Verdict
from audit.policy import UNDECIDED, decide
from audit.run import Run
from audit.storage.store import digest_file
from audit.waivers import Waiver

#: Announced before judgements are written, so that a crash in between cannot leave them unnoticed.
JUDGING = "judging"
#: Events after which the last verdict is out of date until an evaluation completes.
OPENING = ("started", "screened", "extended", JUDGING, verification.JUDGED)


def standing_verdict(run: Run, *, strict: bool = False, today: date | None = None) -> Verdict:
    """The verdict of the last completed evaluation, or insufficient evidence where it cannot stand.

    Args:
        run: A run that was completed once.
        strict: Gates of severity warn block too.
        today: Day (UTC) against which waivers are checked again; the clock's by default.
    """
    card = run.scorecard()
    entries = list(run.journal.read())
    completed = [entry for entry in entries if entry.event == verification.COMPLETED]
    after = entries[entries.index(completed[-1]) + 1 :] if completed else entries
    if not completed or any(entry.event in OPENING for entry in after):
        return Verdict(UNDECIDED, "The last pass or evaluation did not end; give its command again.")
    changed = _changed(run, {**_files(completed[-1:]), **_judgements(run, entries)})
    if changed:
        return Verdict(UNDECIDED, f"{changed} is not what the journal says it was; see `audit verify`.")
    chosen: Mapping[str, Any] = card["strict"] if strict else card
    verdict = Verdict(chosen["verdict"], chosen["verdict_reason"])
    return _without_expired(card, verdict, today or _today(), strict=strict)


def evaluation_day(run: Run, waivers: Sequence[Waiver]) -> date:
    """The day that waivers are held against (UTC), and that a completed evaluation journals.

    Today; but an evaluation of what stands since an earlier one takes that one's day, so that its pages come
    out the same, unless a waiver has expired since.
    """
    today, entries = _today(), list(run.journal.read())
    completed = [entry for entry in entries if entry.event == verification.COMPLETED]
    if not completed or "day" not in completed[-1].data:
        return today
    after = entries[entries.index(completed[-1]) + 1 :]
    before = date.fromisoformat(completed[-1].data["day"])
    if any(e.event in OPENING for e in after) or any(before <= w.expires < today for w in waivers):
        return today
    return before


def _today() -> date:
    return datetime.now(UTC).date()


def _without_expired(card: Mapping[str, Any], verdict: Verdict, today: date, *, strict: bool) -> Verdict:
    """The verdict once waivers that expired since the evaluation are taken away."""
    waived = [gate for gate in card["gates"] if gate["waived"]]
    gone = [gate for gate in waived if date.fromisoformat(gate["waiver_expires"]) < today]
    if not gone:
        return verdict
    names = ", ".join(repr(gate["gate"]) for gate in gone)
    rows = zip(card["gates"], card["strict"]["gates"] if strict else card["gates"], strict=True)
    results = [_result(gate, said, waived=gate["waived"] and gate not in gone) for gate, said in rows]
    # Whatever else stood in the way of GO still does.
    obstacle = None if verdict.verdict != UNDECIDED else verdict.reason.rstrip(".")
    again = decide(
        results, coverage=Coverage(**card["accounting"]["coverage"]), strict=strict, obstacle=obstacle
    )
    return Verdict(again.verdict, f"{again.reason} The waiver of {names} has expired since the evaluation.")


def _result(gate: Mapping[str, Any], said: Mapping[str, Any], *, waived: bool) -> GateResult:
    """A gate's result from the scorecard; its numbers are not needed for the verdict."""
    named = {key: gate[key] for key in ("gate", "metric", "slice", "limit", "alpha", "severity")}
    told = {key: gate[key] for key in ("waived_by", "waiver_reason", "waiver_expires")}
    return GateResult(**named, **told, outcome=said["outcome"], reason=said["reason"], waived=waived)


def _files(entries: Iterable[Entry]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        found |= entry.data["files"]
    return found


def _judgements(run: Run, entries: Iterable[Entry]) -> dict[str, str]:
    """Digests of all judgement files; one that no entry speaks of has none."""
    vouched = _files(entry for entry in entries if entry.event == verification.JUDGED)
    names = [path.relative_to(run.folder).as_posix() for path in run.judgements.glob("*.jsonl")]
    return vouched | {name: vouched.get(name, "") for name in names}


def _changed(run: Run, expected: Mapping[str, str]) -> str | None:
    """The first small file that is not as journaled; parts are left to ``audit verify``."""
    for name, digest in sorted(expected.items()):
        path = run.folder / name
        if not path.is_file() or digest_file(path) != digest:
            return name
    return None
