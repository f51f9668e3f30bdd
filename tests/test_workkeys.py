"""A work key changes with all that a part depends on, and with nothing else."""

import uuid

import pytest

from audit import workkeys
from audit.config import build_screen


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in place of this one: a imports b, and c inside a function; d stands alone."""
    name = f"specimen_{uuid.uuid4().hex}"  # a package of that name is imported only once
    root = tmp_path / name
    root.mkdir()
    modules = {
        "__init__": "",
        "a": f"from {name} import b\n\ndef late():\n    import {name}.c\n",
        "b": "import json\nVALUE = 1\n",
        "c": "import sys\n",
        "d": "OTHER = 1\n",
    }
    for module, text in modules.items():
        (root / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(workkeys, "_PACKAGE", name)
    yield root
    workkeys.code_digest.cache_clear()


def changed(package, module):
    """Whether a change of one module changes the digest of ``a``."""
    before = workkeys.code_digest(f"{package.name}.a")
    path = package / f"{module}.py"
    path.write_text(path.read_text() + "# changed\n")
    workkeys.code_digest.cache_clear()
    return workkeys.code_digest(f"{package.name}.a") != before


@pytest.mark.parametrize(("module", "expected"), [("a", True), ("b", True), ("c", True), ("d", False)])
def test_the_code_digest_follows_what_is_imported(package, module, expected):
    assert changed(package, module) is expected


def test_every_screen_depends_on_the_code_that_it_runs():
    reachable = workkeys._reachable("audit.screens.pii")
    assert {"audit.screens.pii", "audit.pii_search", "audit.masking", "audit.model"} <= set(reachable)
    assert not any(name.startswith(("audit.renderers", "audit.cli")) for name in reachable)


def key(name="pii", parameters=None, **changes):
    given = {"content": "c", "reading": "r", "upstream": {"language": "l"}, "key_id": "k", **changes}
    return workkeys.screen_key(build_screen(name, parameters or {}), **given)


@pytest.mark.parametrize("change", [{"content": "x"}, {"reading": "x"}, {"key_id": "x"}])
def test_a_key_follows_content_reading_and_secret(change):
    assert key(**change) != key()


def test_a_key_follows_parameters_and_what_is_upstream():
    assert key("language") != key("language", {"minimum_score": 0.123})
    assert key("toxicity") != key("toxicity", upstream={"language": "x"})
    assert key("language") == key("language", upstream={"toxicity": "x"})


def test_a_screen_without_secrets_does_not_depend_on_the_key():
    assert key("language") == key("language", key_id="x")


def test_derived_keys_follow_inputs_parameters_and_family():
    base = workkeys.derived_key("f", "audit.slicing", ["a", "b"], {"p": 1})
    assert base == workkeys.derived_key("f", "audit.slicing", ["a", "b"], {"p": 1})
    others = [
        workkeys.derived_key("g", "audit.slicing", ["a", "b"], {"p": 1}),
        workkeys.derived_key("f", "audit.facts", ["a", "b"], {"p": 1}),
        workkeys.derived_key("f", "audit.slicing", ["ab"], {"p": 1}),
        workkeys.derived_key("f", "audit.slicing", ["a", "b"], {"p": 2}),
    ]
    assert len({base, *others}) == 5
