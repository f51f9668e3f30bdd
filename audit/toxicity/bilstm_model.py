"""The BiLSTM of the package ``toxic-comment-classifier``, run by PyTorch from converted files.

An embedding of 20,000 words, a bidirectional LSTM over the last 100 words, the maximum over time, two dense
layers: six labels of the Jigsaw Toxic Comment Classification Challenge. Written for Keras; PyTorch's LSTM has
the same equations and the same order of gates (input, forget, cell, output), its weights are transposed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from audit import user_cache
from audit.errors import ConfigurationError
from audit.toxicity.batched_scores import Scores, score_in_batches
from audit.toxicity.segment_labels import SegmentLabels

KEY = "probes.bilstm"
WEIGHTS_FILE, VOCABULARY_FILE = "bilstm.safetensors", "bilstm.json"
#: Of ``toxic-comment-classifier`` 0.3.0 as ``content_digest`` gives it.
PINNED = "e35f2e9c7ded4d83be3260a57d236f3530e72d223d26e770a59bc1a7b905afa5"
#: The model's labels in the field's present names, in its order.
LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
#: Words that it reads of a text: the last.
STEPS = 100

Tensors: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
#: Names and dimensions of the weights; the numbers are the package's own.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "embedding": ("words", "width"),
    "forward.kernel": ("width", "gates"),
    "forward.recurrent": ("units", "gates"),
    "forward.bias": ("gates",),
    "backward.kernel": ("width", "gates"),
    "backward.recurrent": ("units", "gates"),
    "backward.bias": ("gates",),
    "hidden.kernel": ("both", "hidden"),
    "hidden.bias": ("hidden",),
    "output.kernel": ("hidden", "labels"),
    "output.bias": ("labels",),
}


@dataclass(frozen=True)
class Vocabulary:
    """Words and how a text is cut into them, as Keras' ``Tokenizer`` does it.

    Attributes:
        numbers: Word -> row of the embedding, from 1; row 0 is padding.
        filters: Characters that count as spaces.
    """

    numbers: Mapping[str, int]
    filters: str

    def sequence(self, text: str) -> list[int]:
        """Numbers of a text's known words, in order; unknown ones are left out."""
        spaces = str.maketrans(dict.fromkeys(self.filters, " "))
        words = text.lower().translate(spaces).split(" ")
        return [self.numbers[word] for word in words if word in self.numbers]


@dataclass(frozen=True)
class BilstmModel:
    """A loaded model.

    Attributes:
        vocabulary: Its words.
        embedding, lstm, hidden, output: PyTorch modules.
    """

    vocabulary: Vocabulary
    embedding: Any
    lstm: Any
    hidden: Any
    output: Any

    def score(self, texts: Sequence[str], batch_size: int) -> SegmentLabels:
        """Score texts in batches.

        Padding comes first and is read like words, as in Keras; so every text takes the same time, and short
        ones must be padded to ``STEPS`` words.

        Args:
            texts: m texts; of each the last ``STEPS`` known words are read, others count as truncated.
            batch_size: At most.
        """
        sequences = [self.vocabulary.sequence(text) for text in texts]
        lengths = np.array([len(sequence) for sequence in sequences], np.int64)
        padded = np.zeros((len(texts), STEPS), np.int64)
        for row, sequence in enumerate(sequences):
            if sequence:
                padded[row, -len(sequence) :] = sequence[-STEPS:]
        found = score_in_batches(
            lengths.tolist(), len(LABELS), batch_size, lambda rows: self._forward(padded[rows])
        )
        return SegmentLabels(LABELS, found.scores, lengths > STEPS, found.failures, lengths == 0)

    def _forward(self, sequences: npt.NDArray[np.int64]) -> Scores:
        import torch

        with torch.inference_mode():
            steps, _ = self.lstm(self.embedding(torch.from_numpy(sequences)))
            hidden = torch.relu(self.hidden(steps.max(dim=1).values))
            scores: Scores = torch.sigmoid(self.output(hidden)).numpy()
        return scores


