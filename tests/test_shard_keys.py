"""Work keys of many shards are those that each would get by itself."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from audit import canaries, config, sources, workkeys
from audit.canaries import Flock
from audit.config import digest_json
from audit.model import Shard
from audit.shard_keys import Reading, ShardKeys
from audit.sources import ColumnMapping, ReadLimits
from audit.workkeys import KeyTemplate, hole

READING = Reading(ColumnMapping(text="body"), ReadLimits())


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text()), st.lists(st.text(), max_size=3))
def test_a_template_digests_what_its_holes_are_filled_with(text, mapping, listed):
    fixed = {"kept": mapping, "list": listed, "n": 1.5}
    template = KeyTemplate({**fixed, "a": hole("one"), "z": {"in": [hole("two"), hole("one")]}})
    values = {"one": text, "two": listed}
    assert template.key(values) == digest_json({**fixed, "a": text, "z": {"in": [listed, text]}})


def test_the_keys_of_a_shard_follow_from_their_definition():
    screens = config.parse({"corpus": {"name": "x"}}).build_screens()
    flock = Flock(canaries.packaged())
    shard = Shard("a" * 16, "/data/x", 'na\u00efve "x".jsonl', "jsonl", 3)
    keys = ShardKeys(screens, READING, "key id", flock, "rejects").of(shard, "d" * 64)
    reading = READING.digest("jsonl")
    names = {"content": "d" * 64, "reading": reading, "name": shard.name}
    expected = {
        "documents": workkeys.derived_key("documents", "audit.facts", [], names),
        "rejects": workkeys.derived_key("rejects", "audit.model", [], names),
    }
    for screen in screens:
        expected[screen.name] = workkeys.screen_key(screen, "d" * 64, reading, expected, "key id")
    inputs = [expected[screen.name] for screen in screens]
    told = [flock.digest, [dataclasses.asdict(screen) for screen in screens]]
    expected["canaries"] = workkeys.derived_key("canaries", "audit.canary_check", inputs, told)
    assert keys == expected
    assert reading == digest_json(
        {
            "columns": dataclasses.asdict(READING.columns),
            "limits": READING.limits.max_document_bytes,
            "format": "jsonl",
            "reader": dict(sources.fingerprint("jsonl")),
            "code": workkeys.code_digest("audit.sources"),
        }
    )


def test_without_canaries_there_is_no_key_for_them():
    keys = ShardKeys((), READING, "key id", Flock(), "rejects").of(Shard("a", "u", "n", "jsonl", 1), "d")
    assert set(keys) == {"documents", "rejects"}
