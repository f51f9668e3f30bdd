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

#: Losing more than this share of its documents with the copies raises an alarm for a source or a domain …
ALARM_SHARE = 0.5
#: … of at least so many documents: losing a source is worth one at any size.
ALARM_DOCUMENTS = {"source": 1, "domain": 20}

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


def count_flagged(screen: str, dimension: str) -> str:
    """Additive counts of what a screen flagged, by one dimension."""
    return f"""INSERT INTO slice_counts
        SELECT '{dimension}', {_value(dimension)}, '{screen}', sum(documents), sum(tokens),
            sum({screen}_evaluated), sum({screen}_flagged),
            sum({screen}_evaluated_tokens), sum({screen}_flagged_tokens)
        FROM cell_counts GROUP BY ALL ORDER BY ALL"""


def count_copies(screen: str, dimension: str) -> str:
    """Removable copies (members that do not represent their cluster), by one dimension.

    Documents that the screen gave no sketch of were not evaluated, and may be copies.
    """
    value = _value(dimension)
    return f"""INSERT INTO slice_counts
        WITH whole AS (
            SELECT {value} AS value, sum(documents) AS documents, sum(tokens) AS tokens,
                sum({screen}_evaluated) AS evaluated, sum({screen}_evaluated_tokens) AS evaluated_tokens
            FROM cell_counts GROUP BY ALL),
        copies AS (
            SELECT {_value(dimension, "slices.")} AS value, count(*) AS documents, sum(n_tokens) AS tokens
            FROM duplicates JOIN slices USING (shard, position)
            JOIN base_documents USING (shard, position)
            WHERE NOT is_representative GROUP BY ALL)
        SELECT '{dimension}', whole.value, '{DUPLICATES}', whole.documents, whole.tokens, whole.evaluated,
            coalesce(copies.documents, 0), whole.evaluated_tokens, coalesce(copies.tokens, 0)
        FROM whole LEFT JOIN copies USING (value) ORDER BY ALL"""


def count_findings(dimension: str) -> str:
    """Additive counts of findings, by one dimension."""
    return f"""INSERT INTO finding_counts
        SELECT screen, kind, severity, '{dimension}', {_value(dimension)}, sum(findings), sum(documents)
        FROM finding_cells GROUP BY ALL ORDER BY ALL"""


def largest_clusters(count: int) -> str:
    """The clusters with most members, and what was found on looking at the very largest."""
    return f"""INSERT INTO cluster_counts
        WITH largest AS (
            SELECT cluster_id, count(*) AS documents, count(*) FILTER (exact) AS exact,
                min(jaccard) AS min_jaccard
            FROM duplicates GROUP BY cluster_id ORDER BY documents DESC, cluster_id LIMIT {count})
        SELECT cluster_id, documents, exact, min_jaccard,
            CASE WHEN exact = documents THEN 'copies' ELSE coalesce(nature, 'unknown') END,
            CASE WHEN exact = documents THEN 'all members have the same normalised text'
                ELSE coalesce(nature_reason, 'only the largest clusters are looked at') END
        FROM largest LEFT JOIN cluster_comparisons USING (cluster_id)
        ORDER BY documents DESC, cluster_id"""


CLUSTER_DIFFS = """INSERT INTO cluster_diffs
    SELECT cluster_id, head.doc_id, member.doc_id, found.jaccard, reason, to_json(hunks), left_out, complete
    FROM cluster_comparisons AS found
    JOIN documents AS head
        ON head.shard = found.representative_shard AND head.position = found.representative_position
    JOIN documents AS member ON member.shard = found.member_shard AND member.position = found.member_position
    ORDER BY cluster_id"""


#: Some members of the largest clusters.
CLUSTER_MEMBERS = """INSERT INTO cluster_members
    SELECT cluster_id, doc_id FROM duplicates SEMI JOIN cluster_counts USING (cluster_id)
    QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY doc_id) <= {count}
    ORDER BY ALL"""

