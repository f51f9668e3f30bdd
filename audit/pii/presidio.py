"""Presidio's pattern recognisers without its engine: their patterns, validators and context words.

Nothing here calls out, logs a value, or skips what it could not finish. Recognisers that need a model
are not used.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, TypeAlias

import phonenumbers
import regex  # type: ignore[import-untyped]
import tldextract

from audit.errors import ConfigurationError
from audit.pii.pii_kinds import kind_of
from audit.pii.presidio_library import (
    EmailRecognizer,
    IbanRecognizer,
    Pattern,
    PatternRecognizer,
    PhoneRecognizer,
    predefined_recognizers,
)
from audit.pii.spans import Span, without_contained

Recogniser: TypeAlias = PatternRecognizer | PhoneRecognizer

#: A crash guard only: windows are small, so that no pattern of Presidio's comes near it.
TIMEOUT_SECONDS = 60.0
#: Presidio's default registry sets these for every recogniser, whatever its class says.
REGISTRY_FLAGS = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
#: Presidio's own figures (``LemmaContextAwareEnhancer``).
CONTEXT_BOOST = 0.35
CONTEXT_MINIMUM = 0.4
#: Words before a hit that are read as its context. Presidio reads 5 key words, stop words not counted.
CONTEXT_WORDS = 8
#: Code points that hold these words.
CONTEXT_REACH = 120

#: Characters of an address that also divide URLs.
_SEPARATES = re.compile(r"[^\w.+-]")
_WORD = re.compile(r"\w+")


class MatchingError(RuntimeError):
    """A recogniser gave up: the text was not evaluated. Carries no text."""


class _Silence(logging.Filter):
    """Keeps Presidio's messages, which quote values, out of every log, and turns time-outs into errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise MatchingError("a pattern of Presidio's ran out of time")
        return False


logging.getLogger("presidio-analyzer").addFilter(_Silence())


class _OfflineEmailRecognizer(EmailRecognizer):
    """Checks domains against the public suffix list that ``tldextract`` ships; never fetches one."""

    _extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        local, _, host = pattern_text.rpartition("@")
        if _SEPARATES.search(local):  # what stands before it may be taken for the host
            return bool(self._extract(pattern_text).fqdn)
        return _has_public_suffix(host)


@lru_cache(maxsize=10_000)
def _has_public_suffix(host: str) -> bool:
    return bool(_OfflineEmailRecognizer._extract(host).fqdn)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide what is found."""
    names = ("presidio-analyzer", "phonenumbers", "tldextract", "regex")
    return {name: version(name) for name in names}


def recognisers(
    countries: Sequence[str], entities: Sequence[str], phone_regions: Sequence[str]
) -> list[Recogniser]:
    """Build the recognisers of a selection, in order of entity.

    Args:
        countries: Presidio's country tags (``us``, ``uk``), for the kinds that are on by default.
        entities: Kinds to search for instead, of any country; empty for the defaults.
        phone_regions: Regions (ISO 3166, ``US``, ``GB``) whose national phone numbers are read.

    Raises:
        ConfigurationError: A name that Presidio or ``phonenumbers`` does not know.
    """
    known = _known()
    _check("countries", countries, {c.COUNTRY_CODE for c in known.values() if c.COUNTRY_CODE})
    _check("entities", entities, set(known))
    _check("phone_regions", phone_regions, set(phonenumbers.SUPPORTED_REGIONS))
    wanted = entities or [
        entity
        for entity, recogniser in known.items()
        if kind_of(entity).default and recogniser.COUNTRY_CODE in (None, *countries)
    ]
    return [built for entity in sorted(set(wanted)) for built in _build(known[entity], phone_regions)]


def _known() -> dict[str, type[Recogniser]]:
    """Recogniser classes by the entity that they find; of several for one entity, Presidio's first."""
    found: dict[str, type[Recogniser]] = {}
    for _, member in inspect.getmembers(predefined_recognizers, inspect.isclass):
        if issubclass(member, PatternRecognizer | PhoneRecognizer) and member is not PatternRecognizer:
            default = inspect.signature(member).parameters["supported_entity"].default
            if default not in found or found[default].COUNTRY_CODE is not None:
                found[default] = member
    found["EMAIL_ADDRESS"] = _OfflineEmailRecognizer
    return found


