"""Values as sources hold them -> text, labels and times."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999
_NUMBER = re.compile(r"-?\d{5,}(\.\d+)?")
_MONTH = re.compile(r"\d{4}(-\d{2})?")
_EXACT_FLOAT = 2**53


class Refusal(NamedTuple):
    """Why a value is no text; ``detail`` holds none of it."""

    reason: str
    detail: str = ""


def text_of(value: Any) -> str | Refusal:
    """The text of a document.

    A list of chat messages becomes their contents joined by a blank line, without the roles: role names
    are not text that anybody wrote, and would be the same words in every document. A message is an object
    with ``content`` (or ``value``, ``text``): a string, null (skipped) or a list of parts, of which those
    with a ``text`` count. Tool calls and other attachments are no text.

    Args:
        value: A string, UTF-8 bytes, a list of messages, or anything else.

    Returns:
        The text, or why there is none: ``missing_text``, ``text_not_string``, ``invalid_utf8``,
        ``lone_surrogate``.
    """
    if value is None:
        return Refusal("missing_text")
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, list):
        value = _chat_text(value)
    if isinstance(value, Refusal):
        return value
    if not isinstance(value, str):
        return Refusal("text_not_string", f"it is a {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return Refusal("lone_surrogate", f"at character {error.start}")
    return value


def _decoded(value: bytes) -> str | Refusal:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        return Refusal("invalid_utf8", f"at byte {error.start} of the text")


def _chat_text(messages: list[Any]) -> str | Refusal:
    contents: list[str] = []
    for number, message in enumerate(messages):
        content = _message_content(message)
        if content is None:
            return Refusal("text_not_string", f"item {number} of the list is no chat message")
        contents += content
    return "\n\n".join(contents)


def _message_content(message: Any) -> list[str] | None:
    """Contents of a message, None when it is none."""
    if not isinstance(message, dict):
        return None
    for key in ("content", "value", "text"):
        if key in message:
            return _parts(message[key])
    return None


def _parts(content: Any) -> list[str] | None:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return None
    return [part["text"] for part in content if isinstance(part.get("text"), str)]


def texts(values: Sequence[Any]) -> tuple[pa.Array, dict[int, Refusal]]:
    """Texts of a column: an Arrow string array, null where a row is refused, and why."""
    try:
        return pa.array(values, pa.string()), {}
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        pass  # a value is no string: look at each
    found = [text_of(value) for value in values]
    refused = {row: text for row, text in enumerate(found) if isinstance(text, Refusal)}
    return pa.array([None if isinstance(t, Refusal) else t for t in found], pa.string()), refused


def labels(values: Sequence[Any]) -> pa.Array:
    """Ids, URLs and names of a column as strings; null for what cannot be one (lists, objects …)."""
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        return pa.array([_label(value) for value in values], pa.string())


def _label(value: Any) -> str | None:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT:
        return str(int(value))  # an integer column that once held a null
    return str(value) if isinstance(value, int | UUID) else None


def timestamps(values: Sequence[Any]) -> pa.Array:
    """Times of a column, UTC microseconds; null for what is none. See ``parse_timestamp``."""
    if all(value is None or type(value) is str for value in values):
        try:
            return _cast_strings(pa.array(values, pa.string()))
        except (pa.ArrowInvalid, UnicodeEncodeError):
            pass  # mixed or other notations: parse each
    micros = [parse_timestamp(value) for value in values]
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us"))


def _cast_strings(values: pa.Array) -> pa.Array:
    """ISO 8601 where all have a zone, or none has; raises ArrowInvalid otherwise."""
    try:
        times = values.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    except pa.ArrowInvalid:
        times = values.cast(pa.timestamp("us")).cast(pa.int64())
    return in_range(times)


def in_range(micros: pa.Array) -> pa.Array:
    """Microseconds since 1970 as times; null outside the years 1 to 9999."""
    inside = pc.and_(pc.greater_equal(micros, _FIRST), pc.less_equal(micros, _LAST))
    return pc.if_else(inside, micros, pa.scalar(None, pa.int64())).cast(pa.timestamp("us"))


def parse_timestamp(value: Any) -> int | None:
    """A time as microseconds since 1970 UTC; None when it is none. Without a zone it is read as UTC.

    Understands ISO 8601 dates and times, ``2019``, ``2019-04``, ``20190424013546`` (as crawls write it),
    HTTP dates, and epoch numbers in seconds, milli-, micro- or nanoseconds, told apart by their size.
    """
    try:
        micros = _micros(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return micros if micros is not None and _FIRST <= micros <= _LAST else None


def _micros(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _from_epoch(value)
    if isinstance(value, str):
        return _from_string(value.strip())
    if isinstance(value, datetime):
        return _since_epoch(value)
    if isinstance(value, date):
        return _since_epoch(datetime(value.year, value.month, value.day))
    return None


def _from_epoch(number: float) -> int | None:
    if not math.isfinite(number):
        return None
    for limit, per_second in ((1e11, 1), (1e14, 10**3), (1e17, 10**6)):
        if abs(number) < limit:
            return int(number * (10**6 // per_second))
    return int(number // 1000)


def _from_string(text: str) -> int | None:
    if _MONTH.fullmatch(text):
        return _since_epoch(datetime(int(text[:4]), int(text[5:] or 1), 1))
    if text.isdecimal() and len(text) == 14:
        return _since_epoch(datetime.strptime(text, "%Y%m%d%H%M%S"))
    if _NUMBER.fullmatch(text) and len(text) != 8:
        return _from_epoch(float(text))
    for zone in (" UTC", " GMT"):
        if text.endswith(zone) and text[:1].isdecimal():
            text = text.removesuffix(zone)
    try:
        return _since_epoch(datetime.fromisoformat(text))
    except ValueError:
        return _since_epoch(parsedate_to_datetime(text))


def _since_epoch(when: datetime) -> int:
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return (aware - _EPOCH) // _MICROSECOND
