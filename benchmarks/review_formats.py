"""Holds the review formats against the tools' own libraries: ``argilla`` 2 and ``label-studio-sdk``.

Neither is a dependency, for both draw in some hundred megabytes: install them beside the project first
(``pip install argilla label-studio-sdk``). A sample goes out, the tool's classes read and check it, answer it
as a reviewer would and write it, and what comes back must be what was answered.

    python -m benchmarks.review_formats --out benchmarks/results/review_formats.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from uuid import UUID

from audit.questions import Question
from audit.review.checking import Expectation, collect
from audit.review.exchange import Worksheet
from audit.review.formats import FORMATS, recognise
from audit.review.spans import Span, to_utf16
from audit.review.texts import SampleRow, text_digests

RUN = "0123456789abcdef"
USER = UUID(int=7)
TEXTS = {
    "d1": "😀 Jane Sample\nlives in 東京 🏠, by the river.",
    "d2": "Plain text.",
    "d3": "𐍈 <b>tags & entities</b> \\n and tabs\t.",
}
SPANS = {"d1": [Span(2, 13, "PERSON"), Span(23, 25, "PLACE")], "d2": [], "d3": [Span(0, 1, "PLACE")]}
LABELS = {"toxicity": "no", "rights": "all rights reserved", "quality": "4", "harm": "low"}
REMARK = "Nothing odd."
QUESTIONS = (
    Question(name="toxicity", guideline="An insult is toxic; a report of one is not."),
    Question(name="pii.kinds", type="spans", labels=("PERSON", "PLACE")),
    Question(name="rights", type="choice", labels=("open", "all rights reserved")),
    Question(name="quality", type="rating"),
    Question(name="harm", type="severity"),
    Question(name="remarks", type="text"),
)


def main() -> None:
    """Check both formats and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    found = {"argilla": _round("argilla", _argilla), "label-studio": _round("label-studio", _label_studio)}
    versions = {name: version(name) for name in ("argilla", "label-studio-sdk")}
    result = {"versions": versions, "documents": len(TEXTS), "questions": len(QUESTIONS), "formats": found}
    out.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _round(name: str, answered: Callable[[Path], dict[str, bool]]) -> dict[str, object]:
    digests = dict(zip(TEXTS, text_digests(list(TEXTS.values())), strict=True))
    sheet = Worksheet([SampleRow(d, TEXTS[d], digests[d]) for d in TEXTS], QUESTIONS, RUN)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.json"
        for suffix, content in FORMATS[name].write(sheet).items():
            (path.with_name(path.stem + suffix) if suffix else path).write_bytes(content)
        checks = answered(path)
        expected = Expectation(RUN, QUESTIONS, digests, set(TEXTS))
        taken = collect(path, recognise(path).read(path, QUESTIONS), expected).judgements
    back = {(j.doc_id, j.question): (j.label, j.spans, j.free_text) for j in taken}
    checks["every answer came back"] = back == _expected()
    if not all(checks.values()):
        raise SystemExit(f"{name}: {checks}")
    return {"checks": checks, "answers": len(back)}


def _expected() -> dict[tuple[str, str], tuple[str, tuple[tuple[int, int, str], ...], str | None]]:
    wanted = {}
    for doc_id in TEXTS:
        for question, label in LABELS.items():
            wanted[doc_id, question] = (label, (), None)
        spans = tuple((s.start, s.end, s.label) for s in SPANS[doc_id])
        wanted[doc_id, "pii.kinds"] = ("yes" if spans else "no", spans, None)
        wanted[doc_id, "remarks"] = ("answered", (), REMARK)
    return wanted


def _argilla(path: Path) -> dict[str, bool]:
    """Read records and settings as Argilla does, answer in its classes, and let it write the file."""
    import argilla
    from argilla.records._io import JsonIO

    with _server() as address:
        argilla.Argilla(api_url=address, api_key="none")
        settings = argilla.Settings.from_json(path.with_name(f"{path.stem}.settings.json"))
        settings.validate()
        dataset = argilla.Dataset(
            name="review", workspace=argilla.Workspace(name="review"), settings=settings
        )
    asked = {question.name: question for question in settings.questions}
    records = JsonIO._records_from_json(path)
    for record in records:
        text, spans = record.fields["text"], SPANS[record.id]
        given = {**LABELS, "remarks": REMARK}
        if spans:
            # The page counts UTF-16 units.
            marked = [to_utf16(span, text) for span in spans]
            given["pii-kinds"] = [{"start": s.start, "end": s.end, "label": s.label} for s in marked]
        else:
            given["pii-kinds_state"] = "no"
        unknown = given.keys() - asked.keys()
        if unknown:
            raise SystemExit(f"argilla knows no question {unknown}")
        for name, value in given.items():
            record.responses.add(argilla.Response(name, value, USER))
        record.dataset = dataset
        record.api_model()  # what would go to the server
    path.unlink()
    JsonIO.to_json(records, path)
    return {"settings are valid": True, "records are valid": len(records) == len(TEXTS)}


class _Me(BaseHTTPRequestHandler):
    """Says who asks: the client wants that before it makes a question."""

    def do_GET(self) -> None:
        body = json.dumps({"id": str(USER), "username": "reviewer", "role": "owner", "first_name": "A"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Me) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _label_studio(path: Path) -> dict[str, bool]:
    """Check the interface, the tasks and the annotations with Label Studio's own validators."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(path.with_name(f"{path.stem}.config.xml").read_text(encoding="utf-8"))
    interface.validate()
    tasks = json.loads(path.read_text(encoding="utf-8"))
    valid = [interface.validate_task({"data": task["data"]}) for task in tasks]
    errors: list[str] = []
    for task in tasks:
        result = _regions(task["data"]["doc_id"], task["data"]["text"])
        for number, region in enumerate(result):
            errors += interface.validate_region(region, return_errors=True, region_index=number)
        task["annotations"] = [{"completed_by": 7, "result": result, "lead_time": 5.0}]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    if errors:
        raise SystemExit("\n".join(errors))
    return {"interface is valid": True, "tasks are valid": all(valid), "annotations are valid": not errors}


def _regions(doc_id: str, text: str) -> list[dict[str, object]]:
    said = {name: ("choices", {"choices": [label]}) for name, label in LABELS.items()}
    said["remarks"] = ("textarea", {"text": [REMARK]})
    if not SPANS[doc_id]:
        said["pii.kinds_state"] = ("choices", {"choices": ["no"]})
    regions = [
        {"id": name, "from_name": name, "to_name": "text", "type": kind, "value": value}
        for name, (kind, value) in said.items()
    ]
    for number, span in enumerate(SPANS[doc_id]):
        marked = text[span.start : span.end].replace("\n", "\\n")
        value = {"start": span.start, "end": span.end, "text": marked, "labels": [span.label]}
        named = {"id": f"s{number}", "from_name": "pii.kinds", "to_name": "text"}
        regions.append({**named, "type": "labels", "value": value})
    return regions


if __name__ == "__main__":
    main()
