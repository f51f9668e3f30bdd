"""Progress of a run: a live line on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_MB = 1e6
_PLAIN_SECONDS = 10.0


class Stage(Protocol):
    """One stage of a run, under way."""

    def advance(self, documents: int, size: int) -> None:
        """Add documents and bytes done."""
        ...


class Reporter(Protocol):
    """Shows stages one after the other."""

    def stage(self, name: str, total_bytes: int) -> AbstractContextManager[Stage]:
        """A context for a stage of so many bytes (0: unknown)."""
        ...

    def note(self, line: str) -> None:
        """Show a line between stages."""
        ...


@dataclass
class _Counter:
    """Counts for rates; the clock starts with the stage."""

    documents: int = 0
    size: int = 0
    since: float = field(default_factory=time.monotonic)

    def advance(self, documents: int, size: int) -> None:
        self.documents += documents
        self.size += size

    def rates(self) -> str:
        seconds = max(time.monotonic() - self.since, 1e-9)
        return f"{self.documents / seconds:,.0f} documents/s, {self.size / _MB / seconds:.1f} MB/s"


class Quiet:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total_bytes: int) -> Iterator[Stage]:  # noqa: ARG002 - a Reporter's signature
        """See ``Reporter``."""
        yield _Counter()

    def note(self, line: str) -> None:
        """See ``Reporter``."""


class Plain:
    """A line when a stage begins and ends, and every ten seconds between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def stage(self, name: str, total_bytes: int) -> Iterator[Stage]:
        """See ``Reporter``."""
        counter = _PlainStage(name, total_bytes, self._stream)
        self._say(f"{name} …")
        yield counter
        done = f"{counter.documents:,} documents, {counter.size / _MB:,.1f} MB"
        rates = f" ({counter.rates()})" if counter.size else ""
        self._say(f"{name}: done" + (f", {done}{rates}" if counter.documents else ""))

    def note(self, line: str) -> None:
        """See ``Reporter``."""
        self._say(line)

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class _PlainStage(_Counter):
    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        super().__init__()
        self._name, self._total, self._stream, self._said = name, total, stream, time.monotonic()

    def advance(self, documents: int, size: int) -> None:
        super().advance(documents, size)
        now = time.monotonic()
        if now - self._said >= _PLAIN_SECONDS:
            self._said = now
            share = f" {min(1.0, self.size / self._total):.0%}," if self._total else ""
            print(f"{self._name}:{share} {self.rates()}", file=self._stream, flush=True)


class Live:
    """A bar with documents/s, MB/s and the time that is left."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total_bytes: int) -> Iterator[Stage]:
        """See ``Reporter``."""
        counter = _Counter()
        columns = (TextColumn("{task.description}"), BarColumn(), _Rates(counter), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=False) as progress:
            task = progress.add_task(name.ljust(12), total=total_bytes or None)
            yield _LiveStage(counter, progress, task)
            progress.update(task, total=max(total_bytes, 1), completed=max(total_bytes, 1))

    def note(self, line: str) -> None:
        """See ``Reporter``."""
        self._console.print(line, highlight=False, markup=False)


class _LiveStage:
    def __init__(self, counter: _Counter, progress: Progress, task: object) -> None:
        self._counter, self._progress, self._task = counter, progress, task

    def advance(self, documents: int, size: int) -> None:
        self._counter.advance(documents, size)
        self._progress.update(self._task, advance=size)  # type: ignore[arg-type]


class _Rates(ProgressColumn):
    def __init__(self, counter: _Counter) -> None:
        super().__init__()
        self._counter = counter

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's signature
        """Text of the column."""
        return Text(self._counter.rates() if self._counter.size else "", style="dim")


def reporter(*, quiet: bool, stream: TextIO) -> Reporter:
    """The reporter that fits the stream: standard error, so that results can be piped."""
    if quiet:
        return Quiet()
    return Live(Console(file=stream)) if stream.isatty() else Plain(stream)
