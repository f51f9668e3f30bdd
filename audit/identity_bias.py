"""What the toxicity models of a run make of neutral sentences that name groups of people.

A share of toxic documents can be an artefact: models learn the names of groups from the abuse they stand in.
False-positive rates need no labels, since the sentences harm nobody, and are measured anew for every model in
use, at its own threshold. AUCs need labelled sentences: they are told where they ship with the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import pyarrow as pa

from audit.config import digest_json
from audit.errors import AuditError
from audit.model import DOCUMENT_SCHEMA, ScreenResult
from audit.screens import ScreenContext
from audit.storage.store import write_atomically
from audit.toxicity import identity_terms
from audit.toxicity.identity_terms import Sentence, neutral_sentences
from audit.toxicity.toxicity_model import packaged_card
from audit.workkeys import code_digest

Row: TypeAlias = dict[str, Any]

#: The screen whose model comes with figures of labelled sentences.
PACKAGED = "toxicity"
#: A screen or probe with this measure scores segments for toxicity.
_MEASURE = "toxic_segments"
_SHIPPED = ("sentences", "neutral_sentences", "false_positive_rate", "recall", "auc", "terms")


class Model(Protocol):
    """A screen or probe that says of a text whether it is toxic."""

    name: ClassVar[str]
    version: ClassVar[str]
    measures: ClassVar[Mapping[str, pa.DataType]]

    def resources(self) -> Mapping[str, str]:
        """Versions and digests that its result depends on."""
        ...

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Measure one batch."""
        ...


def models_in_use(detectors: Sequence[Any]) -> list[Model]:
    """Those of a run's screens and probes that score toxicity."""
    return [one for one in detectors if _MEASURE in one.measures and "flagged" in one.measures]


def figures(models: Sequence[Model], cache: Path) -> list[Row]:
    """Bias figures of each model.

    Args:
        models: As ``models_in_use`` gives them.
        cache: Folder for what was measured before; may be deleted.

    Returns:
        For each model ``model``, ``threshold``, ``not_evaluated`` (why nothing was measured, or None),
        ``sentences`` and ``flagged`` (neutral ones with a term), ``ordinary`` (the same of those without),
        ``terms`` (``language``, ``term``, ``sentences``, ``flagged``; the most flagged first), ``shipped``
        (figures of labelled sentences, or None).
    """
    return [{**_measured(model, cache), "shipped": _shipped(model)} for model in models]


def _measured(model: Model, cache: Path) -> Row:
    empty = {"sentences": 0, "flagged": 0, "ordinary": {"sentences": 0, "flagged": 0}, "terms": []}
    head = {"model": model.name, "threshold": getattr(model, "threshold", None)}
    try:
        key = _key(model)
        file = cache / f"identity-{key[:16]}.json"
        if file.exists():
            counted: Row = json.loads(file.read_bytes())
        else:
            counted = false_positives(model)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(counted, sort_keys=True).encode())
    except AuditError as error:
        return {**head, "not_evaluated": str(error), **empty}
    return {**head, "not_evaluated": None, **counted}


def _key(model: Model) -> str:
    """What the figures depend on."""
    parameters = dataclasses.asdict(model)  # type: ignore[call-overload]
    code = [code_digest(module) for module in (type(model).__module__, __name__)]
    about = [model.name, model.version, parameters, dict(model.resources()), code, identity_terms.digest()]
    return digest_json(about)


def false_positives(model: Model) -> Row:
    """How many neutral sentences a model flags, by language and term.

    Raises:
        AuditError: The model cannot be loaded.
    """
    sentences = neutral_sentences()
    flagged = _flagged(model, sentences)
    rows: dict[tuple[str, str | None], Row] = {}
    for sentence, hit in zip(sentences, flagged, strict=True):
        if hit is None:  # a language that the model does not know
            continue
        key = (sentence.language, sentence.term)
        row = rows.setdefault(
            key, {"language": sentence.language, "term": sentence.term, "sentences": 0, "flagged": 0}
        )
        row["sentences"] += 1
        row["flagged"] += hit
    named = [row for row in rows.values() if row["term"] is not None]
    ordinary = [row for row in rows.values() if row["term"] is None]
    order = sorted(named, key=lambda row: (-row["flagged"] / row["sentences"], row["language"], row["term"]))
    return {**_sums(named), "ordinary": _sums(ordinary), "terms": order}


def _flagged(model: Model, sentences: Sequence[Sentence]) -> list[bool | None]:
    n = len(sentences)
    columns: dict[str, pa.Array] = {
        "position": pa.array(range(n), pa.int64()),
        "doc_id": pa.array([str(number) for number in range(n)]),
        "text": pa.array([sentence.text for sentence in sentences], pa.string()),
    }
    arrays = [columns.get(field.name, pa.nulls(n, field.type)) for field in DOCUMENT_SCHEMA]
    batch = pa.RecordBatch.from_arrays(arrays, schema=DOCUMENT_SCHEMA)
    labels = pa.array([sentence.language for sentence in sentences], pa.string())
    result = model.measure(batch, ScreenContext({"language_label": labels}))
    values: list[bool | None] = result.measurements["flagged"].to_pylist()
    return values


def _sums(rows: Sequence[Row]) -> Row:
    return {name: sum(row[name] for row in rows) for name in ("sentences", "flagged")}


def _shipped(model: Model) -> Row | None:
    """Figures of labelled sentences that came with the model, at the threshold that they were made at."""
    if model.name != PACKAGED:
        return None
    card = packaged_card()
    found = {name: card["identity"][name] for name in _SHIPPED}
    origin = {"threshold": card["threshold"], "model_sha256": card["sha256"], "digest": digest_json(found)}
    return {**origin, **found}
