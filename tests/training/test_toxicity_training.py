import dataclasses
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.training.calibrating import cross_fit, matching_threshold, reference_weights, reliability
from audit.training.crossfit import Subject, cross_validate, document_scores, enough_labels, fit_model
from audit.training.data import (
    DEVELOPMENT_FOLD,
    FOLDS,
    LABELS,
    NEUTRAL_SET,
    Labelled,
    read_labelled,
    reserved_for_audit,
    text_group,
)
from audit.training.evaluation import auc
from audit.training.exploring import WORD_FEATURES, explored, margins, with_words
from audit.training.identity import identity_bias
from audit.training.limits import learning_curve, simulated_limits
from audit.training.linear import Examples, Settings, extract_features, fit, log_count_ratios, quantise
from audit.training.near_copies import near_copy_groups
from audit.training.parts import (
    DERIVED_SETS,
    MAJOR_SET,
    MINOR_SET,
    REMAINDER_SET,
    SPAN_SET,
    parts_of_comments,
)
from audit.training.plan import Plan, label_examples, toxicity_examples, variations
from audit.training.planted import planted

SETTINGS = Settings(bits=12)
N = 600


def subject(n=N):
    words = ["good", "bad", "table", "chair", "house", "river", "ugly"]
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(words, 8)) for _ in range(n)]
    toxic = np.array(["bad" in text for text in texts])
    labels = {name: np.full(n, np.nan, np.float32) for name in LABELS.values()}
    labels["insult"] = np.array(["ugly" in text for text in texts], np.float32)
    names = np.where(np.arange(n) < n // 4, NEUTRAL_SET, "comments").astype(object)
    names[toxic] = "comments"
    data = Labelled(
        texts=pa.array(texts, pa.large_string()),
        datasets=names,
        languages=np.full(n, "en", object),
        licences=np.full(n, "CC0-1.0", object),
        toxic=toxic,
        targets=toxic.astype(np.float32),
        labels=labels,
        folds=np.arange(n) % FOLDS,
        trainable=np.arange(n) % 7 > 0,
    )
    return Subject(data, extract_features(data.texts, 14), ("en",), np.zeros(n, np.int8))


def plan():
    return Plan(settings=SETTINGS, heads=Settings(bits=10))


def test_training_learns_and_repeats_itself():
    found = subject()
    labels = enough_labels(found)
    assert labels == {"en": ("insult",)}
    rows = found.data.trainable & (found.data.folds > 0)
    model = fit_model(found, plan(), rows, ("en",), labels)
    assert model.weights.shape == (1, 1 << 12)
    assert model.heads.weights.shape == (1, 1 << 10, 1)
    assert model.to_bytes() == fit_model(found, plan(), rows, ("en",), labels).to_bytes()
    test = found.data.folds == 0
    scores = document_scores(model, found.data.texts.filter(pa.array(test)), np.zeros(test.sum(), np.int8))
    assert auc(scores.toxicity, found.data.toxic[test]).value > 0.95
    assert auc(scores.labels[:, 0], found.data.labels["insult"][test] > 0).value > 0.9


def test_cross_validation_scores_a_fold_by_a_model_without_it():
    found = subject()
    margins = cross_validate(found, plan(), {})
    inside = found.data.folds == 2
    model = fit_model(found, plan(), ~inside & found.data.trainable, ("en",), {})
    texts = found.data.texts.filter(pa.array(inside))
    expected = document_scores(model, texts, np.zeros(inside.sum(), np.int8)).toxicity
    np.testing.assert_array_equal(margins.toxicity[inside], expected)


def test_squared_error_is_misled_less_by_wrong_labels():
    found = subject(3000)
    random = np.random.default_rng(6)
    targets = found.data.targets.copy()
    targets[random.random(3000) < 0.3] = 0  # raters who let much pass
    examples = Examples(targets, np.ones(3000, np.float32), np.zeros(3000, np.int64))
    rows = np.flatnonzero(found.data.folds > 0)
    held = found.data.folds == 0
    values = []
    for squared_error in (False, True):
        chosen = Settings(bits=12, squared_error=squared_error)
        weights = fit(found.features, examples, rows, chosen)
        values.append(auc(margins(found.features, weights)[held], found.data.toxic[held]).value)
    assert values[1] >= values[0] - 0.002
    assert values[1] > 0.97


def test_margins_are_those_of_the_kernel():
    found = subject(40)
    model = fit_model(found, plan(), np.ones(40, bool), ("en",), {})
    expected = document_scores(model, found.data.texts, found.groups).toxicity
    weights = (model.weights[0] * model.scale[0]).astype(np.float32)
    np.testing.assert_allclose(margins(found.features, weights), expected, rtol=1e-4, atol=1e-4)


def test_data_sets_have_intercepts_by_group():
    data = subject().data
    chosen = Plan(intercepts=(("comments",),))
    own = toxicity_examples(data, chosen).intercepts
    assert set(own[data.datasets == "comments"]) == {1}
    assert set(own[data.datasets == NEUTRAL_SET]) == {0}
    assert not toxicity_examples(data, Plan(intercepts=())).intercepts.any()


def test_rows_without_importance_teach_nothing():
    found = subject(60)
    random = np.random.default_rng(1)
    important = (np.arange(60) < 30).astype(np.float32)
    targets = found.data.targets.copy()
    none = np.zeros(60, np.int64)
    first = fit(found.features, Examples(targets, important, none), np.arange(60), SETTINGS)
    targets[30:] = random.random(30)
    second = fit(found.features, Examples(targets, important, none), np.arange(60), SETTINGS)
    np.testing.assert_array_equal(first, second)


def test_count_ratios_are_large_for_one_sided_words():
    texts = ["bad house", "bad river", "good house", "good river"] * 5
    features = extract_features(pa.array(texts), 16)
    targets = np.array([1, 1, 0, 0] * 5, np.float32)
    examples = Examples(targets, np.ones(20, np.float32), np.zeros(20, np.int64))
    sizes = log_count_ratios(features, examples, np.arange(20), 16)
    of_words = features.words[features.word_offsets[0] : features.word_offsets[1]]
    bad, house = sizes[of_words[0]], sizes[of_words[2]]
    assert bad == pytest.approx(np.log(11), rel=1e-3)  # ten texts and one for smoothing against one
    assert house == pytest.approx(0, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=50))
