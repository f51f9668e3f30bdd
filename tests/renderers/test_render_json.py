import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from audit.errors import ConfigurationError
from audit.renderers import RENDERERS, render

CARD = json.loads((Path(__file__).parent / "scorecard.json").read_text(encoding="utf-8"))


def test_json_is_the_scorecard_and_follows_the_schema():
    schema = json.loads(
        (resources.files("audit") / "schemas/scorecard.schema.json").read_text(encoding="utf-8")
    )
    assert json.loads(render(CARD, "json")) == CARD
    jsonschema.validate(CARD, schema)


def test_same_scorecard_in_another_order_gives_the_same_bytes():
    assert render(dict(reversed(CARD.items())), "json") == render(CARD, "json")


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        render(CARD | {"estimates": [float("nan")]}, "json")


@pytest.mark.parametrize("format", RENDERERS)
def test_every_format_is_deterministic_and_ends_with_a_newline(format):
    assert render(CARD, format) == render(CARD, format)
    assert render(CARD, format).endswith("\n")


def test_an_unknown_format_is_named_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="html, json, md"):
        render(CARD, "pdf")
