"""The largest clusters of a run, looked at: what two members differ in, and whether it is a template.

Computed while the corpus is at hand and stored with the run (``parts/cluster_diffs``), so that a scorecard
shows it without the corpus. What is stored of a text is masked by the findings of the ``pii`` screen; where
that screen did not look at a document, nothing of its text is stored, and the reason is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from audit import cluster_nature, facts, largest_clusters, workkeys
from audit.cluster_nature import Nature
from audit.duplicates.exchange import Runner, threads
from audit.errors import InputError
from audit.largest_clusters import Cluster, Place
from audit.masking import mask
from audit.resolving import Resolution, StoredSketches
from audit.storage.store import Part
from audit.word_diff import Hunk, Words, hunks

FAMILY = "cluster_diffs"
PII = "pii"

#: Changes that are shown.
HUNKS = 12
#: Characters of a text that are compared.
_CHARACTERS = 200_000
#: A shorter value is masked where it was found, and not looked for elsewhere.
_SHORTEST_VALUE = 4

_HUNK = pa.struct([(field.name, pa.string()) for field in dataclasses.fields(Hunk)])
SCHEMA = pa.schema(
    [
        ("cluster_id", pa.string()),
        ("nature", pa.string()),
        ("nature_reason", pa.string()),
        ("representative_shard", pa.string()),
        ("representative_position", pa.int64()),
        ("member_shard", pa.string()),  # the member that is least like the representative
        ("member_position", pa.int64()),
        ("jaccard", pa.float32()),
        ("reason", pa.string()),  # why there is no difference to show
        ("hunks", pa.list_(_HUNK)),
        ("left_out", pa.int32()),  # changes that are not shown
        ("complete", pa.bool_()),  # whether the texts were compared to their ends
    ]
)


@dataclass(frozen=True)
class _Page:
    """A document as it was screened; ``problem`` says why its text cannot be used, or not be shown."""

    text: str | None
    url: str | None
    problem: str | None
    spans: Sequence[tuple[int, int, str]] | None = None
    silence: str | None = None


@dataclass(frozen=True)
class _Comparison:
    """A task: clusters, and what their members are read from. The texts do not leave the worker."""

    clusters: tuple[Cluster, ...]
    corpus: StoredSketches
    keys: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class _Looked:
    """A row of the part, and why texts could not be read, by place."""

    row: dict[str, Any]
    unread: Mapping[str, str]


def compare(
    resolution: Resolution,
    corpus: StoredSketches,
    keys: Mapping[str, Mapping[str, str]],
    runner: Runner = threads,
) -> Part:
    """Bring the comparison of the largest clusters up to date; returns its part.

    What could not be read is part of the work key, so that the next run tries again.

    Args:
        resolution: The run's duplicate clusters.
        corpus: Gives the texts.
        keys: Shard -> family -> work key of its parts.
        runner: Runs tasks that read the corpus and its parts.
    """
    part = _part(resolution, keys, {})
    if corpus.store.has(part):
        return part
    clusters = largest_clusters.find(corpus.store, resolution.part)
    tasks = [_comparison(some, corpus, keys) for some in _near_each_other(clusters)]
    looked = [each for some in runner(_look_at, tasks) for each in some]
    unread = {place: problem for each in looked for place, problem in each.unread.items()}
    part = _part(resolution, keys, unread)
    if not corpus.store.has(part):
        row_of = {each.row["cluster_id"]: each.row for each in looked}
        rows = [row_of[cluster.cluster_id] for cluster in clusters]
        corpus.store.write(part, pa.Table.from_pylist(rows, SCHEMA), {"clusters": len(rows)})
    return part


def _part(resolution: Resolution, keys: Mapping[str, Mapping[str, str]], unread: Mapping[str, str]) -> Part:
    inputs = [f"{resolution.part.family}:{resolution.part.key}"]
    for shard, families in sorted(keys.items()):
        inputs += [f"{shard}:{name}:{families[name]}" for name in (facts.FAMILY, PII) if name in families]
    key = workkeys.derived_key(FAMILY, __name__, inputs, {"unread": dict(sorted(unread.items()))})
    return Part(FAMILY, resolution.screen, key)


def _near_each_other(clusters: Sequence[Cluster]) -> list[tuple[Cluster, ...]]:
    """Clusters in groups that are read together, lest a shard of a small corpus be read for each of them.

    A cluster joins the first group that reads half of its shards anyway.
    """
    groups: list[tuple[set[str], list[Cluster]]] = []
    for cluster in clusters:
        shards = {shard for shard, _ in _to_read(cluster)}
        near = (some for some in groups if 2 * len(some[0] & shards) >= len(shards))
        known, members = next(near, (set[str](), list[Cluster]()))
        if not members:
            groups.append((known, members))
        known |= shards
        members.append(cluster)
    return [tuple(members) for _, members in groups]


def _to_read(cluster: Cluster) -> tuple[Place, ...]:
    """Places of the texts that are compared: none where they are the same."""
    return () if cluster.same else (cluster.representative, *cluster.members)


def _comparison(
    clusters: tuple[Cluster, ...], corpus: StoredSketches, keys: Mapping[str, Mapping[str, str]]
) -> _Comparison:
    shards = {shard for cluster in clusters for shard, _ in _to_read(cluster)}
    sources = {shard: corpus.sources[shard] for shard in shards}
    store = corpus.store.resolved()
    few = dataclasses.replace(corpus, store=store, parts={}, sources=sources, runner=threads, groups=())
    return _Comparison(clusters, few, {shard: dict(keys[shard]) for shard in shards})


def _look_at(task: _Comparison) -> list[_Looked]:
    places = [place for cluster in task.clusters for place in _to_read(cluster)]
    pages = _pages(task.corpus, task.keys, places)
    return [_looked(cluster, pages) for cluster in task.clusters]


def _looked(cluster: Cluster, pages: Mapping[Place, _Page]) -> _Looked:
    problems = {place: pages[place].problem for place in _to_read(cluster)}
    unread = {f"{shard}:{position}": why for (shard, position), why in problems.items() if why}
    return _Looked(_row(cluster, pages), unread)


def _pages(
    corpus: StoredSketches, keys: Mapping[str, Mapping[str, str]], places: Sequence[Place]
) -> dict[Place, _Page]:
    pages: dict[Place, _Page] = {}
    for shard in sorted({shard for shard, _ in places}):
        positions = sorted({position for where, position in places if where == shard})
        pages |= _read(corpus, keys[shard], shard, positions)
    return pages


def _read(
    corpus: StoredSketches, keys: Mapping[str, str], shard: str, positions: Sequence[int]
) -> Iterator[tuple[Place, _Page]]:
    known = _facts(corpus, Part(facts.FAMILY, shard, keys[facts.FAMILY]), positions)
    findings = _findings(corpus, Part(PII, shard, keys[PII]), positions) if PII in keys else None
    texts: dict[int, str] = {}
    problem = "it is no longer where it was"
    try:
        texts = {position: text for _, position, text in corpus.texts({shard: positions})}
    except InputError as error:
        problem = f"the source cannot be read ({type(error).__name__})"
    for position in positions:
        url, digest = known[position]
        text = texts.get(position)
        trouble = problem if text is None else None
        if text is not None and facts.text_digests(pa.array([text], pa.string()))[0].as_py() != digest:
            text, trouble = None, "the source changed since it was screened"
        spans, silence = _told(findings, position)
        yield (shard, position), _Page(text, url, trouble, spans, silence)


def _facts(
    corpus: StoredSketches, part: Part, positions: Sequence[int]
) -> dict[int, tuple[str | None, bytes]]:
    rows = _select(corpus, part, ("position", "url", "text_digest"), positions)
    return {position: (url, digest) for position, url, digest in rows}


def _findings(corpus: StoredSketches, part: Part, positions: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    rows = _select(corpus, part, ("position", "state", "findings"), positions)
    return {position: tuple(rest) for position, *rest in rows}


def _select(
    corpus: StoredSketches, part: Part, columns: Sequence[str], positions: Sequence[int]
) -> list[tuple[Any, ...]]:
    rows = corpus.store.rows(part, pa.array(positions, pa.int64()), columns)
    return list(zip(*(rows.column(name).to_pylist() for name in columns), strict=True))


def _told(
    findings: Mapping[int, Sequence[Any]] | None, position: int
) -> tuple[list[tuple[int, int, str]] | None, str | None]:
    """Return the spans to mask, or why the text must not be shown."""
    if findings is None:
        return None, "the pii screen did not run, so no text is quoted"
    state, found = findings[position]
    if state is not None:
        return None, "the pii screen did not evaluate one of the documents, so no text is quoted"
    return sorted((hit["start"], hit["end"], hit["kind"]) for hit in found), None


def _row(cluster: Cluster, pages: Mapping[Place, _Page]) -> dict[str, Any]:
    nature, shown = _look(cluster, pages)
    return {
        "cluster_id": cluster.cluster_id,
        "nature": nature.value,
        "nature_reason": nature.reason,
        "representative_shard": cluster.representative[0],
        "representative_position": cluster.representative[1],
        "member_shard": cluster.members[0][0],
        "member_position": cluster.members[0][1],
        "jaccard": cluster.jaccard,
        **shown,
    }


def _look(cluster: Cluster, pages: Mapping[Place, _Page]) -> tuple[Nature, dict[str, Any]]:
    if cluster.same:
        told = "the texts are the same but for case and white space"
        return Nature(cluster_nature.COPIES, "all members have the same normalised text"), _absent(told)
    first = pages[cluster.representative]
    others = [pages[place] for place in cluster.members]
    readable = [page for page in others if page.text is not None]
    if first.text is None or not readable:
        nature = Nature(cluster_nature.UNKNOWN, f"no two texts at hand: {first.problem or others[0].problem}")
    else:
        nature = cluster_nature.judge(_document(first), [_document(page) for page in readable])
    return nature, _difference(first, others[0])


def _document(page: _Page) -> cluster_nature.Document:
    return cluster_nature.Document((page.text or "")[:_CHARACTERS], page.url)


def _difference(left: _Page, right: _Page) -> dict[str, Any]:
    silence = left.problem or right.problem or left.silence or right.silence
    if silence is not None:
        return _absent(silence)
    masked = [Words.of(text) for text in _masked(left, right)]
    shown, left_out, complete = hunks(masked[0], masked[1], HUNKS)
    reason = None if shown else "no change outside of masked values, in what was compared"
    return {
        "reason": reason,
        "hunks": [dataclasses.asdict(hunk) for hunk in shown],
        "left_out": left_out,
        "complete": complete,
    }


def _absent(reason: str) -> dict[str, Any]:
    return {"reason": reason, "hunks": [], "left_out": 0, "complete": True}


def _masked(left: _Page, right: _Page) -> Iterator[str]:
    """Yield both texts with the values found in either one masked in both."""
    values: dict[str, str] = {}
    for page in (left, right):
        text = page.text or ""
        values |= {text[start:end].casefold(): kind for start, end, kind in page.spans or ()}
    known = sorted((v for v in values if len(v.strip()) >= _SHORTEST_VALUE), key=len, reverse=True)
    elsewhere = re.compile("|".join(map(re.escape, known)), re.IGNORECASE) if known else None
    for page in (left, right):
        text = mask_spans((page.text or "")[:_CHARACTERS], page.spans or ())
        if elsewhere is not None:
            text = elsewhere.sub(lambda hit: mask(hit[0], values.get(hit[0].casefold(), "")), text)
        yield text


def mask_spans(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """Mask located values (start, end, kind; sorted by start); spans that overlap are masked as one."""
    pieces: list[str] = []
    at = 0
    merged: list[tuple[int, int, str]] = []
    for start, end, kind in spans:
        if merged and start < merged[-1][1]:
            first, last, other = merged[-1]
            # Of two kinds, the generic mask: it keeps no structure that one of them would hide.
            merged[-1] = first, max(last, end), other if kind == other else ""
        else:
            merged.append((start, end, kind))
    for start, end, kind in merged:
        if start >= len(text):
            break
        pieces += [text[at:start], mask(text[start:end], kind)]
        at = end
    return "".join([*pieces, text[at:]])
