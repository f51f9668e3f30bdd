"""Questions: names as ever, or with types, labels and guidelines; wrong ones are named."""

import pytest

from audit import config as configuration
from audit.errors import ConfigurationError
from audit.questions import Question, metrics

BASE = {"corpus": {"name": "x", "inputs": ["y"]}}


def parsed(*questions):
    return configuration.parse({**BASE, "sampling": {"questions": list(questions)}}).sampling


def test_a_name_is_a_yes_or_no_question_and_stays_a_name():
    sampling = parsed("toxicity")
    assert sampling.questions == (Question(name="toxicity"),)
    assert sampling.model_dump(mode="json")["questions"] == ["toxicity"]
    assert sampling.metrics == ("toxicity",)


def test_questions_survive_the_manifest():
    full = {"name": "quality", "type": "rating", "positive": ["1", 2], "text": "How good?", "guideline": "x"}
    config = configuration.parse({**BASE, "sampling": {"questions": ["toxicity", full]}})
    again = configuration.parse(config.resolved())
    assert again.sampling.questions == config.sampling.questions
    assert again.digest() == config.digest()
    assert again.sampling.questions[1].positive == ("1", "2")


def test_only_questions_with_harm_are_metrics():
    questions = (
        Question(name="a"),
        Question(name="b", type="choice", labels=("x", "y")),
        Question(name="c", type="choice", labels=("x", "y"), positive=("y",)),
        Question(name="d", type="spans", labels=("PERSON",), positive=("PERSON",)),
        Question(name="e", type="text"),
    )
    assert metrics(questions) == ("a", "c", "d")


@pytest.mark.parametrize(
    ("question", "label", "kinds", "verdict"),
    [
        (Question(name="a"), "yes", (), "yes"),
        (Question(name="a"), "no", (), "no"),
        (Question(name="a"), "unsure", (), "unsure"),
        (Question(name="a", positive=("no",)), "no", (), "yes"),
        (Question(name="a", type="severity", positive=("high", "critical")), "medium", (), "no"),
        (Question(name="a", type="severity", positive=("high", "critical")), "critical", (), "yes"),
        (Question(name="a", type="severity"), "critical", (), None),
        (Question(name="a", type="spans", labels=("X", "Y"), positive=("X",)), "yes", ("Y",), "no"),
        (Question(name="a", type="spans", labels=("X", "Y"), positive=("X",)), "yes", ("Y", "X"), "yes"),
        (Question(name="a", type="text"), "answered", (), None),
    ],
)
def test_answers_say_what_they_mean_for_harm(question, label, kinds, verdict):
    assert question.verdict(label, kinds) == verdict


@pytest.mark.parametrize(
    ("question", "key", "message"),
    [
        ({"name": "Is it"}, "sampling.questions.0.name", "pattern"),
        ({"name": "a", "tpe": "choice"}, "sampling.questions.0.tpe", "Did you mean 'type'"),
        ({"name": "a", "type": "poll"}, "sampling.questions.0.type", "yes_no"),
        ({"name": "a", "type": "choice"}, "sampling.questions.0", "needs labels"),
        ({"name": "a", "type": "choice", "labels": ["x"]}, "sampling.questions.0", "needs labels"),
        ({"name": "a", "labels": ["x", "y"]}, "sampling.questions.0", "no labels of its own"),
        ({"name": "a", "type": "choice", "labels": ["x", "X"]}, "sampling.questions.0", "differ"),
        ({"name": "a", "type": "choice", "labels": ["x", "unsure"]}, "sampling.questions.0", "differ"),
        ({"name": "a", "type": "choice", "labels": ["x", "y:z"]}, "sampling.questions.0", "lose"),
        ({"name": "a", "positive": ["maybe"]}, "sampling.questions.0", "not a label"),
        ({"name": "assignment"}, "sampling", "taken"),
    ],
)
def test_a_wrong_question_is_named(question, key, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        parsed(question)
    assert error.value.key == key


def test_the_published_schema_takes_names_and_mappings():
    import jsonschema

    schema = configuration.json_schema()
    for questions in (["toxicity"], [{"name": "quality", "type": "rating"}]):
        jsonschema.validate({**BASE, "sampling": {"questions": questions}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**BASE, "sampling": {"questions": [{"type": "rating"}]}}, schema)
