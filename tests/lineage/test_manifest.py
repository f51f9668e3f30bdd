"""The manifest names the evidence, gives it an id, and holds no secret."""

import json
import platform
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import audit
from audit.errors import ConfigurationError
from audit.lineage import manifest
from audit.lineage.manifest import InputRecord, redact_uri

SHARDS = [
    InputRecord(
        "aa", "b.jsonl", "https://ann:pass-1@example.com/b.jsonl?sig=abc", 10, "d1", 3, 1, "complete"
    ),
    InputRecord("bb", "a.jsonl", "data/a.jsonl", 20, "d2", 5, 0, "complete"),
    InputRecord("cc", "c.jsonl", "data/c.jsonl", 0, None, 0, 0, "failed"),
]


def build(inputs=SHARDS, **changes):
    arguments = {
        "corpus": "pages",
        "configuration": {
            "corpus": {"inputs": ["s3://key:pass-2@bucket/x?X-Amz-Signature=pass-3&v=1"]},
            "store": {"api_key": "pass-4", "region": "eu", "max_tokens": 7},
        },
        "configuration_digest": "c1",
        "inputs": inputs,
        "packages": {"pyarrow": "26.0.1"},
        "models": {"lid": "m1"},
        "seed": 7,
        "hmac_key_id": "k1",
        "parts_index": "p1",
        "left_out": {"files": 0, "bytes": 0, "suffixes": {}},
    }
    return manifest.build(**{**arguments, **changes})


def test_holds_the_evidence_sorted_and_no_secret():
    built = build()
    assert [record["name"] for record in built["inputs"]] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert built["inputs"][1]["uri"] == "https://example.com/b.jsonl"
    assert built["configuration"]["corpus"]["inputs"] == ["s3://bucket/x?v=1"]
    assert built["configuration"]["store"] == {"api_key": "(removed)", "region": "eu", "max_tokens": 7}
    assert built["code"]["version"] == audit.__version__
    text = json.dumps(built)
    assert "pass-" not in text
    assert platform.node() == "" or platform.node() not in text


def test_the_same_evidence_gets_the_same_id_whatever_the_order():
    assert build()["run_id"] == build(list(reversed(SHARDS)))["run_id"]
    assert len(build()["run_id"]) == 16


@pytest.mark.parametrize("change", [{"configuration_digest": "c2"}, {"inputs": SHARDS[:2]}])
def test_other_evidence_gets_another_id(change):
    assert build(**change)["run_id"] != build()["run_id"]


def test_other_code_gets_another_id():
    assert manifest.run_id("c", ["a", "b"], "x") != manifest.run_id("c", ["a", "b"], "y")


def test_is_written_canonically(tmp_path):
    path = tmp_path / "manifest.json"
    manifest.write(path, build())
    first = path.read_bytes()
    manifest.write(path, dict(reversed(build().items())))
    assert path.read_bytes() == first
    assert json.loads(first) == build()
    assert first.startswith(b'{\n  "code"')
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_the_code_digest_sees_sources_and_names_and_not_what_is_built(tmp_path):
    (tmp_path / "screens").mkdir()
    source = tmp_path / "screens" / "one.py"
    source.write_text("x = 1\n")
    before = manifest.code_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / ".cache").write_bytes(b"x")
    assert manifest.code_digest(tmp_path) == before
    source.write_text("x = 2\n")
    changed = manifest.code_digest(tmp_path)
    source.rename(tmp_path / "screens" / "two.py")
    assert len({before, changed, manifest.code_digest(tmp_path)}) == 3


def test_package_versions_follow_dependencies_but_not_unwanted_extras():
    found = manifest.package_versions("pytest")
    assert {"pluggy", "packaging", "iniconfig"} <= set(found)
    assert "pytest" not in found
    assert found == dict(sorted(found.items()))


