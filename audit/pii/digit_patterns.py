"""The regular expressions of libphonenumber's metadata, parsed.

The metadata needs little of the language: digits, ``\\d``, classes, groups, alternatives and bounded
repeats. What uses more is refused, never read approximately.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

#: Literal prefixes that one pattern may stand for.
MOST_PREFIXES = 500

_TOKEN = re.compile(
    r"(?P<digit>\d)|(?P<any>\\d)|\[(?P<set>[\d-]+)\]|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<optional>\?)|\{(?P<least>\d+)(?:,(?P<most>\d+))?\}"
)


class UnsupportedPattern(ValueError):
    """An expression uses more than this module reads."""


@dataclass(frozen=True)
class Pattern:
    """A parsed expression.

    Attributes:
        kind: ``digits`` (one of ``digits``), ``sequence``, ``choice``, ``repeat`` (of ``parts[0]``),
            ``group`` (capturing) or ``any`` (any number of digits).
        parts: What it is made of.
        digits: In order.
        least, most: Repeats.
    """

    kind: str
    parts: tuple[Pattern, ...] = ()
    digits: tuple[int, ...] = ()
    least: int = 0
    most: int = 0


ANY = Pattern("any")
_DIGIT = Pattern("digits", digits=tuple(range(10)))


def sequence(*parts: Pattern) -> Pattern:
    """Return one pattern after another."""
    return Pattern("sequence", parts)


def parse(expression: str) -> Pattern:
    """Parse an expression.

    Raises:
        UnsupportedPattern: It uses more than digits, classes, groups, alternatives and bounded repeats.
    """
    stack: list[tuple[str, list[list[Pattern]]]] = [("", [[]])]
    at = 0
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None:
            raise UnsupportedPattern(f"cannot read {expression[at:]!r}")
        at = token.end()
        _take(token, stack)
    if len(stack) != 1:
        raise UnsupportedPattern("a group is not closed")
    return _choice(stack[0][1])


def _take(token: re.Match[str], stack: list[tuple[str, list[list[Pattern]]]]) -> None:
    branches = stack[-1][1]
    if token["open"]:
        stack.append((token["open"], [[]]))
    elif token["or"]:
        branches.append([])
    elif token["close"]:
        if len(stack) == 1:
            raise UnsupportedPattern("a group is closed that is not open")
        opening, inner = stack.pop()
        group = _choice(inner)
        stack[-1][1][-1].append(Pattern("group", (group,)) if opening == "(" else group)
    elif token["optional"] or token["least"]:
        least = int(token["least"] or 0)
        most = int(token["most"] or token["least"] or 1)
        if not branches[-1] or branches[-1][-1].kind == "repeat":
            raise UnsupportedPattern("nothing to repeat, or a lazy repeat")
        branches[-1][-1] = Pattern("repeat", (branches[-1][-1],), least=least, most=most)
    else:
        branches[-1].append(_digits(token))


def _choice(branches: list[list[Pattern]]) -> Pattern:
    parts = tuple(sequence(*branch) for branch in branches)
    return parts[0] if len(parts) == 1 else Pattern("choice", parts)


def _digits(token: re.Match[str]) -> Pattern:
    if token["any"]:
        return _DIGIT
    if token["digit"]:
        return Pattern("digits", digits=(int(token["digit"]),))
    found: list[int] = []
    for low, high in re.findall(r"(\d)(?:-(\d))?", token["set"]):
        found += range(int(low), int(high or low) + 1)
    return Pattern("digits", digits=tuple(found))


@dataclass(frozen=True)
class Prefix:
    """A literal that a number can begin with, and the digits that have to follow it."""

    text: str
    following: int = 0


def prefixes(pattern: Pattern, *, keep_last_group: bool) -> list[Prefix]:
    """Return the literals that a pattern matches, in the order in which a regular expression tries them.

    Args:
        pattern: Of a national prefix.
        keep_last_group: A group of any digits at the end is not part of the prefix: it must follow.

    Raises:
        UnsupportedPattern: There are too many, or they cannot be written so.
    """
    if pattern.kind == "digits":
        found = [Prefix(str(digit)) for digit in pattern.digits]
    elif pattern.kind == "choice":
        found = [p for part in pattern.parts for p in prefixes(part, keep_last_group=keep_last_group)]
    elif pattern.kind == "repeat":
        found = _repeated(pattern, keep_last_group)
    elif pattern.kind == "group" and keep_last_group and (least := _any_digits(pattern)):
        found = [Prefix("", least)]
    elif pattern.kind in ("sequence", "group"):
        found = _joined([prefixes(part, keep_last_group=keep_last_group) for part in pattern.parts])
    else:
        raise UnsupportedPattern("a prefix of any length")
    if len(found) > MOST_PREFIXES:
        raise UnsupportedPattern("too many prefixes")
    return found


def _any_digits(group: Pattern) -> int:
    """Return how many digits a group ``(\\d{least,most})`` needs; 0 when it is another group."""
    inner = group.parts[0]
    while inner.kind == "sequence" and len(inner.parts) == 1:
        inner = inner.parts[0]
    return inner.least if inner.kind == "repeat" and inner.parts[0] == _DIGIT else 0


def _repeated(pattern: Pattern, keep_last_group: bool) -> list[Prefix]:
    once = prefixes(pattern.parts[0], keep_last_group=keep_last_group)
    counts = range(pattern.most, pattern.least - 1, -1)
    if len(once) ** pattern.most > MOST_PREFIXES:
        raise UnsupportedPattern("too many prefixes")
    return [prefix for count in counts for prefix in _joined([once] * count)]


def _joined(parts: list[list[Prefix]]) -> list[Prefix]:
    found = []
    for chosen in product(*parts):
        if any(prefix.following for prefix in chosen[:-1]):
            raise UnsupportedPattern("something follows the digits that are kept")
        following = chosen[-1].following if chosen else 0
        found.append(Prefix("".join(prefix.text for prefix in chosen), following))
    return found
