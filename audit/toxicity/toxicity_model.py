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
from audit.kernels.segment_scores import Tables, score_segments

MODEL_FILE = "toxicity.safetensors"
CARD_FILE = "toxicity.json"
FORMAT = "corpus-audit linear n-grams 3"


@dataclass(frozen=True)
class SegmentScores:
    """Scores of the segments of n documents.

    Attributes:
        offsets: Borders of each document's segments, shape (n + 1,).
        starts, ends: Half-open code points of each segment.
        logits: Log odds that a segment is toxic (float32), calibrated.
        label_logits: The same for each of the model's labels, shape (segments, labels); NaN where the
            document's language has no evidence for the label.
    """

    offsets: Offsets
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    logits: npt.NDArray[np.float32]
    label_logits: npt.NDArray[np.float32]

    def counts(self) -> npt.NDArray[np.int64]:
        """Segments of each document."""
        return np.diff(self.offsets)

    def probabilities(self) -> npt.NDArray[np.float32]:
        """Calibrated probability that a segment is toxic."""
        return expit(self.logits)

    def label_probabilities(self) -> npt.NDArray[np.float32]:
        """Calibrated probability of each label, shape (segments, labels); NaN where not evaluated."""
        return expit(self.label_logits)


@dataclass(frozen=True)
class Heads:
    """Further labels over the same n-grams.

    Attributes:
        labels: Their names.
        weights: int8, shape (tables, 2 ** bits, labels).
        tables: int8 (languages,): each language's table in ``weights``; -1 for none.
        slope, intercept: Shape (languages, labels): log odds = slope * sum + intercept; NaN where a language
            has no evidence for a label.
    """

    labels: tuple[str, ...]
    weights: npt.NDArray[np.int8]
    tables: npt.NDArray[np.int8]
    slope: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]


def no_heads(languages: int) -> Heads:
    """Heads of a model that knows toxicity only."""
    nothing = np.empty((languages, 0), np.float32)
    return Heads((), np.empty((0, 1, 0), np.int8), np.full(languages, -1, np.int8), nothing, nothing)


@dataclass(frozen=True)
class ToxicityModel:
    """Weights over hashed n-grams, one row a language, and the calibration of their sums.

    Attributes:
        languages: ISO 639 codes, in the order of the rows.
        weights: int8, shape (languages, 2 ** bits).
        scale: Value of one step of a weight, per language.
        slope, intercept: Probability of a segment = expit(slope * scale * sum + intercept), per language.
        window: Shortest and longest segment, in code points.
        heads: Further labels.
        sha256: Digest of the file that it came from; empty for a model not yet saved.
        whole_text: A document of as many code points or fewer is one segment, as it was in training.
    """

    languages: tuple[str, ...]
    weights: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    slope: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    window: tuple[int, int]
    heads: Heads
    sha256: str = ""
    whole_text: int = 0

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
        tables = Tables(self.weights, self.heads.weights, self.heads.tables)
        found = score_segments(data, offsets, groups, tables, window=self.window, whole=self.whole_text)
        rows = np.repeat(groups, np.diff(found.offsets))
        logits = self.slope[rows] * self.scale[rows] * found.sums + self.intercept[rows]
        labels = self.heads.slope[rows] * found.head_sums + self.heads.intercept[rows]
        return SegmentScores(found.offsets, found.starts, found.ends, logits, labels)

    def to_bytes(self) -> bytes:
        """The file's content; the same model gives the same bytes."""
        tensors: dict[str, npt.NDArray[Any]] = {
            "weights": self.weights,
            "scale": self.scale,
            "slope": self.slope,
            "intercept": self.intercept,
            "window": np.array([*self.window, self.whole_text], np.int32),
            "heads": self.heads.weights,
            "head_tables": self.heads.tables,
            "head_slope": self.heads.slope,
            "head_intercept": self.heads.intercept,
        }
        # a single metadata entry: the library writes several in no fixed order
        about = {"format": FORMAT, "languages": self.languages, "labels": self.heads.labels}
        metadata = {"model": json.dumps(about)}
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
    shortest, longest, whole_text = (int(length) for length in tensors["window"])
    return ToxicityModel(
        languages=tuple(metadata["languages"]),
        weights=tensors["weights"],
        scale=tensors["scale"],
        slope=tensors["slope"],
        intercept=tensors["intercept"],
        window=(shortest, longest),
        heads=Heads(
            labels=tuple(metadata["labels"]),
            weights=tensors["heads"],
            tables=tensors["head_tables"],
            slope=tensors["head_slope"],
            intercept=tensors["head_intercept"],
        ),
        sha256=digest,
        whole_text=whole_text,
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
