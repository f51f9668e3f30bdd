"""Every format goes out, is filled in as its tool would, and comes back the same; or is refused whole."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import ConfigurationError
from audit.questions import Question
from audit.review.checking import Expectation, Import, collect
from audit.review.exchange import Answer
from audit.review.formats import FORMATS, recognise
from audit.review.known_answers import KnownItem
from audit.review.spans import Span
from tests.review import filling
from tests.review.filling import RUN, Said, change, drawn, fill, repeat, worksheet, write

#: Stands for text of the corpus: no message may quote it.
CANARY = "zebra-canary"
QUESTIONS = (
    Question(name="toxicity", guideline="An insult is toxic; a report of one is not."),
    Question(name="pii.kinds", type="spans", labels=("PERSON", "PLACE"), positive=("PERSON",)),
    Question(name="rights", type="choice", labels=("open", "all rights reserved"), text="Who may use it?"),
    Question(name="harm", type="severity"),
    Question(name="quality", type="rating"),
    Question(name="remarks", type="text"),
)
TEXTS = {
    "d1": "😀 Jane Sample\nlives in 東京 🏠.",
    "d2": '=HYPERLINK("https://example.com")',
    "d3": "plain\ttext, with \u2028 lines\r\nof all kinds\x85",
    "d4": "",
    "d5": "-1\x0b and x000D _x000D_ \ufffe\uffff",
    "d6": "x" * 40_000,
}
NAMES = list(FORMATS)
ANSWERS = {
    "d1": {
        "toxicity": Said("yes", "high"),
        "pii.kinds": Said("yes", spans=(Span(2, 13, "PERSON"), Span(23, 25, "PLACE"))),
        "rights": Said("all rights reserved"),
        "harm": Said("medium"),
        "quality": Said("4"),
        "remarks": Said("answered", text="Spam of a kind."),
    },
    "d2": {"toxicity": Said("no"), "pii.kinds": Said("no", spans=())},
    "d3": {"toxicity": Said("unsure"), "harm": Said("none")},
    "d6": {"toxicity": Said("skipped")},
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def path(name, tmp_path):
    return write(name, worksheet(TEXTS, QUESTIONS), tmp_path)


def read(path: Path, **changes) -> Import:
    sheet = worksheet(TEXTS, QUESTIONS)
    expected = {"run_id": RUN, "questions": QUESTIONS, "drawn": drawn(sheet), "known": {*TEXTS, "undrawn"}}
    return collect(path, recognise(path).read(path, QUESTIONS), Expectation(**{**expected, **changes}))


def told(imported: Import) -> dict[tuple[str, str], tuple[object, ...]]:
    return {(j.doc_id, j.question): (j.label, j.severity, j.spans, j.free_text) for j in imported.judgements}


def expected(name: str) -> dict[tuple[str, str], tuple[object, ...]]:
    found = {}
    for doc_id, answers in ANSWERS.items():
        for question, said in answers.items():
            if name == "doccano" and question == "remarks":
                continue  # it asks for no text
            severity = said.severity or None
            spans = tuple((s.start, s.end, s.label) for s in said.spans or ())
            text = said.text or None
            found[doc_id, question] = (said.label, None if name in LACK else severity, spans, text)
    return found


#: Cannot ask for a severity beside an answer.
LACK = ("prodigy", "doccano")


def test_what_goes_out_comes_back_unanswered(name, path):
    imported = read(path)
    assert imported.judgements == ()
    per_document = len(QUESTIONS) - (name == "doccano")
    assert imported.unanswered == per_document * len(TEXTS)


def test_what_reviewers_say_comes_back(name, path):
    fill(name, path, ANSWERS)
    imported = read(path)
    assert told(imported) == expected(name)
    assert {j.phase for j in imported.judgements} == {"review"}
    reviewers = {j.reviewer for j in imported.judgements}
    assert reviewers == {"doccano": {""}, "label-studio": {"user 7"}, "argilla": {"user 7"}}.get(name, {"7"})


def test_guidelines_go_out(name, tmp_path):
    sheet = worksheet({"d1": "text"}, QUESTIONS)
    files = FORMATS[name].write(sheet)
    if name == "xlsx":
        path = tmp_path / "x.xlsx"
        path.write_bytes(files[""])
        page = filling.openpyxl.load_workbook(path)["README"]
        text = "\n".join(row[0] or "" for row in page.iter_rows(values_only=True))
    else:
        text = "\n".join(content.decode() for suffix, content in files.items() if suffix)
    assert "a report of one is not" in text
    assert "Who may use it?" in text


def test_phase_and_assignment_come_back(name, tmp_path):
    sheet = worksheet(TEXTS, QUESTIONS, phase="adjudication", assignment="2/3")
    path = write(name, sheet, tmp_path)
    fill(name, path, {"d2": {"toxicity": Said("yes")}})
    seen = []
    (judgement,) = read(path, assigned=lambda doc, who: seen.append(who) is None).judgements
    assert judgement.phase == "adjudication"
    assert set(seen) == {"2/3"}


def test_an_assigned_file_without_a_name_is_told_by_its_assignment(tmp_path):
    path = write("doccano", worksheet(TEXTS, QUESTIONS, assignment="2/3"), tmp_path)
    fill("doccano", path, {"d2": {"toxicity": Said("yes")}})
    assert read(path).judgements[0].reviewer == "reviewer 2/3"


WRONG = {
    "another run": ({"run_id": CANARY}, "exported from another run"),
    "an unknown document": ({"doc_id": CANARY}, "no document of this corpus"),
    "an edited text": ({"text": f"{CANARY} text"}, "not the one that was exported"),
    "another digest": ({"text_digest": CANARY}, "not that of this document"),
    "no digest": ({"text_digest": ""}, "(text_digest is (empty|missing))"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_refuses_a_wrong_row_by_its_number_without_quoting_it(name, path, fault):
    fill(name, path, ANSWERS)
    changes, message = WRONG[fault]
    row = change(name, path, "d2", lambda fields: fields.update(changes))
    with pytest.raises(ConfigurationError, match=rf"row {row}: .*{message}.*nothing was imported") as error:
        read(path)
    assert CANARY not in str(error.value)


def test_refuses_an_unknown_label(name, path):
    fill(name, path, {**ANSWERS, "d2": {"toxicity": Said(CANARY)}})
    with pytest.raises(ConfigurationError, match=r"row \d+: unknown label for toxicity.*skipped") as error:
        read(path)
    assert CANARY not in str(error.value)


def test_refuses_an_unknown_severity(name, path):
    if name in LACK:
        return
    fill(name, path, {"d2": {"toxicity": Said("yes", CANARY)}})
    with pytest.raises(ConfigurationError, match=r"row \d+: unknown severity") as error:
        read(path)
    assert CANARY not in str(error.value)


def test_refuses_an_unknown_kind_of_span(name, path):
    fill(name, path, {"d2": {"pii.kinds": Said("yes", spans=(Span(0, 3, CANARY),))}})
    with pytest.raises(ConfigurationError, match=r"row \d+: unknown label of a span") as error:
        read(path)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("places", [(5, 5), (3, 1), (0, 10_000)])
def test_refuses_spans_that_do_not_fit_their_text(name, path, places, monkeypatch):
    monkeypatch.setattr(filling, "to_utf16", lambda span, text: span)
    fill(name, path, {"d2": {"pii.kinds": Said("yes", spans=(Span(*places, "PERSON"),))}})
    with pytest.raises(ConfigurationError, match=r"row \d+: .*span"):
        read(path)


def test_refuses_changed_offsets_where_the_marked_text_stands_beside_them(name, path):
    places = {
        "label-studio": lambda r: r["annotations"][0]["result"][0]["value"] if r["annotations"] else {},
        "prodigy": lambda r: (r.get("spans") or [{}])[0],
    }
    if name not in places:
        return
    fill(name, path, {"d2": {"pii.kinds": Said("yes", spans=(Span(0, 5, "PERSON"),))}})
    records = filling.read_records(name, path)
    for record in records:
        found = places[name](record)
        if found:
            found["start"] += 1
    filling.write_records(name, path, records)
    with pytest.raises(ConfigurationError, match=r"row \d+: a span's text is not what stands"):
        read(path)


def test_refuses_a_judgement_given_twice(name, path):
    fill(name, path, {"d2": {"toxicity": Said("no")}})
    repeat(name, path, "d2")
    with pytest.raises(ConfigurationError, match=r"row \d+: row \d+ holds an answer of this reviewer"):
        read(path)


def test_refuses_a_document_of_another_reviewers_share(name, tmp_path):
    path = write(name, worksheet(TEXTS, QUESTIONS, assignment="1/2"), tmp_path)
    fill(name, path, {"d2": {"toxicity": Said("no")}})
    with pytest.raises(ConfigurationError, match=r"row \d+: the document was not given to this assignment"):
        read(path, assigned=lambda doc, who: False)


def test_refuses_a_question_that_was_not_asked(name, path):
    fill(name, path, {"d2": {"toxicity": Said("no")}})
    others = [question for question in QUESTIONS if question.name != "toxicity"]
    with pytest.raises(ConfigurationError, match=r"row \d+: (this question was not asked|column \d+ has)"):
        collect(path, recognise(path).read(path, others), Expectation(RUN, others, {}, set(TEXTS)))


def test_known_answer_items_are_told_apart_and_carry_what_was_expected(name, tmp_path):
    sheet = worksheet(TEXTS, QUESTIONS)
    path = write(name, sheet, tmp_path)
    fill(name, path, {"d2": {"toxicity": Said("no"), "harm": Said("low")}})
    item = KnownItem(TEXTS["d2"], drawn(sheet)["d2"], {"toxicity": "yes"})
    others = {doc: digest for doc, digest in drawn(sheet).items() if doc != "d2"}
    imported = read(path, drawn=others, known=set(others), controls={"d2": item})
    found = {j.question: (j.phase, j.label, j.expected) for j in imported.judgements}
    assert found == {"toxicity": ("known_answer", "no", "yes"), "harm": ("known_answer", "low", None)}


def test_a_file_that_was_cut_is_refused_or_holds_only_whole_answers(name, path):
    fill(name, path, ANSWERS)
    whole, content = set(read(path).judgements), path.read_bytes()
    for cut in range(0, len(content) - 2, max(len(content) // 40, 1)):
        path.write_bytes(content[:cut])
        try:
            part = read(path)
        except ConfigurationError:
            continue
        assert set(part.judgements) <= whole  # cut between two records


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("json", b'{"a": 1}'),
        ("json", b"[1, 2]"),
        ("json", b"[]"),
        ("jsonl", b'{"text": "x"}\n'),
        ("jsonl", b"\xff\xfe"),
        ("json", b"[" * 100_000),
        ("jsonl", b"not json"),
        ("xlsx", b"PK\x03\x04 and no archive"),
    ],
)
def test_a_file_of_no_known_format_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"answers.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="nothing was imported"):
        read(path)


BROKEN = {
    "jsonl": [{"answers": 3}, {"answers": {"toxicity": {"lable": "yes"}}}, {"answers": {"toxicity": True}}],
    "label-studio": [{"annotations": 1}, {"annotations": [{}]}, {"data": "x"}],
    "argilla": [{"responses": {"toxicity": 1}}, {"fields": None}, {"metadata": []}],
    "prodigy": [{"audit": None}, {"answer": "maybe"}, {"answer": "accept", "accept": "yes"}],
    "doccano": [
        {"cats": 3},
        {"entities": [1]},
        {"entities": [[0, "1", "pii.kinds:PERSON"]]},
        {"cats": ["x"]},
    ],
}


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in BROKEN for fault in BROKEN[kind]])
def test_a_broken_record_is_refused_by_its_number(tmp_path, kind, fault):
    path = write(kind, worksheet(TEXTS, QUESTIONS), tmp_path)
    records = filling.read_records(kind, path)
    records[1].update(fault)
    filling.write_records(kind, path, records)
    with pytest.raises(ConfigurationError, match="row 2: "):
        read(path)


_text = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("😀🏽👩‍🚒=+-@\t\r\n'\x00\ufeff𐍈"))


@given(data=st.data(), text=_text.filter(bool), kind=st.sampled_from(NAMES))
@settings(max_examples=150, deadline=None)
def test_spans_of_any_text_make_the_round_trip(data, text, kind):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    sheet = worksheet({"d1": text}, QUESTIONS)
    with TemporaryDirectory() as folder:
        path = write(kind, sheet, Path(folder))
        fill(kind, path, {"d1": {"pii.kinds": Said("yes", spans=(Span(start, end, "PERSON"),))}})
        imported = read(path, drawn=drawn(sheet), known={"d1"})
    assert [j.spans for j in imported.judgements] == [((start, end, "PERSON"),)]


def test_label_studio_reads_a_cancelled_task_as_skipped_and_shares_out_its_time(tmp_path):
    path = write("label-studio", worksheet(TEXTS, QUESTIONS), tmp_path)
    fill("label-studio", path, {"d1": ANSWERS["d1"], "d2": {"toxicity": Said("no")}})
    records = filling.read_records("label-studio", path)
    records[1]["annotations"][0]["was_cancelled"] = True
    filling.write_records("label-studio", path, records)
    found = {(j.doc_id, j.question): j for j in read(path).judgements}
    assert {j.label for (doc, _), j in found.items() if doc == "d2"} == {"skipped"}
    assert sum(j.seconds for (doc, _), j in found.items() if doc == "d1") == pytest.approx(12.0)
    assert not any("example.com" in j.reviewer for j in found.values())


def test_two_annotators_of_one_task_are_two_judgements(tmp_path):
    path = write("label-studio", worksheet(TEXTS, QUESTIONS), tmp_path)
    fill("label-studio", path, {"d2": {"toxicity": Said("no")}})
    records = filling.read_records("label-studio", path)
    records[1]["annotations"].append({**records[1]["annotations"][0], "completed_by": 8})
    filling.write_records("label-studio", path, records)
    assert [j.reviewer for j in read(path).judgements] == ["user 7", "user 8"]


def test_prodigy_tasks_of_equal_texts_have_hashes_of_their_own(tmp_path):
    path = write("prodigy", worksheet({"a": "same", "b": "same"}, QUESTIONS), tmp_path)
    hashes = [record["_task_hash"] for record in filling.read_records("prodigy", path)]
    assert len(set(hashes)) == 2 * len(QUESTIONS)


def test_a_workbook_offers_labels_and_is_free_of_formulas(tmp_path):
    path = write("xlsx", worksheet(TEXTS, QUESTIONS), tmp_path)
    page = filling.openpyxl.load_workbook(path)["review"]
    cells = [cell for row in page.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert not [c for c in cells if str(c.value or "").startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert max(len(str(c.value or "").encode("utf-16-le")) // 2 for c in cells) <= 32_767
    offered = {rule.formula1 for rule in page.data_validations.dataValidation}
    assert '"yes,no,unsure,skipped"' in offered


def test_a_formula_in_a_workbook_is_refused(tmp_path):
    path = write("xlsx", worksheet(TEXTS, QUESTIONS), tmp_path)
    book = filling.openpyxl.load_workbook(path)
    book["review"].cell(3, 6).value = '="yes"'
    book.save(path)
    with pytest.raises(ConfigurationError, match="row 3: a cell is a formula"):
        read(path)


def test_spans_without_their_text_are_refused(tmp_path):
    path = write("csv", worksheet(TEXTS, QUESTIONS), tmp_path)
    fill("csv", path, {"d2": {"pii.kinds": Said("yes", spans=(Span(0, 5, "PERSON"),))}})
    records = [{k: v for k, v in r.items() if k != "text"} for r in filling.read_records("csv", path)]
    filling.write_records("csv", path, records)
    with pytest.raises(ConfigurationError, match="spans without the text"):
        read(path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(1, "d2", "toxicity", "no", spans=(Span(0, 1, "PERSON"),), document="x"), "does not ask"),
        (Answer(1, "d2", "pii.kinds", "no", spans=(Span(0, 1, "PERSON"),), document="x"), "none"),
        (Answer(1, "d2", "pii.kinds", "yes", text_digest=""), "no span is marked"),
        (Answer(1, "d2", "toxicity", "no", phase="other"), "phase is not known"),
    ],
)
def test_answers_that_contradict_themselves_are_refused(tmp_path, answer, message):
    with pytest.raises(ConfigurationError, match=message):
        collect(tmp_path / "x", [answer], Expectation(RUN, QUESTIONS, {}, set(TEXTS)))


def test_the_labelling_interface_is_xml_with_a_control_per_question():
    from xml.etree import ElementTree

    sheet = worksheet({"d1": "text"}, [*QUESTIONS, Question(name="odd", text='<b> & "quotes"')])
    view = ElementTree.fromstring(FORMATS["label-studio"].write(sheet)[".config.xml"])
    names = {each.get("name") for each in view.iter() if each.get("toName") == "text"}
    assert {question.name for question in QUESTIONS} - {"pii.kinds"} <= names
    assert {"pii.kinds", "pii.kinds_state", "toxicity_severity"} <= names
    json.loads(FORMATS["argilla"].write(sheet)[".settings.json"])
