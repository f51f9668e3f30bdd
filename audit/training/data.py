"""Labelled texts for the toxicity model: reading, weights, and splits that no near-copies straddle."""

from __future__ import annotations

import hashlib
import re
import tarfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from audit.training.near_copies import near_copy_groups
from audit.training.parts import DERIVED_SETS, REMAINDER_SET, parts_of_comments

FOLDS = 5
#: The fold on which settings were chosen by hand. No reported figure is measured on it.
DEVELOPMENT_FOLD = 0
#: Never trained on nor calibrated with, in any fold: an outside check.
TEST_ONLY = ("jigsaw_max",)
#: Too few positives (59) to choose anything by: no row of it is in the development fold.
_NEVER_DEVELOPMENT = "wiki_context_gn"
#: Paragraphs of encyclopaedia articles, taken as not toxic: what plain prose looks like.
NEUTRAL_SET = "wikipedia_articles"
_SPANNED_SET = "civil_toxic_spans"
#: Columns of the other labels, and what they are called here.
LABELS = {
    "severe_toxic": "severe_toxicity",
    "obscene": "obscene",
    "threat": "threat",
    "insult": "insult",
    "identity_hate": "identity_attack",
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
    """Labelled texts, n rows: those of the file, neutral paragraphs, parts of comments.

    Attributes:
        texts, datasets, languages, licences: A value per row.
        toxic: Binary labels.
        targets: Share of raters who said toxic, where known; else the label.
        labels: The other labels, by name: 0, 1 or NaN (not labelled).
        folds: 0 to FOLDS - 1, the same for near-copies.
        trainable: False for rows reserved for audits, data sets that are tests only, and near-copies of both.
    """

    texts: pa.Array
    datasets: npt.NDArray[np.object_]
    languages: npt.NDArray[np.object_]
    licences: npt.NDArray[np.object_]
    toxic: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]
    labels: Mapping[str, npt.NDArray[np.float32]]
    folds: npt.NDArray[np.int64]
    trainable: npt.NDArray[np.bool_]

    @property
    def reported(self) -> npt.NDArray[np.bool_]:
        """Rows on which figures are measured."""
        mask: npt.NDArray[np.bool_] = (self.folds != DEVELOPMENT_FOLD) & ~np.isin(self.datasets, DERIVED_SETS)
        return mask


def read_labelled(folder: Path) -> Labelled:
    """Read ``toxicity.parquet`` and, as neutral text, the articles in ``web_docs.parquet``."""
    columns = ["id", "dataset", "lang", "text", "toxic", "toxic_frac", *LABELS, "licence"]
    labelled = pl.read_parquet(folder / "toxicity.parquet", columns=[*columns, "spans", "meta"]).filter(
        pl.col("toxic").is_not_null() & (pl.col("text").str.len_chars() > 0)
    )
    neutral = _neutral_paragraphs(folder / "web_docs.parquet", labelled["lang"].unique())
    parts = parts_of_comments(labelled.filter(pl.col("dataset") == _SPANNED_SET)).with_columns(
        *[_label_of_part(name) for name in LABELS],
        lang=pl.lit("en"),
        licence=pl.lit("CC0-1.0"),
    )
    whole = pl.concat([labelled.select(columns), neutral.select(columns)], how="vertical_relaxed")
    return _labelled(whole, parts.select(columns))


def _neutral_paragraphs(file: Path, languages: pl.Series) -> pl.DataFrame:
    articles = pl.read_parquet(file, columns=["doc_id", "source", "lang", "text", "licence"]).filter(
        (pl.col("source") == "wikipedia") & pl.col("lang").is_in(languages.implode())
    )
    paragraphs = articles.with_columns(pl.col("text").str.split("\n")).explode("text")
    return paragraphs.filter(pl.col("text").str.len_chars().is_between(*_PARAGRAPH)).select(
        *[pl.lit(0, pl.Int8).alias(name) for name in ("toxic", *LABELS)],
        id="doc_id",
        dataset=pl.lit(NEUTRAL_SET),
        lang="lang",
        text="text",
        toxic_frac=pl.lit(None, pl.Float64),
        licence="licence",
    )