def _check(key: str, names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            remedy = f"Known are {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown name {name!r}", key=f"screens.pii.{key}", remedy=remedy)


def _build(recogniser: Any, phone_regions: Sequence[str]) -> list[Recogniser]:
    if issubclass(recogniser, PhoneRecognizer):
        return [recogniser(supported_regions=tuple(phone_regions))]
    built = recogniser()
    built.global_regex_flags = REGISTRY_FLAGS
    return [built]


def hits(recogniser: Recogniser, text: str) -> list[Span]:
    """Return what a recogniser finds in a text, with its own scores, before context.

    Raises:
        MatchingError: A pattern ran out of time, or a text holds too many broken phone numbers.
    """
    if isinstance(recogniser, PhoneRecognizer):
        return without_contained(_phones(recogniser, text))
    if isinstance(recogniser, IbanRecognizer):
        found = recogniser.analyze(text, recogniser.supported_entities)
        return [Span(r.start, r.end, r.entity_type, r.score) for r in found]
    return without_contained(_matches(recogniser, text))


def _phones(recogniser: PhoneRecognizer, text: str) -> Iterator[Span]:
    entity = recogniser.supported_entities[0]
    leniency = recogniser.leniency or 0
    for region in recogniser.supported_regions or (None,):
        matcher = phonenumbers.PhoneNumberMatcher(text, region, leniency=leniency)
        for match in matcher:
            yield Span(match.start, match.end, entity, recogniser.SCORE)
        if matcher._max_tries <= 0:
            raise MatchingError("too many broken phone numbers")


def _matches(recogniser: Any, text: str) -> Iterator[Span]:
    """``PatternRecognizer.analyze`` without its explanations, and without its silent time-out."""
    entity, flags = recogniser.supported_entities[0], recogniser.global_regex_flags
    patterns: list[Pattern] = recogniser.patterns
    for pattern in patterns:
        compiled = regex.compile(pattern.regex, flags=flags)
        try:
            for match in compiled.finditer(text, timeout=TIMEOUT_SECONDS):
                score = _validated(recogniser, match[0], pattern.score) if match[0] else 0.0
                if score > 0:
                    yield Span(match.start(), match.end(), entity, score)
        except TimeoutError as error:
            raise MatchingError(f"a pattern for {entity} ran out of time") from error


def _validated(recogniser: PatternRecognizer, value: str, score: float) -> float:
    valid = recogniser.validate_result(value)
    if valid is False or recogniser.invalidate_result(value):
        return 0.0
    return 1.0 if valid else score


def in_context(recogniser: Recogniser, before: str) -> bool:
    """Whether one of a recogniser's context words is among the last words before a hit.

    Presidio compares lemmas, which need a language model, and lets a context word match inside another
    (``lic`` in ``duplicate``). Here whole words count, without case, in the singular or with an ``s``;
    a context phrase counts when its words follow one another.

    Args:
        recogniser: Whose context words are meant.
        before: The text before the hit; its last ``CONTEXT_WORDS`` words are read.
    """
    words = " ".join(_WORD.findall(before.casefold())[-CONTEXT_WORDS:])
    padded = f" {words} "
    return any(
        f" {phrase} " in padded or f" {phrase}s " in padded
        for phrase in (" ".join(_WORD.findall(word.casefold())) for word in recogniser.context)
        if phrase
    )


def with_context(score: float) -> float:
    """Return the score of a hit whose context supports it, by Presidio's rule."""
    return min(max(score + CONTEXT_BOOST, CONTEXT_MINIMUM), 1.0)
