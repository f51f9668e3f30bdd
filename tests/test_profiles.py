"""The configurations that come with the engine are valid and say why their limits are what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from audit import config

FOLDER = Path(__file__).parent.parent / "configs"
PROFILES = sorted(FOLDER.glob("*.yaml"))
CENSUS = ("unscreened", "duplicates.documents", "duplicates.tokens")


def test_the_four_profiles_are_there() -> None:
    names = {path.stem for path in PROFILES}
    assert {"quickstart", "web_crawl_pretraining", "chatbot_finetune", "healthcare"} <= names


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_gates_speak_of_what_the_configuration_measures(path: Path) -> None:
    loaded = config.load(path)
    questions = loaded.sampling.metrics
    known = {*CENSUS, *questions, *(f"{question}.tokens" for question in questions)}
    known |= {f"{name}.{unit}" for name in loaded.screens or {} for unit in ("flagged", "flagged_tokens")}
    assert loaded.policy.gates
    assert {gate.metric for gate in loaded.policy.gates} <= known


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_objectives_and_a_reason_before_every_gate_are_stated(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "# Objective" in text
    gates = yaml.safe_load(text)["policy"]["gates"]
    reasons = sum(
        line.strip().startswith("#") and not above.strip().startswith("#")
        for above, line in zip(
            *(text[text.index("\npolicy:") :].splitlines()[i:] for i in (0, 1)), strict=False
        )
    )
    assert reasons >= len(gates) - 1  # documents and tokens of one question may share theirs


def test_quickstart_inputs_exist() -> None:
    loaded = config.load(FOLDER / "quickstart.yaml")
    assert all((FOLDER / name).is_file() for name in loaded.corpus.inputs)
