"""One screen against one tool, on the same texts in memory, in one process and one thread, by CPU time.

No reader and no writer on either side. Our screens get batches as the pass makes them; the tools get a text
at a time, which is how they are called.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from audit.screens import Screen, ScreenContext
from audit.screens.language import Language
from audit.screens.near_duplicates import NearDuplicates
from audit.screens.pii import Pii
from audit.sources import ReadLimits
from benchmarks import peer_sides
from benchmarks.peer_sides import BEST, DEFAULT

#: What is timed for each pair: screen, their call with the defaults, with the best settings.
PAIRS = ("near duplicates", "personal data", "language")


def compare(texts: Sequence[str], repeats: int) -> dict[str, Any]:
    """Rates of each pair, both sides by turns; the medians, and the quotients of every turn."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        works = {name: _works(name, texts, Path(folder)) for name in PAIRS}
        return {name: _pair(works[name], size, repeats) for name in PAIRS}


def _pair(works: dict[str, Callable[[], object]], size: float, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():  # once for what is loaded and compiled
        work()
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    ours = seconds[peer_sides.OURS]
    return {
        "mb_per_s": {name: size / statistics.median(each) for name, each in seconds.items()},
        "times": {
            name: sorted(theirs / mine for theirs, mine in zip(seconds[name], ours, strict=True))
            for name in (DEFAULT, BEST)
        },
    }


def _works(name: str, texts: Sequence[str], out: Path) -> dict[str, Callable[[], object]]:
    screen, call = _sides(name)
    return {
        DEFAULT: _each(call(DEFAULT, out), texts),
        BEST: _each(call(BEST, out), texts),
        peer_sides.OURS: _batches(screen, texts),
    }


def _sides(name: str) -> tuple[Screen, Callable[[str, Path], Callable[[str], object]]]:
    if name == "near duplicates":
        return NearDuplicates(), _signing
    if name == "personal data":
        return Pii(), lambda side, _: peer_sides.patterns(side)
    return Language(), lambda side, _: peer_sides.language(side)


def _signing(side: str, out: Path) -> Callable[[str], object]:
    step = peer_sides.signature(side, out / side)

    def sign(text: str) -> object:
        shingles = step.get_shingles(text)
        return step.get_signature(shingles) if shingles.size else None

    return sign


def _each(call: Callable[[str], object], texts: Sequence[str]) -> Callable[[], object]:
    return lambda: [call(text) for text in texts]


def _batches(screen: Screen, texts: Sequence[str]) -> Callable[[], object]:
    rows = ReadLimits().batch_rows
    cut = [pa.record_batch({"text": pa.array(texts[i : i + rows])}) for i in range(0, len(texts), rows)]
    context = ScreenContext({}, bytes(32))
    return lambda: [screen.measure(batch, context) for batch in cut]
