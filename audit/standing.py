"""The verdict as it stands: believed only while the journal vouches for what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.lineage import verification
from audit.lineage.journal import Entry
from audit.model import Verdict
from audit.policy import UNDECIDED
from audit.run import Run
from audit.store import digest_file

#: Announced before judgements are written, so that a crash in between cannot leave them unnoticed.
JUDGING = "judging"
#: Events after which the last verdict is out of date until an evaluation completes.
OPENING = ("started", "screened", "extended", JUDGING, verification.JUDGED)


def standing_verdict(run: Run, *, strict: bool = False) -> Verdict:
    """The verdict of the last completed evaluation, or insufficient evidence where it cannot stand.

    Args:
        run: A run that was completed once.
        strict: Gates of severity warn block too.
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
    return Verdict(chosen["verdict"], chosen["verdict_reason"])


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
