"""Progress: a live bar on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

import io

import pytest
from rich.console import Console

from audit import progress
from audit.progress import Live, Plain, Quiet


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pass_over(reporter):
    with reporter.stage("screen", 1_000_000) as stage:
        stage.advance(50, 400_000)
        stage.advance(50, 600_000)


def test_plain_lines_say_what_was_done():
    stream = io.StringIO()
    pass_over(Plain(stream))
    first, last = stream.getvalue().splitlines()
    assert first == "screen …"
    assert last.startswith("screen: done, 100 documents, 1.0 MB (")
    assert "documents/s" in last
    assert "MB/s" in last


def test_plain_lines_come_at_most_every_ten_seconds(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with Plain(stream).stage("screen", 100) as stage:
        for _ in range(20):
            stage.advance(1, 5)
    shares = [line for line in stream.getvalue().splitlines() if "%" in line]
    assert 3 < len(shares) < 20
    assert "100%" in shares[-1] or "95%" in shares[-1] or "90%" in shares[-1]


def test_quiet_says_nothing_and_each_stream_gets_what_fits_it(capsys):
    pass_over(Quiet())
    assert capsys.readouterr() == ("", "")
    assert isinstance(progress.reporter(quiet=True, stream=Terminal()), Quiet)
    assert isinstance(progress.reporter(quiet=False, stream=Terminal()), Live)
    assert isinstance(progress.reporter(quiet=False, stream=io.StringIO()), Plain)


@pytest.mark.parametrize("total", [0, 1_000_000])
def test_the_live_bar_ends_full(total):
    stream = Terminal()
    reporter = Live(Console(file=stream, force_terminal=True, width=120))
    with reporter.stage("screen", total) as stage:
        stage.advance(100, 1_000_000)
    assert "documents/s" in stream.getvalue()
    assert "MB/s" in stream.getvalue()
