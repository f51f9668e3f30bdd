"""Personal data found against labelled spans: ours and stock Presidio's patterns, by data set and kind.

    python -m benchmarks.pii_evaluation DATA [--out benchmarks/results/pii_evaluation.json]

DATA holds ``pii.parquet`` (columns ``dataset, text, spans``: JSON list of ``type, start, end``, code points).

Matching rule: a found span and a labelled one of the same kind match when the intersection of their code
points is at least ``IOU`` of the union, white space and punctuation at the ends left out (as
presidio-research does); each matches at most one, the best first. Precision, recall and F2 (recall weighs
four times) follow.

Ours is the screen as users have it: minimum score 0.4, context rule, overlaps resolved between all kinds.
Stock is each of Presidio's pattern recognisers of the same kinds on the whole text, every score counting,
without language model and so without context, overlaps resolved within a kind only.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from audit.pii.presidio import Recogniser, recognisers
from audit.pii.spans import Span
from audit.screens import ScreenContext
from audit.screens.pii import Pii

IOU = 0.9
_EDGES = " \t\r\n.,;:!?()[]{}<>\"'"
_KEY = bytes(range(32))
_BATCH = 500

Found = tuple[str, int, int]


@dataclass(frozen=True)
class Task:
    """A data set: its labels as kinds of ours, and the setting that looks for these.

    Attributes:
        kinds: Reported kind -> labels of the data set.
        found: Reported kind -> our kinds; absent: the kind itself.
        ours: Setting of the screen, without entities.
        stock: Presidio's entities.
        plain_addresses: The labels come from a regular expression that sees no disguise: addresses that are
            written without an ``@`` are left out of ours.
    """

    dataset: str
    kinds: Mapping[str, tuple[str, ...]]
    ours: Pii
    stock: tuple[str, ...]
    found: Mapping[str, tuple[str, ...]]
    plain_addresses: bool = False

    def reported(self) -> dict[str, str]:
        """Our kind -> reported kind."""
        return {kind: name for name in self.kinds for kind in self.found.get(name, (name,))}


#: Presidio's own default, for both.
_REGIONS = tuple(PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS)
_SYNTH = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS")
TASKS = (
    Task("presidio_synth_v2", {kind: (kind,) for kind in _SYNTH}, Pii(phone_regions=_REGIONS), _SYNTH, {}),
    Task(
        "spamassassin",
        {"EMAIL_ADDRESS": ("EMAIL",), "PHONE_NUMBER": ("PHONE",), "IP_ADDRESS": ("IP_ADDRESS",)},
        Pii(phone_regions=_REGIONS),
        ("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"),
        {},
        plain_addresses=True,
    ),
    Task(
        "meddocan",
        {
            "EMAIL_ADDRESS": ("CORREO_ELECTRONICO",),
            "PHONE_NUMBER": ("NUMERO_TELEFONO", "NUMERO_FAX"),
            "PATIENT_ID": ("ID_SUJETO_ASISTENCIA", "ID_CONTACTO_ASISTENCIAL"),
            "HEALTH_PLAN_NUMBER": ("ID_ASEGURAMIENTO",),
            "PROFESSIONAL_LICENSE": ("ID_TITULACION_PERSONAL_SANITARIO",),
            "DATE": ("FECHAS",),
        },
        Pii(languages=("es",), phone_regions=("ES",)),
        ("EMAIL_ADDRESS", "PHONE_NUMBER", "ES_NIF", "ES_NIE", "DATE_TIME"),
        {
            "PATIENT_ID": ("MEDICAL_RECORD_NUMBER", "ES_NIF", "ES_NIE"),
            "DATE": ("DATE_OF_BIRTH", "DATE_TIME"),
        },
    ),
)


@dataclass(frozen=True)
class Quality:
    """Counts and what follows from them; None where nothing was there to count."""

    labelled: int
    found: int
    matched: int

    def figures(self) -> dict[str, float | int | None]:
        """Counts, precision, recall and F2."""
        precision = self.matched / self.found if self.found else None
        recall = self.matched / self.labelled if self.labelled else None
        both = 4 * self.found and 4 * self.labelled + self.found
        f2 = 5 * self.matched / both if both else (0.0 if self.labelled else None)
        rounded = {"precision": precision, "recall": recall, "f2": f2}
        return {**asdict(self), **{k: None if v is None else round(v, 4) for k, v in rounded.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    table = pq.read_table(arguments.data / "pii.parquet", columns=["dataset", "text", "spans"])
    rows = [row for task in TASKS for row in evaluate(task, table)]
    print("| data set | kind | labelled | ours P | R | F2 | stock P | R | F2 |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        cells = [
            f"{row[who][m]:.3f}" if row[who][m] is not None else "–"
            for who in ("ours", "stock")
            for m in _METRICS
        ]
        print(f"| {row['dataset']} | {row['kind']} | {row['ours']['labelled']} | {' | '.join(cells)} |")
    if arguments.out:
        report = {"iou": IOU, "python": platform.python_version(), "versions": _versions(), "rows": rows}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


_METRICS = ("precision", "recall", "f2")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("presidio-analyzer", "phonenumbers", "google-re2")}


def evaluate(task: Task, table: pa.Table) -> list[dict[str, object]]:
    """One row a kind, with the figures of ours and of stock."""
    chosen = table.filter(pc.equal(table["dataset"], task.dataset))
    texts = chosen["text"].to_pylist()
    labelled = [_labelled(task, json.loads(spans)) for spans in chosen["spans"].to_pylist()]
    ours, stock = find_ours(task, texts), find_stock(task, texts)
    if task.plain_addresses:
        ours = [
            [f for f in found if f[0] != "EMAIL_ADDRESS" or "@" in text[f[1] : f[2]]]
            for text, found in zip(texts, ours, strict=True)
        ]
    return [
        {
            "dataset": task.dataset,
            "kind": kind,
            "ours": compare(kind, texts, labelled, ours).figures(),
            "stock": compare(kind, texts, labelled, stock).figures(),
        }
        for kind in task.kinds
    ]


def _labelled(task: Task, spans: Iterable[Mapping[str, object]]) -> list[Found]:
    names = {label: kind for kind, labels in task.kinds.items() for label in labels}
    return [
        (names[str(s["type"])], int(str(s["start"])), int(str(s["end"]))) for s in spans if s["type"] in names
    ]


def find_ours(task: Task, texts: Sequence[str]) -> list[list[Found]]:
    """Findings of the screen, by document, under the reported kinds."""
    names = task.reported()
    screen = replace(task.ours, entities=tuple(names), max_candidate_bytes=1 << 30)
    found: list[list[Found]] = [[] for _ in texts]
    for start in range(0, len(texts), _BATCH):
        batch = pa.record_batch({"text": pa.array(texts[start : start + _BATCH], pa.string())})
        result = screen.measure(batch, ScreenContext({}, _KEY))
        if result.not_evaluated or result.findings is None:
            raise RuntimeError("a document was not evaluated")
        for hit in result.findings.to_pylist():
            found[start + hit["row"]].append((names[hit["kind"]], hit["start"], hit["end"]))
    return found


def find_stock(task: Task, texts: Sequence[str]) -> list[list[Found]]:
    """What Presidio's recognisers find in whole documents, under the reported kinds."""
    names = task.reported()
    built = recognisers((), task.stock, task.ours.phone_regions)
    return [
        [
            (names[span.kind], span.start, span.end)
            for span in sorted({span for recogniser in built for span in _stock_hits(recogniser, text)})
            if span.kind in names
        ]
        for text in texts
    ]


