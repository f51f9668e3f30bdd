"""Errors, named by what recovers from them.

The library raises these; only ``audit.cli`` prints them and turns them into exit codes.
No message may carry a personal value: quote keys, paths, positions and type names, never text.
"""

from __future__ import annotations


class AuditError(Exception):
    """Base of every error that the engine raises on purpose."""

    exit_code = 1


class ConfigurationError(AuditError):
    """The user's configuration or command must change.

    Args:
        message: What is wrong, in one line.
        file: The file that holds it, when there is one.
        key: The dotted key in that file, when there is one.
        remedy: What to do about it.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, file: str | None = None, key: str | None = None, remedy: str | None = None
    ) -> None:
        self.message, self.file, self.key, self.remedy = message, file, key, remedy
        place = ": ".join(part for part in (file, key) if part)
        line = f"{place}: {message}" if place else message
        super().__init__(f"{line}. {remedy}" if remedy else line)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_configuration_error, (self.message, self.file, self.key, self.remedy))


def _rebuild_configuration_error(
    message: str, file: str | None, key: str | None, remedy: str | None
) -> ConfigurationError:
    return ConfigurationError(message, file=file, key=key, remedy=remedy)


class InputError(AuditError):
    """One shard cannot be read, or only in part; the others go on.

    Args:
        reason: A short stable code (``unreadable``, ``truncated``, ``no_such_column`` …).
        detail: One line for people, free of document text.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")

    def __reduce__(self) -> tuple[object, ...]:
        return (InputError, (self.reason, self.detail))


class RetryableError(AuditError):
    """The same call may succeed later (a store that is busy, a worker that was killed)."""


class FatalError(AuditError):
    """The run cannot go on (disk full, evidence damaged, folder in use); what stands stays valid."""
