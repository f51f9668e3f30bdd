"""SQL of the views over the parts, by which a run answers questions.

Everything joins on (shard, position): ids are for people, and may be renamed where they repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit import canary_check
from audit.canary_check import FAMILY as CANARIES
from audit.cluster_report import FAMILY as COMPARISONS
from audit.dimensions import REPORTED
from audit.facts import FAMILY as DOCUMENTS
from audit.resolving import FAMILY as DUPLICATES
from audit.resolving import MATCHES, RESOLVED
from audit.slicing import CELLS, FINDING_CELLS, SLICES
from audit.tasks import REJECTS
from audit.totals import FAMILY as TOTALS

_DIMENSIONS = dict.fromkeys(REPORTED, "VARCHAR")

#: View -> family of parts and the columns of an empty one.
BASE = {
    "base_documents": (
        DOCUMENTS,
        {
            "shard": "VARCHAR",
            "position": "BIGINT",
            "doc_id": "VARCHAR",
            "url": "VARCHAR",
            "domain": "VARCHAR",
            "source": "VARCHAR",
            "timestamp": "TIMESTAMP",
            "declared_language": "VARCHAR",
            "n_chars": "BIGINT",
            "n_words": "BIGINT",
            "n_tokens": "BIGINT",
            "text_digest": "BLOB",
        },
    ),
    "rejects": (
        REJECTS,
        {"shard": "VARCHAR", "position": "BIGINT", "reason": "VARCHAR", "detail": "VARCHAR"},
    ),
    "slices": (SLICES, {"shard": "VARCHAR", "position": "BIGINT", **_DIMENSIONS}),
    "canaries": (
        CANARIES,
        {name: "BOOLEAN" if name == "control" else "VARCHAR" for name in canary_check.SCHEMA.names},
    ),
    "cells": (CELLS, {**_DIMENSIONS, "documents": "BIGINT", "tokens": "BIGINT"}),
    "finding_cells": (
        FINDING_CELLS,
        {
            "screen": "VARCHAR",
            "kind": "VARCHAR",
            "severity": "VARCHAR",
            **_DIMENSIONS,
            "findings": "BIGINT",
            "documents": "BIGINT",
        },
    ),
    "duplicate_members": (
        DUPLICATES,
        {
            "screen": "VARCHAR",
            "shard": "VARCHAR",
            "position": "BIGINT",
            "cluster_id": "VARCHAR",
            "representative_shard": "VARCHAR",
            "representative_position": "BIGINT",
            "jaccard": "REAL",
            "exact": "BOOLEAN",
            "diameter": "REAL",
        },
    ),
    "reference_members": (
        MATCHES,
        {
            "shard": "VARCHAR",
            "position": "BIGINT",
            "reference": "VARCHAR",
            "reference_shard": "VARCHAR",
            "reference_position": "BIGINT",
            "jaccard": "REAL",
            "exact": "BOOLEAN",
        },
    ),
    "cluster_comparisons": (
        COMPARISONS,
        {
            "cluster_id": "VARCHAR",
            "nature": "VARCHAR",
            "nature_reason": "VARCHAR",
            "representative_shard": "VARCHAR",
            "representative_position": "BIGINT",
            "member_shard": "VARCHAR",
            "member_position": "BIGINT",
            "jaccard": "REAL",
            "reason": "VARCHAR",
            "hunks": "STRUCT(before VARCHAR, removed VARCHAR, added VARCHAR, after VARCHAR)[]",
            "left_out": "INTEGER",
            "complete": "BOOLEAN",
        },
    ),
}

FINDING = {
    "doc_id": "VARCHAR",
    "screen": "VARCHAR",
    "kind": "VARCHAR",
    "start": "INTEGER",
    '"end"': "INTEGER",
    "score": "REAL",
    "severity": "VARCHAR",
    "preview": "VARCHAR",
    "value_hash": "VARCHAR",
    "shard": "VARCHAR",
    "position": "BIGINT",
}


def parts(family: str) -> str:
    """The view over the rows of a family's parts, in the schema ``parts``."""
    return f'parts."{family}"'


def bind(family: str, paths: Sequence[str]) -> str:
    """The view over a family's files, which the index of parts lists by path relative to the run."""
    listed = ", ".join(f"'{path}'" for path in paths)
    return f"CREATE VIEW {parts(family)} AS SELECT * FROM read_parquet([{listed}])"


def cell_counts(*, standing: bool) -> str:
    """The corpus by cell: the sum of all shards' cells."""
    source = f"SELECT * FROM {parts(TOTALS)}" if standing else empty(BASE["cells"][1])
    return f"CREATE TABLE cell_counts AS {source}"


