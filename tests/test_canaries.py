"""Canaries go through each format's own decoding, and a screen that misses one decides nothing."""

import dataclasses
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from audit import canaries, canary_check, canary_evidence, canary_files, canary_recall, config, sources, tasks
from audit.canaries import Canary, Flock, Range
from audit.errors import ConfigurationError
from audit.gate_evidence import Missing
from audit.sources import ColumnMapping, ReadLimits
from audit.statistics.census import Census
from audit.statistics.estimation import Prevalence
from audit.storage.store import Part, Store
from audit.tasks import Screening, ShardTask
from tests.conftest import page
from tests.test_undeserved_go import write

KEY = b"secret"
RECORD = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"


def line(row):
    return (json.dumps(row) + "\n").encode()


def table(rows):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="gzip")
    return sink.getvalue().to_pybytes()


def stream(data):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write_table(data)
    return sink.getvalue().to_pybytes()


FILES = {
    "a.jsonl": line({"text": "x"}),
    "a.jsonl.gz": gzip.compress(line({"text": "x"})),
    "a.jsonl.zst": zstandard.compress(line({"text": "x"})),
    "a.csv": b"text,url\nx,y\n",
    "a.tsv.gz": gzip.compress(b"text\turl\nx\ty\n"),
    "a.parquet": table([{"content": "x", "meta": {"url": "u", "n": 1}, "id": 4}]),
    "a.arrow": stream(pa.table({"text": pa.array(["x"]).dictionary_encode(), "url": ["u"]})),
    "chat.arrow": stream(pa.table({"messages": [[{"role": "user", "content": "x"}]]})),
    "a.warc.gz": gzip.compress(RECORD),
    "a.warc": RECORD,
    "a.warc.wet": RECORD,
}


@pytest.fixture(scope="module")
def screens():
    return config.parse({"corpus": {"name": "test"}}).build_screens()


def shown(shard, screens, flock, scratch, columns=None):
    mapping = columns or ColumnMapping()
    found = canary_check.check(shard, screens, flock, mapping, ReadLimits(), KEY, scratch)
    return found.to_pylist()


