"""Addresses and numbers that are written so that machines overlook them, and where they stand.

``john [at] example [dot] com``, ``(at)``, `` AT `` with `` DOT ``, HTML entities (``&#64;``), full-width and
mathematical letters and digits, and characters of no width are undone in windows around such signs; the
usual recognisers then read the plain form, and what they find is mapped back to the code points written.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from audit.kernels.anchors import Anchors, Places, find_anchors, prepare
from audit.kernels.buffers import Bytes, Offsets, string_buffers
from audit.kernels.candidates import Windows, code_points_before
from audit.kernels.gathering import SEPARATOR, windows_around
from audit.pii.pii_budget import Budget, Over, window_bytes
from audit.pii.pii_search import Hit
from audit.pii.presidio import CONTEXT_REACH, Recogniser, hits

#: Bytes read before and after a sign.
REACH = 160
#: Code points of joined windows in one call; see ``audit.pii.pii_search``.
CHUNK = 16_384
#: Full-width digits that make a number, and the bytes that hold them.
_WIDE_DIGITS, _WIDE_REACH = 6, 64

_INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff"
_ZERO_WIDTH = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff")
_WIDE = tuple(chr(0xFF10 + digit) for digit in range(10))
_SIGNS = (
    *("&#64;", "&#064;", "&#0064;", "&#x40;", "&#x0040;", "&commat;", "%40", "\uff20", "\ufe6b"),
    *(f"{left}{gap}at{gap}{right}" for left, right in ("[]", "()", "{}", "<>") for gap in ("", " ")),
    *("[@]", "(@)", "{@}", "_at_", "-at-", " dot ", "[dot]", "(dot)", "{dot}", "[ dot ]", "( dot )"),
)
_SPECIAL = re.compile(
    rf"&(?:#\d{{1,7}}|#[xX][0-9a-fA-F]{{1,6}}|[A-Za-z]{{2,8}});|%40|[{_INVISIBLE}]|[^\x00-\x7f]"
)
_AT = re.compile(r"\s{0,3}[\[({<]\s{0,3}(?:at|@)\s{0,3}[\])}>]\s{0,3}|(?<=\w)[_-]at[_-](?=\w)", re.IGNORECASE)
_DOT = re.compile(r"\s{0,3}[\[({<]\s{0,3}(?:dot|\.)\s{0,3}[\])}>]\s{0,3}", re.IGNORECASE)
#: Code points before a spoken address in which it may be announced.
_ANNOUNCING = 60
_SPOKEN = re.compile(
    r"\b(?P<local>[\w.+-]{1,64})(?:\s{1,3}(?P<at>at)\s{1,3}|\s{0,3}@\s{0,3})"
    r"(?P<host>[\w-]{1,63}(?:(?:\s{1,3}dot\s{1,3}|\.)[\w-]{1,63}){1,5})\b",
    re.IGNORECASE,
)
_SPOKEN_PART = re.compile(r"\s{1,3}(?:at|dot)\s{1,3}|\s{0,3}@\s{0,3}", re.IGNORECASE)
_ANNOUNCED = re.compile(
    r"\b(?:e-?mails?|mail|contact|reach|write|send|correo|courriel|kontakt)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Plain:
    """A text as it is meant, and where each of its characters was written.

    Attributes:
        text: n code points.
        starts, ends: Of each code point, half-open code points in the text as written.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of at least one code point back."""
        return self.starts[start], self.ends[end - 1]

    def was_disguised(self, start: int, end: int, written: str) -> bool:
        """Whether a span reads otherwise than it was written."""
        first, last = self.written(start, end)
        return written[first:last] != self.text[start:end]


def unveil(written: str) -> Plain:
    """Undo disguises: first characters (entities, widths), then ``[at]`` and ``[dot]``, then spoken forms."""
    n = len(written)
    plain = Plain(written, tuple(range(n)), tuple(range(1, n + 1)))
    plain = _replaced(plain, _SPECIAL, lambda match: _character(match[0]))
    plain = _replaced(plain, _AT, lambda _: "@")
    plain = _replaced(plain, _DOT, lambda _: ".")
    spoken = [match.span() for match in _SPOKEN.finditer(plain.text) if _is_address(match)]
    return _replaced(plain, _SPOKEN_PART, lambda match: _spoken_part(match, spoken)) if spoken else plain


def _spoken_part(match: re.Match[str], addresses: Sequence[tuple[int, int]]) -> str:
    at = bisect_right(addresses, (match.end(), 0)) - 1
    if at < 0 or not addresses[at][0] <= match.start() < match.end() <= addresses[at][1]:
        return match[0]
    return "." if "d" in match[0].lower() else "@"


def _is_address(match: re.Match[str]) -> bool:
    """In prose ``at`` and ``dot`` are words: an address shouts, is announced, or has no word before it."""
    spoken_dot = re.search(r"\sdot\s", match["host"], re.IGNORECASE)
    if not spoken_dot:
        return False
    shouted = match["at"] == "AT" or spoken_dot[0].strip() == "DOT" or not match["at"]
    before = match.string[max(0, match.start() - _ANNOUNCING) : match.start()]
    unlike_a_word = re.search(r"[\d._+-]", match["local"]) is not None
    return shouted or unlike_a_word or _ANNOUNCED.search(before) is not None


def _character(written: str) -> str:
    if written == "%40":
        return "@"
    if written.startswith("&"):
        meant = html.unescape(written)
        return meant if len(meant) == 1 else written
    if written in _INVISIBLE:
        return ""
    folded = unicodedata.normalize("NFKC", written)
    return folded if len(folded) == 1 and folded.isascii() and folded.isprintable() else written


def _replaced(plain: Plain, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> Plain:
    """Replace matches by at most one character, which then stands for all that was written."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for match in pattern.finditer(plain.text):
        meant = meaning(match)
        if meant == match[0] or len(meant) > 1:
            continue
        keep = slice(done, match.start())
        parts += [plain.text[keep], meant]
        starts += [*plain.starts[keep], *(plain.starts[match.start()],)[: len(meant)]]
        ends += [*plain.ends[keep], *(plain.ends[match.end() - 1],)[: len(meant)]]
        done = match.end()
    if not parts:
        return plain
    rest = slice(done, None)
    text = "".join([*parts, plain.text[rest]])
    return Plain(text, (*starts, *plain.starts[rest]), (*ends, *plain.ends[rest]))


