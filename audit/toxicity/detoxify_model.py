"""Detoxify's models, from files whose digests were checked: loading, precision, batches.

Hanu and Unitary, "Detoxify" (2020, https://github.com/unitaryai/detoxify). Its own code loads the checkpoint
and names the labels. What it lacks is added here: batches, a digest checked before the checkpoint, which is a
pickle, is opened, and no look-up on a hub for a model that lies on disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from audit.errors import ConfigurationError
from audit.model_files import check_sha256, sha256_of
from audit.toxicity.batched_scores import Scores, score_in_batches
from audit.toxicity.segment_labels import TOXICITY, SegmentLabels
from audit.workers.accelerators import workers_per_gpu

KEY = "probes.detoxify"
#: Of a GPU, for the largest variant with its context and a batch; and segments at once, on cores and by GiB.
GPU_BYTES, _GIB = 6 << 30, 1 << 30
_SEGMENTS, _SEGMENTS_PER_GIB, _MOST_SEGMENTS = 32, 16, 512
#: Configuration and tokeniser that each variant was trained with, on the Hugging Face hub.
_REPOSITORIES = {
    "original": "google-bert/bert-base-uncased",
    "unbiased": "FacebookAI/roberta-base",
    "multilingual": "FacebookAI/xlm-roberta-base",
}
#: What is needed of these: never their weights.
_TOKENISER_FILES = ("config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_FROM_HUB = (
    "name a local checkpoint with its sha256 and a config_folder, or run where both hubs can be reached"
)


@dataclass(frozen=True)
class ModelFiles:
    """What a model is read from.

    Attributes:
        checkpoint: Detoxify's checkpoint file.
        sha256: Its digest, checked.
        folder: ``config.json`` and tokeniser of the transformer.
    """

    checkpoint: Path
    sha256: str
    folder: Path

    def digests(self) -> dict[str, str]:
        """Digests of the checkpoint and of the folder's small files."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".json", ".txt", ".model"):
                digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
        return {"checkpoint": f"sha256:{self.sha256}", "config_folder": f"sha256:{digest.hexdigest()}"}


@dataclass(frozen=True)
class DetoxifyModel:
    """A loaded model.

    Attributes:
        model, tokenizer: As Detoxify loaded them, the model perhaps in another precision.
        labels: Detoxify's names of the scores.
        limit: Tokens that the model reads of a text, special ones included.
    """

    model: Any
    tokenizer: Any
    labels: tuple[str, ...]
    limit: int

    def score(self, texts: Sequence[str], batch_size: int) -> SegmentLabels:
        """Score texts in batches, sorted by length.

        Args:
            texts: m texts; what lies beyond ``limit`` tokens is not read, and counted as truncated.
            batch_size: At most.
        """
        if not texts:
            return SegmentLabels(self.labels, np.empty((0, len(self.labels)), np.float32), np.zeros(0, bool))
        whole = self.tokenizer(list(texts), verbose=False)["input_ids"]
        truncated = np.array([len(tokens) > self.limit for tokens in whole])
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.limit)
        lengths = [len(tokens) for tokens in encoded["input_ids"]]

        def run(rows: list[int]) -> Scores:
            return self._forward({name: [values[row] for row in rows] for name, values in encoded.items()})

        found = score_in_batches(lengths, len(self.labels), batch_size, run)
        return SegmentLabels(self.labels, found.scores, truncated, found.failures)

    def _forward(self, fields: dict[str, list[list[int]]]) -> Scores:
        import torch

        with torch.inference_mode():
            inputs = self.tokenizer.pad(fields, return_tensors="pt").to(self.model.device)
            logits = self.model(**inputs)[0].float()
            # a model may have more outputs than it names: those of identities, in ``unbiased``
            scores: Scores = torch.sigmoid(logits)[:, : len(self.labels)].cpu().numpy()
        return scores


def local_files(checkpoint: str, sha256: str, config_folder: str) -> ModelFiles:
    """Check the files of a local model.

    Raises:
        ConfigurationError: One is missing, or the checkpoint's digest is not the one expected.
    """
    path, folder = Path(checkpoint).expanduser(), Path(config_folder).expanduser()
    digest = check_sha256(path, sha256, key=f"{KEY}.sha256")
    if not config_folder or not (folder / "config.json").is_file():
        raise ConfigurationError(
            "a folder with config.json and the tokeniser's files is required",
            key=f"{KEY}.config_folder",
            remedy="save them where there is network: AutoConfig and AutoTokenizer, save_pretrained(FOLDER)",
        )
    return ModelFiles(path, digest, folder)