COUNT_REJECTS = """INSERT INTO reject_counts
    SELECT shard, reason, count(*) FROM rejects GROUP BY ALL ORDER BY ALL"""

#: A few masked previews of each kind, so that a reader sees what sort of thing was found.
PREVIEWS = """INSERT INTO previews
    WITH found AS (SELECT DISTINCT screen, kind, preview FROM findings WHERE preview IS NOT NULL)
    SELECT screen, kind, list(preview ORDER BY preview) FROM found
    SEMI JOIN (
        SELECT * FROM found
        QUALIFY row_number() OVER (PARTITION BY screen, kind ORDER BY preview) <= {count}
    ) AS few USING (screen, kind, preview)
    GROUP BY ALL ORDER BY ALL"""

#: Documents of a table ``judged`` (doc_id, text_digest) that the corpus holds.
JUDGED = """INSERT INTO judged_documents
    WITH known AS (
        SELECT coalesce(renamed.doc_id, base.doc_id) AS doc_id, lower(hex(text_digest)) AS text_digest
        FROM base_documents AS base LEFT JOIN renamed_documents AS renamed USING (shard, position))
    SELECT DISTINCT doc_id, text_digest FROM known SEMI JOIN judged USING (doc_id, text_digest)
    ORDER BY ALL"""

COUNT_CANARIES = """INSERT INTO canary_counts
    SELECT screen, canary, control, expected, count(*), count(*) FILTER (outcome = 'passed'),
        max(outcome) FILTER (outcome <> 'passed'),
        list(DISTINCT found ORDER BY found) FILTER (outcome <> 'passed')[:3],
        list(DISTINCT path ORDER BY path)
    FROM canaries GROUP BY ALL ORDER BY ALL"""


def alarms(dimension: str, most: int) -> str:
    """Values of a dimension of ``ALARM_DOCUMENTS`` that would go with the copies, the largest first."""
    value = "slices.source" if dimension == "source" else "base.domain"
    return f"""INSERT INTO duplicate_alarms
        WITH copies AS (SELECT shard, position, true AS copy FROM duplicates WHERE NOT is_representative),
        counted AS (
            SELECT {value} AS value, count(*) AS documents, count(copy) AS copies,
                sum(n_tokens) AS tokens, coalesce(sum(n_tokens) FILTER (copy), 0) AS copied_tokens
            FROM base_documents AS base JOIN slices USING (shard, position)
            LEFT JOIN copies USING (shard, position)
            WHERE {value} IS NOT NULL GROUP BY ALL)
        SELECT '{dimension}', * FROM counted
        WHERE copies > {ALARM_SHARE} * documents AND documents >= {ALARM_DOCUMENTS[dimension]}
        ORDER BY copies DESC, value LIMIT {most}"""


def count_paragraphs(screen: str, dimension: str) -> str:
    """Bytes in repeated paragraphs, by one dimension; a document's bytes are at most 4 a character."""
    return f"""INSERT INTO paragraph_counts
        SELECT '{dimension}', {_value(dimension, "slices.")}, count(*), count({screen}_text_bytes),
            sum(coalesce({screen}_text_bytes, 4 * n_chars)), coalesce(sum({screen}_text_bytes), 0),
            coalesce(sum({screen}_bytes), 0)
        FROM base_documents JOIN slices USING (shard, position)
        LEFT JOIN {parts(screen + RESOLVED)} USING (shard, position) GROUP BY ALL ORDER BY ALL"""


def _value(dimension: str, table: str = "") -> str:
    return "'all'" if dimension == "all" else f"{table}{dimension}"


def _id(table: str, renamed: bool) -> str:
    return f"coalesce({table}_renamed.doc_id, {table}.doc_id)" if renamed else f"{table}.doc_id"


def _renames(table: str) -> str:
    return f""" LEFT JOIN renamed_documents AS {table}_renamed
        ON {table}_renamed.shard = {table}.shard AND {table}_renamed.position = {table}.position """


def empty(columns: dict[str, str]) -> str:
    """A table of these columns without rows."""
    return f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns.items())} WHERE false"