def test_quantising_keeps_weights_within_a_step(values):
    weights = np.array(values, np.float32)
    steps, scale = quantise(weights)
    clipped = np.abs(weights) > 127 * scale
    np.testing.assert_allclose((steps * scale)[~clipped], weights[~clipped], atol=scale * 0.51)
    assert (np.abs(steps[clipped]) == 127).all()


def test_every_variation_changes_something():
    found = variations(Plan())
    assert found["as shipped"] == Plan()
    assert all(changed != Plan() for name, changed in found.items() if name != "as shipped")


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


def test_reference_weights_make_the_mix():
    data = subject().data
    rows = np.ones(N, bool)
    weights = reference_weights(data, rows, data.toxic, 0.01)
    assert weights.sum() == pytest.approx(1)
    assert weights[data.toxic].sum() == pytest.approx(0.01)
    assert weights[~data.toxic & (data.datasets == NEUTRAL_SET)].sum() == pytest.approx(0.99 * 0.99)
    assert not weights[~data.trainable].any()


def test_a_good_scorer_is_reliable_and_its_threshold_flags_one_in_a_hundred():
    data = subject(4000).data
    random = np.random.default_rng(2)
    margins = random.logistic(0, 1, 4000) + 2 * data.toxic
    rows = np.ones(4000, bool)
    logits = cross_fit(data, margins, rows, data.toxic, 0.01)
    for row in reliability(data, logits, rows):
        if row["positives"] > 50:
            assert row["observed"] == pytest.approx(row["predicted"], rel=0.6)
    weights = reference_weights(data, rows, data.toxic, 0.01)
    flagged = logits >= matching_threshold(data, logits, rows)
    assert 0.005 < weights[flagged].sum() <= 0.0101


def test_identity_bias_shows_a_scorer_that_hates_a_term():
    terms = np.array(["tall", "short", None] * 40, object)
    toxic = np.arange(120) % 2 == 0
    logits = toxic * 1.0 + 3.0 * (terms == "tall")
    tall, short = sorted(identity_bias(logits, toxic, terms, 2.0), key=lambda row: row["term"] == "short")
    assert (tall["false_positive_rate"], short["false_positive_rate"]) == (1.0, 0.0)
    assert tall["subgroup_auc"] == 1.0
    assert tall["bpsn_auc"] == 0.0
    assert tall["bnsp_auc"] == 1.0
    assert short["bnsp_auc"] < 1.0


def test_identity_bias_needs_sentences():
    rows = identity_bias(np.arange(4.0), np.arange(4) > 1, np.array(["a"] * 4, object), 0.0)
    assert rows[0]["subgroup_auc"] is None


def test_a_third_of_the_comments_is_reserved():
    share = np.mean([reserved_for_audit(f"civil:{i}") for i in range(3000)])
    assert 0.3 < share < 0.37


def test_copies_share_a_group():
    assert text_group("Well, WELL 12!") == text_group("well well")
    assert text_group("!!!") != text_group("???")


