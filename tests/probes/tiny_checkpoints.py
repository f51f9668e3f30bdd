"""Detoxify's checkpoints in small: random weights, a tokeniser of a few words, everything made here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from tokenizers import pre_tokenizers

_TEXT = (
    "the river crosses old town where library and market overlook stone bridge you are a rotten fool of "
    "people in garden orchard railway museum"
)
WORDS = _TEXT.split()
ORIGINAL = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
UNBIASED = (
    "toxicity",
    "severe_toxicity",
    "obscene",
    "identity_attack",
    "insult",
    "threat",
    "sexual_explicit",
)
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.5,  # so that texts score differently
}


class Files(NamedTuple):
    """Parameters of the probe: what a checkpoint is loaded from."""

    variant: str
    checkpoint: str
    sha256: str
    config_folder: str


def make(folder: Path, variant: str) -> Files:
    """Write a checkpoint and its folder of configuration and tokeniser."""
    folder.mkdir(parents=True, exist_ok=True)
    config, names, tokeniser, extra = {
        "original": (_bert, ORIGINAL, "BertTokenizer", 0),
        "unbiased": (_roberta, UNBIASED, "RobertaTokenizer", 9),  # nine identities beyond the named labels
        "multilingual": (_xlm_roberta, UNBIASED, "XLMRobertaTokenizer", 9),
    }[variant]
    outputs = len(names) + extra
    torch.manual_seed(7)
    model, model_class = config(folder, outputs)
    arguments = {
        "model_type": "no-such-owner/no-such-model",
        "model_name": model_class,
        "tokenizer_name": tokeniser,
        "num_classes": outputs,
    }
    content = {
        "config": {"arch": {"args": arguments}, "dataset": {"args": {"classes": list(names)}}},
        "state_dict": model.state_dict(),
    }
    path = folder / "tiny.ckpt"
    torch.save(content, path)
    return Files(variant, str(path), hashlib.sha256(path.read_bytes()).hexdigest(), str(folder))


def _bert(folder: Path, outputs: int) -> tuple[torch.nn.Module, str]:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *".!?", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = list(dict.fromkeys(words))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    config = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **SIZES)
    return _saved(config, folder, outputs, transformers.BertForSequenceClassification)


def _roberta(folder: Path, outputs: int) -> tuple[torch.nn.Module, str]:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    transformers.RobertaTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=160
    ).save_pretrained(folder)
    config = transformers.RobertaConfig(vocab_size=len(words), max_position_embeddings=162, **SIZES)
    return _saved(config, folder, outputs, transformers.RobertaForSequenceClassification)


def _xlm_roberta(folder: Path, outputs: int) -> tuple[torch.nn.Module, str]:
    words = ["▁", *(f"▁{word}" for word in WORDS), *"abcdefghijklmnopqrstuvwxyz"]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(words)]
    scored = [(piece, -float(i) / 10) for i, piece in enumerate([*pieces, "<mask>"])]
    transformers.XLMRobertaTokenizer(vocab=scored, model_max_length=120).save_pretrained(folder)
    config = transformers.XLMRobertaConfig(vocab_size=len(scored), max_position_embeddings=122, **SIZES)
    return _saved(config, folder, outputs, transformers.XLMRobertaForSequenceClassification)


def _saved(
    config: transformers.PretrainedConfig, folder: Path, outputs: int, model_class: type[torch.nn.Module]
) -> tuple[torch.nn.Module, str]:
    config.save_pretrained(folder)  # as it comes from the hub: two outputs, whatever the checkpoint has
    config.num_labels = outputs
    return model_class(config).eval(), model_class.__name__
