"""Lines of a stream, in groups that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator

from audit.errors import InputError
from audit.sources.contracts import ReadLimits

#: Stands for a line over the limit: it is passed over, not held.
OVERSIZE = None

Line = bytes | None


def split_lines(pieces: Iterator[bytes], max_bytes: int) -> Iterator[list[Line]]:
    """Lines in order, without their ``\\n``; ``OVERSIZE`` for one over ``max_bytes``.

    The piece of a line before a failure of the stream is no line: the failure tells of it.
    """
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        first, *lines = piece.split(b"\n")
        size += len(first)
        if size <= max_bytes:
            parts.append(first)
        else:
            parts = []
        if lines:
            yield [_join(parts, size, max_bytes), *_bounded(lines[:-1], max_bytes)]
            parts, size = [lines[-1]], len(lines[-1])
    if size:
        yield [_join(parts, size, max_bytes)]


def _join(parts: list[bytes], size: int, max_bytes: int) -> Line:
    return b"".join(parts) if size <= max_bytes else OVERSIZE


def _bounded(lines: list[bytes], max_bytes: int) -> list[Line]:
    if max(map(len, lines), default=0) <= max_bytes:
        return list(lines)
    return [line if len(line) <= max_bytes else OVERSIZE for line in lines]


def group_lines(lists: Iterator[list[Line]], limits: ReadLimits) -> Iterator[list[Line]]:
    """Lines that are not blank, in groups of at most a batch; a failure comes after the last group."""
    group: list[Line] = []
    size = 0
    failure: InputError | None = None
    try:
        for lines in lists:
            for line in lines:
                if line is not OVERSIZE and (not line or line.isspace()):
                    continue
                length = 0 if line is OVERSIZE else len(line)
                if group and (len(group) >= limits.batch_rows or size + length > limits.batch_bytes):
                    yield group
                    group, size = [], 0
                group.append(line)
                size += length
    except InputError as error:
        failure = error
    if group:
        yield group
    if failure is not None:
        raise failure
