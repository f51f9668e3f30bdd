"""Screens shards in the workers, and finds the documents that crash them.

A shard whose worker died twice left a trail (``audit.trails``): the second try went row by row through the
batch that the first one died on, so the trail names a document and a screen. That document is spared that
screen and counts as not evaluated; all else of the shard is screened again. What is found is found in
any order of tries, on any number of workers; so it is in no work key: like every other failure of a
screen it is a result of the pass, which stands until content, code or parameters change, or ``--fresh``.

Workers of other machines that share no folder with the driver leave their trails on the run's object store,
once a shard was lost: a request for each batch and screen of that shard, and none for undisturbed ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from audit import trails
from audit.engines import Advance, Engine
from audit.identifiers import mask_identifier
from audit.tasks import ShardReport, ShardTask, screen_shard
from audit.trails import Step

#: Documents of a shard for which a screen is tried again; after so many it is given up there.
MOST_DOCUMENTS = 8
#: Tries of a shard that taught nothing (its worker died here and there), after which it is lost.
MOST_TRIES = 3


def screen_shards(
    engine: Engine, tasks: Sequence[ShardTask], advance: Advance, note: Callable[[str], None]
) -> Iterator[ShardReport]:
    """Yield a report per shard, in any order.

    Args:
        engine: Runs them.
        tasks: One a shard.
        advance: Gets the progress.
        note: Gets a line for every document that is isolated.
    """
    waiting = list(tasks)
    while waiting:
        again: list[ShardTask] = []
        for outcome in engine.map(screen_shard, waiting, advance):
            if outcome.result is not None:
                yield outcome.result
                continue
            task = outcome.task
            wiser, step = _learnt(task, elsewhere=engine.elsewhere)
            if wiser is None:
                trails.forget(task.screening.store, task.trail)
                yield ShardReport(task.shard, "failed", reason=f"lost: {outcome.lost}{_where(step)}")
                continue
            note(_told(task, wiser, step, outcome.lost))
            again.append(wiser)
        waiting = again


def _learnt(task: ShardTask, *, elsewhere: bool) -> tuple[ShardTask | None, Step | None]:
    """A lost task as it is tried next (None when there is no use in it), and what its worker was at."""
    store, shard = task.screening.store, task.shard.shard
    if elsewhere and task.trail is None and (name := trails.named(store, shard)) is not None:
        return dataclasses.replace(task, trail=name), None
    step = trails.left_behind(store, shard, task.trail)
    return (None if step is None else _wiser(task, step)), step


def _wiser(task: ShardTask, step: Step) -> ShardTask | None:
    """The task with what its worker's last step teaches; None when there is no use in another try."""
    if step.at not in {screen.name for screen in task.screening.screens}:
        return None
    known = task.spared.get(step.at, ())
    if step.rows != 1 or known is None or step.first in known:
        return None if task.tries >= MOST_TRIES else dataclasses.replace(task, tries=task.tries + 1)
    rows = None if len(known) + 1 >= MOST_DOCUMENTS else (*known, step.first)
    return dataclasses.replace(task, spared={**task.spared, step.at: rows})


def _told(task: ShardTask, wiser: ShardTask, step: Step | None, lost: str | None) -> str:
    name, at = mask_identifier(task.shard.name), step.at if step else ""
    if wiser.spared == task.spared:
        return f"{name}: {lost}; it is tried again"
    if wiser.spared[at] is None:
        return f"{name}: {lost}; screen {at} is given up there, the others go on"
    return f"{name}: {lost}; a document is isolated from screen {at}, the rest goes on"


def _where(step: Step | None) -> str:
    return "" if step is None else f", last at {step.at}"
