"""Personal data that can be recognised by its form: addresses, numbers, identifiers, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import pyarrow as pa

from audit.errors import ConfigurationError
from audit.masking import mask, value_hash
from audit.model import FINDING_SCHEMA, SEVERITIES, ScreenResult
from audit.pii.pii_grading import is_version, leading_rest, severity
from audit.pii.pii_kinds import MORE_CONTEXT, kind_of, rank
from audit.pii.spans import Span, resolve_overlaps
from audit.screens import ScreenContext

if TYPE_CHECKING:
    from audit.pii.pii_budget import Budget
    from audit.pii.pii_patterns import PatternHit
    from audit.pii.pii_recognisers import RecogniserFile
    from audit.pii.pii_search import Hit
    from audit.pii.pii_selection import Selection

#: Digits alone, or as a decimal fraction.
_BARE_NUMBER = re.compile(r"\d+(?:\.\d+)?")
#: Parameters that bound the work.
_LIMITS = (
    *("max_candidate_bytes", "max_candidates", "max_pattern_steps", "max_phone_steps"),
    "max_library_bytes",
)
#: Code points after an IP address that tell whether it is one.
_AFTER = 4


class _Words(NamedTuple):
    """What ``in_context`` reads of a recogniser."""

    context: tuple[str, ...]


class _Scored(NamedTuple):
    """A hit that counts; the fields before ``value`` order it."""

    row: int
    span: Span
    value: str
    before: str
    usual: str  # severity before the rules that lower it


@dataclass(frozen=True)
class Pii:
    """Personal data found by Presidio's pattern recognisers and by our own for secrets (no named entities).

    E-mail addresses, phone and card numbers, IBANs, IP and MAC addresses, wallets and the national
    identifiers of the chosen countries, with Presidio's own patterns, check digits and scores
    (https://microsoft.github.io/presidio); secrets (private keys, tokens of well-known services, JWTs,
    passwords in URLs and configuration); dates of birth, medical record, health plan and licence numbers by
    their label (English, Spanish, French, German). A native pass first finds the windows of text where these
    can be; only the windows are read by the recognisers. Disguised addresses and numbers
    (``john [at] example [dot] com``, HTML entities, full-width digits, characters of no width) are undone in
    such windows and read by the same recognisers; the value that is hashed is the plain one.

    What counts as a finding:

    - The score is Presidio's. It rises by 0.35, to at least 0.4, when one of the recogniser's context
      words is among the eight words before the hit (whole words, singular or plural, no case; Presidio
      itself compares lemmas of five key words, and substrings). Labels of phone numbers in Spanish, French,
      German, Italian and Portuguese are context words too (``audit.pii.pii_kinds.MORE_CONTEXT``).
    - The score must reach ``minimum_score``.
    - Kinds that rest on check digits or length alone (``UK_NHS``, ``US_PASSPORT``, ``CA_SIN``,
      ``MEDICAL_LICENSE`` and most national identifiers) need a context word: one of ten or eleven product
      numbers, ISBNs and phone numbers passes a check digit. So does a phone number that is written as
      digits alone or as a decimal fraction: in web pages these are ISBNs, prices and parts of addresses.
    - Four numbers with dots after ``version``, ``v``, ``Chrome/`` and the like, or within a longer row of
      numbers, are no IP address.
    - An e-mail address begins with letters, digits and ``._%+-``: what Presidio reads before these, mostly
      the rest of a URL, is cut.
    - Of overlapping hits the one with the higher score stays, then the longer, then the kind that stands
      first in ``audit.pii.pii_kinds.KINDS``. One number is one finding.

    Off unless named in ``entities``: ``URL``, ``DATE_TIME``, ``UUID`` (not personal by themselves),
    ``US_DRIVER_LICENSE`` and ``US_BANK_NUMBER`` (any six to seventeen digits), vehicle plates, postal codes
    and companies' numbers. Phone regions are the United States (with Canada) and the United Kingdom, and
    with a plus sign the whole world: the short numbers of some plans (Germany's, Australia's) make years
    and prices valid phone numbers.

    Severity: critical for secrets, cards and national identifiers; high for IBANs, dates of birth and
    licences; medium for e-mail addresses, phone numbers, public IP addresses and wallets; low for MAC
    addresses. It is low for role addresses (``info@``), company numbers (toll-free, ``…-0``, announced as
    hotline) and IP addresses that are private, reserved or for documentation; the kind stays. A profile may
    set others. ``flagged`` is true when a finding is at least medium.

    Work is bounded by budgets that count bytes, candidates and steps, never time. Where a document spends
    one, it is not evaluated for that kind: ``not_evaluated`` names the kinds, and the other kinds' findings
    stay, as do those of the kind that were made before (there may be more). A document that is flagged by
    what was found counts as evaluated, for more could change nothing of that; any other has the state
    ``failed: budget for`` the kinds, so that upper limits count it as a hit.

    Attributes:
        countries: Presidio's country tags whose national identifiers are searched for. Patterns belong to
            countries, not to languages, so a page's language decides nothing.
        languages: Language codes whose countries are added (``es``: Spain's identifiers).
        entities: Kinds to search for instead of the defaults, by Presidio's name or ours, of any country.
        phone_regions: Regions (ISO 3166) whose national phone numbers are read without a country code.
        minimum_score: Least score of a finding, in [0, 1].
        max_candidate_bytes: Bytes of windows that the recognisers of one kind read of a document, in each of
            the three passes (Presidio's, patterns, disguises).
        max_candidates: Raw hits of one kind in a document that are checked and graded.
        max_pattern_steps: Bytes times instructions of the compiled pattern, for the recognisers of one kind
            that are data: the steps that RE2 needs at most. Bounds patterns of your own without literals,
            which read whole documents.
        max_phone_steps: Symbols of a document that the phone scan looks at, over all regions.
        max_library_bytes: Bytes of a document that ``phonenumbers`` itself reads, over all regions.
        profile: ``default``, ``gdpr``, ``hipaa_safe_harbor`` or ``secrets_only``: kinds and severities.
        custom: YAML file of further recognisers (``audit.pii.pii_recognisers``), relative to the working
            directory; on whatever the profile.
    """

    countries: tuple[str, ...] = ("us", "uk", "ca")
    languages: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    phone_regions: tuple[str, ...] = ("US", "GB")
    minimum_score: float = 0.4
    max_candidate_bytes: int = 1_000_000
    max_candidates: int = 20_000
    max_pattern_steps: int = 1_000_000_000
    max_phone_steps: int = 50_000_000
    max_library_bytes: int = 100_000
    profile: str = "default"
    custom: str = ""

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = "3"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "findings": pa.int32(),
        "severity": pa.string(),
        "flagged": pa.bool_(),
        "not_evaluated": pa.list_(pa.string()),
    }
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the ranges of numbers; names are checked when the recognisers are built."""
        if not 0 <= self.minimum_score <= 1:
            raise ConfigurationError("must lie in [0, 1]", key="screens.pii.minimum_score")
        for limit in _LIMITS:
            if getattr(self, limit) < 1:
                raise ConfigurationError("must be at least 1", key=f"screens.pii.{limit}")

    def resources(self) -> Mapping[str, str]:
        """Return the libraries' versions and the digests of profile and recogniser files.

        Raises:
            ConfigurationError: A country, entity, region, profile or the custom file is at fault.
        """
        from audit.pii.pii_recognisers import library_versions as pattern_versions
        from audit.pii.presidio import library_versions

        return {**library_versions(), **pattern_versions(), **_selection(self).digests()}

    def searches_for(self, kind: str) -> bool:
        """Whether findings of a kind are possible with these parameters; other canaries do not apply."""
        selection = _selection(self)
        named = {name for each in selection.presidio for name in each.supported_entities}
        return kind in named | {each.kind for each in selection.patterns}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Search the texts of a batch.

        Raises:
            ConfigurationError: A name is unknown, or there is no key.
            MatchingError: A recogniser gave up on a text.
        """
        from audit.pii.pii_raw_hits import TextReader, raw_hits

        if not context.hmac_key:
            raise ConfigurationError("the pii screen needs the HMAC key, and was given none")
        texts, selection = batch.column("text"), _selection(self)
        hits, over = raw_hits(texts, selection, self._budget())
        scored = self._scored(hits, selection, TextReader(texts))
        rows = _findings(scored, context.hmac_key)
        measurements, not_evaluated = _measurements(rows, batch.num_rows, over)
        return ScreenResult(measurements, pa.Table.from_pylist(rows, FINDING_SCHEMA), not_evaluated)

    def _budget(self) -> Budget:
        from audit.pii.pii_budget import Budget

        return Budget(
            self.max_candidate_bytes,
            self.max_candidates,
            self.max_pattern_steps,
            self.max_phone_steps,
            self.max_library_bytes,
        )

    def _scored(
        self, hits: Iterable[Hit | PatternHit], selection: Selection, text: Callable[[int], str]
    ) -> list[_Scored]:
        """Hits that count, with their scores and usual severities, in order of row and position."""
        from audit.pii.presidio import in_context, with_context

        found: list[_Scored] = []
        for hit in hits:
            own = getattr(hit.recogniser, "severity", None)
            supported = in_context(cast(Any, hit.recogniser), hit.before) or (
                hit.span.kind in MORE_CONTEXT
                and in_context(cast(Any, _Words(MORE_CONTEXT[hit.span.kind])), hit.before)
            )
            if not supported and _needs_context(hit):
                continue
            span = hit.span._replace(score=with_context(hit.span.score)) if supported else hit.span
            if span.score < self.minimum_score or _is_no_address(hit, text):
                continue
            span, value = _without_rest(span, hit.value)
            usual = selection.severity(span.kind, own)
            found.append(_Scored(hit.row, span, value, hit.before, usual))
        return sorted(found)


def _selection(screen: Pii) -> Selection:
    from audit.pii.pii_recognisers import custom

    return _select(screen, custom(screen.custom) if screen.custom else None)


@cache
def _select(screen: Pii, mine: RecogniserFile | None) -> Selection:
    from audit.pii.pii_selection import select

    return select(
        screen.countries, screen.languages, screen.entities, screen.phone_regions, screen.profile, mine
    )


def _needs_context(hit: Hit | PatternHit) -> bool:
    own: bool | None = getattr(hit.recogniser, "needs_context", None)
    if own is not None:
        return own
    bare_phone = hit.span.kind == "PHONE_NUMBER" and _BARE_NUMBER.fullmatch(hit.value) is not None
    return bare_phone or kind_of(hit.span.kind).needs_context


def _without_rest(span: Span, value: str) -> tuple[Span, str]:
    """Cut what stands before an address that is written as found, not in disguise."""
    rest = leading_rest(value) if span.kind == "EMAIL_ADDRESS" and len(value) == span.end - span.start else 0
    return (span._replace(start=span.start + rest), value[rest:]) if rest else (span, value)


def _is_no_address(hit: Hit | PatternHit, text: Callable[[int], str]) -> bool:
    if hit.span.kind != "IP_ADDRESS":
        return False
    return is_version(hit.value, hit.before, text(hit.row)[hit.span.end : hit.span.end + _AFTER])


def _findings(scored: Iterable[_Scored], key: bytes) -> list[dict[str, object]]:
    """Resolve overlaps and mask; in order of row and position."""
    found: list[dict[str, object]] = []
    for _, group in groupby(scored, key=lambda hit: hit.row):
        by_span = {hit.span: hit for hit in group}
        found += [_finding(by_span[span], key) for span in resolve_overlaps(by_span, rank)]
    return found


def _finding(hit: _Scored, key: bytes) -> dict[str, object]:
    span = hit.span
    return {
        "row": hit.row,
        "kind": span.kind,
        "start": span.start,
        "end": span.end,
        "score": span.score,
        "severity": severity(span.kind, hit.value, hit.before, hit.usual),
        "preview": mask(hit.value, span.kind),
        "value_hash": value_hash(key, span.kind, hit.value),
    }


def _measurements(
    findings: list[dict[str, object]], n: int, over: Mapping[int, tuple[str, ...]]
) -> tuple[dict[str, pa.Array], dict[int, str]]:
    """The columns, and why documents were not evaluated: a flagged one stays flagged."""
    grades: list[list[int]] = [[] for _ in range(n)]
    for finding in findings:
        grades[int(str(finding["row"]))].append(SEVERITIES.index(str(finding["severity"])))
    medium = SEVERITIES.index("medium")
    flagged = [
        any(s >= medium for s in g) or (None if row in over else False) for row, g in enumerate(grades)
    ]
    columns = {
        "findings": pa.array(
            [len(g) if g or row not in over else None for row, g in enumerate(grades)], pa.int32()
        ),
        "severity": pa.array([SEVERITIES[max(g)] if g else None for g in grades], pa.string()),
        "flagged": pa.array(flagged, pa.bool_()),
        "not_evaluated": pa.array([over.get(row) for row in range(n)], pa.list_(pa.string())),
    }
    reasons = {row: f"failed: budget for {', '.join(kinds)}" for row, kinds in over.items()}
    return columns, {row: reason for row, reason in reasons.items() if not flagged[row]}