def test_near_copies_and_shared_keys_join():
    long = "the cat sat on the mat and then it slept there all day long in the sun"
    texts = [long, long.replace("sun", "rain"), "something else entirely happened in town", "x", "y", "z"]
    groups = near_copy_groups(texts, ["a", "b", "c", "d", "d", "e"])
    assert groups[0] == groups[1]
    assert groups[3] == groups[4]
    assert len(set(groups.tolist())) == 4


REPEATED = "A paragraph that stands in two articles, word by word, is left out of the data."
SECOND = "Another paragraph of it is about lakes and ponds."


def write_folder(folder, rows):
    """Rows: id, data set, text, toxic, share of raters, spans."""
    n = len(rows)
    columns = {
        "id": [row[0] for row in rows],
        "dataset": [row[1] for row in rows],
        "lang": ["en"] * n,
        "text": [row[2] for row in rows],
        "toxic": pl.Series([row[3] for row in rows], dtype=pl.Int8),
        "toxic_frac": pl.Series([row[4] for row in rows], dtype=pl.Float64),
        "spans": [json.dumps(row[5]) for row in rows],
        "meta": ['{"n_annotators": 4}'] * n,
        "licence": ["CC0-1.0"] * n,
    }
    labels = {name: pl.Series([None] * n, dtype=pl.Int8) for name in LABELS}
    pl.DataFrame(columns | labels).write_parquet(folder / "toxicity.parquet")
    pl.DataFrame(
        {
            "doc_id": ["w:1", "w:2"],
            "source": ["wikipedia"] * 2,
            "lang": ["en"] * 2,
            "text": [
                "\n".join([REPEATED, "The first of two paragraphs is about rivers.", SECOND]),
                REPEATED,
            ],
            "licence": ["CC-BY-SA-3.0"] * 2,
        }
    ).write_parquet(folder / "web_docs.parquet")


def ids(reserved):
    return [f"civil:{i}" for i in range(80) if reserved_for_audit(f"civil:{i}") == reserved]


def test_reserved_rows_and_their_near_copies_are_not_trained_on(tmp_path):
    long = "This is a fairly long comment about the weather, which somebody wrote once upon a time, indeed"
    rows = [
        (ids(True)[0], "civil_toxic_spans", long, 1, 0.75, []),
        ("other:1", "davidson_tweets", f"{long} and sent again", 1, None, []),
        (ids(False)[0], "civil_toxic_spans", "Another comment.", 0, 0.25, []),
        ("max:1", "jigsaw_max", "Only a test.", 0, None, []),
    ]
    write_folder(tmp_path, rows)
    data = read_labelled(tmp_path)
    assert data.trainable.tolist() == [False, False, True, False, True, True]
    assert data.folds[0] == data.folds[1]
    assert data.folds[4] == data.folds[5]
    np.testing.assert_allclose(data.targets, [0.75, 1, 0.25, 0, 0, 0])
    assert data.datasets[-1] == NEUTRAL_SET


def test_parts_of_a_comment_follow_it(tmp_path):
    spans = [
        {"start": 0, "end": 5, "type": "Insult", "votes": 3},
        {"start": 11, "end": 15, "type": "Insult", "votes": 1},
    ]
    free, reserved = ids(False)[0], ids(True)[0]
    rows = [
        (free, "civil_toxic_spans", "Silly plan dumb but it may well work", 1, 0.75, spans),
        (reserved, "civil_toxic_spans", "Silly idea dumb which will never fly", 1, 0.75, spans),
    ]
    write_folder(tmp_path, rows)
    data = read_labelled(tmp_path)
    of_free = {
        str(data.datasets[row]): row
        for row in range(len(data.texts))
        if data.datasets[row] in DERIVED_SETS and data.trainable[row]
    }
    texts = {name: " ".join(data.texts[row].as_py().split()) for name, row in of_free.items()}
    assert texts == {
        SPAN_SET: "Silly",
        REMAINDER_SET: "plan but it may well work",
        MINOR_SET: "plan dumb but it may well work",
        MAJOR_SET: "Silly plan but it may well work",
    }
    targets = {name: data.targets[row] for name, row in of_free.items()}
    assert targets == {SPAN_SET: 0.75, REMAINDER_SET: 0, MINOR_SET: 0.25, MAJOR_SET: 0.75}
    for row in np.flatnonzero(np.isin(data.datasets, DERIVED_SETS)):
        parent = 0 if data.trainable[row] else 1
        assert data.folds[row] == data.folds[parent]
        assert not data.reported[row]
        assert data.toxic[row] == (data.targets[row] >= 0.5)
    of_insults = label_examples(data, "insult")
    assert {str(name) for name in data.datasets[of_insults.importance == 0]} >= {
        MINOR_SET,
        MAJOR_SET,
        SPAN_SET,
    }