@dataclass(frozen=True)
class _Window:
    row: int
    code_point: int
    written: str
    plain: Plain


def search_disguised(
    texts: pa.Array, recognisers: Sequence[Recogniser], budget: Budget
) -> tuple[list[Hit], Over]:
    """Find values that only their plain form shows.

    Args:
        texts: n texts, without nulls.
        recognisers: Whom to ask for the plain form.
        budget: ``max_bytes`` of windows, which all recognisers share.

    Returns:
        The hits, with the plain form as value and the written form's code points, and for the kind of each
        recogniser n flags, true where a text was not searched.

    Raises:
        MatchingError: A recogniser gave up.
    """
    data, offsets = string_buffers(texts)
    places = find_anchors(data, offsets, _anchors())
    windows = windows_around(data, offsets, _telling(data, offsets, places), REACH, REACH)
    over = window_bytes(windows, len(texts)) > budget.max_bytes
    kept = windows[~over[windows[:, 0]]]
    found = [
        hit
        for chunk in _chunks(data, offsets, kept)
        for recogniser in recognisers
        for hit in _hits_in(chunk, recogniser)
    ]
    return found, {kind: over for recogniser in recognisers for kind in recogniser.supported_entities}


@cache
def _anchors() -> Anchors:
    literals = [*_SIGNS, *_ZERO_WIDTH, *_WIDE]
    return prepare(literals, [False] * len(literals))


def _telling(data: Bytes, offsets: Offsets, places: Places) -> Places:
    """Drop characters of no width within other scripts, where they belong, and lone full-width digits."""
    if not len(places):
        return places
    first_wide = len(_SIGNS) + len(_ZERO_WIDTH)
    kind = places[:, 2]
    at = offsets[places[:, 0]] + places[:, 1]
    sign = kind < len(_SIGNS)
    before = data[np.maximum(at - 1, 0)]
    after = data[np.minimum(at + 3, len(data) - 1)]
    beside_ascii = ((before > 32) & (before < 128) & (at > offsets[places[:, 0]])) | (
        (after > 32) & (after < 128)
    )
    hidden = (kind >= len(_SIGNS)) & (kind < first_wide) & beside_ascii
    telling = sign | hidden
    wide = np.flatnonzero(kind >= first_wide)
    if len(wide) >= _WIDE_DIGITS:
        last = wide[_WIDE_DIGITS - 1 :]
        near = at[last] - at[wide[: len(last)]] <= _WIDE_REACH
        telling[wide[: len(last)][near]] = True
        telling[last[near]] = True
    kept: Places = places[telling]
    return kept


def _chunks(data: Bytes, offsets: Offsets, windows: Windows) -> Iterator[list[_Window]]:
    points = code_points_before(data, offsets, windows)
    chunk: list[_Window] = []
    size = 0
    for (row, start, stop), code_point in zip(windows.tolist(), points.tolist(), strict=True):
        first = int(offsets[row])
        written = data[first + start : first + stop].tobytes().decode("utf-8", "replace")
        plain = unveil(written)
        if plain.text == written:
            continue
        if chunk and size + len(plain.text) > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(_Window(row, code_point, written, plain))
        size += len(plain.text) + len(SEPARATOR)
    if chunk:
        yield chunk


def _hits_in(chunk: list[_Window], recogniser: Recogniser) -> Iterator[Hit]:
    found = hits(recogniser, SEPARATOR.join(window.plain.text for window in chunk))
    if not found:
        return
    sizes = [0] + [len(window.plain.text) + len(SEPARATOR) for window in chunk[:-1]]
    starts = np.cumsum(sizes).tolist()
    for span in found:
        at = bisect_right(starts, span.start) - 1
        window, start, end = chunk[at], span.start - starts[at], span.end - starts[at]
        if not window.plain.was_disguised(start, end, window.written):
            continue
        first, last = window.plain.written(start, end)
        written = span._replace(start=window.code_point + first, end=window.code_point + last)
        text = window.plain.text
        before = text[max(0, start - CONTEXT_REACH) : start]
        yield Hit(window.row, written, recogniser, text[start:end], before)