def _stock_hits(recogniser: Recogniser, text: str) -> list[Span]:
    found = recogniser.analyze(text, recogniser.supported_entities, None)
    return [Span(r.start, r.end, r.entity_type, r.score) for r in found]


def compare(
    kind: str, texts: Sequence[str], labelled: Sequence[Sequence[Found]], found: Sequence[Sequence[Found]]
) -> Quality:
    """Match one kind's spans over all documents."""
    n_labelled = n_found = n_matched = 0
    for text, gold, hit in zip(texts, labelled, found, strict=True):
        mine = {_trimmed(text, start, end) for name, start, end in hit if name == kind}
        theirs = {_trimmed(text, start, end) for name, start, end in gold if name == kind}
        n_labelled, n_found = n_labelled + len(theirs), n_found + len(mine)
        n_matched += _matches(mine, theirs)
    return Quality(n_labelled, n_found, n_matched)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _EDGES:
        start += 1
    while end > start and text[end - 1] in _EDGES:
        end -= 1
    return start, end


def _matches(mine: set[tuple[int, int]], theirs: set[tuple[int, int]]) -> int:
    pairs = sorted(
        ((overlap, a, b) for a in mine for b in theirs if (overlap := _iou(a, b)) >= IOU), reverse=True
    )
    used: set[tuple[str, tuple[int, int]]] = set()
    count = 0
    for _, a, b in pairs:
        if ("mine", a) not in used and ("theirs", b) not in used:
            used |= {("mine", a), ("theirs", b)}
            count += 1
    return count


def _iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return shared / (max(a[1], b[1]) - min(a[0], b[0])) if shared > 0 else 0.0


if __name__ == "__main__":
    main()