def content_digest(tensors: Tensors, vocabulary: Vocabulary) -> str:
    """SHA-256 of weights and words, whatever the files that hold them look like."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype.str}\0{tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    words = [vocabulary.filters, *sorted(vocabulary.numbers.items())]
    digest.update(json.dumps(words, ensure_ascii=True).encode())
    return digest.hexdigest()


def default_folder() -> Path:
    """Where ``audit models fetch bilstm`` puts the converted files."""
    return user_cache.folder("models") / "bilstm"


def read_files(folder: Path) -> tuple[Tensors, Vocabulary]:
    """Weights and words of a converted model.

    Raises:
        ConfigurationError: They are missing.
    """
    weights, words = folder / WEIGHTS_FILE, folder / VOCABULARY_FILE
    if not weights.is_file() or not words.is_file():
        raise ConfigurationError(
            f"the BiLSTM's files are not in {folder}", key=KEY, remedy="audit models fetch bilstm"
        )
    about = json.loads(words.read_text(encoding="utf-8"))
    return safetensors.numpy.load(weights.read_bytes()), Vocabulary(about["words"], about["filters"])


@cache
def load(folder: Path, sha256: str) -> BilstmModel:
    """Load a converted model, once a process.

    Args:
        folder: With ``WEIGHTS_FILE`` and ``VOCABULARY_FILE``.
        sha256: Its ``content_digest``.

    Raises:
        ConfigurationError: The files are missing, damaged or others.
    """
    tensors, vocabulary = read_files(folder)
    found = content_digest(tensors, vocabulary)
    if found != sha256:
        raise ConfigurationError(
            f"the BiLSTM in {folder} has digest {found[:16]}…, expected {sha256[:16]}…",
            key=KEY,
            remedy="audit models fetch bilstm",
        )
    check_shapes(tensors)
    return _assemble(tensors, vocabulary)


def check_shapes(tensors: Tensors) -> None:
    """Check that the weights fit each other.

    Raises:
        ConfigurationError: They do not.
    """
    sizes: dict[str, int] = {"labels": len(LABELS)}
    fit = set(tensors) == set(SHAPES)
    for name, dimensions in SHAPES.items() if fit else ():
        shape = tensors[name].shape
        fit = fit and len(shape) == len(dimensions)
        fit = fit and all(
            sizes.setdefault(dimension, size) == size
            for dimension, size in zip(dimensions, shape, strict=False)
        )
    if not fit or sizes["gates"] != 4 * sizes["units"] or sizes["both"] != 2 * sizes["units"]:
        raise ConfigurationError("the weights are not those of the BiLSTM", key=KEY)


def _assemble(tensors: Tensors, vocabulary: Vocabulary) -> BilstmModel:
    import torch

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(tensors[name]))

    units = tensors["forward.recurrent"].shape[0]
    lstm = torch.nn.LSTM(tensors["embedding"].shape[1], units, batch_first=True, bidirectional=True)
    state = {}
    for direction, suffix in (("forward", "l0"), ("backward", "l0_reverse")):
        state[f"weight_ih_{suffix}"] = tensor(f"{direction}.kernel").T
        state[f"weight_hh_{suffix}"] = tensor(f"{direction}.recurrent").T
        state[f"bias_ih_{suffix}"] = tensor(f"{direction}.bias")
        state[f"bias_hh_{suffix}"] = torch.zeros(4 * units)
    lstm.load_state_dict(state)
    return BilstmModel(
        vocabulary,
        torch.nn.Embedding.from_pretrained(tensor("embedding")),
        lstm.eval(),
        _dense(tensor("hidden.kernel"), tensor("hidden.bias")),
        _dense(tensor("output.kernel"), tensor("output.bias")),
    )


def _dense(kernel: Any, bias: Any) -> Any:
    import torch

    layer = torch.nn.Linear(*kernel.shape)
    layer.load_state_dict({"weight": kernel.T, "bias": bias})
    return layer.eval()