def _label_of_part(name: str) -> pl.Expr:
    """Nothing is wrong with a remainder; of other parts it isn't known what is."""
    rest = pl.col("dataset") == REMAINDER_SET
    return pl.when(rest).then(pl.lit(0, pl.Int8)).otherwise(None).alias(name)


def _labelled(whole: pl.DataFrame, parts: pl.DataFrame) -> Labelled:
    keys = np.array([text_group(text) for text in whole["text"]], object)
    groups = near_copy_groups(whole["text"].to_list(), keys.tolist())
    kept = ~_repeated_paragraphs(whole, groups)
    whole, keys, groups = whole.filter(pl.Series(kept)), keys[kept], groups[kept]
    article = (whole["dataset"] == NEUTRAL_SET).to_numpy()
    ids = whole["id"].to_list()
    keys[article] = [f"article {row_id}" for row_id, own in zip(ids, article, strict=True) if own]
    joined = np.where(article, keys, groups.astype(str)).astype(str)  # an article's paragraphs stay together
    _, groups = np.unique(joined, return_inverse=True)
    row_of = {row_id: row for row, row_id in enumerate(ids)}
    source = np.array([*range(len(whole)), *(row_of[row_id] for row_id in parts["id"])], np.int64)
    table = pl.concat([whole, parts], how="vertical_relaxed")
    datasets = np.array(table["dataset"].to_list(), object)
    reserved = (datasets == _SPANNED_SET) & np.array([reserved_for_audit(row_id) for row_id in table["id"]])
    held = np.bincount(groups.ravel()[source], weights=reserved | np.isin(datasets, TEST_ONLY)) > 0
    targets = table.select(pl.coalesce("toxic_frac", "toxic").cast(pl.Float32)).to_series()
    labels = {name: table[column].cast(pl.Float32).to_numpy() for column, name in LABELS.items()}
    return Labelled(
        texts=pa.array(table["text"].to_list(), pa.large_string()),
        datasets=datasets,
        languages=np.array(table["lang"].to_list(), object),
        licences=np.array(table["licence"].to_list(), object),
        toxic=table["toxic"].to_numpy() > 0,
        targets=targets.to_numpy(),
        labels=labels,
        folds=_folds(groups.ravel(), datasets[: len(whole)], keys)[source],
        trainable=~held[groups.ravel()[source]],
    )


def _repeated_paragraphs(table: pl.DataFrame, groups: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Neutral paragraphs with a near-copy in another article or data set: they would chain articles."""
    origins = pl.DataFrame(
        {
            "group": groups,
            "origin": table.select(
                pl.when(pl.col("dataset") == NEUTRAL_SET).then("id").otherwise("dataset")
            ).to_series(),
            "neutral": table["dataset"] == NEUTRAL_SET,
        }
    )
    repeated = origins.select(pl.col("neutral") & (pl.col("origin").n_unique().over("group") > 1))
    mask: npt.NDArray[np.bool_] = repeated.to_series().to_numpy()
    return mask


def _folds(
    groups: npt.NDArray[np.int64], datasets: npt.NDArray[np.object_], keys: npt.NDArray[np.object_]
) -> npt.NDArray[np.int64]:
    """Fold of each row, by a digest of the first row of its group."""
    _, first = np.unique(groups, return_index=True)
    drawn = [int(hashlib.sha256(keys[row].encode()).hexdigest()[:8], 16) for row in first]
    folds = np.array([number % FOLDS for number in drawn], np.int64)
    others = np.array([1 + number // FOLDS % (FOLDS - 1) for number in drawn], np.int64)
    kept_out = np.bincount(groups, weights=datasets == _NEVER_DEVELOPMENT) > 0
    moved = kept_out & (folds == DEVELOPMENT_FOLD)
    by_group: npt.NDArray[np.int64] = np.where(moved, others, folds)
    return by_group[groups]


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
