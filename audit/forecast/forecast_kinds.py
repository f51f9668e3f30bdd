"""What the sampled blocks say of each kind of file: documents, text and seconds for a byte.

A ratio estimator by kind (W. G. Cochran, Sampling Techniques, 3rd ed. 1977, ch. 6): what the blocks hold or
cost over their bytes; its standard error is that of the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from audit.forecast.forecast_blocks import Block, kind_of
from audit.forecast.forecast_trials import Trials
from audit.model import Shard

#: Two-sided level of the intervals, and its quantile of the normal distribution.
CONFIDENCE, _QUANTILE = 0.9, 1.645
#: What the model itself may be off, beside the spread of the blocks (docs/forecast.md).
MODEL_ERROR = 0.1


@dataclass(frozen=True)
class Range:
    """A number and its prediction interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, error: float) -> Range:
        """From a standard error; the model's own error is added."""
        half = np.hypot(_QUANTILE * error, MODEL_ERROR * value)
        return cls(float(value), float(max(0.0, value - half)), float(value + half))

    def times(self, factor: float, plus: float = 0.0) -> Range:
        """Scaled and shifted."""
        return Range(*(factor * each + plus for each in (self.value, self.low, self.high)))


@dataclass(frozen=True)
class Kind:
    """A kind of file: per byte of it, documents, text, and seconds of CPU time and of waiting."""

    name: str
    size: int
    shards: int
    sampled: int
    documents: float
    text: float
    seconds: float
    waiting: float
    documents_error: float
    seconds_error: float


def per_shard(trials: Trials) -> float:
    """CPU seconds for a shard of next to nothing; the first of a worker also loads things."""
    return median(trials.tiny.shards_cpu.values())


def estimate(number: int, name: str, shards: Sequence[Shard], trials: Trials) -> Kind:
    """What the blocks of a kind say of it; without any, what all say."""
    members = [shard for shard in shards if kind_of(shard) == name]
    blocks = [block for block in trials.blocks if block.kind == number]
    size = sum(shard.size for shard in members)
    if not blocks:  # none could be read, or the kind is empty: as the others
        blocks = list(trials.blocks)
    rate = _screening_rate(blocks, trials)
    seconds = [
        block.size * block.read_cpu / max(1, block.read_size) + _screened(block, rate, trials)
        for block in blocks
    ]
    sizes = [float(block.size) for block in blocks]
    total = max(1.0, sum(sizes))
    left = max(0.0, 1 - total / max(1.0, size))
    read = max(1, sum(block.read_size for block in blocks))
    waited = sum(max(0.0, block.read_wall - block.read_cpu) for block in blocks)
    return Kind(
        name,
        size,
        len(members),
        len(blocks),
        sum(block.documents for block in blocks) / total,
        sum(block.text_bytes for block in blocks) / total,
        sum(seconds) / total,
        waited / read if waited > 10 * sum(block.read_cpu for block in blocks) else 0.0,
        _ratio_error([float(block.documents) for block in blocks], sizes, left),
        _ratio_error(seconds, sizes, left),
    )


def first_use(trials: Trials) -> float:
    """CPU seconds of a worker for what it loads in its first shard and does not count as start-up."""
    seconds = sorted(trials.tiny.shards_cpu.values(), reverse=True)
    pool = min(trials.pool, len(seconds))
    return sum(max(0.0, each - per_shard(trials)) for each in seconds[:pool]) / pool


def _without_first_use(trials: Trials) -> float:
    """Share of the blocks' screening that is left without what first shards load."""
    spent = sum(trials.all.shards_cpu.values()) - per_shard(trials) * trials.all.shards
    loading = first_use(trials) * min(trials.pool, trials.all.shards)
    return max(0.0, 1 - loading / spent) if spent > 0 else 0.0


def _screening_rate(blocks: Sequence[Block], trials: Trials) -> float:
    """Seconds for a byte of text: of these blocks where they are shards of their own, else of all."""
    alone = [block for block in blocks if block.copy in trials.all.shards_cpu]
    if alone:
        spent = sum(_screened(block, 0.0, trials) for block in alone)
        return spent / max(1, sum(block.text_bytes for block in alone))
    spent = sum(trials.all.shards_cpu.values()) - per_shard(trials) * trials.all.shards
    return _without_first_use(trials) * spent / max(1, trials.all.text_bytes)


def _screened(block: Block, rate: float, trials: Trials) -> float:
    """CPU seconds of screening a block; by a rate where it is part of a longer shard."""
    if block.copy not in trials.all.shards_cpu:
        return rate * block.text_bytes
    spent = trials.all.shards_cpu[block.copy] - per_shard(trials)
    return max(0.0, spent) * _without_first_use(trials)


def _ratio_error(values: Sequence[float], sizes: Sequence[float], left: float) -> float:
    """Standard error of sum(values) / sum(sizes), ``left`` being the share that was not sampled."""
    y, x = np.array(values), np.array(sizes)
    n, ratio = len(y), y.sum() / max(1.0, x.sum())
    if n < 2:
        return float(ratio) / 2
    residual = y - ratio * x
    return float(np.sqrt(left * n / (n - 1) * (residual**2).sum()) / max(1.0, x.sum()))


def total(found: Sequence[Kind], of: Callable[[Kind], tuple[float, float]]) -> tuple[float, float]:
    """A total over all kinds, and its standard error."""
    values = [(kind.size, *of(kind)) for kind in found]
    error = np.sqrt(sum((size * error) ** 2 for size, _, error in values))
    return sum(size * value for size, value, _ in values), float(error)
