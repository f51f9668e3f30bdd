"""Trying again: exponential back-off with full jitter, under a budget of attempts and seconds.

The waiting times follow M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015): uniform
between nothing and a bound that doubles, so that many workers that met one outage do not come back together.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from audit.errors import AuditError, ConfigurationError, RetryableError

Result = TypeVar("Result")

_ATTEMPTS = "AUDIT_STORE_ATTEMPTS"
_SECONDS = "AUDIT_STORE_SECONDS"


class TransientError(Exception):
    """An attempt failed in a way that another may not.

    Args:
        reason: What went wrong, in a few words, without credentials.
        attempts: At most so many attempts, whatever the budget allows.
        then: What to raise when the budget is spent; a ``RetryableError`` by default.
    """

    def __init__(self, reason: str, *, attempts: int | None = None, then: AuditError | None = None) -> None:
        self.reason, self.attempts, self.then = reason, attempts, then
        super().__init__(reason)


@dataclass(frozen=True)
class RetryBudget:
    """How long an operation is tried.

    Attributes:
        attempts: Calls in all, the first included.
        seconds: From the first call; no wait goes beyond it. A call under way is not interrupted.
        first_wait, longest_wait: Bounds of the first wait and of any, in seconds.
    """

    attempts: int = 10
    seconds: float = 180.0
    first_wait: float = 0.2
    longest_wait: float = 30.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures: uniform up to the doubling bound."""
        return random.uniform(0.0, min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1)))


def budget_from_environment() -> RetryBudget:
    """The default, or what ``AUDIT_STORE_ATTEMPTS`` and ``AUDIT_STORE_SECONDS`` say.

    Raises:
        ConfigurationError: One of them is no positive number.
    """
    usual = RetryBudget()
    attempts = _positive(_ATTEMPTS, usual.attempts)
    return RetryBudget(attempts=max(1, int(attempts)), seconds=_positive(_SECONDS, usual.seconds))


def _positive(name: str, usual: float) -> float:
    text = os.environ.get(name)
    if text is None:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ConfigurationError(f"the environment's {name} is no positive number", key=name)
    return value


def with_retries(
    call: Callable[[int], Result],
    what: str,
    budget: RetryBudget,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Call until it succeeds, fails for good, or the budget is spent.

    Args:
        call: Gets the number of failures before it; raises ``TransientError`` where another attempt may help.
        what: The operation in words, for the message; without credentials.
        budget: Attempts and seconds.
        sleep, clock: Replaced in tests. The clock is monotonic: one that is set does not matter.

    Raises:
        RetryableError: The budget is spent (or what the last failure asked for).
    """
    began = clock()
    failures = 0
    while True:
        try:
            return call(failures)
        except TransientError as error:
            failure = error
        failures += 1
        wait = budget.wait(failures)
        spent = clock() - began
        if failures >= min(budget.attempts, failure.attempts or budget.attempts) or (
            spent + wait > budget.seconds
        ):
            tries = f"{failures} attempt{'s' if failures > 1 else ''}"
            raise failure.then or RetryableError(
                f"{what}: {failure.reason}, {tries} in {spent:.0f} s; the same command goes on from here"
            )
        sleep(wait)
