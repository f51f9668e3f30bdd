"""Labelled texts for the toxicity model: reading, weights, and splits that near-copies do not straddle."""

from __future__ import annotations

import hashlib
import re
import tarfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

FOLDS = 3
#: Never trained on nor calibrated with, in any fold: an outside check.
TEST_ONLY = ("jigsaw_max",)
#: Paragraphs of encyclopaedia articles, taken as not toxic: what plain prose looks like.
NEUTRAL_SET = "wikipedia_articles"
#: Importance of a row in the loss, chosen by cross-validation: the tweets were sampled by a slur lexicon and
#: would drown the comments, the Civil Comments were all thought toxic once, the paragraphs are many.
IMPORTANCE = {
    "davidson_tweets": 0.3,
    "jigsaw_lilac": 6.0,
    "wiki_context_gn": 2.0,
    "civil_toxic_spans": 0.5,
    NEUTRAL_SET: 0.03,
}
_PARAGRAPH = (40, 800)  # code points


def reserved_for_audit(row_id: str) -> bool:
    """Whether a ``civil_toxic_spans`` row is kept out of training, for corpora that get audited.

    The rule: the SHA-256 of the id, as an integer, is divisible by three.
    """
    return int(hashlib.sha256(row_id.encode()).hexdigest(), 16) % 3 == 0


def text_group(text: str) -> str:
    """Digest of the text without case, punctuation, digits and spacing: copies share it."""
    letters = re.sub(r"[\W\d_]+", "", unicodedata.normalize("NFKC", text).casefold())
    return hashlib.sha256((letters or text).encode()).hexdigest()


@dataclass(frozen=True)
class Labelled:
    """Labelled texts, n rows in the order of the file.

    Attributes:
        texts, datasets, languages, licences: A value per row.
        toxic: Binary labels.
        targets: Share of raters who said toxic, where known; else the label.
        importance: Weight in the loss.
        folds: 0 to FOLDS - 1, the same for copies of one text.
        trainable: False for rows reserved for audits, their copies, and data sets that are tests only.
    """

    texts: pa.Array
    datasets: npt.NDArray[np.object_]
    languages: npt.NDArray[np.object_]
    licences: npt.NDArray[np.object_]
    toxic: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]
    importance: npt.NDArray[np.float32]
    folds: npt.NDArray[np.int64]
    trainable: npt.NDArray[np.bool_]


def read_labelled(folder: Path) -> Labelled:
    """Read ``toxicity.parquet`` and, as neutral text, the articles in ``web_docs.parquet``."""
    columns = ["id", "dataset", "lang", "text", "toxic", "toxic_frac", "licence"]
    labelled = pl.read_parquet(folder / "toxicity.parquet", columns=columns).filter(
        pl.col("toxic").is_not_null() & (pl.col("text").str.len_chars() > 0)
    )
    neutral = _neutral_paragraphs(folder / "web_docs.parquet", labelled["lang"].unique())
    return _labelled(pl.concat([labelled, neutral.select(columns)], how="vertical_relaxed"))


def _neutral_paragraphs(file: Path, languages: pl.Series) -> pl.DataFrame:
    articles = pl.read_parquet(file, columns=["doc_id", "source", "lang", "text", "licence"]).filter(
        (pl.col("source") == "wikipedia") & pl.col("lang").is_in(languages.implode())
    )
    paragraphs = articles.with_columns(pl.col("text").str.split("\n")).explode("text")
    return paragraphs.filter(pl.col("text").str.len_chars().is_between(*_PARAGRAPH)).select(
        id="doc_id",
        dataset=pl.lit(NEUTRAL_SET),
        lang="lang",
        text="text",
        toxic=pl.lit(0, pl.Int8),
        toxic_frac=pl.lit(None, pl.Float64),
        licence="licence",
    )


def _labelled(table: pl.DataFrame) -> Labelled:
    datasets = table["dataset"].to_list()
    groups = [  # the paragraphs of one article stay together
        text_group(row_id if name == NEUTRAL_SET else text)
        for name, row_id, text in zip(datasets, table["id"], table["text"], strict=True)
    ]
    held = [
        name in TEST_ONLY or (name == "civil_toxic_spans" and reserved_for_audit(row_id))
        for name, row_id in zip(datasets, table["id"], strict=True)
    ]
    held_groups = {group for group, is_held in zip(groups, held, strict=True) if is_held}
    targets = table.select(pl.coalesce("toxic_frac", "toxic").cast(pl.Float32)).to_series()
    return Labelled(
        texts=pa.array(table["text"].to_list(), pa.large_string()),
        datasets=np.array(datasets, object),
        languages=np.array(table["lang"].to_list(), object),
        licences=np.array(table["licence"].to_list(), object),
        toxic=table["toxic"].to_numpy() > 0,
        targets=targets.to_numpy(),
        importance=np.array([IMPORTANCE.get(name, 1.0) for name in datasets], np.float32),
        folds=np.array([int(group[:8], 16) % FOLDS for group in groups], np.int64),
        trainable=np.array([group not in held_groups for group in groups], bool),
    )


def read_web(file: Path, source: str, language: str) -> pa.Array:
    """Texts of one source and language of ``web_docs.parquet``."""
    rows = pl.read_parquet(file, columns=["source", "lang", "text"]).filter(
        (pl.col("source") == source) & (pl.col("lang") == language)
    )
    return pa.array(rows["text"].to_list(), pa.large_string())


def read_identity_sentences(archive: Path) -> pl.DataFrame:
    """Template sentences with identity terms: columns ``phrase``, ``toxic`` and ``term`` (null: none).

    Dixon et al., "Measuring and Mitigating Unintended Bias in Text Classification" (AIES 2018).
    """
    with tarfile.open(archive) as opened:
        sentences = _member(opened, "identity_terms/en_sentence_templates_12k.csv")
        adjectives = _member(opened, "identity_terms/adjectives_people.txt").decode()
    terms = sorted({line.strip().lower() for line in adjectives.splitlines()} - {""}, key=len, reverse=True)
    pattern = r"(?i)\b(" + "|".join(re.escape(term) for term in terms) + r")\b"
    return pl.read_csv(sentences).select(
        "phrase",
        toxic=pl.col("toxicity") == "toxic",
        term=pl.col("phrase").str.extract(pattern).str.to_lowercase(),
    )


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    opened = archive.extractfile(name)
    if opened is None:
        raise ValueError(f"{name} is not a file in the archive")
    return opened.read()
