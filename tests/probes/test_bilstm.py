"""The BiLSTM against Keras' own equations, on small random weights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import probes
from audit.errors import ConfigurationError
from audit.model_fetching import fetch
from audit.probes import Probe
from audit.probes.bilstm import Bilstm
from audit.screens import ScreenContext
from audit.toxicity import bilstm_model
from audit.toxicity.bilstm_conversion import encode
from audit.toxicity.bilstm_model import (
    LABELS,
    SHAPES,
    STEPS,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    Vocabulary,
    content_digest,
)

Tensors = Mapping[str, npt.NDArray[np.float32]]
SIZES = {"words": 9, "width": 4, "units": 3, "gates": 12, "both": 6, "hidden": 5, "labels": 6}
WORDS = ("you", "are", "a", "fool", "the", "river", "it's", "it")
VOCABULARY = Vocabulary({word: i + 1 for i, word in enumerate(WORDS)}, "!.,\t\n")
TEXTS = ["You are a fool!", "the river, the river", "river", "fool " * 130 + "you", "the the the you\tare"]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    random = np.random.default_rng(3)
    return {
        name: random.normal(0, 0.8, [SIZES[size] for size in sizes]).astype(np.float32)
        for name, sizes in SHAPES.items()
    }


@pytest.fixture(scope="module")
def probe(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Bilstm:
    folder = tmp_path_factory.mktemp("bilstm")
    weights, words = encode(tensors, VOCABULARY)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / VOCABULARY_FILE).write_bytes(words)
    window = {"shortest_segment": 900, "longest_segment": 900}
    return Bilstm(str(folder), content_digest(tensors, VOCABULARY), batch_size=2, **window)


def sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def keras_lstm(tensors: Tensors, direction: str, inputs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``keras.layers.LSTMCell``, implementation 1: gates input, forget, cell, output; a row a step."""
    kernel, recurrent, bias = (
        tensors[f"{direction}.{part}"].astype(float) for part in ("kernel", "recurrent", "bias")
    )
    units = len(recurrent)
    h, c = np.zeros(units), np.zeros(units)
    steps = []
    for x in inputs:
        z = x @ kernel + h @ recurrent + bias
        i, f, g, o = (z[k * units : (k + 1) * units] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.array(steps)


def reference(tensors: Tensors, sequence: list[int]) -> npt.NDArray[np.float64]:
    """``pad_sequences(maxlen=100)`` and the layers of the package's ``model.py``."""
    padded = ([0] * STEPS + sequence)[-STEPS:]
    inputs = tensors["embedding"].astype(float)[padded]
    forward = keras_lstm(tensors, "forward", inputs)
    backward = keras_lstm(tensors, "backward", inputs[::-1])[::-1]
    pooled = np.concatenate([forward, backward], axis=1).max(axis=0)
    hidden = np.maximum(pooled @ tensors["hidden.kernel"] + tensors["hidden.bias"], 0)
    return sigmoid(hidden @ tensors["output.kernel"] + tensors["output.bias"])


def test_scores_are_those_of_keras(probe: Bilstm, tensors: Tensors) -> None:
    expected = [reference(tensors, VOCABULARY.sequence(text)) for text in TEXTS]
    found = probe.scores(TEXTS)
    assert found == pytest.approx(np.array(expected), abs=1e-5)
    assert np.ptp(found, axis=0).max() > 0.05
    assert probe.labels() == LABELS
    assert found.shape == (5, 6)


@settings(deadline=None)  # the first call compiles or imports
@given(st.lists(st.sampled_from(sorted(VOCABULARY.numbers)), min_size=1, max_size=12))
def test_any_words(probe: Bilstm, tensors: Tensors, words: list[str]) -> None:
    expected = reference(tensors, [VOCABULARY.numbers[word] for word in words])
    assert probe.scores([" ".join(words)])[0] == pytest.approx(expected, abs=1e-5)


def test_words_are_those_of_keras() -> None:
    assert VOCABULARY.sequence("You, ARE\ta  stranger!\nfool") == [1, 2, 3, 4]
    assert VOCABULARY.sequence("IT'S") == [7]
    assert VOCABULARY.sequence("the\u00a0river") == []  # Keras splits at plain spaces only
    assert VOCABULARY.sequence("") == []


def test_a_batch_keeps_the_order_and_counts_what_is_cut(probe: Bilstm) -> None:
    texts = [*TEXTS, "", "unknown words"]
    context = ScreenContext({"language_label": pa.array(["en"] * len(texts))})
    result = probe.measure(pa.record_batch({"text": texts}), context)
    columns = {name: column.to_pylist() for name, column in result.measurements.items()}
    assert columns["score"][:5] == pytest.approx(probe.scores(TEXTS)[:, 0].tolist(), abs=1e-6)
    assert columns["identity_attack"][:5] == pytest.approx(probe.scores(TEXTS)[:, 5].tolist(), abs=1e-6)
    assert columns["truncated"] == [0, 0, 0, 1, 0, None, None]
    assert result.not_evaluated == {5: "skipped: empty text", 6: "skipped: no word that the model knows"}
    assert {name: column.type for name, column in result.measurements.items()} == dict(Bilstm.measures)
    assert np.isnan(probe.scores(texts)[5:]).all()


def test_other_languages_are_not_evaluated(probe: Bilstm) -> None:
    context = ScreenContext({"language_label": pa.array(["en", "fr"])})
    result = probe.measure(pa.record_batch({"text": ["the river"] * 2}), context)
    assert result.not_evaluated == {1: "skipped: the model does not know language fr"}
    texts = ["Die Bewohner der alten Stadt gehen über die steinerne Brücke zum Markt und zur Bibliothek."]
    alone = probe.measure(pa.record_batch({"text": texts}), ScreenContext({}))
    assert alone.not_evaluated == {0: "skipped: the model does not know language de"}


def test_files_that_are_missing_changed_or_do_not_fit(
    probe: Bilstm, tensors: Tensors, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="audit models fetch bilstm"):
        Bilstm(str(tmp_path)).resources()
    weights, words = encode(tensors, VOCABULARY)
    about = json.loads(words)
    about["words"]["fool"] = 6
    (tmp_path / WEIGHTS_FILE).write_bytes(weights)
    (tmp_path / VOCABULARY_FILE).write_text(json.dumps(about))
    with pytest.raises(ConfigurationError, match="digest"):
        Bilstm(str(tmp_path), probe.sha256).scores(TEXTS)
    for name, shape in (("output.bias", (5,)), ("hidden.kernel", (7, 5)), ("embedding", (9,))):
        wrong = {**tensors, name: np.zeros(shape, np.float32)}
        with pytest.raises(ConfigurationError, match="not those of the BiLSTM"):
            bilstm_model.check_shapes(wrong)
    with pytest.raises(ConfigurationError, match="not those"):
        bilstm_model.check_shapes({})


def test_it_is_a_probe_with_resources(probe: Bilstm) -> None:
    assert isinstance(probe, Probe)
    assert probes.available()["bilstm"] is Bilstm
    assert probe.resources()["bilstm"] == f"sha256:{probe.sha256}"


def test_the_real_weights_score_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's README states these figures; the identity bias is the model's own, and stays visible."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        fetch("bilstm")
    except ConfigurationError as error:
        if "pip" not in error.message:
            raise
        pytest.skip("pip cannot fetch the wheel here")
    texts = ["You are so dumb and stupid!", "I am a gay black man and a Muslim"]
    found = Bilstm().scores(texts)
    published = [0.98894, 0.07257, 0.62043, 0.01935, 0.86641, 0.04073]
    assert found[0] == pytest.approx(published, abs=1e-4)
    assert found[1, 0] == pytest.approx(0.805, abs=0.01)


def test_the_command_is_told_apart_from_a_missing_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no matching distribution")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ConfigurationError, match="pip could not fetch") as caught:
        fetch("bilstm")
    assert "--wheel" in (caught.value.remedy or "")
