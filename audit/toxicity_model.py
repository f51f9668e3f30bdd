"""The linear toxicity model: its file, its scores.

The file is safetensors (no code can hide in it) with a JSON card beside it, which names its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import safetensors
import safetensors.numpy
from scipy.special import expit

from audit.errors import FatalError
from audit.kernels.buffers import Offsets, string_buffers
from audit.kernels.ngrams import score_segments

MODEL_FILE = "toxicity.safetensors"
CARD_FILE = "toxicity.json"
FORMAT = "corpus-audit linear n-grams 1"


@dataclass(frozen=True)
class SegmentScores:
    """Scores of the segments of n documents.

    Attributes:
        offsets: Borders of each document's segments, shape (n + 1,).
        starts, ends: Half-open code points of each segment.
        logits: Log odds that a segment is toxic (float32), calibrated.
    """

    offsets: Offsets
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    logits: npt.NDArray[np.float32]

    def counts(self) -> npt.NDArray[np.int64]:
        """Segments of each document."""
        return np.diff(self.offsets)

    def probabilities(self) -> npt.NDArray[np.float32]:
        """Calibrated probability that a segment is toxic."""
        return expit(self.logits)


@dataclass(frozen=True)
class ToxicityModel:
    """Weights over hashed n-grams, one row a language, and the calibration of their sums.

    Attributes:
        languages: ISO 639 codes, in the order of the rows.
        weights: int8, shape (languages, 2 ** bits).
        scale: Value of one step of a weight, per language.
        slope, intercept: Probability of a segment = expit(slope * scale * sum + intercept), per language.
        window: Shortest and longest segment, in code points.
        sha256: Digest of the file that it came from; empty for a model not yet saved.
    """

    languages: tuple[str, ...]
    weights: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    slope: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    window: tuple[int, int]
    sha256: str = ""

    def groups(self, labels: pa.Array) -> npt.NDArray[np.int8]:
        """Row of ``weights`` for each language label; -1 where there is none."""
        found = pc.index_in(labels, value_set=pa.array(self.languages, pa.string()))
        rows: npt.NDArray[np.int32] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
        return rows.astype(np.int8)

    def score(self, texts: pa.Array, groups: npt.NDArray[np.int8]) -> SegmentScores:
        """Score every segment of the documents whose group is not negative.

        Args:
            texts: ``string`` or ``large_string``, n documents.
            groups: Row of ``weights`` for each document, shape (n,), as ``groups`` gives it.
        """
        data, offsets = string_buffers(texts)
        borders, starts, ends, sums = score_segments(data, offsets, groups, self.weights, window=self.window)
        rows = np.repeat(groups, np.diff(borders))
        logits = self.slope[rows] * self.scale[rows] * sums + self.intercept[rows]
        return SegmentScores(borders, starts, ends, logits)

    def to_bytes(self) -> bytes:
        """The file's content; the same model gives the same bytes."""
        tensors: dict[str, npt.NDArray[Any]] = {
            "weights": self.weights,
            "scale": self.scale,
            "slope": self.slope,
            "intercept": self.intercept,
            "window": np.array(self.window, np.int32),
        }
        # a single metadata entry: the library writes several in no fixed order
        metadata = {"model": json.dumps({"format": FORMAT, "languages": self.languages})}
        return safetensors.numpy.save(tensors, metadata)


def read_model(model_file: Path, sha256: str) -> ToxicityModel:
    """Read a model file.

    Raises:
        FatalError: Its digest is not ``sha256``, or its format is another.
    """
    content = model_file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise FatalError(
            f"toxicity model {model_file.name} has digest {digest[:16]}…, expected {sha256[:16]}…"
        )
    with safetensors.safe_open(model_file, framework="numpy") as opened:
        metadata = json.loads(opened.metadata()["model"])
    if metadata["format"] != FORMAT:
        raise FatalError(f"toxicity model {model_file.name} has an unknown format")
    tensors = safetensors.numpy.load(content)
    shortest, longest = (int(length) for length in tensors["window"])
    return ToxicityModel(
        languages=tuple(metadata["languages"]),
        weights=tensors["weights"],
        scale=tensors["scale"],
        slope=tensors["slope"],
        intercept=tensors["intercept"],
        window=(shortest, longest),
        sha256=digest,
    )


@cache
def packaged_card() -> Mapping[str, Any]:
    """The card of the model in this package: data, licences, figures, digest."""
    card: Mapping[str, Any] = json.loads((_folder() / CARD_FILE).read_text(encoding="utf-8"))
    return card


@cache
def packaged_model() -> ToxicityModel:
    """The model in this package, loaded once a process.

    Raises:
        FatalError: Its digest is not the one that its card names.
    """
    return read_model(_folder() / MODEL_FILE, packaged_card()["sha256"])


def _folder() -> Path:
    return Path(str(files("audit"))) / "models"