def shard_of(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return sources.plan([str(path)])[0]


@pytest.mark.parametrize("name", FILES)
def test_every_canary_comes_through_every_format(tmp_path, screens, name):
    shard = shard_of(tmp_path, name, FILES[name])
    rows = shown(shard, screens, Flock(canaries.packaged()), tmp_path / "scratch")
    assert {row["screen"] for row in rows} >= {screen.name for screen in screens} - {"listed_domains"}
    assert [row for row in rows if row["outcome"] != "passed"] == []
    assert {row["path"] for row in rows} == {shard.format}
    assert list((tmp_path / "scratch").iterdir()) == []


def test_each_screen_has_a_positive_and_a_control(screens):
    for screen in screens:
        mine = [c for c in canaries.packaged() if c.screen == screen.name and c.applies(screen)]
        assert {canary.control for canary in mine} == {True, False}, screen.name


def test_the_mapping_of_the_configuration_is_taken(tmp_path, screens):
    columns = ColumnMapping(text="doc.body", url="doc.link", metadata=("tags",))
    row = {"doc": {"body": "x", "link": "y"}, "tags": []}
    for name, data in (("a.jsonl", line(row)), ("a.parquet", table([{**row, "tags": ["t"]}]))):
        shard = shard_of(tmp_path, name, data)
        rows = shown(shard, screens, Flock(canaries.packaged()), tmp_path / "s", columns)
        assert {row["outcome"] for row in rows} == {"passed"}


def test_a_reader_that_gives_nothing_is_seen(tmp_path, screens, monkeypatch):
    shard = shard_of(tmp_path, "a.jsonl", FILES["a.jsonl"])
    monkeypatch.setitem(canary_files._WRITERS, "jsonl", lambda *_: b"\xff\n" * 30)
    rows = shown(shard, screens, Flock(canaries.packaged()), tmp_path / "s")
    assert {row["outcome"] for row in rows} == {"missed"}
    assert {row["found"] for row in rows} == {"not read"}


def test_what_no_file_can_imitate_begins_as_records(tmp_path, screens):
    shard = dataclasses.replace(shard_of(tmp_path, "a.jsonl", FILES["a.jsonl"]), format="huggingface")
    rows = shown(shard, screens, Flock(canaries.packaged()), tmp_path / "s")
    assert {(row["outcome"], row["path"]) for row in rows} == {("passed", "records")}


def one(**given):
    base = {"name": "c", "screen": "language", "texts": [page(1)], "expect": {"label": "en"}}
    return Canary.model_validate({**base, **given})


@pytest.mark.parametrize(
    ("canary", "outcome"),
    [
        (one(), "passed"),
        (one(expect={"label": "fr"}), "missed"),
        (one(expect={"label": "fr"}, control=True), "fired"),
        (one(expect={"score": {"at_least": 0.1}}), "passed"),
        (one(screen="exact_duplicates", texts=[page(1), page(1)], expect={"together": True}), "passed"),
        (one(screen="exact_duplicates", texts=[page(1), page(2)], expect={"together": True}), "missed"),
        (one(screen="pii", expect={"finds": "EMAIL_ADDRESS"}), "missed"),
        (one(screen="toxicity", texts=["1 2 3"], expect={"score": {"at_most": 1}}, control=True), "missed"),
    ],
)
def test_outcomes(tmp_path, screens, canary, outcome):
    shard = shard_of(tmp_path, "a.jsonl", FILES["a.jsonl"])
    (row,) = shown(shard, screens, Flock((canary,)), tmp_path / "s")
    assert row["outcome"] == outcome
    assert page(1)[:20] not in json.dumps(row)


def test_the_near_pair_is_as_alike_as_it_says():
    (pair,) = [c for c in canaries.packaged() if c.name.startswith("last word differs")]
    sets = []
    for text in pair.texts:
        words = text.lower().split()
        sets.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    assert f"{len(sets[0] & sets[1]) / len(sets[0] | sets[1]):.3f}"[1:] in pair.name


@pytest.mark.parametrize(
    ("screen", "parameters", "absent"),
    [
        ("pii", {"entities": ["US_SSN"]}, {"address", "phone", "card"}),
        ("lexicons", {"packaged": False, "lists": ["x.txt"]}, {"listed word"}),
        ("near_duplicates", {"threshold": 0.99}, {"last word differs (Jaccard .974)"}),
        ("repeated_paragraphs", {"minimum_documents": 9}, {"paragraph of six pages"}),
    ],
)
def test_a_canary_that_the_parameters_forbid_does_not_apply(screen, parameters, absent):
    built = config.build_screen(screen, parameters)
    names = {c.name for c in canaries.packaged() if c.screen == screen and not c.applies(built)}
    assert absent <= names


def test_conditions():
    assert canaries.satisfies(0.5, Range(at_least=0.5))
    assert not canaries.satisfies(None, Range(at_least=0.0))
    assert canaries.satisfies(("US", "GB"), Range(holds="US"))
    assert canaries.satisfies((), ())
    assert not canaries.satisfies(("a",), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("screen: pi\ncanaries: []\n", None),
        ("screen: pi\ncanaries: [{name: a, text: b, expect: {finds: X}}]\n", "'pi', which is not on.*'pii'"),
        ("screen: pii\ncanaries: [{name: a, expect: {finds: X}}]\n", "text"),
        ("screen: pii\ncanaries: [{name: a, text: b, expect: {}}]\n", "expect"),
        ("screen: pii\ncanaries: [{name: a, text: b, expect: {finds: X}, wen: {}}]\n", "wen"),
        ("- : [", "YAML"),
    ],
)
def test_a_users_file_is_checked(tmp_path, text, message):
    path = tmp_path / "canaries.yaml"
    path.write_text(text)
    if message is None:
        assert canaries.load(path, ["pii"]) == ()
        return
    with pytest.raises(ConfigurationError, match=message):
        canaries.load(path, ["pii"])


def test_a_part_of_its_own_that_costs_no_second_reading(tmp_path):
    shard = shard_of(tmp_path, "a.jsonl", b"".join(line({"text": page(n)}) for n in range(5)))
    built = (config.build_screen("language", {}),)
    args = (Store(tmp_path / "parts"), built, ColumnMapping(), ReadLimits(), "key", KEY)
    first = tasks.screen_shard(ShardTask(Screening(*args, Flock((one(),))), shard))
    assert first.documents == 5
    assert "canaries" in first.computed
    other = Screening(*args, Flock((one(expect={"label": "fr"}),)))
    again = tasks.screen_shard(ShardTask(other, shard, first.digest))
    assert again.computed == ("canaries",)
    part = Part("canaries", shard.shard, again.keys["canaries"])
    (row,) = Store(tmp_path / "parts").read(part).to_pylist()
    assert (row["outcome"], row["found"]) == ("missed", "en")


def rows(outcome="missed", screen="language"):
    told = {"screen": screen, "canary": "c", "control": outcome == "fired", "expected": "label fr"}
    return [{**told, "shards": 3, "passed": 1, "outcome": outcome, "found": ["en"], "paths": ["jsonl"]}]


def test_a_failed_canary_takes_the_evidence_of_its_screen_and_of_those_that_need_it(screens):
    failed = canary_evidence.failures(rows(), screens)
    assert {"language", "toxicity", "lexicons"} <= set(failed)
    assert "missed in 2 of 3 shards" in failed["language"]
    count = Census("x.flagged", "all", 9, 9, 1, 9)
    people = Prevalence("toxicity.tokens", "all", ())
    kept = {("toxicity.tokens", "all"): people, ("toxicity.flagged", "all"): count}
    kept[("duplicates.tokens", "all")] = count
    found = canary_evidence.withhold(kept, failed, "near_duplicates")
    assert isinstance(found["toxicity.flagged", "all"], Missing)
    assert (found["toxicity.tokens", "all"], found["duplicates.tokens", "all"]) == (people, count)
    copies = canary_evidence.failures(rows("fired", "near_duplicates"), screens)
    assert "set it off" in copies["near_duplicates"]
    assert isinstance(
        canary_evidence.withhold(kept, copies, "near_duplicates")["duplicates.tokens", "all"], Missing
    )


