"""Toxicity by a small recurrent model, over a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.model import ScreenResult
from audit.model_files import versions
from audit.screens import ScreenContext
from audit.screens.language import Language
from audit.toxicity.bilstm_model import KEY, LABELS, PINNED, BilstmModel, default_folder, load
from audit.toxicity.segment_labels import (
    MEASURES,
    check_settings,
    cut,
    document_result,
    document_scores,
    prepare,
)

_FURTHER = LABELS[1:]
_LANGUAGES = ("en",)


@dataclass(frozen=True)
class Bilstm:
    """Toxicity of an English text by the BiLSTM of ``toxic-comment-classifier``: a second opinion offline.

    `audit models fetch bilstm` fetches it once. The text is cut at sentence ends into segments, as the
    ``toxicity`` screen cuts it. Measures ``score``, the largest toxicity of a segment; ``mean``, their mean;
    ``toxic_segments``, the share at or over the threshold; ``flagged``, whether ``score`` is at or over it;
    ``segments``; ``truncated``, the segments of over 100 known words, of which the model reads the last 100;
    and the largest score of each further label. Each segment at or over the threshold is a finding.

    The model knows 20,000 words and was trained on comments of Wikipedia's talk pages in which groups of
    people were mostly named in abuse: it calls "I am a gay black man and a Muslim" toxic. Its scores are no
    calibrated probabilities of a corpus. What is not English, by the ``language`` screen, is not
    evaluated, nor is a document of which it knows no word or that has more than ``max_segments``. The last
    digits depend on how documents fall into batches.

    Attributes:
        folder: With the converted files; empty for the user's cache.
        sha256: Digest of their weights and words.
        threshold: Score from which a segment counts as toxic.
        shortest_segment: Code points from which a sentence end closes a segment.
        longest_segment: Code points of a segment, at most.
        max_segments: Longest document, in segments.
        batch_size: Segments at once; halved where memory ends.
    """

    folder: str = ""
    sha256: str = PINNED
    threshold: float = 0.5
    shortest_segment: int = 200
    longest_segment: int = 500
    max_segments: int = 20_000
    batch_size: int = 256

    name: ClassVar[str] = "bilstm"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {**MEASURES, **dict.fromkeys(_FURTHER, pa.float32())}
    uses_key: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the ranges of numbers."""
        check_settings(KEY, self._window(), self.max_segments, self.batch_size, self.threshold)

    def resources(self) -> Mapping[str, str]:
        """Return PyTorch's version and the model's digest.

        Raises:
            ConfigurationError: PyTorch or the model's files are missing, or these are others.
        """
        found = versions(("torch",), extra="bilstm", key=KEY)
        self._model()
        return {**found, **Language().resources(), "bilstm": f"sha256:{self.sha256}"}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Score the texts of a batch.

        Raises:
            ConfigurationError: PyTorch or the model's files are missing, or these are others.
        """
        segments, reasons = prepare(
            batch.column("text").to_pylist(),
            _language_labels(batch, context),
            _LANGUAGES,
            self._window(),
            self.max_segments,
        )
        found = self._model().score(segments.texts, self.batch_size)
        return document_result(segments, found, _FURTHER, self.threshold, reasons)

    def labels(self) -> tuple[str, ...]:
        """Labels, in the order of ``scores``."""
        return LABELS

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Largest score of each label over the segments of each of n texts.

        Returns:
            Shape (n, labels); NaN for a text without a word that the model knows.

        Raises:
            ConfigurationError: PyTorch or the model's files are missing, or these are others.
        """
        segments = cut(texts, self._window())
        return document_scores(segments, self._model().score(segments.texts, self.batch_size))

    def _window(self) -> tuple[int, int]:
        return self.shortest_segment, self.longest_segment

    def _model(self) -> BilstmModel:
        versions(("torch",), extra="bilstm", key=KEY)
        return load(Path(self.folder).expanduser() if self.folder else default_folder(), self.sha256)


def _language_labels(batch: pa.RecordBatch, context: ScreenContext) -> pa.Array:
    """As the ``language`` screen gives them; by that screen where it is not upstream."""
    given = context.upstream.get("language_label")
    return Language().measure(batch, context).measurements["label"] if given is None else given
