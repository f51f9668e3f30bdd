import pyarrow as pa
import pytest

from audit.errors import ConfigurationError, FatalError
from audit.model import DOCUMENT_SCHEMA
from audit.screens import Screen, ScreenContext, language
from audit.screens.language import Language

CONTEXT = ScreenContext({})


def documents(texts):
    rows = [{"position": i, "doc_id": str(i), "text": text} for i, text in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, DOCUMENT_SCHEMA)


def labels(texts, **parameters):
    result = Language(**parameters).measure(documents(texts), CONTEXT)
    assert result.not_evaluated == {}
    return result.measurements["label"].to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("All human beings are born free and equal in dignity and rights.", "en"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren.", "de"),
        ("Todos os seres humanos nascem livres e iguais em dignidade e em direitos.", "pt"),
        ("Tous les êtres humains naissent libres et égaux en dignité et en droits.", "fr"),
        ("人人生而自由，在尊严和权利上一律平等。", "zh"),
        ("すべての人間は、生まれながらにして自由である。", "ja"),
        ("يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.", "ar"),
    ],
)
def test_languages_are_told_apart(text, expected):
    assert labels([text]) == [expected]


def test_lines_and_odd_white_space_are_flattened():
    text = "Alle Menschen\nsind frei\r\n\x00und\u2028gleich\u00a0an\x0bWürde und\x85Rechten geboren."
    assert labels([text]) == ["de"]


@pytest.mark.parametrize("text", ["", " \n ", "12345 67890 !!", "🙂" * 500, "ok then"])
def test_too_few_letters_are_evaluated_as_undetermined(text):
    result = Language().measure(documents([text]), CONTEXT)
    assert result.measurements["label"].to_pylist() == ["und"]
    assert result.measurements["score"].to_pylist() == [None]
    assert result.not_evaluated == {}


def test_unsure_is_undetermined_but_keeps_its_score():
    result = Language(minimum_score=1.0).measure(documents(["Merhaba hello bonjour hallo ciao"]), CONTEXT)
    assert result.measurements["label"].to_pylist() == ["und"]
    assert 0 < result.measurements["score"][0].as_py() < 1


def test_only_the_beginning_is_read():
    text = "Alle Menschen sind frei und gleich geboren. " + "All people are born free and equal. " * 50
    assert labels([text], characters=44) == ["de"]
    assert labels([text], characters=2000) == ["en"]


def test_a_slice_of_a_batch_is_measured_alone():
    batch = documents(["All human beings are born free.", "Alle Menschen sind frei geboren."]).slice(1)
    assert Language().measure(batch, CONTEXT).measurements["label"].to_pylist() == ["de"]


def test_codes_of_wikipedias_become_those_of_iso():
    text = (
        "Svi ljudi rađaju se slobodni i jednaki u dostojanstvu i pravima, i obdareni su razumom i sviješću."
    )
    assert labels([text])[0] in ("hr", "sr", "bs", "hbs")
    assert language._code("__label__sh") == "hbs"


def test_another_model_file_is_refused(monkeypatch):
    monkeypatch.setattr(language, "MODEL_SHA256", "0" * 64)
    with pytest.raises(FatalError, match="digest"):
        language._model.__wrapped__()


def test_columns_match_the_contract():
    screen = Language()
    result = screen.measure(documents(["All human beings are born free and equal."]), CONTEXT)
    assert isinstance(screen, Screen)
    assert {name: column.type for name, column in result.measurements.items()} == dict(Language.measures)
    assert screen.resources()["lid.176.ftz"].startswith("sha256:")


@pytest.mark.parametrize("parameters", [{"characters": 0}, {"minimum_letters": -1}, {"minimum_score": 1.5}])
def test_senseless_parameters_are_refused(parameters):
    with pytest.raises(ConfigurationError):
        Language(**parameters)