def test_a_copy_inside_another_package_does_not_count(tmp_path, monkeypatch):
    for where, release in (("outer/vendored", "1"), ("site", "2")):
        folder = tmp_path / where / "inner_thing-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: inner-thing\nVersion: {release}\n")
    (tmp_path / "outer" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "outer" / "vendored")
    assert manifest._installed("inner-thing") is None
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path / "site")])
    found = manifest._installed("inner-thing")
    assert found is not None
    assert found.version == "2"


def test_requirements_of_extras_count_only_when_wanted():
    lines = ["One.Two[fast] >=1; python_version > '3'", 'three; extra == "more"', "four"]
    plain = [("one-two", frozenset({"fast"})), ("four", frozenset())]
    assert manifest._requirements(lines, frozenset()) == plain
    assert ("three", frozenset()) in manifest._requirements(lines, frozenset({"more"}))


def test_an_uninstalled_distribution_is_said_so():
    with pytest.raises(ConfigurationError, match="not installed"):
        manifest.package_versions("no-such-distribution-here")


@pytest.mark.parametrize(
    ("given", "redacted"),
    [
        ("data/a?b=c@d/*.jsonl", "data/a?b=c@d/*.jsonl"),
        ("s3://bucket/part-?.jsonl", "s3://bucket/part-?.jsonl"),
        ("hf://datasets/owner/name@v1/x.parquet", "hf://datasets/owner/name@v1/x.parquet"),
        ("https://example.com/a?page=2#top", "https://example.com/a?page=2#top"),
        ("https://token-1@example.com/a", "https://example.com/a"),
        ("https://ann:p%40ss@example.com:8080/a@b", "https://example.com:8080/a@b"),
        ("https://ann:p@ss@example.com/a", "https://example.com/a"),
        ("abfss://container@account.example.com/x", "abfss://container@account.example.com/x"),
        ("abfss://container:key@account.example.com/x", "abfss://account.example.com/x"),
        ("https://example.com/a?sv=1&sig=abc%3D&sr=b", "https://example.com/a?sv=1&sr=b"),
        ("https://example.com/a?X-Amz-Signature=1&x-amz-credential=2", "https://example.com/a"),
        ("https://example.com/a?X%2DAmz%2DSignature=1&v=2", "https://example.com/a?v=2"),
        ("https://example.com/a?v=2;access_token=1", "https://example.com/a?v=2"),
        ("https://example.com/a#access_token=1&x=2", "https://example.com/a#x=2"),
        (
            "zip://a.jsonl::https://ann:pw@example.com/a.zip?token=1",
            "zip://a.jsonl::https://example.com/a.zip",
        ),
        ("https://example.com/a?tokens=5&signal=1", "https://example.com/a?tokens=5&signal=1"),
    ],
)
def test_redacts_credentials_and_nothing_else(given, redacted):
    assert redact_uri(given) == redacted


@given(st.text(), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_redaction_is_total_and_final(text, secret):
    once = redact_uri(f"https://ann:{secret}@example.com/{text}?token={secret}")
    assert redact_uri(once) == once


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text() | st.sampled_from(["inputs", "a"]), VALUES, max_size=4),
    st.lists(st.fixed_dictionaries({"name": st.text(), "bytes": st.integers()}), max_size=4),
)
def test_a_manifest_is_plain_json_and_can_be_read_without_its_inputs(content, inputs):
    whole = {**content, "configuration": {"inputs": ["x", {"inputs": []}]}, "inputs": inputs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        manifest.write(path, whole)
        text, header = path.read_text(encoding="ascii"), manifest.read(path)
    assert text == json.dumps(whole, sort_keys=True, indent=2) + "\n"
    assert header == {name: value for name, value in whole.items() if name != "inputs"}


def test_many_names_are_shown_like_each_by_itself():
    names = ["s3://bucket/x?sig=1&v=2", "mail ann@example.com.jsonl", "plain.jsonl", "", "ünïcode"]
    assert manifest.present_all(names) == [manifest.present(name) for name in names]
    assert manifest.present_all([]) == []
