"""Every screen explains itself: what it measures, its parameters, its columns."""

import pytest
from rich.console import Console

from audit import catalogue, screens
from audit.errors import ConfigurationError


def test_every_screen_is_listed_with_a_sentence():
    rows = {row["name"]: row for row in catalogue.describe(None)["screens"]}
    assert set(rows) == set(screens.available())
    assert all(row["summary"] and row["version"] for row in rows.values())


@pytest.mark.parametrize("name", sorted(screens.available()))
def test_every_screen_explains_itself_and_can_be_printed(name):
    described = catalogue.describe(name)
    assert described["help"]
    assert described["resources"]
    assert all(column.startswith(f"{name}_") for column in described["columns"])
    console = Console(record=True, width=200)
    for line in catalogue.lines(described):
        console.print(line)
    text = console.export_text()
    assert all(row["name"] in text for row in described["parameters"])


def test_an_unknown_screen_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="toxicity"):
        catalogue.describe("nothing")
