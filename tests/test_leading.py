"""Clusters around leaders are those of the plain algorithm, however the work is cut."""

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.duplicates import leading
from audit.duplicates.array_files import write_array
from audit.duplicates.exchange import Matrix, mapped
from audit.duplicates.lsh import similarities

WIDTH = 24
LIMITS = leading.Limits(refuse=8, accept=18, cohesion=0.5)


def similarity(low, high):
    """Some similarity of two nodes, exact to a float32."""
    return np.float32((low * 31 + high * 17) % 64 / 64)


def plainly(rows, pairs, settled):
    """Leader and similarity of every node, in Python; and the pairs that were settled on the way."""
    near = {
        node: sorted({b if a == node else a for a, b in pairs if node in (a, b)}) for node in range(len(rows))
    }
    known, estimates = dict(settled), similarities(WIDTH)
    while True:
        leads, doubtful = {}, set()
        for top in near:
            queue, tried = [] if top in leads else [top], set()
            leads.setdefault(top, (top, np.float32(1)))
            for node in queue:
                for other in near[node]:
                    if other in leads or other in tried:
                        continue
                    tried.add(other)
                    agree = int((rows[top] == rows[other]).sum())
                    if LIMITS.refuse <= agree < LIMITS.accept and (top, other) not in known:
                        doubtful.add((top, other))
                    value = known.get((top, other), estimates[agree])
                    if value >= LIMITS.cohesion:
                        leads[other] = top, value
                        queue.append(other)
        if not doubtful:
            return leads, set(known) - set(settled)
        known |= {pair: similarity(*pair) for pair in doubtful}


def packed(pairs):
    return np.array(sorted(low << 32 | high for low, high in pairs), np.uint64)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    nodes=st.integers(0, 24),
    stretch=st.sampled_from([1, 3, 64]),
    led=st.sampled_from([1, 2, 256]),
)
def test_clusters_are_those_of_the_plain_algorithm(tmp_path_factory, data, nodes, stretch, led):
    folder = tmp_path_factory.mktemp("leading")
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    families = random.integers(0, 256, (4, WIDTH))
    rows = families[random.integers(0, 4, nodes)]
    rows = np.where(random.random(rows.shape) < 0.25, random.integers(0, 256, rows.shape), rows).astype(
        np.uint8
    )
    every = [(low, high) for high in range(nodes) for low in range(high)]
    some = st.sets(st.sampled_from(every), max_size=40) if every else st.just(set())
    pairs, settled = data.draw(some), {pair: similarity(*pair) for pair in data.draw(some)}
    write_array(folder / "signatures", rows)
    write_array(folder / "accepted", packed(pairs))
    known = packed(settled), np.array([settled[pair] for pair in sorted(settled)], np.float32)
    with mock.patch.multiple(leading, STRETCH=max(8, stretch), _LED=led):
        formed = leading.form(
            Matrix(folder / "signatures", nodes, WIDTH, "u1"),
            mapped(folder / "accepted", np.uint64),
            known,
            LIMITS,
            lambda asked: np.array(
                [similarity(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in asked], np.float32
            ),
            folder,
        )
    leads, later = plainly(rows, pairs, settled)
    assert formed.leader.tolist() == [leads[node][0] for node in range(nodes)]
    assert formed.similarity.tolist() == [leads[node][1] for node in range(nodes)]
    assert formed.later[0].tolist() == packed(later).tolist()
    assert formed.left == 0