def base(name: str, *, standing: bool) -> str:
    """A view over a family's parts, or an empty one of the same columns where no part stands."""
    family, columns = BASE[name]
    listed = ", ".join(columns) if family == CANARIES else "*"
    source = f"SELECT {listed} FROM {parts(family)}" if standing else empty(columns)
    return f"CREATE VIEW {name} AS {source}"


def documents(
    screens: Sequence[tuple[str, Sequence[str]]],
    resolved: Sequence[tuple[str, Sequence[str]]],
    *,
    renamed: bool,
) -> str:
    """One row a document: facts, dimensions, and every measure of the screens (name, measures).

    ``resolved`` are those whose measures the second, corpus-wide stage gave.
    """
    joins = [f"JOIN {parts(name)} AS {name} USING (shard, position)" for name, _ in screens]
    joins += [f"LEFT JOIN {parts(name + RESOLVED)} AS {name} USING (shard, position)" for name, _ in resolved]
    measures = [f"{name}.{name}_{measure}" for name, ms in (*screens, *resolved) for measure in ms]
    if any(name == "language" for name, _ in screens):
        language = ["language.language_label AS language"]
    else:
        language = ["base.declared_language AS language", "NULL::REAL AS language_score"]
    columns = [
        f"{_id('base', renamed)} AS doc_id",
        "shard",
        "position",
        *(f"base.{name}" for name in ("url", "domain", "source", "timestamp")),
        *language,
        "base.declared_language",
        "slices.domain_class",
        "slices.period",
        *(f"base.{name}" for name in ("n_chars", "n_words", "n_tokens")),
        "lower(hex(base.text_digest)) AS text_digest",
        *measures,
    ]
    return f"""CREATE VIEW documents AS SELECT {", ".join(columns)}
        FROM base_documents AS base JOIN slices USING (shard, position) {" ".join(joins)}
        {_renames("base") if renamed else ""}"""


def findings(screens: Iterable[str], *, renamed: bool) -> str:
    """One row a finding."""
    hit = ", ".join(f"hit.{name}" for name in list(FINDING)[2:-2])
    selects = [
        f"""SELECT {_id("base", renamed)} AS doc_id, '{name}' AS screen, {hit}, base.shard, base.position
        FROM (SELECT shard, position, unnest(findings) AS hit FROM {parts(name)}) AS found
        JOIN base_documents AS base ON base.shard = found.shard AND base.position = found.position
        {_renames("base") if renamed else ""}"""
        for name in screens
    ]
    return "CREATE VIEW findings AS " + " UNION ALL ".join(selects or [empty(FINDING)])


#: One row a distinct personal value, told by its keyed hash: how often it occurs, and in how many documents.
#: ``domains`` tells a site's own contact (one domain, many documents) from a person who is written about.
SUBJECTS = """CREATE VIEW subjects AS
    SELECT findings.screen, findings.kind, findings.value_hash, count(*) AS findings,
        count(DISTINCT (findings.shard, findings.position)) AS documents,
        count(DISTINCT base.domain) AS domains
    FROM findings JOIN base_documents AS base USING (shard, position)
    WHERE findings.value_hash IS NOT NULL
    GROUP BY ALL"""


def duplicates(screen: str | None, *, renamed: bool) -> str:
    """One row a member of a cluster, as the given screen found them."""
    return f"""CREATE VIEW duplicates AS
        SELECT {_id("member", renamed)} AS doc_id, found.cluster_id, {_id("head", renamed)} AS representative,
            found.jaccard, found.exact, found.diameter, found.shard, found.position,
            found.shard = found.representative_shard
                AND found.position = found.representative_position AS is_representative
        FROM duplicate_members AS found
        JOIN base_documents AS member ON member.shard = found.shard AND member.position = found.position
        JOIN base_documents AS head
            ON head.shard = found.representative_shard AND head.position = found.representative_position
        {_renames("member") + _renames("head") if renamed else ""}
        WHERE found.screen = '{screen or ""}'"""


def reference_matches(*, renamed: bool) -> str:
    """One row a document and reference that holds it, or one like it."""
    return f"""CREATE VIEW reference_matches AS
        SELECT {_id("member", renamed)} AS doc_id, found.reference, found.jaccard, found.exact,
            found.shard, found.position, found.reference_shard, found.reference_position
        FROM reference_members AS found
        JOIN base_documents AS member ON member.shard = found.shard AND member.position = found.position
        {_renames("member") if renamed else ""}"""


def _id(table: str, renamed: bool) -> str:
    return f"coalesce({table}_renamed.doc_id, {table}.doc_id)" if renamed else f"{table}.doc_id"


def _renames(table: str) -> str:
    return f""" LEFT JOIN renamed_documents AS {table}_renamed
        ON {table}_renamed.shard = {table}.shard AND {table}_renamed.position = {table}.position """


def empty(columns: dict[str, str]) -> str:
    """A table of these columns without rows."""
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns.items())} WHERE false"
