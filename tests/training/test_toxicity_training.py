import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from audit.toxicity_model import ToxicityModel
from audit.training.data import read_labelled, reserved_for_audit, text_group
from audit.training.evaluation import auc, calibrate
from audit.training.linear import Settings, extract_features, fit, quantise
from audit.training.toxicity import document_logits

SETTINGS = Settings(bits=12)


def toy():
    words = ["good", "bad", "table", "chair", "house", "river"]
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(words, 8)) for _ in range(400)]
    return texts, np.array(["bad" in text for text in texts])


def test_training_learns_and_repeats_itself():
    texts, toxic = toy()
    features = extract_features(pa.array(texts), SETTINGS.bits)
    arguments = (
        features, np.zeros(400, np.int8), toxic.astype(np.float32), np.ones(400, np.float32),
        np.arange(300), SETTINGS,
    )  # fmt: skip
    weights = fit(*arguments)
    np.testing.assert_array_equal(weights, fit(*arguments))
    steps, scale = quantise(weights)
    one = np.ones(1, np.float32)
    model = ToxicityModel(("en",), steps, scale, one, 0 * one, (200, 500))
    logits = document_logits(model, pa.array(texts[300:]), np.zeros(100, np.int8))
    assert auc(logits, toxic[300:]).value > 0.95


def test_an_empty_training_text_is_refused():
    with pytest.raises(ValueError, match="code points"):
        extract_features(pa.array(["text", ""]), 12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=4, max_size=40))
def test_auc_is_the_share_of_ordered_pairs(rows):
    scores = np.array([score for score, _ in rows], float)
    positive = np.array([label for _, label in rows])
    above, below = scores[positive], scores[~positive]
    if len(above) < 2 or len(below) < 2:
        with pytest.raises(ValueError, match="two positives"):
            auc(scores, positive)
        return
    difference = above[:, None] - below[None, :]
    expected = (difference > 0).mean() + (difference == 0).mean() / 2
    found = auc(scores, positive)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value + 1e-5
    assert found.high >= found.value - 1e-5


def test_calibration_finds_the_line():
    random = np.random.default_rng(5)
    logits = random.normal(0, 3, 20_000)
    positive = random.random(20_000) < expit(0.7 * logits - 1.2)
    found = calibrate(logits, positive, np.ones(20_000))
    assert abs(found.slope - 0.7) < 4 * found.slope_error
    assert abs(found.intercept + 1.2) < 4 * found.intercept_error


def test_a_third_of_the_comments_is_reserved():
    share = np.mean([reserved_for_audit(f"civil:{i}") for i in range(3000)])
    assert 0.3 < share < 0.37


def test_copies_share_a_group():
    assert text_group("Well, WELL 12!") == text_group("well well")
    assert text_group("!!!") != text_group("???")


def test_reserved_rows_and_their_copies_are_not_trained_on(tmp_path):
    ids = [f"civil:{i}" for i in range(40)]
    reserved = next(row_id for row_id in ids if reserved_for_audit(row_id))
    free = next(row_id for row_id in ids if not reserved_for_audit(row_id))
    rows = [
        (reserved, "civil_toxic_spans", "A comment kept out."),
        ("other:1", "davidson_tweets", "a comment KEPT out"),
        (free, "civil_toxic_spans", "Another comment."),
        ("max:1", "jigsaw_max", "Only a test."),
    ]
    pl.DataFrame(
        {
            "id": [row[0] for row in rows],
            "dataset": [row[1] for row in rows],
            "lang": ["en"] * 4,
            "text": [row[2] for row in rows],
            "toxic": pl.Series([1, 1, 0, 0], dtype=pl.Int8),
            "toxic_frac": [0.75, None, 0.25, None],
            "licence": ["CC0-1.0"] * 4,
        }
    ).write_parquet(tmp_path / "toxicity.parquet")
    pl.DataFrame(
        {
            "doc_id": ["w:1"],
            "source": ["wikipedia"],
            "lang": ["en"],
            "text": ["A paragraph long enough to be taken as plain prose.\nshort"],
            "licence": ["CC-BY-SA-3.0"],
        }
    ).write_parquet(tmp_path / "web_docs.parquet")
    data = read_labelled(tmp_path)
    assert data.trainable.tolist() == [False, False, True, False, True]
    assert data.folds[0] == data.folds[1]
    np.testing.assert_allclose(data.targets, [0.75, 1, 0.25, 0, 0])
    assert data.datasets[-1] == "wikipedia_articles"
