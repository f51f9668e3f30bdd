"""Words and phrases of lists, such as LDNOOBW's, in the language of each document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.errors import ConfigurationError
from audit.kernels.term_search import Hits
from audit.list_files import DIGESTS, digests
from audit.model import FINDING_SCHEMA, ScreenResult
from audit.screens import ScreenContext
from audit.word_lists import KEY, PACKAGED, Lexicon, lexicon

#: Findings of one document; ``hits`` counts all.
_MOST_FINDINGS = 50


@dataclass(frozen=True)
class Lexicons:
    """Listed words and phrases (adult, hate, or of your own lists): a weak signal, not toxicity.

    A document is searched for the entries of its own language (``language_label``) only; one whose language
    has no list is not evaluated. Entries are found as whole words, whatever their case, and as parts of a
    sentence in scripts without spaces (Chinese, Japanese, Thai); the words of a phrase stand at most three
    bytes apart; where entries overlap the longest counts. Endings are not known: of an inflected language
    only the listed forms are found.

    Measures ``hits``, the entries found; ``entries``, how many different ones; ``word_share``, the share of
    the document's words that lie in them; ``flagged``, whether that is at least ``minimum_share`` with
    ``minimum_entries`` different entries or more. Each hit, of a document the first 50, is a finding of the
    kind ``ADULT_TERM``, ``HATE_TERM`` or the list's own category, severity low, with a masked preview.

    The package brings the lists of LDNOOBW for 25 languages (CC BY 4.0; see ``audit/lexicon_data``). They
    name words that people do not want suggested, and know no context: medicine, education, literature and
    news use them, and abuse does without. So the screen decides nothing and no profile has a gate on it.

    Lists of your own: text files named ``LANGUAGE.CATEGORY.txt`` (``en.hate.txt``), an entry a line, UTF-8,
    ``#`` begins a comment line; or YAML files of ``{language: en, category: hate, entries: [...]}``, one or a
    list of them. Where two lists of a language hold an entry, yours counts.

    Args:
        lists: Files of your own lists.
        packaged: Whether the packaged lists are used, too.
        minimum_share: Share of a document's words from which it is flagged.
        minimum_entries: Different entries from which it is flagged.
    """

    lists: tuple[str, ...] = ()
    packaged: bool = True
    minimum_share: float = 0.005
    minimum_entries: int = 1

    name: ClassVar[str] = "lexicons"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "hits": pa.int32(),
        "entries": pa.int32(),
        "word_share": pa.float32(),
        "flagged": pa.bool_(),
    }
    needs: ClassVar[tuple[str, ...]] = ("language",)
    uses_key: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.minimum_share <= 1:
            raise ConfigurationError(
                "must lie above 0 and at most at 1", key="screens.lexicons.minimum_share"
            )
        if self.minimum_entries < 1:
            raise ConfigurationError("must be at least 1", key="screens.lexicons.minimum_entries")
        if not self.lists and not self.packaged:
            raise ConfigurationError("there is no list to look for", key=KEY)

    def resources(self) -> Mapping[str, str]:
        """Digests of the lists.

        Raises:
            ConfigurationError: A file cannot be read.
        """
        ours = {PACKAGED: f"sha256:{DIGESTS[PACKAGED]}"} if self.packaged else {}
        return {**ours, **digests(self.lists, KEY)}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:
        """Search each document whose language has a list.

        Raises:
            ConfigurationError: A list cannot be read or is no list.
            FatalError: The packaged list is not the one whose digest the program names.
        """
        known = lexicon(self.lists, self.packaged)
        labels = context.upstream["language_label"]
        groups = known.groups(labels)
        hits = known.search(batch.column("text"), groups)
        rows, words = len(batch), hits.text_words
        found = np.bincount(hits.rows, minlength=rows)
        entries = np.bincount(_firsts(hits), minlength=rows)
        share = np.bincount(hits.rows, weights=hits.words, minlength=rows) / np.maximum(words, 1)
        flagged = (share >= self.minimum_share) & (entries >= self.minimum_entries)
        absent = words == 0
        columns = {
            "hits": pa.array(found.astype(np.int32), pa.int32(), mask=absent),
            "entries": pa.array(entries.astype(np.int32), pa.int32(), mask=absent),
            "word_share": pa.array(share.astype(np.float32), pa.float32(), mask=absent),
            "flagged": pa.array(flagged, pa.bool_(), mask=absent),
        }
        reasons = _reasons(labels, groups, np.flatnonzero(absent))
        return ScreenResult(columns, _findings(hits, known), reasons)


def _firsts(hits: Hits) -> npt.NDArray[np.int64]:
    """The row of each different entry of each row."""
    pairs = np.unique(np.stack([hits.rows, hits.terms]), axis=1)
    rows: npt.NDArray[np.int64] = pairs[0]
    return rows


def _findings(hits: Hits, known: Lexicon) -> pa.Table:
    """Long table of the first hits of each row; hits come by row and start."""
    first = np.searchsorted(hits.rows, hits.rows, side="left")
    kept = np.arange(len(hits.rows)) - first < _MOST_FINDINGS
    n = int(kept.sum())
    terms = pa.array(hits.terms[kept])
    return pa.table(
        {
            "row": hits.rows[kept].astype(np.int32),
            "kind": known.kinds.take(terms),
            "start": hits.starts[kept].astype(np.int32),
            "end": hits.ends[kept].astype(np.int32),
            "score": pa.nulls(n, pa.float32()),
            "severity": pa.array(["low"] * n, pa.string()),
            "preview": known.previews.take(terms),
            "value_hash": pa.nulls(n, pa.string()),
        },
        schema=FINDING_SCHEMA,
    )


def _reasons(labels: pa.Array, groups: npt.NDArray[np.int8], rows: npt.NDArray[np.int64]) -> dict[int, str]:
    """Why documents were not evaluated; only they are looped over."""
    reasons = {}
    for row, label in zip(rows.tolist(), labels.take(pa.array(rows)).to_pylist(), strict=True):
        if label is None:
            reasons[row] = "skipped: language not evaluated"
        elif groups[row] < 0:
            reasons[row] = f"skipped: no word list for language {label}"
        else:
            reasons[row] = "skipped: no words"
    return reasons
