import json
from importlib import resources

import jsonschema
import pytest
import yaml

from audit import config as configuration
from audit.errors import ConfigurationError

MINIMAL = {"corpus": {"name": "x", "inputs": ["a.jsonl"]}}


def write(tmp_path, text):
    path = tmp_path / "audit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("section", "key", "suggestion"),
    [
        ({"corpus": {"name": "x", "input": []}}, "corpus.input", "inputs"),
        ({"corpus": {"name": "x"}, "samplng": {}}, "samplng", "sampling"),
        ({"corpus": {"name": "x", "columns": {"texts": "t"}}}, "corpus.columns.texts", "text"),
        ({"corpus": {"name": "x"}, "screens": {"toxcity": {}}}, "screens.toxcity", "toxicity"),
        ({"corpus": {"name": "x"}, "screens": {"pii": {"countrys": 1}}}, "screens.pii.countrys", "countries"),
        ({"corpus": {"name": "x"}, "sampling": {"strata": ["langage"]}}, "sampling.strata", "language"),
        (
            {"corpus": {"name": "x"}, "policy": {"gates": [{"name": "g", "metric": "m", "aplha": 1}]}},
            "aplha",
            "alpha",
        ),
    ],
)
def test_a_typo_is_an_error_that_names_file_key_and_the_nearest_known_one(tmp_path, section, key, suggestion):
    path = write(tmp_path, yaml.safe_dump(section))
    with pytest.raises(ConfigurationError) as caught:
        configuration.load(path)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert key in str(caught.value)
    assert f"{suggestion!r}" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "- a list", "corpus: [", "corpus: {name: ''}", "corpus: {name: x}\nrun: {workers: 0}"]
)
def test_what_is_no_configuration_is_refused(tmp_path, text):
    with pytest.raises(ConfigurationError) as caught:
        configuration.load(write(tmp_path, text))
    assert "audit.yaml" in str(caught.value)


def test_a_missing_file_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(ConfigurationError, match="audit init"):
        configuration.load(tmp_path / "none.yaml")


def test_a_needed_screen_that_is_off_is_named():
    with pytest.raises(ConfigurationError, match="language"):
        configuration.parse({**MINIMAL, "screens": {"toxicity": {}}})


def test_screens_come_after_those_they_need():
    names = [screen.name for screen in configuration.parse(MINIMAL).build_screens()]
    assert names.index("language") < names.index("toxicity")


def test_workers_do_not_change_the_digest_and_parameters_do():
    digest = configuration.parse(MINIMAL).digest()
    assert configuration.parse({**MINIMAL, "run": {"workers": 7}}).digest() == digest
    assert configuration.parse({**MINIMAL, "screens": {"language": {}}}).digest() != digest


def test_the_seed_follows_the_policy_alone():
    first = configuration.parse(MINIMAL)
    assert configuration.parse({**MINIMAL, "sampling": {"size": 7}}).policy_digest() == first.policy_digest()
    assert (
        configuration.parse({**MINIMAL, "policy": {"max_unscreened": 0.5}}).policy_digest()
        != first.policy_digest()
    )


def test_the_resolved_configuration_parses_to_itself():
    config = configuration.parse(MINIMAL)
    again = configuration.parse(json.loads(json.dumps(config.resolved())))
    assert again.digest() == config.digest()


def test_the_schema_accepts_what_the_parser_accepts_and_refuses_typos():
    schema = configuration.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(configuration.parse(MINIMAL).resolved())), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"corpus": {"name": "x"}, "screens": {"toxcity": {}}}, schema)


def test_the_published_schema_is_the_present_one():
    published = (resources.files("audit") / "schemas" / "config.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == configuration.json_schema(), (
        "run: audit schema is stale; see CONTRIBUTING"
    )
