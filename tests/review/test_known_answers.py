"""Items whose answers are known look like the others, and are kept as they were."""

import json
import re

import pytest

from audit.errors import ConfigurationError
from audit.questions import Question
from audit.review.known_answers import FILE, disguised, keep, kept, load

QUESTIONS = (Question(name="toxicity"), Question(name="quality", type="rating"))
LINES = [
    {"text": "You fool.", "answers": {"toxicity": "Yes", "quality": 1}, "url": "https://example.com"},
    {"text": "Good morning.", "answers": {"toxicity": "no"}},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "known.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")
    return path


def test_items_are_read_and_kept_with_the_run(path, tmp_path):
    items = load(path, QUESTIONS)
    assert [dict(item.answers) for item in items] == [{"toxicity": "yes", "quality": "1"}, {"toxicity": "no"}]
    keep(tmp_path / "sample", path, QUESTIONS)
    path.unlink()
    assert kept(tmp_path / "sample", QUESTIONS) == items
    keep(tmp_path / "sample", None, QUESTIONS)
    assert not (tmp_path / "sample" / FILE).exists()
    assert kept(tmp_path / "sample", QUESTIONS) == ()


@pytest.mark.parametrize("shape", ["p17", "0f3c9a2be1", "https://www.example.com/p/12", "alpha", "7"])
def test_ids_have_the_shape_of_the_others_and_are_always_the_same(path, shape):
    items = load(path, QUESTIONS)
    corpus = {shape}
    named = disguised(items, [shape], "run", corpus.__contains__)
    assert len(named) == 2
    assert not corpus & named.keys()
    assert named == disguised(items, [shape], "run", corpus.__contains__)
    if re.search("[0-9]", shape):
        assert {len(name) for name in named} == {len(shape)}
    for item, row in ((item, item.row(name)) for name, item in named.items()):
        assert (row.text, row.text_digest) == (item.text, item.text_digest)


def test_another_run_gives_other_ids(path):
    items = load(path, QUESTIONS)
    assert not disguised(items, ["doc-00001"], "a", set().__contains__).keys() & disguised(
        items, ["doc-00001"], "b", set().__contains__
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 1: not JSON"),
        ('{"answers": {"toxicity": "yes"}}', "no text"),
        ('{"text": "x"}', "no answers"),
        ('{"text": "x", "answers": {"rights": "yes"}}', "not asked"),
        ('{"text": "x", "answers": {"toxicity": "zebra"}}', "unknown label for toxicity"),
        ('{"text": "x", "answers": {"toxicity": "no"}, "zebra": 1}', "not known"),
        ('{"text": "x", "answers": {"toxicity": "no"}, "url": 1}', "url"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(tmp_path, line, message):
    path = tmp_path / "known.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as error:
        load(path, QUESTIONS)
    assert "zebra" not in str(error.value)


def test_two_items_of_one_text_or_no_file_are_refused(tmp_path):
    path = tmp_path / "known.jsonl"
    path.write_text(2 * (json.dumps(LINES[1]) + "\n"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="one text"):
        load(path, QUESTIONS)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "none", QUESTIONS)
