"""Personal data that can be recognised by its form: addresses, numbers, identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from audit.errors import ConfigurationError
from audit.masking import mask, value_hash
from audit.model import FINDING_SCHEMA, SEVERITIES, ScreenResult
from audit.pii_kinds import kind_of, rank
from audit.screens import ScreenContext
from audit.spans import Span, resolve_overlaps

if TYPE_CHECKING:
    from audit.pii_search import Hit
    from audit.presidio import Recogniser

#: Digits alone, or as a decimal fraction.
_BARE_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Pii:
    """Personal data found by Presidio's pattern recognisers (no named entities).

    E-mail addresses, phone and card numbers, IBANs, IP and MAC addresses, wallets and the national
    identifiers of the chosen countries, with Presidio's own patterns, check digits and scores
    (https://microsoft.github.io/presidio). A native pass first finds the windows of text where these can
    be; only the windows are read by the recognisers.

    What counts as a finding:

    - The score is Presidio's. It rises by 0.35, to at least 0.4, when one of the recogniser's context
      words is among the eight words before the hit (whole words, singular or plural, no case; Presidio
      itself compares lemmas of five key words, and substrings).
    - The score must reach ``minimum_score``.
    - Kinds that rest on check digits or length alone (``UK_NHS``, ``US_PASSPORT``, ``CA_SIN``,
      ``MEDICAL_LICENSE`` and most national identifiers) need a context word: one of ten or eleven product
      numbers, ISBNs and phone numbers passes a check digit. So does a phone number that is written as
      digits alone or as a decimal fraction: in web pages these are ISBNs, prices and parts of addresses.
    - Of overlapping hits the one with the higher score stays, then the longer, then the kind that stands
      first in ``audit.pii_kinds.KINDS``. One number is one finding.

    Off unless named in ``entities``: ``URL``, ``DATE_TIME``, ``UUID`` (not personal by themselves),
    ``US_DRIVER_LICENSE`` and ``US_BANK_NUMBER`` (any six to seventeen digits), vehicle plates, postal codes
    and companies' numbers. Phone regions are the United States (with Canada) and the United Kingdom, and
    with a plus sign the whole world: the short numbers of some plans (Germany's, Australia's) make years
    and prices valid phone numbers.

    Severity: critical for cards and national identifiers; high for IBANs and licences; medium for e-mail
    addresses, phone numbers and wallets; low for IP and MAC addresses. ``flagged`` is true when a finding
    is at least medium.

    A document whose windows exceed ``max_candidate_bytes`` is not evaluated (``failed: budget``).

    Attributes:
        countries: Presidio's country tags whose national identifiers are searched for. Patterns belong to
            countries, not to languages, so a page's language decides nothing.
        entities: Kinds to search for instead of the defaults, by Presidio's name, of any country.
        phone_regions: Regions (ISO 3166) whose national phone numbers are read without a country code.
        minimum_score: Least score of a finding, in [0, 1].
        max_candidate_bytes: Work limit per document, in bytes of windows.
    """

    countries: tuple[str, ...] = ("us", "uk", "ca")
    entities: tuple[str, ...] = ()
    phone_regions: tuple[str, ...] = ("US", "GB")
    minimum_score: float = 0.4
    max_candidate_bytes: int = 1_000_000

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "findings": pa.int32(),
        "severity": pa.string(),
        "flagged": pa.bool_(),
    }
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the ranges of numbers; names are checked when the recognisers are built."""
        if not 0 <= self.minimum_score <= 1:
            raise ConfigurationError("must lie in [0, 1]", key="screens.pii.minimum_score")
        if self.max_candidate_bytes < 1:
            raise ConfigurationError("must be at least 1", key="screens.pii.max_candidate_bytes")

    def resources(self) -> Mapping[str, str]:
        """Return the libraries' versions.

        Raises:
            ConfigurationError: A country, entity or region is unknown.
        """
        from audit.presidio import library_versions

        _recognisers(self)
        return library_versions()

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Search the texts of a batch.

        Raises:
            ConfigurationError: A name is unknown, or there is no key.
            MatchingError: A recogniser gave up on a text.
        """
        from audit.pii_search import Texts, search

        if not context.hmac_key:
            raise ConfigurationError("the pii screen needs the HMAC key, and was given none")
        texts = Texts(batch.column("text"))
        hits, over = search(texts, _recognisers(self), self.max_candidate_bytes)
        rows = self._findings(hits, context.hmac_key)
        reason = f"failed: budget of {self.max_candidate_bytes} candidate bytes"
        not_evaluated = dict.fromkeys(over.nonzero()[0].tolist(), reason)
        return ScreenResult(
            _measurements(rows, batch.num_rows, not_evaluated),
            pa.Table.from_pylist(rows, FINDING_SCHEMA),
            not_evaluated,
        )

    def _findings(self, hits: Iterable[Hit], key: bytes) -> list[dict[str, object]]:
        """Score, resolve and mask hits; in order of row and position."""
        scored = [(hit.row, span, hit.value) for hit in hits if (span := self._scored(hit))]
        scored.sort(key=lambda item: item[:2])
        found: list[dict[str, object]] = []
        for row, group in groupby(scored, key=lambda item: item[0]):
            values = {span: value for _, span, value in group}
            found += [_finding(row, span, values[span], key) for span in resolve_overlaps(values, rank)]
        return found

    def _scored(self, hit: Hit) -> Span | None:
        from audit.presidio import in_context, with_context

        supported = in_context(hit.recogniser, hit.before)
        if _needs_context(hit.span.kind, hit.value) and not supported:
            return None
        score = with_context(hit.span.score) if supported else hit.span.score
        return hit.span._replace(score=score) if score >= self.minimum_score else None


@cache
def _recognisers(screen: Pii) -> tuple[Recogniser, ...]:
    from audit.presidio import recognisers

    return tuple(recognisers(screen.countries, screen.entities, screen.phone_regions))


def _needs_context(kind: str, value: str) -> bool:
    bare_phone = kind == "PHONE_NUMBER" and _BARE_NUMBER.fullmatch(value) is not None
    return bare_phone or kind_of(kind).needs_context


def _finding(row: int, span: Span, value: str, key: bytes) -> dict[str, object]:
    return {
        "row": row,
        "kind": span.kind,
        "start": span.start,
        "end": span.end,
        "score": span.score,
        "severity": kind_of(span.kind).severity,
        "preview": mask(value, span.kind),
        "value_hash": value_hash(key, span.kind, value),
    }


def _measurements(
    findings: list[dict[str, object]], n: int, not_evaluated: Mapping[int, str]
) -> dict[str, pa.Array]:
    grades: list[list[int]] = [[] for _ in range(n)]
    for finding in findings:
        grades[int(str(finding["row"]))].append(SEVERITIES.index(str(finding["severity"])))
    evaluated = [row not in not_evaluated for row in range(n)]
    medium = SEVERITIES.index("medium")
    return {
        "findings": pa.array(
            [len(g) if e else None for g, e in zip(grades, evaluated, strict=True)], pa.int32()
        ),
        "severity": pa.array([SEVERITIES[max(g)] if g else None for g in grades], pa.string()),
        "flagged": pa.array(
            [any(s >= medium for s in g) if e else None for g, e in zip(grades, evaluated, strict=True)],
            pa.bool_(),
        ),
    }
