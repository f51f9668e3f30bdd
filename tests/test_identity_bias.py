from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from audit.errors import ConfigurationError
from audit.identity_bias import false_positives, figures, models_in_use
from audit.model import ScreenResult
from audit.screens.exact_duplicates import ExactDuplicates
from audit.screens.toxicity import Toxicity
from audit.toxicity.identity_terms import identity_lexicon, neutral_sentences
from audit.toxicity.toxicity_model import packaged_card, packaged_model

CALLS = []


@dataclass(frozen=True)
class Prejudiced:
    """Flags every English text that holds a word."""

    word: str = "gay"
    threshold: float = 0.5

    name: ClassVar[str] = "prejudiced"
    version: ClassVar[str] = "1"
    measures: ClassVar[dict] = {"toxic_segments": pa.float32(), "flagged": pa.bool_()}

    def resources(self):
        if self.word == "missing":
            raise ConfigurationError("the model is not there", key="probes.prejudiced")
        return {}

    def measure(self, batch, context):
        CALLS.append(len(batch))
        english = pc.equal(context.upstream["language_label"], "en")
        hits = pc.match_substring_regex(batch.column("text"), rf"\b{self.word}\b")
        return ScreenResult({"flagged": pc.if_else(english, hits, None)})


def test_only_models_of_toxicity_are_asked():
    screens = [ExactDuplicates(), Toxicity(), Prejudiced()]
    assert models_in_use(screens) == screens[1:]


def test_false_positives_by_term():
    found = false_positives(Prejudiced())
    assert {row["language"] for row in found["terms"]} == {"en"}  # what it does not know is left out
    worst = found["terms"][0]
    assert (worst["term"], worst["flagged"], worst["sentences"]) == ("gay", 10, 10)
    assert found["flagged"] == 10
    assert found["sentences"] == sum(row["sentences"] for row in found["terms"])
    assert found["ordinary"] == {"sentences": 40, "flagged": 0}


def test_figures_are_measured_once_for_the_same_model(tmp_path):
    CALLS.clear()
    first = figures([Prejudiced()], tmp_path)
    assert figures([Prejudiced()], tmp_path) == first
    assert len(CALLS) == 1
    assert figures([Prejudiced(word="tall")], tmp_path)[0]["ordinary"]["flagged"] == 10
    assert len(CALLS) == 2
    assert first[0]["shipped"] is None


def test_a_model_that_cannot_be_loaded_is_not_evaluated(tmp_path):
    found = figures([Prejudiced(word="missing")], tmp_path)[0]
    assert "not there" in found["not_evaluated"]
    assert found["terms"] == []
    assert found["sentences"] == 0


def test_the_packaged_model_comes_with_figures_of_labelled_sentences(tmp_path):
    found = figures([Toxicity()], tmp_path)[0]
    assert found["not_evaluated"] is None
    assert found["shipped"]["model_sha256"] == packaged_card()["sha256"]
    assert len(found["shipped"]["digest"]) == 64
    aucs = {row["term"]: row["bpsn_auc"] for row in found["shipped"]["terms"]}
    assert aucs["gay"] is not None
    assert {row["language"] for row in found["terms"]} == set(packaged_model().languages)
    assert all(0 <= row["flagged"] <= row["sentences"] for row in found["terms"])


def test_every_language_of_the_packaged_model_has_terms():
    assert set(packaged_model().languages) <= set(identity_lexicon().languages)


@pytest.mark.parametrize("language", ["en", "de", "pt", "zh"])
def test_sentences_name_their_term_once(language):
    sentences = [s for s in neutral_sentences() if s.language == language]
    assert len(sentences) > 80
    for sentence in sentences:
        assert "{" not in sentence.text
        assert sentence.term is None or sentence.term in sentence.text


def test_ordinary_sentences_mention_no_group():
    known = identity_lexicon()
    ordinary = [s for s in neutral_sentences() if s.term is None]
    labels = pa.array([s.language for s in ordinary])
    hits = known.search(pa.array([s.text for s in ordinary]), known.groups(labels))
    assert len(hits.rows) == 0
