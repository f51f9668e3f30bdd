"""CSV goes out without showing scores, and comes back whole or not at all."""

import csv
import dataclasses
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError, FatalError
from audit.questions import Question
from audit.review import csv as format_csv
from audit.review.checking import Expectation, Import, collect
from audit.review.exchange import Worksheet
from audit.review.texts import SampleRow, shuffled, text_digests

RUN = "0123456789abcdef"
QUESTIONS = [Question(name="toxicity"), Question(name="personal_data")]
TEXTS = {
    "d1": '=HYPERLINK("https://example.com")',
    "d2": "plain, with a comma",
    "d3": "two\nlines\r\nand\ra\0NUL",
    "d4": "'=already quoted",
    "d5": "",
    "d6": "x" * 200_000,
}
DRAWN = dict(zip(TEXTS, text_digests(list(TEXTS.values())), strict=True))
ROWS = [SampleRow(doc, text, DRAWN[doc], f"https://example.com/{doc}") for doc, text in TEXTS.items()]
KNOWN = {*TEXTS, "undrawn"}

#: Stands for text of the corpus: no message may quote it.
CANARY = "zebra-canary"


def export(rows, path, questions=QUESTIONS, run_id=RUN):
    sheet = Worksheet(shuffled(rows, run_id), questions, run_id)
    path.write_bytes(format_csv.write(sheet)[""])
    return len(sheet.rows)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "sample.csv"
    assert export(ROWS, path) == len(ROWS)
    return path


def read(path, **changes) -> Import:
    arguments = {"run_id": RUN, "questions": QUESTIONS, "drawn": DRAWN, "known": KNOWN}
    expected = Expectation(**{**arguments, **changes})
    return collect(path, format_csv.read(path, expected.questions), expected)


def records(path) -> list[dict[str, str]]:
    before = csv.field_size_limit(1_000_000)
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.DictReader(handle))
    csv.field_size_limit(before)
    return rows


def rewrite(path, rows, encoding="utf-8", delimiter=","):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))


def answer(path, doc_id, /, **cells):
    rows = records(path)
    next(row for row in rows if row["doc_id"] == doc_id).update(cells)
    rewrite(path, rows)


def number(path, doc_id) -> int:
    return [row["doc_id"] for row in records(path)].index(doc_id) + 2


def test_an_unanswered_file_holds_no_judgements(path):
    imported = read(path)
    assert imported == Import((), left_out_undrawn=0, unanswered=12)


def test_answers_come_back(path):
    answer(
        path, "d2", toxicity="Yes", toxicity_severity="High", personal_data="no", reviewer="ann", seconds="9"
    )
    answer(path, "d3", toxicity=" unsure ", comment="odd", reviewer="bob")
    imported = read(path)
    found = {(j.doc_id, j.question): j for j in imported.judgements}
    assert len(found) == 3
    first = found["d2", "toxicity"]
    assert (first.label, first.severity, first.reviewer) == ("yes", "high", "ann")
    assert first.seconds == found["d2", "personal_data"].seconds == 4.5  # of the two, so that sums stay true
    assert found["d3", "toxicity"].label == "unsure"
    assert imported.unanswered == 9


def test_shows_no_order_and_no_score(path, tmp_path):
    rows = records(path)
    assert list(rows[0]) == [
        "run_id",
        "doc_id",
        "text_digest",
        "url",
        "text",
        "toxicity",
        "toxicity_severity",
        "personal_data",
        "personal_data_severity",
        "comment",
        "reviewer",
        "seconds",
    ]
    again = tmp_path / "again.csv"
    export(reversed(ROWS), again)
    assert again.read_bytes() == path.read_bytes()
    export(ROWS, again, run_id="f" * 16)
    assert [row["doc_id"] for row in records(again)] != [row["doc_id"] for row in rows]