@settings(max_examples=60, deadline=None)
@given(
    st.text("ab cde", min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 9), st.integers(1, 9)), max_size=5),
)
def test_parts_hide_characters_and_change_no_other(text, marks):
    spans = [{"start": a, "end": min(a + n, len(text)), "votes": v} for a, n, v in marks if a < len(text)]
    comments = pl.DataFrame(
        {
            "id": ["civil:1"],
            "text": [text],
            "toxic_frac": [0.5],
            "spans": [json.dumps(spans)],
            "meta": ['{"n_annotators": 4}'],
        }
    )
    parts = parts_of_comments(comments)
    assert parts["toxic_frac"].is_between(0, 1).all()
    assert (parts["text"].str.strip_chars() != "").all()
    marked = {place for span in spans for place in range(span["start"], span["end"])}
    for name, part in parts.select("dataset", "text").iter_rows():
        if name == SPAN_SET:
            assert part in text
        else:
            assert len(part) == len(text)
            changed = {place for place in range(len(text)) if part[place] != text[place]}
            assert changed <= marked
            assert name != REMAINDER_SET or all(part[place] == " " for place in marked)


def test_unselected_talk_is_never_in_the_development_fold(tmp_path):
    words = np.random.default_rng(4).choice(list("abcdefghijklmnop"), (60, 12))
    rows = [(f"wiki:{i}", "wiki_context_gn", " ".join(row), 0, None, []) for i, row in enumerate(words)]
    write_folder(tmp_path, rows)
    data = read_labelled(tmp_path)
    talk = data.datasets == "wiki_context_gn"
    assert (data.folds[talk] != DEVELOPMENT_FOLD).all()
    assert len(set(data.folds[talk].tolist())) == FOLDS - 1


def test_articles_are_spread_over_the_folds(tmp_path):
    write_folder(tmp_path, [("a:1", "davidson_tweets", "A text.", 0, None, [])])
    letters = np.random.default_rng(5).choice(list("abcdefghijklmnopqrstuvw"), (30, 30))
    pl.DataFrame(
        {
            "doc_id": [f"w:{i}" for i in range(30)],
            "source": ["wikipedia"] * 30,
            "lang": ["en"] * 30,
            "text": [" ".join(row) + "\n" + " ".join(row[::-1]) for row in letters],
            "licence": ["CC-BY-SA-3.0"] * 30,
        }
    ).write_parquet(tmp_path / "web_docs.parquet")
    folds = read_labelled(tmp_path).folds[1:].reshape(30, 2)
    np.testing.assert_array_equal(folds[:, 0], folds[:, 1])
    assert set(folds[:, 0].tolist()) == set(range(FOLDS))


def test_raters_who_agree_limit_less():
    random = np.random.default_rng(1)
    raters = random.choice([3, 7], 4000)
    split = simulated_limits(raters, random.binomial(raters, random.beta(5, 3, 4000)))
    agreed = simulated_limits(raters, random.binomial(raters, random.beta(0.2, 0.2, 4000)))
    assert 0.5 < split["another_panel"] < split["perfect"] < 0.9
    assert agreed["another_panel"] > 0.9


def with_civil_comments(found):
    names = np.where(found.data.datasets == "comments", "civil_toxic_spans", NEUTRAL_SET).astype(object)
    return dataclasses.replace(found, data=dataclasses.replace(found.data, datasets=names))


def test_the_learning_curve_trains_on_more_and_more_comments():
    curve = learning_curve(with_civil_comments(subject()), plan())
    assert list(curve) == ["0%", "25%", "50%", "75%", "100%"]
    assert curve["100%"] > curve["0%"]


def test_explored_attempts_are_measured_for_each_feature():
    found = explored(with_civil_comments(subject(300)), plan())
    assert {"as shipped", *WORD_FEATURES} <= set(found)
    assert found["as shipped"]["civil_toxic_spans"] > 0.9


@pytest.mark.parametrize("name", sorted(WORD_FEATURES))
def test_further_words_are_added_to_each_text(name):
    texts = ["The quick brown foxes jumped", "one", "!?"]
    features = extract_features(pa.array(texts, pa.large_string()), 14)
    wider = with_words(features, texts, WORD_FEATURES[name])
    more = np.diff(wider.word_offsets) - np.diff(features.word_offsets)
    assert more[0] > 0
    assert (more >= 0).all()
    assert wider.words.max() < 1 << 14


def test_planted_text_stands_between_words_of_the_page():
    assert planted("one two three four", "x" * 300) == f"one two three {'x' * 200} four"
