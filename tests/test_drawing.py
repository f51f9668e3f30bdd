"""The sample is what its rule says: the smallest permanent random numbers, recomputed here from scratch."""

import pytest

from audit import drawing, evaluation, partindex
from audit.progress import Quiet

MASK = (1 << 64) - 1


def rotated(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & MASK


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 by its paper (J.-P. Aumasson, D. J. Bernstein, INDOCRYPT 2012), in plain Python."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v0, v1, v2, v3 = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & MASK
            v2 = (v2 + v3) & MASK
            v1, v3 = rotated(v1, 13) ^ v0, rotated(v3, 16) ^ v2
            v0 = rotated(v0, 32)
            v2 = (v2 + v1) & MASK
            v0 = (v0 + v3) & MASK
            v1, v3 = rotated(v1, 17) ^ v2, rotated(v3, 21) ^ v0
            v2 = rotated(v2, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 255])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 255
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def samples(run):
    """Stratum -> doc_ids in draw order."""
    found = {}
    with run.connect() as db:
        for stratum, doc_id in db.execute(
            "SELECT stratum, doc_id FROM samples ORDER BY stratum, draw"
        ).fetchall():
            found.setdefault(stratum, []).append(doc_id)
    return found


def stand(run, size):
    """The drawing that stands, for the strata of its cells."""
    parts = partindex.Catalogue.recorded(run.store)
    return drawing.draw(run.sample, run.store, run.config(), parts, size)


def expected_order(run):
    """Stratum -> doc_ids by permanent random number."""
    config, seed = run.config(), bytes.fromhex(run.manifest()["seed"])
    cells = stand(run, config.sampling.size).cells.to_pylist()
    names = config.strata()
    strata = {tuple(cell[name] for name in names): cell["stratum"] for cell in cells}
    numbered = {}
    with run.connect() as db:
        columns = ", ".join(f"slices.{name}" for name in names)
        query = (
            f"SELECT doc_id, url, text_digest, {columns} FROM documents JOIN slices USING (shard, position)"
        )
        for doc_id, url, digest, *values in db.execute(query).fetchall():
            number = siphash(seed, (url or doc_id).encode() + bytes.fromhex(digest))
            numbered.setdefault(strata[tuple(values)], []).append((number, doc_id))
    return {stratum: [doc_id for _, doc_id in sorted(members)] for stratum, members in numbered.items()}


def test_the_reference_hash_is_siphash():
    key, message = bytes(range(16)), bytes(range(15))
    assert siphash(key, message) == 0xA129CA6149BE45E5  # the vector of the paper's appendix A


def test_draws_are_the_smallest_numbers_of_their_stratum(standing):
    order = expected_order(standing)
    drawn = samples(standing)
    assert sum(map(len, drawn.values())) == 40
    for stratum, doc_ids in drawn.items():
        assert doc_ids == order[stratum][: len(doc_ids)]


def test_inclusion_probability_is_drawn_over_documents(standing):
    with standing.connect() as db:
        rows = db.execute(
            """SELECT inclusion_probability, drawn, documents, draw FROM samples JOIN strata
            USING (phase, stratum)"""
        ).fetchall()
    assert rows
    for probability, drawn, documents, draw in rows:
        assert probability == pytest.approx(drawn / documents)
        assert 1 <= draw <= drawn


def test_a_larger_size_keeps_every_draw(copied):
    before = samples(copied)
    with copied.locked():
        evaluation.extend(copied, 60, Quiet())
    after = samples(copied)
    assert sum(map(len, after.values())) == 60
    assert all(after[stratum][: len(doc_ids)] == doc_ids for stratum, doc_ids in before.items())


def test_a_smaller_size_takes_nothing_back_and_one_over_the_corpus_takes_all(copied):
    before = samples(copied)
    with copied.locked():
        evaluation.extend(copied, 5, Quiet())
        assert samples(copied) == before
        evaluation.extend(copied, 10_000, Quiet())
    with copied.connect() as db:
        assert db.execute("SELECT count(*), min(inclusion_probability) FROM samples").fetchall() == [
            (72, 1.0)
        ]


def test_draws_are_the_same_for_any_cut_of_the_corpus(corpus, standing, run_audit):
    gates = standing.config().policy.model_dump()
    cut = run_audit(corpus, "cut", run={"shard_bytes": 4096}, sampling={"size": 40}, policy=gates)
    assert len(cut.run.manifest()["inputs"]) > 3
    assert samples(cut.run) == samples(standing)


def test_what_stands_is_recalled_not_drawn_again(copied):
    stamp = (copied.sample / "draws.parquet").stat().st_mtime_ns
    with copied.locked():
        evaluation.evaluate(copied, Quiet())
    assert (copied.sample / "draws.parquet").stat().st_mtime_ns == stamp


def test_no_text_lies_in_the_sample(standing):
    for path in standing.sample.glob("*"):
        assert b"people lived" not in path.read_bytes()