def test_no_cell_is_a_formula(path):
    cells = [cell for row in records(path) for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_reads_what_spreadsheets_write(path, delimiter, encoding):
    answer(path, "d2", toxicity="no")
    rewrite(path, records(path), encoding, delimiter)
    assert len(read(path).judgements) == 1


def test_the_text_column_may_be_deleted(path):
    answer(path, "d2", toxicity="no")
    rewrite(path, [{k: v for k, v in row.items() if k not in ("text", "url")} for row in records(path)])
    assert len(read(path).judgements) == 1


_formulas = st.sampled_from(
    ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "'", "''", '"', ",", ";", "\ufeff", "🜁"]
)
_text = st.text() | st.builds(lambda parts: "".join(parts), st.lists(_formulas | st.text(max_size=3)))


@given(doc_id=_text.filter(bool), text=_text, url=st.none() | _text)
@example(doc_id="'=1", text="\ufeff", url=None)
@settings(max_examples=200, deadline=None)
def test_any_text_makes_the_round_trip(doc_id, text, url):
    (digest,) = text_digests([text])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sample.csv"
        export([SampleRow(doc_id, text, digest, url)], path)
        rows = records(path)
        rows[0]["toxicity"] = "yes"
        rewrite(path, rows)
        imported = read(path, drawn={doc_id: digest}, known={doc_id})
        assert [(j.doc_id, j.label) for j in imported.judgements] == [(doc_id, "yes")]


@pytest.mark.parametrize(
    ("doc_id", "cells", "message"),
    [
        ("d2", {"run_id": CANARY}, "exported from another run"),
        ("d2", {"run_id": ""}, "run_id is empty"),
        ("d2", {"doc_id": CANARY}, "no document of this corpus"),
        ("d2", {"text": CANARY}, "not the one that was exported"),
        ("d5", {"text": CANARY}, "not the one that was exported"),
        ("d2", {"text_digest": CANARY}, "not that of this document"),
        ("d2", {"text_digest": DRAWN["d1"]}, "not that of this document"),
        ("d2", {"toxicity": CANARY}, "unknown label for toxicity.*Use one of: yes, no, unsure, skipped"),
        ("d2", {"toxicity": "1"}, "unknown label"),
        (
            "d2",
            {"toxicity": "no", "toxicity_severity": CANARY},
            "unknown severity.*low, medium, high, critical",
        ),
        ("d2", {"toxicity_severity": "high"}, "a severity without a label"),
        ("d2", {"toxicity": "no", "seconds": CANARY}, "seconds is not a time span"),
        ("d2", {"toxicity": "no", "seconds": "nan"}, "seconds is not a time span"),
        ("d2", {"toxicity": "no", "seconds": "-1"}, "seconds is not a time span"),
    ],
)
def test_refuses_a_wrong_row_by_its_number_without_quoting_it(path, doc_id, cells, message):
    row = number(path, doc_id)
    answer(path, "d1", toxicity="yes")
    answer(path, doc_id, **cells)
    with pytest.raises(
        ConfigurationError, match=f"(?s)sample.csv: row {row}: .*{message}.*nothing was imported"
    ) as error:
        read(path)
    assert CANARY not in str(error.value)


def test_refuses_a_judgement_given_twice(path):
    answer(path, "d2", toxicity="no", reviewer="ann")
    rows = records(path)
    twin = next(row for row in rows if row["doc_id"] == "d2")
    rewrite(path, [*rows, twin])
    with pytest.raises(ConfigurationError, match=f"row 8: row {number(path, 'd2')} holds an answer"):
        read(path)
    rewrite(path, [*rows, {**twin, "reviewer": "bob"}])
    assert len(read(path).judgements) == 2


@pytest.mark.parametrize("column", ["run_id", "doc_id", "text_digest", "toxicity"])
def test_refuses_a_missing_column(path, column):
    rewrite(path, [{k: v for k, v in row.items() if k != column} for row in records(path)])
    with pytest.raises(ConfigurationError, match=f"row 1: the column {column} is missing"):
        read(path)


