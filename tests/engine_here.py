"""An engine without processes: tasks run where the test runs, so that it can see and change what they do."""

from __future__ import annotations

from audit.engines import CORES, Outcome

#: What a worker at its end looks like from inside: memory ran out, or a library exits.
DEATHS = (MemoryError, SystemExit)


class Stop(KeyboardInterrupt):
    """The driver is stopped."""


class EngineHere:
    """Runs tasks one after the other; what would end a worker ends the try. Two tries, as every engine gives.

    Args:
        tasks: The driver is stopped after so many.
    """

    workers = 1
    elsewhere = False

    def __init__(self, tasks=None):
        self.left, self.deaths = tasks, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def capacity(self, needs):
        return 1

    def admit(self, store, shards):
        pass

    def map(self, function, tasks, advance, needs=CORES):
        for task in tasks:
            if self.left == 0:
                raise Stop
            yield self._outcome(function, task)
            self.left = None if self.left is None else self.left - 1

    def _outcome(self, function, task):
        for _ in range(2):
            try:
                return Outcome(task, function(task))
            except DEATHS:
                self.deaths += 1
        return Outcome(task, None, lost="its worker died twice (of a test)")
