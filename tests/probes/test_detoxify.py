"""Detoxify's real code on small checkpoints made here, without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow as pa
import pytest
import tiny_checkpoints
import torch
from detoxify import detoxify as upstream
from tiny_checkpoints import Files

from audit import probes
from audit.errors import ConfigurationError
from audit.model import ScreenResult
from audit.probes import Probe
from audit.probes.detoxify import Detoxify
from audit.screens import ScreenContext
from audit.toxicity import detoxify_model

VARIANTS = ("original", "unbiased", "multilingual")
TEXTS = [
    "You are a rotten fool!",
    "The river crosses the old town.",
    "library",
    "The people of the town overlook the stone bridge and the garden where the market and library are.",
    "rotten market, fool of the river. you? you!",
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a test asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {variant: tiny_checkpoints.make(folder / variant, variant) for variant in VARIANTS}


def measure(probe: Detoxify, *texts: str, languages: list[str | None] | None = None) -> ScreenResult:
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    labels = pa.array(languages or ["en"] * len(texts), pa.string())
    return probe.measure(batch, ScreenContext({"language_label": labels}))


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_detoxify(made: dict[str, Files], variant: str) -> None:
    probe = Detoxify(*made[variant], batch_size=2)
    model = probe._model()
    reference = object.__new__(upstream.Detoxify)
    reference.model, reference.tokenizer, reference.class_names = model.model, model.tokenizer, model.labels
    expected = reference.predict(TEXTS)
    found = probe.scores(TEXTS)
    assert probe.labels() == tuple(expected)
    assert found == pytest.approx(np.array(list(expected.values())).T, abs=1e-5)
    assert np.ptp(found[:, 0]) > 0.1  # the order of documents is not a matter of luck
    result = measure(probe, *TEXTS)
    assert result.measurements["score"].to_pylist() == pytest.approx(expected["toxicity"], abs=1e-5)
    assert {name: column.type for name, column in result.measurements.items()} == dict(Detoxify.measures)


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_those_of_the_checkpoint(made: dict[str, Files], variant: str) -> None:
    state = torch.load(made[variant].checkpoint, weights_only=True)["state_dict"]
    loaded = Detoxify(*made[variant])._model().model.state_dict()
    assert all(torch.equal(loaded[name], weights) for name, weights in state.items())


def test_one_text_none_and_empty_ones(made: dict[str, Files]) -> None:
    probe = Detoxify(*made["original"])
    assert probe.scores([]).shape == (0, 6)
    alone = probe.scores([TEXTS[0]])
    assert alone == pytest.approx(probe.scores(TEXTS)[:1], abs=1e-5)
    result = measure(probe, "", TEXTS[0], " \n")
    assert result.not_evaluated == {0: "skipped: empty text", 2: "skipped: empty text"}
    assert result.measurements["score"].to_pylist() == [None, pytest.approx(alone[0, 0], abs=1e-5), None]


def test_labels_that_a_variant_lacks_are_null(made: dict[str, Files]) -> None:
    assert measure(Detoxify(*made["original"]), TEXTS[0]).measurements["sexual_explicit"].null_count == 1
    assert measure(Detoxify(*made["unbiased"]), TEXTS[0]).measurements["sexual_explicit"].null_count == 0


def test_long_pages_go_by_segment(made: dict[str, Files]) -> None:
    page = " ".join(f"{text}." for text in TEXTS * 12)
    probe = Detoxify(*made["original"], threshold=0.9)
    result = measure(probe, page, TEXTS[1])
    assert result.measurements["segments"].to_pylist()[0] > 3
    assert result.findings is not None
    rows = [row for row in result.findings.to_pylist() if row["row"] == 0 and row["kind"] == "toxicity"]
    alone = probe.scores([page[row["start"] : row["end"]] for row in rows])[:, 0]
    assert [row["score"] for row in rows] == pytest.approx(alone.tolist(), abs=1e-5)
    assert result.measurements["score"].to_pylist()[0] >= result.measurements["mean"].to_pylist()[0]
    small = dataclasses.replace(probe, max_segments=2)
    assert measure(small, page, TEXTS[1]).not_evaluated == {0: "failed: budget of 2 segments"}


def test_truncation_is_counted(made: dict[str, Files]) -> None:
    probe = Detoxify(*made["original"], shortest_segment=500, longest_segment=500)
    assert probe._model().limit == 64
    result = measure(probe, "river " * 80, "river " * 20)
    assert result.measurements["truncated"].to_pylist() == [1, 0]


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_precisions_are_near(made: dict[str, Files], dtype: Any) -> None:
    exact = Detoxify(*made["original"]).scores(TEXTS)
    near = Detoxify(*made["original"], dtype=dtype).scores(TEXTS)
    assert 0 < np.abs(near - exact).mean() < 0.03  # random weights magnify what rounding does
    assert np.corrcoef(near.ravel(), exact.ravel())[0, 1] > 0.98


def test_exhausted_memory_halves_the_batch_and_then_fails_the_document(
    made: dict[str, Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Detoxify(*made["original"], batch_size=5)
    expected = probe.scores(TEXTS)
    forward: Callable[..., Any] = detoxify_model.DetoxifyModel._forward
    tried: list[tuple[int, int]] = []

    def limited(self: Any, fields: dict[str, list[list[int]]]) -> Any:
        shape = len(fields["input_ids"]), max(map(len, fields["input_ids"]))
        tried.append(shape)
        if shape[0] > 2 or shape[1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, fields)

    monkeypatch.setattr(detoxify_model.DetoxifyModel, "_forward", limited)
    result = measure(probe, *TEXTS)
    assert [n for n, _ in tried] == [5, 2, 1, 1, 1, 1, 1]
    assert result.not_evaluated == {3: "failed: out of memory with a single text"}
    others = [0, 1, 2, 4]
    scores = result.measurements["score"].take(pa.array(others)).to_pylist()
    assert scores == pytest.approx(expected[others, 0].tolist(), abs=1e-5)


def test_languages_that_a_variant_does_not_know(made: dict[str, Files]) -> None:
    languages: list[str | None] = ["en", "fr", "zh", None]
    original = measure(Detoxify(*made["original"]), *[TEXTS[0]] * 4, languages=languages)
    assert sorted(original.not_evaluated) == [1, 2, 3]
    multilingual = measure(Detoxify(*made["multilingual"]), *[TEXTS[0]] * 4, languages=languages)
    assert sorted(multilingual.not_evaluated) == [2, 3]


def test_the_language_is_found_where_no_screen_gave_it(made: dict[str, Files]) -> None:
    english = "The people of the old town cross the stone bridge to the market and the library."
    german = "Die Bewohner der alten Stadt gehen über die steinerne Brücke zum Markt und zur Bibliothek."
    batch = pa.record_batch({"text": [english, german]})
    result = Detoxify(*made["original"]).measure(batch, ScreenContext({}))
    assert result.not_evaluated == {1: "skipped: the model does not know language de"}


def test_another_file_is_refused_before_it_is_opened(
    made: dict[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made["original"]
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the pickle was opened"))
    changed = tmp_path / "changed.ckpt"
    changed.write_bytes(Path(files.checkpoint).read_bytes() + b"\0")
    for parameters in (
        {"checkpoint": str(changed)},
        {"sha256": ""},
        {"sha256": "0" * 64},
        {"checkpoint": str(tmp_path / "none.ckpt")},
        {"config_folder": ""},
        {"config_folder": str(tmp_path)},
        {"checkpoint": ""},
    ):
        probe = dataclasses.replace(Detoxify(*files), **parameters)
        with pytest.raises(ConfigurationError) as caught:
            probe.resources()
        assert (caught.value.key or "").startswith("probes.detoxify")
        with pytest.raises(ConfigurationError):
            probe.scores(TEXTS)


def test_a_file_that_changes_after_the_check_is_not_opened(
    made: dict[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "changing.ckpt"
    path.write_bytes(Path(made["original"].checkpoint).read_bytes())
    checked = Detoxify(*made["original"]._replace(checkpoint=str(path)))._files()
    path.write_bytes(b"another")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the pickle was opened"))
    with pytest.raises(ConfigurationError, match="changed"):
        detoxify_model.load(checked, "float32", "cpu")


def test_checkpoints_that_are_none_or_lack_weights(made: dict[str, Files], tmp_path: Path) -> None:
    content = torch.load(made["original"].checkpoint, weights_only=True)
    del content["state_dict"]["classifier.weight"]
    for name, thing in (("lacking", content), ("other", {"weights": 1})):
        path = tmp_path / name
        torch.save(thing, path)
        files = made["original"]._replace(
            checkpoint=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()
        )
        with pytest.raises(ConfigurationError, match="checkpoint"):
            Detoxify(*files).labels()


def test_resources_name_versions_and_files(made: dict[str, Files], tmp_path: Path) -> None:
    probe = Detoxify(*made["original"])
    found = probe.resources()
    assert found["checkpoint"] == f"sha256:{made['original'].sha256}"
    assert {"detoxify", "transformers", "tokenizers", "torch", "config_folder", "device"} < set(found)
    other = tiny_checkpoints.make(tmp_path / "other", "original")
    config = Path(other.config_folder) / "config.json"
    config.write_text(config.read_text() + "\n")
    assert Detoxify(*other).resources()["config_folder"] != found["config_folder"]
    assert isinstance(probe, Probe)
    assert probes.available()["detoxify"] is Detoxify


def test_the_device_must_exist_and_know_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert detoxify_model.device_for("auto", "float32") == "cpu"
    with pytest.raises(ConfigurationError, match="no CUDA device"):
        detoxify_model.device_for("cuda", "float32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert detoxify_model.device_for("auto", "bfloat16") == "cuda"
    assert detoxify_model.device_for("auto", "int8") == "cpu"
    with pytest.raises(ConfigurationError, match="int8"):
        detoxify_model.device_for("cuda", "int8")


@pytest.fixture
def hub(made: dict[str, Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release page in a folder, and PyTorch's cache in another."""
    files = made["original"]
    release = tmp_path / "release" / f"tiny-{files.sha256[:8]}.ckpt"
    release.parent.mkdir()
    release.write_bytes(Path(files.checkpoint).read_bytes())
    monkeypatch.setitem(upstream.MODEL_URLS, "original", release.as_uri())
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: files.config_folder)
    return release


def test_from_the_hub(made: dict[str, Files], hub: Path, tmp_path: Path) -> None:
    probe = Detoxify(checkpoint="hub")
    assert probe.resources()["checkpoint"] == f"sha256:{made['original'].sha256}"
    assert probe.scores(TEXTS) == pytest.approx(Detoxify(*made["original"]).scores(TEXTS), abs=1e-6)
    hub.unlink()  # from the cache
    assert probe.labels()[0] == "toxicity"
    with pytest.raises(ConfigurationError, match="digest"):
        Detoxify(checkpoint="hub", sha256="0" * 64).resources()
    cached = tmp_path / "cache" / "checkpoints" / hub.name
    cached.write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match="its name does not carry"):
        probe.resources()


def test_a_hub_out_of_reach_is_told_with_a_remedy(hub: Path) -> None:
    hub.unlink()
    with pytest.raises(ConfigurationError, match="cannot be fetched") as caught:
        Detoxify(checkpoint="hub").resources()
    assert "config_folder" in (caught.value.remedy or "")


def test_without_the_tokeniser_the_hub_is_out_of_reach(
    hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def missing(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    with pytest.raises(ConfigurationError, match="cannot be fetched"):
        Detoxify(checkpoint="hub").resources()
