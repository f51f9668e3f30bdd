"""Toxicity by Detoxify's transformers, over a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.errors import ConfigurationError
from audit.model import ScreenResult
from audit.model_files import versions
from audit.screens import ScreenContext
from audit.screens.language import Language
from audit.toxicity.detoxify_model import (
    GPU_BYTES,
    KEY,
    DetoxifyModel,
    ModelFiles,
    batch_for,
    device_for,
    hub_files,
    load,
    local_files,
)
from audit.toxicity.segment_labels import (
    MEASURES,
    check_settings,
    cut,
    document_result,
    document_scores,
    prepare,
)

_LABELS = ("severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexual_explicit")
_PACKAGES = ("detoxify", "transformers", "tokenizers", "torch")
#: Languages that each variant was trained on.
_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "original": ("en",),
    "unbiased": ("en",),
    "multilingual": ("en", "es", "fr", "it", "pt", "ru", "tr"),
}
_HUB = "hub"


@dataclass(frozen=True)
class Detoxify:
    """Toxicity of a document's text by Detoxify: BERT, RoBERTa or XLM-R, fine-tuned on Jigsaw's comments.

    The text is cut at sentence ends into segments, as the ``toxicity`` screen cuts it. Measures ``score``,
    the largest toxicity of a segment; ``mean``, their mean; ``toxic_segments``, the share at or over the
    threshold; ``flagged``, whether ``score`` is at or over it; ``segments``; ``truncated``, the segments of
    which the model did not read all; and the largest score of each further label, null where the variant
    does not know it. Each segment at or over the threshold is a finding of the label's kind.

    Documents in a language that the variant was not trained on (as the ``language`` screen labels them) are
    not evaluated, nor are those of more than ``max_segments``. The scores are no calibrated probabilities of
    the corpus, and the models raise them where groups of people are named (``original`` most): see the
    identity bias. The last digits depend on how documents fall into batches.

    Attributes:
        variant: ``original`` (English, six labels), ``unbiased`` (English, seven) or ``multilingual``.
        checkpoint: Detoxify's checkpoint file, or ``hub`` to fetch it from Detoxify's releases.
        sha256: Digest of that file; required for a local one, which is a pickle and could run code.
        config_folder: Folder with ``config.json`` and tokeniser; of the hub's own when that is used.
        threshold: Score from which a segment counts as toxic.
        shortest_segment: Code points from which a sentence end closes a segment.
        longest_segment: Code points of a segment, at most.
        max_segments: Longest document, in segments.
        batch_size: Segments at once; null: 32 on cores, and by its memory on a GPU. Halved where memory ends.
        dtype: Precision; ``int8`` on a CPU only.
        device: ``auto`` takes a CUDA device where there is one.
    """

    variant: Literal["original", "unbiased", "multilingual"] = "original"
    checkpoint: str = ""
    sha256: str = ""
    config_folder: str = ""
    threshold: float = 0.5
    shortest_segment: int = 200
    longest_segment: int = 500
    max_segments: int = 400
    batch_size: int | None = None
    dtype: Literal["float32", "bfloat16", "int8"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    name: ClassVar[str] = "detoxify"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {**MEASURES, **dict.fromkeys(_LABELS, pa.float32())}
    uses_key: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the ranges of numbers."""
        check_settings(KEY, self._window(), self.max_segments, self._batch("cpu"), self.threshold)

    def resources(self) -> Mapping[str, str]:
        """Return versions of libraries, digests of the model's files, the device and its batches.

        Fetches the files when ``checkpoint`` is ``hub``.

        Raises:
            ConfigurationError: A library or file is missing, or a digest is wrong.
        """
        found = versions(_PACKAGES, extra="detoxify", key=KEY)
        device = device_for(self.device, self.dtype)
        used = {"device": device, "batch": str(self._batch(device))}
        return {**found, **self._files().digests(), **Language().resources(), **used}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Score the texts of a batch.

        Raises:
            ConfigurationError: A library or file is missing, or a digest is wrong.
        """
        segments, reasons = prepare(
            batch.column("text").to_pylist(),
            _language_labels(batch, context),
            _LANGUAGES[self.variant],
            self._window(),
            self.max_segments,
        )
        found = self._model().score(segments.texts, self._batch())
        return document_result(segments, found, _LABELS, self.threshold, reasons)

    def labels(self) -> tuple[str, ...]:
        """Labels of the loaded model, in the order of ``scores``; toxicity is one of them.

        Raises:
            ConfigurationError: A library or file is missing, or a digest is wrong.
        """
        return self._model().labels

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Largest score of each label over the segments of each of n texts, in any language.

        Returns:
            Shape (n, labels); NaN for an empty text, and where memory ended.

        Raises:
            ConfigurationError: A library or file is missing, or a digest is wrong.
        """
        segments = cut(texts, self._window())
        return document_scores(segments, self._model().score(segments.texts, self._batch()))

    @property
    def gpu_memory(self) -> int:
        """What a worker takes of a GPU; nothing where it is told to run on cores."""
        return 0 if self.device == "cpu" or self.dtype == "int8" else GPU_BYTES

    def _batch(self, device: str | None = None) -> int:
        if self.batch_size is not None:
            return self.batch_size
        return batch_for(device or device_for(self.device, self.dtype))

    def _window(self) -> tuple[int, int]:
        return self.shortest_segment, self.longest_segment

    def _model(self) -> DetoxifyModel:
        versions(_PACKAGES, extra="detoxify", key=KEY)
        return load(self._files(), self.dtype, device_for(self.device, self.dtype))

    def _files(self) -> ModelFiles:
        if not self.checkpoint:
            raise ConfigurationError(
                "no checkpoint is named",
                key=f"{KEY}.checkpoint",
                remedy="name Detoxify's file with sha256 and config_folder, or `hub` to fetch it",
            )
        if self.checkpoint == _HUB:
            return hub_files(self.variant, self.sha256)
        return local_files(self.checkpoint, self.sha256, self.config_folder)


def _language_labels(batch: pa.RecordBatch, context: ScreenContext) -> pa.Array:
    """As the ``language`` screen gives them; by that screen where it is not upstream."""
    given = context.upstream.get("language_label")
    return Language().measure(batch, context).measurements["label"] if given is None else given
