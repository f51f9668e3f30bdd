"""Seeded families of documents that try duplicate detection, and their exact similarities."""

import re
from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Family:
    """Texts of one kind."""

    kind: str
    texts: list[str]


def shingles(text: str, size: int = 5) -> frozenset[tuple[str, ...]]:
    """Shingles in plain Python; for texts of words, or of Chinese letters only."""
    words = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.lower())
    return (
        frozenset(tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1)))
        if words
        else frozenset()
    )


def jaccard(a: frozenset, b: frozenset) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def _words(random: np.random.Generator, count: int) -> list[str]:
    return [f"w{n}" for n in random.integers(0, 100_000, count)]


def templates(random: np.random.Generator, count: int) -> Family:
    """One page, one field changed: all alike, and a dense bucket in every band."""
    page = _words(random, 200)
    return Family("templates", [" ".join([*page[:100], f"field{n}", *page[100:]]) for n in range(count)])


def chain(random: np.random.Generator, count: int, step: int = 8) -> Family:
    """Each like the next, the ends unlike: a window that slides over a long text."""
    long = _words(random, 200 + step * count)
    return Family("chain", [" ".join(long[n * step : n * step + 200]) for n in range(count)])


def boilerplate(random: np.random.Generator, count: int) -> Family:
    """The same header and footer around different articles: under the threshold, near it."""
    frame = _words(random, 150)
    return Family(
        "boilerplate", [" ".join([*frame[:75], *_words(random, 60), *frame[75:]]) for _ in range(count)]
    )


def single_words(random: np.random.Generator, count: int) -> Family:
    """Documents of one word: alike only when equal."""
    return Family("single words", [f"Word{n}" for n in random.integers(0, count // 2, count)])


def mixed_scripts(random: np.random.Generator, count: int) -> Family:
    """English around Chinese, with one letter changed, and with another passage altogether."""
    english, chinese = _words(random, 60), random.integers(0x4E00, 0x9000, 120)
    texts = []
    for n in range(count):
        letters = chinese.copy() if n % 2 else random.integers(0x4E00, 0x9000, 120)
        letters[n % 120] = 0x9100 + n
        texts.append(" ".join(english) + " " + "".join(map(chr, letters)))
    return Family("mixed scripts", texts)


def mutations(random: np.random.Generator, count: int) -> Family:
    """A page with more and more words changed: every similarity from 1 down."""
    page = _words(random, 300)
    texts = []
    for n in range(count):
        changed = random.random(300) < 0.06 * n / count
        texts.append(
            " ".join(f"m{n}x{i}" if c else w for i, (w, c) in enumerate(zip(page, changed, strict=True)))
        )
    return Family("mutations", texts)


def families(seed: int) -> list[Family]:
    """All kinds, drawn from a seed."""
    random = np.random.default_rng(seed)
    return [
        templates(random, 120),
        chain(random, 40),
        boilerplate(random, 30),
        single_words(random, 20),
        mixed_scripts(random, 12),
        *[mutations(random, 12) for _ in range(12)],
    ]


def exact_pairs(texts: list[str]) -> dict[tuple[int, int], float]:
    """Exact similarity of every two texts that share a shingle."""
    sets = [shingles(t) for t in texts]
    pairs = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(texts)), 2)}
    return {pair: value for pair, value in pairs.items() if value > 0}
