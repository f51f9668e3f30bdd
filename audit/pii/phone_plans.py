"""Which digits are a valid phone number: libphonenumber's rules, compiled from its metadata.

For each region one automaton answers what ``phonenumbers.parse`` and the leniency ``VALID`` answer for a
number without formatting: international prefix, country code, national prefix, the plan's patterns and
lengths, and whether the national prefix had to be written. It is built by combining the automata of the
metadata's expressions; each step below names the function of ``phonenumbers`` that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from audit.pii.digit_automata import (
    Automaton,
    accepting,
    after,
    combined,
    everything,
    nothing,
    of_lengths,
    union,
)
from audit.pii.digit_patterns import ANY, Prefix, UnsupportedPattern, parse, prefixes, sequence

#: What an automaton says of a number: valid, or to be asked of ``phonenumbers``.
VALID, UNDECIDED = 1, 2

_TYPES = (
    *("premium_rate", "toll_free", "shared_cost", "voip", "personal_number"),
    *("pager", "uan", "voicemail", "fixed_line", "mobile"),
)
#: Digits of the longest national prefix, with a carrier's code.
_LONGEST_PREFIX = 8


@dataclass(frozen=True)
class Plan:
    """What a region accepts: digits written alone, and digits written after a plus sign."""

    plain: Automaton
    plus: Automaton


def _region(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region)


def _shared(country_code: int, region: str) -> Any:
    return PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)


@cache
def plan_of(region: str) -> Plan | None:
    """Compile a region's plan; None when its metadata needs more than automata can say.

    Args:
        region: ISO 3166, one of ``phonenumbers.SUPPORTED_REGIONS``.
    """
    try:
        return _compiled(region)
    except UnsupportedPattern:
        return None


def _compiled(region: str) -> Plan:
    metadata = _region(region)
    code = str(metadata.country_code)
    main = _shared(metadata.country_code, phonenumbers.region_code_for_country_code(metadata.country_code))
    own = _international(metadata.country_code)
    dialled, idd = _after_prefix(metadata.international_prefix, _anywhere(own, code))
    bare_code, without_plus = _without_plus(metadata, main, code)
    national = _national(metadata, main) & ~bare_code
    plain = _either(dialled, combined(without_plus | national, idd, lambda a, b: a * (b == 0)))
    retried = _either(dialled, combined(without_plus, idd, lambda a, b: a * (b == 0)))
    known = _with_country_code(everything_after=True)
    plus = _either(_anywhere(own, code), combined(retried, known, lambda a, b: a * (b == 0)))
    return Plan(plain, plus)


def _either(a: Automaton, b: Automaton) -> Automaton:
    return combined(a, b, lambda x, y: x | y)


def _anywhere(own: Automaton, code: str) -> Automaton:
    """Return numbers that begin with a country code: the region's decided, others to be asked.

    ``_extract_country_code``.
    """
    others = _with_country_code(everything_after=False) & ~after(code, everything())
    return combined(after(code, own), others, lambda a, b: a | b * UNDECIDED)


@cache
def _with_country_code(*, everything_after: bool) -> Automaton:
    """Return what begins with any country code: all of it, or what can be a number by its length."""
    first: dict[str, list[Automaton]] = {}
    for number in COUNTRY_CODE_TO_REGION_CODE:
        rest = everything() if everything_after else of_lengths(_national_lengths(number))
        first.setdefault(str(number)[0], []).append(after(str(number)[1:], rest))
    return union([after(digit, union(codes)) for digit, codes in first.items()])


def _national_lengths(country_code: int) -> range:
    """Return the lengths that a country code's numbers can have: with a national prefix, or shortened."""
    plans = [_shared(country_code, region) for region in COUNTRY_CODE_TO_REGION_CODE[country_code]]
    possible = [length for plan in plans for length in plan.general_desc.possible_length]
    rules = [plan.national_prefix_transform_rule or "" for plan in plans]
    added = max(len(re.sub(r"\\\d", "", rule)) for rule in rules)
    return range(max(min(possible) - added, 1), max(possible) + _LONGEST_PREFIX + 1)


def _after_prefix(expression: str, rest: Automaton) -> tuple[Automaton, Automaton]:
    """Return ``rest`` after the international prefix, and what begins with that prefix.

    ``_parse_prefix_as_idd``: a 0 after the prefix means that there was none.
    """
    literals = [p.text for p in prefixes(parse(expression), keep_last_group=False)]
    if any(a != b and b.startswith(a) for a in literals for b in literals):
        raise UnsupportedPattern("an international prefix begins another")
    not_zero = ~after("0", everything())
    begun = union([after(text, not_zero) for text in literals])
    return union([after(text, combined(rest, not_zero, lambda a, b: a * b)) for text in literals]), begun


@cache
def _international(country_code: int) -> Automaton:
    """Return what is valid after a country code."""
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = _shared(country_code, region)
    return _stripped_if_possible(metadata, _valid(country_code))


