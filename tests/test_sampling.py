"""Draws by permanent random numbers: the same for any order, and growing keeps what was drawn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.permanent_numbers import permanent_random_numbers
from audit.statistics.sampling import SmallestNumbers, derive_seed

SEED = derive_seed("corpus", b"key" * 11)


def digests(n: int) -> pa.Array:
    return pa.array([i.to_bytes(16, "little") for i in range(n)], pa.binary(16))


def keeper(sizes: tuple[int, ...] = (3, 5)) -> SmallestNumbers:
    labels = tuple(f"s{i}" for i in range(len(sizes)))
    return SmallestNumbers(labels, np.array(sizes), np.full(len(sizes), 40))


def offer(target: SmallestNumbers, shard: str, rows: list[tuple[int, int, int]]) -> None:
    code, prn, position = (np.array(column) for column in zip(*rows, strict=True))
    target.add(code.astype(np.int32), prn.astype(np.uint64), shard, position.astype(np.int64))


def test_the_seed_follows_from_name_and_key() -> None:
    assert len(SEED) == 16
    assert derive_seed("corpus", b"key" * 11) == SEED
    assert derive_seed("other", b"key" * 11) != SEED


def test_numbers_follow_document_and_seed_not_place() -> None:
    names = pa.array([f"doc-{i}" for i in range(50)])
    numbers = permanent_random_numbers(names, digests(50), SEED)
    assert np.array_equal(permanent_random_numbers(names[10:], digests(50)[10:], SEED), numbers[10:])
    assert not np.array_equal(
        permanent_random_numbers(names, digests(50), derive_seed("other", b"key" * 11)), numbers
    )
    assert len(set(numbers.tolist())) == 50


def test_the_text_tells_documents_without_identity_apart() -> None:
    numbers = permanent_random_numbers(pa.nulls(100, pa.string()), digests(100), SEED)
    assert len(set(numbers.tolist())) == 100


def test_numbers_are_uniform() -> None:
    numbers = permanent_random_numbers(pa.array([f"{i}" for i in range(20_000)]), digests(20_000), SEED)
    deciles = np.histogram(numbers / 2**64, bins=10, range=(0, 1))[0]
    assert ((deciles - 2000) ** 2 / 2000).sum() < 27.9  # chi-square, 9 degrees, p = 0.001


def test_missing_digest_or_bad_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="digest"):
        permanent_random_numbers(pa.array(["a"]), pa.array([None], pa.binary(16)), SEED)
    with pytest.raises(ValueError, match="16 bytes"):
        permanent_random_numbers(pa.array(["a"]), digests(1), b"short")


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 30)),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[2],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.randoms())
def test_order_split_and_repetition_do_not_matter(shards: list[list[tuple[int, int, int]]], random) -> None:
    straight = keeper()
    for i, rows in enumerate(shards):
        offer(straight, f"shard{i}", rows)
    first, second = keeper(), keeper()
    pieces = [(f"shard{i}", [row]) for i, rows in enumerate(shards) for row in rows]
    random.shuffle(pieces)
    for shard, rows in pieces:
        offer(random.choice((first, second)), shard, rows)
    offer(first, *pieces[0])
    first.table()
    second.merge(first)
    second.merge(first)
    assert second.table().equals(straight.table())


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_smallest_are_kept_in_draw_order(rows: list[tuple[int, int, int]]) -> None:
    target = keeper()
    offer(target, "shard", rows)
    drawn = [(r["stratum"], r["draw"], r["position"]) for r in target.table().to_pylist()]
    expected = [
        (f"s{code}", rank, position)
        for code, size in ((0, 3), (1, 5))
        for rank, (_, position) in enumerate(sorted((p, at) for c, p, at in rows if c == code)[:size], 1)
    ]
    assert drawn == expected


def test_a_larger_sample_contains_the_smaller_one() -> None:
    rng = np.random.default_rng(0)
    rows = [(i % 2, int(rng.integers(0, 2**60)), i) for i in range(40)]
    small, large = keeper((3, 5)), keeper((4, 9))
    offer(small, "shard", rows)
    offer(large, "shard", rows)
    keys = ["stratum", "shard", "position", "draw"]
    assert all(
        row in large.table().select(keys).to_pylist() for row in small.table().select(keys).to_pylist()
    )
    assert set(large.table().column("inclusion_probability").to_pylist()) == {4 / 40, 9 / 40}


def test_many_additions_agree_with_one_sort() -> None:
    rng, target = np.random.default_rng(1), keeper((50, 20))
    codes = rng.integers(0, 2, 300_000).astype(np.int32)
    numbers = rng.integers(0, 2**63, 300_000).astype(np.uint64)
    for start in range(0, 300_000, 10_000):
        part = slice(start, start + 10_000)
        target.add(codes[part], numbers[part], f"{start:08}", np.arange(10_000))
    positions = np.arange(300_000)
    best = [positions[codes == c][np.argsort(numbers[codes == c])[:k]] for c, k in ((0, 50), (1, 20))]
    expected = [(f"{p // 10_000 * 10_000:08}", p % 10_000) for p in np.concatenate(best)]
    table = target.table()
    assert (
        list(zip(table.column("shard").to_pylist(), table.column("position").to_pylist(), strict=True))
        == expected
    )


def test_designs_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="designs"):
        keeper((1, 2)).merge(keeper((1, 3)))
