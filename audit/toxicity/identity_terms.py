"""Neutral sentences that name groups of people, and the forms by which a text mentions them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from audit.word_lists import Lexicon, WordList, compiled

FILE = "identity_terms.yaml"


@dataclass(frozen=True)
class Sentence:
    """A sentence that harms nobody; ``term`` is None where an ordinary word stands in its place."""

    language: str
    term: str | None
    text: str


@cache
def neutral_sentences() -> tuple[Sentence, ...]:
    """Every sentence with every term and every ordinary word, by language.

    After Dixon et al., "Measuring and Mitigating Unintended Bias in Text Classification" (AIES 2018); the
    sentences are our own.
    """
    found = []
    for language, content in _content()["languages"].items():
        words = [(term, term) for term in content["terms"]] + [(None, word) for word in content["ordinary"]]
        found += [
            Sentence(language, term, sentence.replace("{term}", word))
            for term, word in words
            for sentence in content["sentences"]
        ]
    return tuple(found)


@cache
def identity_lexicon() -> Lexicon:
    """The forms of all terms, ready to search."""
    return compiled(
        [
            WordList(language, "identity", tuple(dict.fromkeys(f for forms in terms for f in forms)))
            for language, content in _content()["languages"].items()
            for terms in [content["terms"].values()]
        ]
    )


def digest() -> str:
    """SHA-256 of terms and sentences, hex."""
    return hashlib.sha256(_bytes()).hexdigest()


@cache
def _content() -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(_bytes())
    return content


@cache
def _bytes() -> bytes:
    return (files("audit") / FILE).read_bytes()
