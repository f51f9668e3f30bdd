"""Lists of words by language and category, compiled for the search kernel.

A list of one's own is a text file named ``LANGUAGE.CATEGORY.txt`` (``en.hate.txt``; that of ``en.txt`` is
``listed``): an entry a line, UTF-8, ``#`` begins a comment line. Or it is a YAML file of one or more
``{language: en, category: hate, entries: [...]}``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from audit.errors import ConfigurationError
from audit.kernels.term_search import Hits, TermTables, search_terms, term_tables
from audit.kernels.term_words import split_words
from audit.list_files import Version, read_file, read_packaged, versions
from audit.masking import mask

PACKAGED = "ldnoobw.json.gz"
_FILE_NAME = re.compile(r"(?P<language>[a-z]{2,3})(?:\.(?P<category>[a-z][a-z0-9_]*))?\.txt")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
#: Where a configuration names such files.
KEY = "screens.lexicons.lists"
_REMEDY = "See `audit screens lexicons` for the form of a list"


@dataclass(frozen=True)
class WordList:
    """Entries of one language (ISO 639) and category; each is a word or several."""

    language: str
    category: str
    entries: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Word lists, ready to search.

    Attributes:
        languages: ISO 639 codes, sorted; a group of the tables each.
        tables: Of all spellings.
        entry_of: int64: the entry that each spelling belongs to.
        kinds: Kind of finding of each entry (``ADULT_TERM``).
        previews: Masked preview of each entry.
    """

    languages: tuple[str, ...]
    tables: TermTables
    entry_of: npt.NDArray[np.int64]
    kinds: pa.Array
    previews: pa.Array

    def groups(self, labels: pa.Array) -> npt.NDArray[np.int8]:
        """Number of each label's language; -1 where there is no list."""
        found = pc.index_in(labels, value_set=pa.array(self.languages, pa.string()))
        rows: npt.NDArray[np.int32] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)
        return rows.astype(np.int8)

    def search(self, texts: pa.Array, groups: npt.NDArray[np.int8]) -> Hits:
        """Entries in each text of a language with a list; ``terms`` are numbers of entries."""
        hits = search_terms(texts, groups, self.tables)
        return hits._replace(terms=self.entry_of[hits.terms])


def compiled(lists: Sequence[WordList]) -> Lexicon:
    """Compile lists; where two of a language hold an entry, the later one counts.

    An entry with accents is found in both canonical spellings (NFC, NFD).
    """
    languages = tuple(sorted({one.language for one in lists}))
    entries = [(one.language, one.category, entry) for one in lists for entry in one.entries]
    spellings = [
        (number, spelling)
        for number, (_, _, entry) in enumerate(entries)
        for spelling in sorted({unicodedata.normalize(form, entry) for form in ("NFC", "NFD")})
    ]
    groups = np.array([languages.index(entries[number][0]) for number, _ in spellings], np.int64)
    texts = pa.array([spelling for _, spelling in spellings], pa.string())
    kinds = [f"{category.upper()}_TERM" for _, category, _ in entries]
    previews = [mask(entry, kind) for (_, _, entry), kind in zip(entries, kinds, strict=True)]
    return Lexicon(
        languages,
        term_tables(texts, groups, len(languages)),
        np.array([number for number, _ in spellings], np.int64),
        pa.array(kinds, pa.string()),
        pa.array(previews, pa.string()),
    )


def lexicon(files: tuple[str, ...], packaged: bool) -> Lexicon:
    """The lexicon of some files and, where wanted, of the package; compiled once a process.

    Raises:
        ConfigurationError: A file cannot be read or is no list, or there is nothing to search for.
    """
    return _lexicon(versions(files, KEY), packaged)


@lru_cache(maxsize=4)
def _lexicon(files: tuple[Version, ...], packaged: bool) -> Lexicon:
    lists = [*(_packaged() if packaged else ()), *(one for file, _, _ in files for one in read_lists(file))]
    if not any(one.entries for one in lists):
        raise ConfigurationError("there is no list to look for", key=KEY, remedy="Name one")
    if len({one.language for one in lists}) > np.iinfo(np.int8).max:
        raise ConfigurationError("lists of too many languages", key=KEY)
    return compiled(lists)


@cache
def _packaged() -> tuple[WordList, ...]:
    rows = read_packaged(PACKAGED)
    return tuple(WordList(row["language"], row["category"], tuple(row["entries"])) for row in rows)


def read_lists(file: str) -> tuple[WordList, ...]:
    """Read a list of one's own.

    Raises:
        ConfigurationError: It cannot be read, or does not have the form that the module describes.
    """
    path = Path(file)
    text = read_file(file, KEY).decode("utf-8-sig", "replace")
    if "\ufffd" in text:
        raise ConfigurationError("a word list is not UTF-8", file=file, key=KEY, remedy=_REMEDY)
    if path.suffix in (".yaml", ".yml"):
        return _from_yaml(text, file)
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        message = "the name of a word list must be LANGUAGE.CATEGORY.txt, or end in .yaml"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    lines = [line.strip() for line in text.splitlines()]
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    entries = tuple(line for _, line in numbered)
    empty = _without_words(entries)
    if empty is not None:
        message = f"line {numbered[empty][0]} holds no letter or number"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    return (WordList(name["language"], name["category"] or "listed", entries),)


def _from_yaml(text: str, file: str) -> tuple[WordList, ...]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigurationError("not valid YAML", file=file, key=KEY, remedy=_REMEDY) from None
    rows = data if isinstance(data, list) else [data]
    return tuple(_from_mapping(row, number, file) for number, row in enumerate(rows, 1))


def _from_mapping(row: Any, number: int, file: str) -> WordList:
    """A list of a YAML file; messages quote no entry."""
    where = f"list {number}"
    if not isinstance(row, dict) or set(row) - {"language", "category", "entries"}:
        message = f"{where} is not a mapping of language, category and entries"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    language, category, entries = row.get("language"), row.get("category", "listed"), row.get("entries")
    if not _matches(_LANGUAGE, language) or not _matches(_NAME, category):
        message = f"{where} has no language such as en, or no category such as hate"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        message = f"the entries of {where} are not a list of texts (put quotes around them)"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    empty = _without_words(entries)
    if empty is not None:
        message = f"entry {empty + 1} of {where} holds no letter or number"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    return WordList(str(language), str(category), tuple(entries))


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _without_words(entries: Sequence[str]) -> int | None:
    """Number of the first entry that can never be found; None where there is none."""
    _, borders = split_words(pa.array(entries, pa.string()))
    empty = np.flatnonzero(np.diff(borders) == 0)
    return int(empty[0]) if len(empty) else None
