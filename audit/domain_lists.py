"""Lists of domains and addresses by category, compiled to sorted hashes.

The form is that of the UT1 blacklists: an entry a line, a domain (``example.com``) or the beginning of an
address (``example.com/some/page``). The category is the file's name up to its first dot (``adult.domains``)
or, of files named ``domains`` and ``urls``, that of their folder (``adult/domains``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from audit import domains
from audit.errors import ConfigurationError
from audit.kernels.hashing import PUBLIC_KEY, siphash64
from audit.list_files import Version, read_file, read_packaged, versions

PACKAGED = "ut1.json.gz"
#: Parents of a host and segments of a path that are looked up.
_DEEPEST = 6
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_WHOLE_FOLDER = ("domains", "urls")
_SCHEME = r"(?i)^\s*(?:[a-z][a-z0-9+.\-]*:)?//(?:[^/?#@\s]*@)?"
#: Where a configuration names such files.
KEY = "screens.listed_domains.lists"
_REMEDY = "See `audit screens listed_domains` for the form of a list"


@dataclass(frozen=True, eq=False)
class DomainList:
    """Entries of all categories.

    Attributes:
        categories: Names; the first that holds an address is its category.
        keys: uint64, sorted: SipHash of each entry.
        category_of: int16: number of each entry's category.
        with_paths: uint64, sorted: the hosts of which pages are listed, not the whole.
    """

    categories: tuple[str, ...]
    keys: npt.NDArray[np.uint64]
    category_of: npt.NDArray[np.int16]
    with_paths: npt.NDArray[np.uint64]

    def classify(self, urls: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
        """Category of each address, null where none lists it, and whether it has a host at all.

        The host, its parents and the page are looked up; the longest entry wins.
        """
        names = domains.hosts(urls)
        encoded = names.dictionary_encode()
        by_host = self._by_host(encoded.dictionary)
        has_host = np.asarray(names.is_valid())
        indices = np.asarray(pc.fill_null(encoded.indices, 0))
        found = np.full(len(urls), -1, np.int16)
        if len(by_host):
            found[has_host] = by_host[indices[has_host]]
            paged = np.isin(siphash64(encoded.dictionary, PUBLIC_KEY), self.with_paths)
            rows = np.flatnonzero(has_host & paged[indices])
            pages = self._by_page(names.take(pa.array(rows)), urls.take(pa.array(rows)))
            found[rows] = np.where(pages >= 0, pages, found[rows])
        categories = pa.array(self.categories, pa.string())
        return categories.take(pa.array(found, mask=found < 0)), has_host

    def _look_up(self, names: pa.Array) -> npt.NDArray[np.int16]:
        hashes = siphash64(names, PUBLIC_KEY)
        places = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        return np.where(self.keys[places] == hashes, self.category_of[places], np.int16(-1))

    def _by_host(self, names: pa.Array) -> npt.NDArray[np.int16]:
        found = np.full(len(names), -1, np.int16)
        for _ in range(_DEEPEST):
            found = np.where(found >= 0, found, self._look_up(names))
            names = pc.replace_substring_regex(names, r"^[^.]*\.", "")
        return found

    def _by_page(self, names: pa.Array, urls: pa.Array) -> npt.NDArray[np.int16]:
        """Category of the longest listed beginning of each address."""
        rest = pc.replace_substring_regex(pc.replace_substring_regex(urls, _SCHEME, ""), r"^[^/?#]*", "")
        pages = pc.binary_join_element_wise(names, pc.utf8_lower(rest), "")
        found = self._look_up(pages)
        pages = pc.utf8_rtrim(pc.replace_substring_regex(pages, r"[?#].*$", ""), "/")
        for _ in range(_DEEPEST):
            found = np.where(found >= 0, found, self._look_up(pages))
            pages = pc.replace_substring_regex(pages, r"/[^/]*$", "")
        return found


def compiled(lists: Sequence[tuple[str, Sequence[str]]]) -> DomainList:
    """Compile (category, entries) pairs; an entry of two categories belongs to the first."""
    categories = tuple(dict.fromkeys(category for category, _ in lists))
    entries = pa.array([normalised(entry) for _, listed in lists for entry in listed], pa.string())
    numbers = [categories.index(category) for category, listed in lists for _ in listed]
    hashes, first = np.unique(siphash64(entries, PUBLIC_KEY), return_index=True)
    paths = pc.match_substring(entries, "/")
    hosts = pc.replace_substring_regex(entries.filter(paths), r"/.*$", "")
    return DomainList(
        categories,
        hashes,
        np.array(numbers, np.int16)[first],
        np.unique(siphash64(hosts, PUBLIC_KEY)),
    )


def normalised(entry: str) -> str:
    """An entry as it is compared: lower case, without scheme, ``www.``, port, and slash at the end."""
    bare = re.sub(_SCHEME, "", entry.strip().lower())
    bare = re.sub(r"^www\.(?=.)", "", bare)
    return re.sub(r"^([^/?#:]*):\d+", r"\1", bare).rstrip("/").rstrip(".")


def domain_list(files: tuple[str, ...], packaged: bool) -> DomainList:
    """The lists of some files and, where wanted, of the package; compiled once a process.

    Raises:
        ConfigurationError: A file cannot be read or has no category, or there is nothing to look for.
    """
    return _domain_list(versions(files, KEY), packaged)


@lru_cache(maxsize=4)
def _domain_list(files: tuple[Version, ...], packaged: bool) -> DomainList:
    lists = [read_list(file) for file, _, _ in files]
    if packaged:
        lists.append(("adult", domains.bundled().classes["adult"].hosts))
        lists += [(row["category"], row["entries"]) for row in read_packaged(PACKAGED)]
    if not any(entries for _, entries in lists):
        raise ConfigurationError("there is no list to look for", key=KEY, remedy="Name one")
    return compiled(lists)


def read_list(file: str) -> tuple[str, Sequence[str]]:
    """Category and entries of a file.

    Raises:
        ConfigurationError: It cannot be read, or its name gives no category.
    """
    path = Path(file)
    category = path.parent.name if path.name in _WHOLE_FOLDER else path.name.split(".")[0]
    if not _NAME.fullmatch(category):
        message = "the name of a domain list gives no category (adult.txt, or adult/domains)"
        raise ConfigurationError(message, file=file, key=KEY, remedy=_REMEDY)
    lines = (line.strip() for line in read_file(file, KEY).decode("utf-8", "replace").splitlines())
    return category, [line for line in lines if line and not line.startswith("#")]
