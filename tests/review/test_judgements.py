"""Judgements are kept answer by answer, whole imports at a time, and are never stored twice."""

import hashlib
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest

from audit.errors import ConfigurationError, FatalError
from audit.review.judgements import JUDGEMENT_SCHEMA, Judgement, JudgementStore

YES = Judgement("d1", "toxicity", "yes", "high", "ann", 4.5, "2026-01-31T12:00:00Z", "s1", 3)
NO = Judgement("d2", "toxicity", "no", reviewer="ann")


def test_keeps_every_answer_with_the_contract_columns(tmp_path):
    store = JudgementStore(tmp_path / "judgements")
    receipt = store.add([YES, NO])
    assert (receipt.added, receipt.changed, receipt.repeated) == (2, 0, 0)
    table = store.load()
    assert table.schema == JUDGEMENT_SCHEMA
    assert table.column_names[:7] == ["doc_id", "question", "label", "severity", "reviewer", "seconds", "at"]
    assert table.to_pylist()[0] == {
        "doc_id": "d1",
        "question": "toxicity",
        "label": "yes",
        "severity": "high",
        "reviewer": "ann",
        "seconds": 4.5,
        "at": "2026-01-31T12:00:00Z",
        "shard": "s1",
        "position": 3,
        "text_digest": "",
        "phase": "review",
        "expected": None,
        "spans": None,
        "free_text": None,
        "imported": 1,
        "superseded": False,
    }


def test_nothing_imported_is_an_empty_table(tmp_path):
    store = JudgementStore(tmp_path / "judgements")
    assert store.load().num_rows == 0
    assert store.load().schema == JUDGEMENT_SCHEMA
    assert store.add([]).files == {}


def test_the_same_import_again_is_recognised(tmp_path):
    store = JudgementStore(tmp_path)
    first = store.add([YES, NO])
    again = store.add([NO, YES])
    assert (again.added, again.repeated) == (0, 2)
    assert again.files == first.files  # so that a journal entry that a crash prevented can be made up
    assert store.load().num_rows == 2


def test_a_file_that_grew_adds_only_what_is_new(tmp_path):
    store = JudgementStore(tmp_path)
    store.add([YES])
    receipt = store.add([YES, NO])
    assert (receipt.added, receipt.repeated, len(receipt.files)) == (1, 1, 2)
    assert store.load()["imported"].to_pylist() == [1, 2]


def test_a_changed_answer_is_kept_beside_the_first_and_the_last_counts(tmp_path):
    store = JudgementStore(tmp_path)
    other = Judgement("d2", "toxicity", "yes", reviewer="ann")
    store.add([NO])
    assert store.add([other]).changed == 1
    assert store.add([NO]).changed == 1  # and back again
    table = store.load()
    assert table["label"].to_pylist() == ["no", "yes", "no"]
    assert table["superseded"].to_pylist() == [True, True, False]


def test_reviewers_do_not_supersede_each_other(tmp_path):
    store = JudgementStore(tmp_path)
    receipt = store.add([NO, Judgement("d2", "toxicity", "yes", reviewer="bob")])
    assert receipt.changed == 0
    assert not any(store.load()["superseded"].to_pylist())


def test_two_answers_in_one_import_are_refused_as_a_whole(tmp_path):
    store = JudgementStore(tmp_path)
    with pytest.raises(ConfigurationError, match="judgement 3 answers the same question"):
        store.add([YES, NO, Judgement("d2", "toxicity", "yes", reviewer="ann")])
    assert store.load().num_rows == 0


def test_a_changed_file_is_refused_and_others_are_none_of_it(tmp_path):
    store = JudgementStore(tmp_path)
    (name,) = store.add([YES]).files
    (tmp_path / "notes.jsonl").write_text("not of the store\n")
    assert store.load().num_rows == 1
    path = tmp_path / name
    path.write_bytes(path.read_bytes().replace(b"yes", b"no"))
    with pytest.raises(FatalError, match="changed since it was imported"):
        store.load()
    with pytest.raises(FatalError):
        store.add([NO])


def _import_for_ever(folder, size):
    store = JudgementStore(folder)
    for batch in range(10_000):
        store.add([Judgement(f"{batch}-{row}", "toxicity", "no") for row in range(size)])


def test_a_killed_import_leaves_all_or_nothing(tmp_path):
    size = 500
    for seconds in (0.25, 0.31, 0.4):
        process = multiprocessing.Process(target=_import_for_ever, args=(tmp_path, size))
        process.start()
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    imports = JudgementStore(tmp_path).load()["imported"].to_pylist()
    assert imports
    assert all(imports.count(number) == size for number in set(imports))
    JudgementStore(tmp_path).add([YES])


def _import_own(folder, name):
    for batch in range(5):
        JudgementStore(folder).add([Judgement(f"{name}-{batch}", "toxicity", "no")])


def test_imports_at_once_are_all_kept(tmp_path):
    processes = [multiprocessing.Process(target=_import_own, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert JudgementStore(tmp_path).load()["imported"].to_pylist() == list(range(1, 11))


def test_spans_free_text_and_phase_come_back_and_are_not_stored_twice(tmp_path):
    marked = replace(YES, phase="adjudication", spans=((0, 4, "PERSON"),), free_text="Spam.")
    known = replace(YES, phase="known_answer", expected="no")
    store = JudgementStore(tmp_path)
    store.add([YES, marked, known])
    assert store.add([marked, known]).added == 0
    rows = store.load().select(["phase", "spans", "free_text", "expected", "superseded"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("review", None, None, None, False),
        ("adjudication", '[[0, 4, "PERSON"]]', "Spam.", None, False),
        ("known_answer", None, None, "no", False),
    ]


def test_answers_of_earlier_versions_are_answers_of_the_review(tmp_path):
    line = b'{"doc_id":"d1","label":"yes","question":"toxicity","reviewer":"ann","text_digest":""}\n'
    digest = hashlib.sha256(line).hexdigest()
    (tmp_path / f"000001-{digest[:16]}.jsonl").write_bytes(line)
    store = JudgementStore(tmp_path)
    assert store.load()["phase"].to_pylist() == ["review"]
    assert store.add([Judgement("d1", "toxicity", "yes", reviewer="ann")]).repeated == 1