def hub_files(variant: str, sha256: str) -> ModelFiles:
    """Fetch a variant's checkpoint and tokeniser into the caches of PyTorch and Hugging Face.

    The checkpoint comes from Detoxify's own address; its name carries the first digits of its SHA-256, which
    are checked each time, and so is ``sha256`` when it is given.

    Raises:
        ConfigurationError: They cannot be had, or a digest is wrong.
    """
    import huggingface_hub
    import torch
    from detoxify.detoxify import MODEL_URLS
    from torch.hub import HASH_REGEX

    url = MODEL_URLS[variant]
    name = url.rpartition("/")[2]
    named = re.search(HASH_REGEX, name)
    prefix = named.group(1) if named else ""
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
        folder = huggingface_hub.snapshot_download(
            _REPOSITORIES[variant], allow_patterns=list(_TOKENISER_FILES)
        )
    except (OSError, URLError, RuntimeError) as error:
        raise ConfigurationError(
            f"Detoxify's model {variant!r} cannot be fetched ({type(error).__name__})",
            key=f"{KEY}.checkpoint",
            remedy=_FROM_HUB,
        ) from error
    found = check_sha256(path, sha256 or sha256_of(path), key=f"{KEY}.sha256")
    if not prefix or not found.startswith(prefix):
        raise ConfigurationError(
            f"{name} has digest {found[:16]}…, which its name does not carry",
            key=f"{KEY}.checkpoint",
            remedy=f"remove {path} to fetch it again; it was not loaded",
        )
    return ModelFiles(path, found, Path(folder))


def device_for(wanted: str, dtype: str) -> str:
    """``cpu`` or ``cuda``.

    Raises:
        ConfigurationError: There is no CUDA device, or the precision does not exist there.
    """
    import torch

    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    if chosen == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("no CUDA device is found", key=f"{KEY}.device", remedy="set it to auto")
    if dtype == "int8" and chosen == "cuda":
        if wanted == "auto":
            return "cpu"
        raise ConfigurationError(
            "int8 runs on a CPU only", key=f"{KEY}.dtype", remedy="bfloat16 on cuda, or device: cpu"
        )
    return chosen


def batch_for(device: str) -> int:
    """Segments at once: a full one takes some 30 MB while attention is computed in single precision.

    Args:
        device: ``cpu`` or ``cuda``; there, by the memory that is left to each worker of the GPU.
    """
    if device == "cpu":
        return _SEGMENTS
    import torch

    memory = int(torch.cuda.get_device_properties(0).total_memory)
    share = memory // workers_per_gpu((memory,), GPU_BYTES) // _GIB
    return min(_MOST_SEGMENTS, max(_SEGMENTS, _SEGMENTS_PER_GIB * share))


@cache
def load(files: ModelFiles, dtype: str, device: str) -> DetoxifyModel:
    """Load a model, once a process.

    Memory: for a moment twice the checkpoint.

    Args:
        files: Checked ones: the checkpoint is a pickle and may run code.
        dtype: ``float32``, ``bfloat16`` or ``int8`` (linear layers, on a CPU).
        device: ``cpu`` or ``cuda``.

    Raises:
        ConfigurationError: The checkpoint is not one of Detoxify's, or does not hold all weights.
    """
    import torch
    from detoxify import Detoxify

    # Not by its parameter huggingface_config_path, under which it ignores the checkpoint's number of outputs.
    with _quiet_and_offline(), _rewritten(files) as (checkpoint, names):
        loaded = Detoxify(checkpoint=checkpoint, device="cpu")
    missing = sorted(set(dict(loaded.model.named_parameters())) - names)
    if missing:
        raise ConfigurationError(
            f"the checkpoint lacks {len(missing)} weights, such as {missing[0]}", key=KEY
        )
    if TOXICITY not in loaded.class_names:
        raise ConfigurationError("the checkpoint knows no label toxicity", key=f"{KEY}.checkpoint")
    model = loaded.model.eval()
    if dtype == "bfloat16":
        model = model.to(torch.bfloat16)
    elif dtype == "int8":
        with warnings.catch_warnings():  # deprecated; the version of PyTorch is pinned
            warnings.simplefilter("ignore")
            model = torch.ao.quantization.quantize_dynamic(
                model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True
            )
    limit = min(loaded.tokenizer.model_max_length, _positions(model.config))
    return DetoxifyModel(model.to(device), loaded.tokenizer, tuple(loaded.class_names), limit)


def _positions(config: Any) -> int:
    """Tokens for which there are position embeddings; RoBERTa's begin after the padding index."""
    begin = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta") else 0
    return int(config.max_position_embeddings) - begin


@contextmanager
def _rewritten(files: ModelFiles) -> Iterator[tuple[Any, set[str]]]:
    """The checkpoint as a file in which ``model_type`` is the local folder; and the names of its weights.

    Detoxify looks the configuration up by that name, on the hub even when it was given a folder.
    """
    import torch

    with files.checkpoint.open("rb") as handle:
        if hashlib.file_digest(handle, "sha256").hexdigest() != files.sha256:
            raise ConfigurationError("the checkpoint changed since it was checked", key=f"{KEY}.checkpoint")
        handle.seek(0)
        content = torch.load(handle, map_location="cpu", weights_only=False)
    try:
        content["config"]["arch"]["args"]["model_type"] = str(files.folder.resolve())
        names = set(content["state_dict"])
    except (KeyError, TypeError) as error:
        raise ConfigurationError("the file is no checkpoint of Detoxify", key=f"{KEY}.checkpoint") from error
    with tempfile.TemporaryFile() as handle:
        torch.save(content, handle)
        del content
        handle.seek(0)
        yield handle, names


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Keep libraries from asking the Hugging Face hub, imported already or not, and from drawing bars."""
    from huggingface_hub import constants
    from transformers.utils import logging

    before, before_set = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE
    had_bars = logging.is_progress_bar_enabled()
    os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            logging.enable_progress_bar()
        constants.HF_HUB_OFFLINE = before_set
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
