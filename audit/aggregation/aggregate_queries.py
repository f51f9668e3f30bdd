"""SQL of the tables that the pass counts: over sums that groups of shards brought, and the corpus by cell.

The tables that it reads are small and lie beside those of the schema:

- ``cell_counts``: the corpus by cell (``audit.totals``)
- ``slice_sums``, ``finding_sums``, ``reject_sums``, ``canary_sums``, ``few_previews``: ``shard_counts``
- ``alarm_domains``, ``most_members``: ``audit.aggregation.largest_sums``
- ``places``: ids of documents by shard and position (``audit.aggregation.id_lookup``)
- ``cluster_comparisons``: ``audit.cluster_report``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.dimensions import REPORTED
from audit.resolving import FAMILY as DUPLICATES
from audit.screens import Screen

#: Losing more than this share of its documents with the copies raises an alarm for a source or a domain …
ALARM_SHARE = 0.5
#: … of at least so many documents: losing a source is worth one at any size.
ALARM_DOCUMENTS = {"source": 1, "domain": 20}
#: Alarms that are kept, for sources and for domains each.
MOST_ALARMS = 1000

_BY = ("all", *REPORTED)

REJECTS = "INSERT INTO reject_counts SELECT shard, reason, documents FROM reject_sums"

CANARIES = """INSERT INTO canary_counts
    SELECT screen, canary, control, expected, sum(shards),
        coalesce(sum(shards) FILTER (outcome = 'passed'), 0),
        max(outcome) FILTER (outcome <> 'passed'),
        list(DISTINCT found ORDER BY found) FILTER (outcome <> 'passed')[:3],
        list(DISTINCT path ORDER BY path)
    FROM canary_sums GROUP BY ALL"""

#: A few masked previews of each kind, so that a reader sees what sort of thing was found.
_PREVIEWS = """INSERT INTO previews
    SELECT screen, kind, list(preview ORDER BY preview) FROM few_previews GROUP BY ALL"""

#: The clusters with most members, and what was found on looking at the very largest.
_CLUSTERS = """INSERT INTO cluster_counts
    SELECT cluster_id, documents, exact, min_jaccard,
        CASE WHEN exact = documents THEN 'copies' ELSE coalesce(nature, 'unknown') END,
        CASE WHEN exact = documents THEN 'all members have the same normalised text'
            ELSE coalesce(nature_reason, 'only the largest clusters are looked at') END
    FROM most_members LEFT JOIN cluster_comparisons USING (cluster_id)"""

CLUSTER_DIFFS = """INSERT INTO cluster_diffs
    SELECT cluster_id, head.doc_id, member.doc_id, found.jaccard, reason, to_json(hunks), left_out, complete
    FROM cluster_comparisons AS found
    JOIN places AS head
        ON head.shard = found.representative_shard AND head.position = found.representative_position
    JOIN places AS member ON member.shard = found.member_shard AND member.position = found.member_position"""

#: The most repeated paragraphs, from a table ``examples``.
PARAGRAPHS = """INSERT INTO repeated_paragraphs
    SELECT hash, documents, bytes, doc_id FROM examples JOIN places USING (shard, position)"""

_DOMAIN_ALARMS = """INSERT INTO duplicate_alarms
    SELECT 'domain', value, documents, copies, tokens, copied_tokens FROM alarm_domains"""

_SOURCE_ALARMS = f"""INSERT INTO duplicate_alarms
    SELECT dimension, value, documents, flagged, tokens, flagged_tokens FROM slice_counts
    WHERE screen = '{DUPLICATES}' AND dimension = 'source'
        AND flagged > {ALARM_SHARE} * documents AND documents >= {ALARM_DOCUMENTS["source"]}
    ORDER BY flagged DESC, value LIMIT {MOST_ALARMS}"""


def counting(screens: Sequence[Screen], duplicates: str | None, *, paragraphs: bool) -> Iterator[str]:
    """Statements that fill the tables of a corpus that has documents.

    Args:
        screens: Of the run.
        duplicates: The screen whose clusters are the run's.
        paragraphs: Whether repeated paragraphs were looked for.
    """
    for dimension in _BY:
        yield from (_flagged(screen.name, dimension) for screen in screens if "flagged" in screen.measures)
        if duplicates is not None:
            yield _copies(duplicates, dimension)
        yield _findings(dimension)
        if paragraphs:
            yield _paragraphs(dimension)
    yield from (_CLUSTERS, _PREVIEWS, _SOURCE_ALARMS, _DOMAIN_ALARMS)


def _flagged(screen: str, dimension: str) -> str:
    """Additive counts of what a screen flagged, by one dimension."""
    return f"""INSERT INTO slice_counts
        SELECT '{dimension}', {_value(dimension)}, '{screen}', sum(documents), sum(tokens),
            sum({screen}_evaluated), sum({screen}_flagged),
            sum({screen}_evaluated_tokens), sum({screen}_flagged_tokens)
        FROM cell_counts GROUP BY ALL"""


def _copies(screen: str, dimension: str) -> str:
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
            SELECT {value} AS value, sum(copies) AS documents, sum(copied_tokens) AS tokens
            FROM slice_sums GROUP BY ALL)
        SELECT '{dimension}', whole.value, '{DUPLICATES}', whole.documents, whole.tokens, whole.evaluated,
            coalesce(copies.documents, 0), whole.evaluated_tokens, coalesce(copies.tokens, 0)
        FROM whole LEFT JOIN copies USING (value)"""


def _findings(dimension: str) -> str:
    """Additive counts of findings, by one dimension."""
    return f"""INSERT INTO finding_counts
        SELECT screen, kind, severity, '{dimension}', {_value(dimension)}, sum(findings), sum(documents)
        FROM finding_sums GROUP BY ALL"""


def _paragraphs(dimension: str) -> str:
    """Bytes in repeated paragraphs, by one dimension."""
    return f"""INSERT INTO paragraph_counts
        SELECT '{dimension}', {_value(dimension)}, sum(documents), sum(evaluated), sum(bytes),
            sum(evaluated_bytes), sum(repeated_bytes)
        FROM slice_sums GROUP BY ALL"""


def _value(dimension: str) -> str:
    return "'all'" if dimension == "all" else dimension
