"""The race against peers: our side writes what is counted, and the table shows what was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks import peer_sides, peers
from benchmarks.peer_sides import BEST, DEFAULT, OURS

TEXTS = [
    f"This is page {number} of a report on harbours. Write to clerk{number}@example.com about the "
    f"ships that came in, or call (212) 555-0{100 + number} during the day."
    for number in range(8)
]


def test_our_side_leaves_signatures_languages_and_spans(tmp_path: Path) -> None:
    peers.write(tmp_path / "corpus", TEXTS, 2)
    side = peer_sides.build(OURS, tmp_path / "corpus", tmp_path / "run")
    side.screen(0)
    side.screen(1)
    found = peer_sides.count(OURS, tmp_path / "run")
    assert (found.signatures, found.languages) == (8, 8)
    assert found.spans >= 8
    assert found.kinds >= 1


def test_their_best_patterns_find_what_ours_find() -> None:
    find = peer_sides.patterns(BEST)
    kinds = {kind for text in TEXTS for _, _, kind, _ in find(text)}
    assert "EMAIL_ADDRESS" in kinds


def test_shards_hold_every_document_once(tmp_path: Path) -> None:
    peers.write(tmp_path / "corpus", TEXTS, 3)
    lines = [
        line for path in sorted((tmp_path / "corpus").iterdir()) for line in path.read_text().splitlines()
    ]
    assert len(lines) == len(set(lines)) == len(TEXTS)


def test_the_table_shows_medians_and_ranges() -> None:
    turns = {
        side: [{"cpu": seconds, "wall": 2 * seconds}] * 3
        for side, seconds in ((DEFAULT, 40.0), (BEST, 16.0), (OURS, 1.0))
    }
    times = {side: {"cpu": [38.0, 40.0, 44.0], "wall": [39.0, 40.0, 41.0]} for side in (DEFAULT, BEST)}
    alone = {"mb_per_s": {DEFAULT: 1.0, BEST: 2.0, OURS: 80.0}, "times": {DEFAULT: [80.0], BEST: [40.0]}}
    described = {"processor": "a processor", "cores": 2} | dict.fromkeys(peers._VERSIONS, "1.0")
    shown = peers.table(
        {
            "machine": described,
            "load_before": 0.5,
            "load_after": 0.6,
            "documents": 1000,
            "megabytes": 8.0,
            "assembled": {"2": {"turns": turns, "times": times}},
            "alone": {"language": alone},
        }
    )
    assert (
        "| 2 | their defaults | 0.20 | 25 | 0.10 | 40.0 (38.0 to 44.0) | 40.0 (39.0 to 41.0) | 35 (60) |"
        in shown
    )
    assert "| language | 80.0 | 1.00 | 80.0 (80.0 to 80.0) | 2.00 | 40.0 (40.0 to 40.0) |" in shown
