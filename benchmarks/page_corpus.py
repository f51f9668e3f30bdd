"""A corpus of any size from some thousand real pages: tiled, with words changed so that no copy repeats.

Pages are all of ``web_docs.parquet``, every eighth mail of SpamAssassin in ``pii.parquet`` and every
twentieth comment of ``toxicity.parquet``: 11,143 documents of 2,000 bytes on average in eleven languages. A
round holds each of them once. In round n a third of the words of four letters and more that stand between
spaces are replaced by words of as many bytes of the same language, drawn as often as they occur: of five
words in a row few stay as they were, so that two rounds of one page are no near duplicates. Addresses,
numbers, line breaks and lengths stay as they are. Which words, and by which, follows from page, round and
place: a round is the same wherever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip
from numba import njit

from audit.kernels.buffers import Bytes, Offsets, string_buffers

U = np.uint64
LEAST, MOST = 4, 24  # bytes of the words that are replaced
#: Text of a corpus that has every kernel compiled, those of large corpora, too: some 50,000 documents.
WARM_UP_BYTES = 100_000_000


@dataclass(frozen=True)
class Pages:
    """Real documents, and their words by language and length.

    Attributes:
        texts: n texts.
        rows: id, url, timestamp and source of each.
        words: All words of ``LEAST`` to ``MOST`` bytes, one after another, by language and length.
        tables: int64 (languages, MOST + 2): where the words of a language and length begin in ``words``.
        language: Of each text, as an index into ``tables``.
    """

    texts: pa.Array
    rows: list[dict[str, str | None]]
    words: Bytes
    tables: npt.NDArray[np.int64]
    language: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """Bytes of the texts of one round."""
        return int(pc.sum(pc.binary_length(self.texts)).as_py())


def load(data: Path) -> Pages:
    """Read the pages of a data folder."""
    web = pq.read_table(
        data / "web_docs.parquet", columns=["doc_id", "url", "date", "source", "lang", "text"]
    )
    mails = pq.read_table(data / "pii.parquet", columns=["id", "dataset", "lang", "text"])
    mails = mails.filter(pc.equal(mails["dataset"], "spamassassin"))
    comments = pq.read_table(data / "toxicity.parquet", columns=["id", "dataset", "lang", "text"])
    tables = [
        web.rename_columns(["id", "url", "timestamp", "source", "lang", "text"]),
        _every(mails, 8),
        _every(comments, 20),
    ]
    pages = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    texts = pages["text"].combine_chunks().cast(pa.string())
    language = pc.fill_null(pages["lang"], "en").combine_chunks().dictionary_encode()
    codes = language.indices.to_numpy().astype(np.int64)
    words, bounds = _vocabulary(texts, codes, len(language.dictionary))
    return Pages(texts, pages.drop(["text", "lang"]).to_pylist(), words, bounds, codes)


def _every(table: pa.Table, step: int) -> pa.Table:
    return table.take(pa.array(range(0, len(table), step))).rename_columns(["id", "source", "lang", "text"])


def _vocabulary(
    texts: pa.Array, language: npt.NDArray[np.int64], languages: int
) -> tuple[Bytes, npt.NDArray[np.int64]]:
    data, offsets = string_buffers(texts)
    counts = np.zeros((languages, MOST + 2), np.int64)
    _count(data, offsets, language, counts)
    sizes = counts * np.arange(MOST + 2)
    ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
    words = np.empty(int(ends[-1, -1]), np.uint8)
    _collect(data, offsets, language, ends - sizes, words)
    return words, ends - sizes


@njit(nogil=True, cache=True)
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 97 <= (byte | 0x20) <= 122


@njit(nogil=True, cache=True)
def _word(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Return start and end of the next word between spaces, from a place after one; (stop, stop): none."""
    while at < stop:
        while at < stop and data[at] <= 0x20:
            at += 1
        start = at
        while at < stop and _is_letter(int(data[at])):
            at += 1
        end = at
        while at < stop and data[at] > 0x20:
            at += 1
        # One mark may close it.
        if end - start >= 4 and end - start <= 24 and at - end <= 1:
            return start, end
    return stop, stop


@njit(nogil=True, cache=True)
def _count(
    data: Bytes, offsets: Offsets, language: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> None:
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while True:
            start, at = _word(data, at, stop)
            if start == stop:
                break
            counts[language[row], at - start] += 1


@njit(nogil=True, cache=True)
def _collect(
    data: Bytes, offsets: Offsets, language: npt.NDArray[np.int64], begin: npt.NDArray[np.int64], words: Bytes
) -> None:
    place = begin.copy()
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while True:
            start, at = _word(data, at, stop)
            if start == stop:
                break
            size = at - start
            to = place[language[row], size]
            words[to : to + size] = data[start:at]
            place[language[row], size] += size


@njit(nogil=True, cache=True)
def _mixed(x: U) -> U:
    x = (x ^ (x >> U(30))) * U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U(27))) * U(0x94D049BB133111EB)
    return x ^ (x >> U(31))


@njit(nogil=True, cache=True)
def _perturb(
    data: Bytes,
    offsets: Offsets,
    language: npt.NDArray[np.int64],
    words: Bytes,
    tables: npt.NDArray[np.int64],
    number: int,
    out: Bytes,
) -> None:
    out[:] = data
    if number == 0:
        return
    flat = tables.ravel()
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        seed = _mixed(U(number) * U(0x9E3779B97F4A7C15) + U(row))
        while True:
            start, at = _word(data, at, stop)
            if start == stop:
                break
            draw = _mixed(seed + U(start) * U(0x9E3779B97F4A7C15))
            if draw % U(3):
                continue
            size = at - start
            cell = language[row] * tables.shape[1] + size
            last = flat[cell + 1] if cell + 1 < len(flat) else len(words)
            chosen = flat[cell] + size * np.int64((draw >> U(8)) % U((last - flat[cell]) // size))
            out[start:at] = words[chosen : chosen + size]


def perturbed(pages: Pages, number: int) -> pa.Array:
    """The texts of a round."""
    data, offsets = string_buffers(pages.texts)
    out = np.empty_like(data)
    _perturb(data, offsets, pages.language, pages.words, pages.tables, number, out)
    bounds = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    return pa.StringArray.from_buffers(len(pages.texts), bounds, pa.py_buffer(out))


def rounds(pages: Pages, size: int) -> Iterator[bytes]:
    """JSON lines of round after round, the last one cut short, of about ``size`` bytes of text."""
    number = 0
    while size > 0:
        texts = perturbed(pages, number)
        lengths = np.cumsum(pc.binary_length(texts).to_numpy())
        kept = int(np.searchsorted(lengths, size, side="left")) + 1
        pairs = zip(pages.rows[:kept], texts.slice(0, kept).to_pylist(), strict=True)
        lines = [orjson.dumps({**row, "id": f"{number}-{row['id']}", "text": text}) for row, text in pairs]
        yield b"\n".join(lines) + b"\n"
        size -= int(lengths[-1])
        number += 1


def write(pages: Pages, size: int, folder: Path, *, rounds_per_file: int = 5) -> list[Path]:
    """Write a corpus of about ``size`` bytes of text as ``.jsonl.gz`` files; returns them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for number, lines in enumerate(rounds(pages, size)):
        if number % rounds_per_file == 0:
            files.append(folder / f"pages-{len(files):04d}.jsonl.gz")
        with files[-1].open("ab") as file:  # a gzip file may have several members
            file.write(igzip.compress(lines, compresslevel=1, mtime=0))
    return files