def test_a_run_shows_its_canaries_and_a_missed_one_decides_nothing(tmp_path, run_audit):
    write(tmp_path / "in" / "a.jsonl", [{"id": f"p{n}", "text": page(n)} for n in range(4)])
    gates = [{"name": "g", "metric": "duplicates.documents", "limit": 0.9}]
    quick = {"screens": {"exact_duplicates": {}}, "policy": {"gates": gates}}
    found = run_audit(tmp_path / "in", **quick)
    card = found.run.scorecard()
    assert found.verdict.verdict == "GO"
    assert card["accounting"]["screened"] == 4
    assert {(row["screen"], row["outcome"]) for row in card["canaries"]} == {("exact_duplicates", "passed")}
    with found.run.connect() as db:
        assert db.execute("SELECT count(*) FROM documents").fetchall() == [(4,)]
        assert db.execute("SELECT count(*), bool_and(outcome = 'passed') FROM canaries").fetchall() == [
            (2, True)
        ]
    mine = (
        "screen: exact_duplicates\ncanaries: [{name: odd, texts: [a cat, a dog], expect: {together: true}}]\n"
    )
    (tmp_path / "mine.yaml").write_text(mine)
    missed = run_audit(tmp_path / "in", **quick, canaries="mine.yaml")
    assert missed.verdict.verdict == "INSUFFICIENT EVIDENCE"
    assert "the canary 'odd' of the screen 'exact_duplicates' was missed" in missed.verdict.reason
    for name in ("scorecard.md", "scorecard.html"):
        assert "odd" in (missed.run.folder / name).read_text()


class Counting:
    """Hands on to a screen, and counts how often it is shown something."""

    def __init__(self, screen):
        self._screen, self.times = screen, 0

    def __getattr__(self, name):
        return getattr(self._screen, name)

    def measure(self, batch, context):
        self.times += 1
        return self._screen.measure(batch, context)


def test_small_shards_share_what_canaries_came_to_until_so_many_documents_were_screened(tmp_path, screens):
    counting = Counting(next(screen for screen in screens if screen.name == "language"))
    flock = Flock(canaries.packaged())

    def found(shard, documents, serial="pass"):
        given = ([counting], flock, ColumnMapping(), ReadLimits(), KEY, tmp_path / "s")
        return canary_check.check(shard, *given, canary_recall.Recent(serial, documents))

    first, second, other = (
        shard_of(tmp_path, name, FILES[name]) for name in ("a.jsonl", "a.jsonl.gz", "a.csv")
    )
    shards = [dataclasses.replace(first, shard=f"{number:016x}") for number in range(5)]
    many = canary_recall.RENEWED_AFTER // 2
    tables = [found(shard, many) for shard in shards]
    assert counting.times == 2  # for the first, and again for the fourth
    for shard, each in zip(shards, tables, strict=True):
        assert set(each.column("shard").to_pylist()) == {shard.shard}
        assert each.drop(["shard"]).equals(tables[0].drop(["shard"]))
        assert each.schema.equals(canary_check.SCHEMA)
    for shard in (second, other):  # decoded in another way
        found(shard, 1)
    assert counting.times == 4
    found(first, 1, "another pass")
    assert counting.times == 5
    found(first, canary_recall.RENEWED_AFTER + 1, "another pass")
    assert counting.times == 6


def test_a_screen_that_breaks_on_the_way_is_seen_before_many_documents_passed(tmp_path, monkeypatch):
    shards = []
    for number in range(12):
        rows = [line({"id": f"{number}-{n}", "text": page(number * 50 + n)}) for n in range(50)]
        shards.append(shard_of(tmp_path, f"{number:02}.jsonl", b"".join(rows)))
    language = config.build_screen("language", {})
    flock = Flock(canaries.packaged())
    screening = Screening(
        Store(tmp_path / "parts"), (language,), ColumnMapping(), ReadLimits(), "k", KEY, flock
    )

    def outcomes(shard):
        report = tasks.screen_shard(ShardTask(screening, shard))
        part = Part("canaries", shard.shard, report.keys["canaries"])
        return set(screening.store.read(part).column("outcome").to_pylist())

    assert outcomes(shards[0]) == {"passed"}

    def broken(self, batch, context):
        raise ValueError

    monkeypatch.setattr(type(language), "measure", broken)
    seen = [outcomes(shard) for shard in shards[1:]]
    late = seen.index({"missed"})
    assert 50 * late <= canary_recall.RENEWED_AFTER
    assert {"missed"} in seen[late:]
