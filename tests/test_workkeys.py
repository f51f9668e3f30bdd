"""A work key changes with all that a part depends on, and with nothing else."""

import shutil
import uuid
from pathlib import Path

import pytest

from audit import objects, sources, workkeys
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
        "b": f"import json\nfrom {name} import objects\nVALUE = 1\n",
        "c": "import sys\n",
        "d": "OTHER = 1\n",
        "objects": "ATTEMPTS = 10\n",
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


@pytest.mark.parametrize(
    ("module", "expected"),
    [("a", True), ("b", True), ("c", True), ("d", False), ("objects", False)],
)
def test_the_code_digest_follows_what_is_imported(package, module, expected):
    assert changed(package, module) is expected


def test_keys_follow_decoders_and_not_what_brings_the_bytes():
    reading = set(workkeys._reachable("audit.sources"))
    assert {"audit.sources.streams", "audit.sources.columns", "audit.sources.shard_bytes"} <= reading
    for module in ("audit.sources", "audit.slicing", "audit.canary_check", "audit.screens.near_duplicates"):
        assert not any(map(workkeys.is_transport, workkeys._reachable(module))), module


def test_nothing_that_decides_hides_behind_transport():
    """What transport imports is transport, or the names of errors."""
    modules = [f"audit.objects.{path.stem}" for path in Path(objects.__file__).parent.glob("*.py")]
    for name in [*modules, "audit.sources.objects"]:
        path = workkeys._source(name)
        assert path is not None or name.endswith("__init__"), name
        imported = workkeys._imports(path) if path else ()
        known = [each for each in imported if workkeys._source(each) is not None]
        assert all(workkeys.is_transport(each) or each == "audit.errors" for each in known), name


@pytest.mark.parametrize(("module", "expected"), [("objects.py", False), ("streams.py", True)])
def test_a_patch_to_listing_leaves_the_readers_fingerprint(module, expected, tmp_path, monkeypatch):
    here = tmp_path / "sources"
    shutil.copytree(Path(sources.__file__).parent, here)
    monkeypatch.setattr(sources, "__file__", str(here / "__init__.py"))
    sources.code_of.cache_clear()
    before = sources.fingerprint("jsonl")
    (here / module).write_text("# changed\n")
    sources.code_of.cache_clear()
    assert (sources.fingerprint("jsonl") != before) is expected
    sources.code_of.cache_clear()


def test_every_screen_depends_on_the_code_that_it_runs():
    reachable = workkeys._reachable("audit.screens.pii")
    assert {"audit.screens.pii", "audit.pii.pii_search", "audit.masking", "audit.model"} <= set(reachable)
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