def _without_plus(metadata: Any, main: Any, code: str) -> tuple[Automaton, Automaton]:
    """Return which numbers begin with the region's country code, no plus sign; which are then valid.

    ``_maybe_extract_country_code``: only where the number is not possible otherwise.
    """
    general = accepting(parse(metadata.general_desc.national_number_pattern))
    too_long = of_lengths((), above=max(metadata.general_desc.possible_length)) & ~_local(metadata)
    better = ~general & after(code, _stripped(metadata, general))
    begun = after(code, everything()) & (better | too_long)
    valid = _stripped_if_possible(main, _valid(metadata.country_code))
    return begun, begun & after(code, _stripped(metadata, valid))


def _local(metadata: Any) -> Automaton:
    return of_lengths(metadata.general_desc.possible_length_local_only)


def _national(metadata: Any, main: Any) -> Automaton:
    """Return the valid numbers without country code (``_is_national_prefix_present_if_required``)."""
    valid, prefixed = _valid(metadata.country_code), _prefix_required(main)
    free = _stripped_if_possible(metadata, valid & ~prefixed)
    bound = _stripped_if_possible(metadata, valid & prefixed)
    return free | (bound & _strips(main.id))


def _prefix_required(metadata: Any) -> Automaton:
    """Return the national numbers that are always written with a national prefix."""
    required, earlier = nothing(), nothing()
    for form in metadata.number_format:
        matching = accepting(parse(form.pattern))
        if form.leading_digits_pattern:
            matching &= accepting(sequence(parse(form.leading_digits_pattern[-1]), ANY))
        rule = form.national_prefix_formatting_rule
        optional = form.national_prefix_optional_when_formatting
        if rule and not optional and not re.fullmatch(r"\(?\\1\)?", rule):
            required |= matching & ~earlier
        earlier |= matching
    return required


@cache
def _valid(country_code: int) -> Automaton:
    """Return the valid national numbers of a country code (``is_valid_number``).

    Of regions that share the code, the first whose leading digits or patterns match decides.
    """
    valid = nothing()
    for region in reversed(COUNTRY_CODE_TO_REGION_CODE[country_code]):
        metadata = _shared(country_code, region)
        numbers = _numbers(metadata)
        if metadata.leading_digits is None:
            valid |= numbers
        else:
            leading = accepting(sequence(parse(metadata.leading_digits), ANY))
            valid = (leading & numbers) | (~leading & valid)
    return valid


def _numbers(metadata: Any) -> Automaton:
    """Return the numbers that have a type (``_number_type_helper``)."""
    described = [getattr(metadata, name) for name in _TYPES]
    patterns = [_description(d) for d in described if d is not None and d.national_number_pattern]
    return _description(metadata.general_desc) & union(patterns)


def _description(description: Any) -> Automaton:
    matching = accepting(parse(description.national_number_pattern))
    lengths: Sequence[int] = description.possible_length
    return matching & of_lengths(lengths) if lengths else matching


def _national_prefixes(metadata: Any) -> list[Prefix]:
    rule, expression = metadata.national_prefix_transform_rule, metadata.national_prefix_for_parsing
    if not expression:
        return []
    if rule and rule != f"\\{re.compile(expression).groups}":
        raise UnsupportedPattern("a number that is rewritten")
    return prefixes(parse(expression), keep_last_group=bool(rule))


@cache
def _prefix_cases(region: str) -> list[tuple[str, Automaton, Automaton]]:
    """Return each prefix with the numbers that begin with it, and those of them that keep it.

    ``_maybe_strip_national_prefix_carrier_code``: a viable number is not made another.
    """
    metadata = _region(region)
    general = accepting(parse(metadata.general_desc.national_number_pattern))
    cases, earlier = [], nothing()
    for prefix in _national_prefixes(metadata):
        tail = of_lengths((), above=prefix.following - 1) if prefix.following else everything()
        begun = after(prefix.text, tail) & ~earlier
        earlier |= begun
        cases.append((prefix.text, begun, begun & general & after(prefix.text, ~general)))
    return cases


@cache
def _strips(region: str) -> Automaton:
    """Return the numbers from which a national prefix is taken."""
    return union([begun & ~kept for _, begun, kept in _prefix_cases(region)])


def _stripped(metadata: Any, rest: Automaton) -> Automaton:
    """Return the numbers that are in ``rest`` when their national prefix has been taken off."""
    cases = _prefix_cases(metadata.id)
    taken = [after(text, rest) & begun & ~kept for text, begun, kept in cases]
    return union(taken) | (rest & ~_strips(metadata.id))


def _stripped_if_possible(metadata: Any, valid: Automaton) -> Automaton:
    """Return the numbers that are valid with their prefix off, where that leaves a possible length."""
    lengths = metadata.general_desc.possible_length
    possible = of_lengths(lengths, above=max(lengths)) & ~_local(metadata)
    with_prefix = _stripped(metadata, ~possible) & valid
    return _stripped(metadata, possible & valid) | with_prefix