def test_refuses_a_column_that_nobody_would_read(path):
    rewrite(path, [{**row, CANARY: ""} for row in records(path)])
    with pytest.raises(ConfigurationError, match="row 1: column 13 has a name that is not known") as error:
        read(path)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "row 1: the column run_id is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0", "line 1 is not UTF-8"),
        ("doc_id,question,label\nd1,toxicity,no\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"doc_id,question,label\nd1,toxicity,yes\nd2,\xff,no\n", "line 3 is not UTF-8"),
        (b'{"doc_id": "d1", "label": "yes"}\n', "row 1: the column run_id is missing"),
        (b'doc_id,question,label\nd1,toxicity,yes\nd2,toxicity,"no', "row 3: the row is not CSV"),
        (b'doc_id,question,label\nd1,"toxicity"x,yes\n', "row 2: the row is not CSV"),
        (b"doc_id,question,label\nd1,toxicity\n", "row 2: the row has 2 cells, the header 3"),
        (b"doc_id,question,label\nd1,toxicity,no,x\n", "row 2: the row has 4 cells, the header 3"),
        (b"doc_id,question,label,label\n", "row 1: two columns have one name"),
        (b"doc_id,question,label\nd1,other,no\n", "row 2: this question was not asked"),
        (b"doc_id,question,label,at\nd1,toxicity,no,soon\n", "row 2: at is not a time"),
        (b"doc_id,question,label\nd1,toxicity,no\n", "row 2: the answer does not say which text"),
        (b"doc_id,question,label,position\nd1,toxicity,no,1.5\n", "row 2: position is not a whole number"),
        (b"doc_id,question,label,text\nd1,toxicity,no,else\n", "row 2: the text is not the one"),
    ],
)
def test_refuses_a_file_that_is_not_right(tmp_path, content, message):
    path = tmp_path / "answers.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        read(path)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path / "none.csv")


def test_refuses_any_file_cut_short_in_its_middle(path):
    answer(path, "d2", toxicity="yes")
    content = path.read_bytes()
    whole = read(path)
    for cut in range(0, len(content) - 2, 997):
        path.write_bytes(content[:cut])
        try:
            part = read(path)
        except ConfigurationError:
            continue
        assert set(part.judgements) <= set(whole.judgements)  # cut between two rows


LONG = f"""doc_id,text_digest,question,label,severity,reviewer,seconds,at
d1,{DRAWN["d1"]},toxicity,YES,high,ann,3.5,2026-01-31T12:00:00Z
d1,{DRAWN["d1"]},toxicity,no,,bob,,
undrawn,,toxicity,yes,,ann,,

d2,{DRAWN["d2"]},personal_data,,,ann,,
"""


def test_reads_the_long_layout_and_leaves_out_what_was_not_drawn(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(LONG)
    imported = read(path, known=lambda doc_id: doc_id in KNOWN)
    first, second = imported.judgements
    assert dataclasses.astuple(first)[:7] == (
        "d1",
        "toxicity",
        "yes",
        "high",
        "ann",
        3.5,
        "2026-01-31T12:00:00Z",
    )
    assert (second.label, second.severity, second.seconds, second.at) == ("no", None, None, None)
    assert (imported.left_out_undrawn, imported.unanswered) == (1, 1)


def test_other_spellings_count_only_when_configured(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(f"doc_id,text_digest,question,label\nd1,{DRAWN['d1']},toxicity,Toxic\n")
    with pytest.raises(ConfigurationError, match="unknown label"):
        read(path)
    assert read(path, synonyms={"toxic": "yes"}).judgements[0].label == "yes"


@pytest.mark.parametrize("names", [[], ["text"], ["label"], ["a", "a"], ["a", "a_severity"]])
def test_refuses_questions_that_cannot_be_columns(tmp_path, names):
    with pytest.raises(ConfigurationError):
        export(ROWS, tmp_path / "sample.csv", questions=[Question(name=name) for name in names])
    assert list(tmp_path.iterdir()) == []


def test_never_shows_reviewers_a_text_that_was_not_screened(tmp_path):
    rows = [dataclasses.replace(ROWS[0], text="another text")]
    with pytest.raises(FatalError, match="changed since it was screened"):
        export(rows, tmp_path / "sample.csv")
