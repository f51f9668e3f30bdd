"""The queries behind the scorecard: additive counts in, bounded rows out, in a stable order."""

from __future__ import annotations

from audit.model import WHOLE

#: Bounds that keep the scorecard small whatever the corpus; totals always stand beside what is cut.
MAX_SLICE_VALUES = 100
MAX_CLUSTERS = 20
MAX_ALARMS = 20
MAX_SHARDS = 20
MAX_REASONS = 100

#: Words that some evaluations carry before their reason; the outcome column says it already.
REASON = "coalesce(nullif(trim(regexp_replace(reason, '^(skipped|failed):', '')), ''), 'no reason recorded')"

UNBALANCED_SCREENS = """
WITH counted AS (
    SELECT shard, screen, sum(evaluated + skipped + failed) AS counted FROM evaluations GROUP BY ALL
), expected AS (
    SELECT shard, screen, documents FROM shards CROSS JOIN
        (SELECT DISTINCT screen FROM evaluations ANTI JOIN probes ON probe = screen)
    UNION ALL
    SELECT shard, probe, count(*) FROM samples CROSS JOIN probes WHERE phase = 'probe' GROUP BY ALL
)
SELECT shard, screen, coalesce(documents, 0), coalesce(counted, 0)
FROM expected FULL JOIN counted USING (shard, screen)
WHERE coalesce(documents, 0) <> coalesce(counted, 0) ORDER BY shard, screen LIMIT 1
"""

UNBALANCED_REJECTS = """
WITH listed AS (SELECT shard, sum(documents) AS listed FROM reject_counts GROUP BY shard)
SELECT shard, coalesce(rejected, 0), coalesce(listed, 0)
FROM shards FULL JOIN listed USING (shard)
WHERE coalesce(rejected, 0) <> coalesce(listed, 0) ORDER BY shard LIMIT 1
"""

UNBALANCED_COUNTS = f"""
SELECT screen, sum(documents), (SELECT coalesce(sum(documents), 0) FROM shards) AS screened
FROM slice_counts WHERE dimension = '{WHOLE}' GROUP BY screen
HAVING sum(documents) <> screened ORDER BY screen LIMIT 1
"""

TOTALS = f"""
SELECT coalesce(sum(documents + rejected), 0) AS documents_in, coalesce(sum(documents), 0) AS screened,
       coalesce(sum(rejected), 0) AS rejected, coalesce(sum(bytes), 0) AS bytes,
       (SELECT max(tokens) FROM slice_counts WHERE dimension = '{WHOLE}') AS tokens
FROM shards
"""

SHARD_STATES = "SELECT status, count(*) AS shards FROM shards GROUP BY status ORDER BY status"

INCOMPLETE_SHARDS = f"""
SELECT shard, uri, status, reason, documents, rejected FROM shards
WHERE status <> 'complete' ORDER BY status, uri, shard LIMIT {MAX_SHARDS}
"""

REJECTS = """
SELECT reason, sum(documents) AS documents FROM reject_counts GROUP BY reason ORDER BY documents DESC, reason
"""

PART_SIZES = "SELECT family, parts, bytes, sketches FROM part_sizes ORDER BY bytes DESC, family"

ESTIMATES = """
SELECT metric, slice, value, low, high, n, confidence, method FROM estimates ORDER BY metric, slice, method
"""

SCREENS = """
SELECT screen, sum(evaluated) AS evaluated, sum(skipped) AS skipped, sum(failed) AS failed
FROM evaluations ANTI JOIN probes ON probe = screen GROUP BY screen ORDER BY screen
"""

PROBES = """
WITH counts AS (
    SELECT screen AS probe, sum(evaluated + skipped + failed) AS documents, sum(evaluated) AS evaluated,
           sum(skipped) AS skipped, sum(failed) AS failed FROM evaluations GROUP BY screen
)
SELECT probe, version, resources, missing, documents_per_second, loading_seconds, memory_bytes,
       coalesce(documents, 0) AS documents, coalesce(evaluated, 0) AS evaluated,
       coalesce(skipped, 0) AS skipped, coalesce(failed, 0) AS failed
FROM probes LEFT JOIN counts USING (probe) ORDER BY probe
"""

#: Screens that say of a document whether it is a hit; ``duplicates`` joins all corpus-wide ones.
FLAGGED = f"""
SELECT screen, evaluated, flagged, evaluated_tokens, flagged_tokens
FROM slice_counts WHERE dimension = '{WHOLE}' ORDER BY screen
"""

#: A screen that fails in a thousand ways is told of by its commonest ones; the sums stay whole.
NOT_EVALUATED = f"""
WITH reasons AS (SELECT screen, {REASON} AS reason, skipped, failed FROM evaluations), outcomes AS (
    SELECT screen, 'skipped' AS outcome, reason, sum(skipped) AS documents FROM reasons GROUP BY ALL
    UNION ALL
    SELECT screen, 'failed', reason, sum(failed) FROM reasons GROUP BY ALL
), ranked AS (
    SELECT *, least(row_number() OVER (PARTITION BY screen, outcome ORDER BY documents DESC, reason),
                    {MAX_REASONS} + 1) AS place
    FROM outcomes WHERE documents > 0
)
SELECT screen, outcome, CASE WHEN place <= {MAX_REASONS} THEN min(reason)
           ELSE format('{{:,}} other reasons', count(*)) END AS reason, sum(documents) AS documents
FROM ranked GROUP BY screen, outcome, place ORDER BY screen, outcome, place
"""

SLICES = f"""
WITH counts AS (
    SELECT dimension, coalesce(value, 'unknown') AS value, screen, sum(documents) AS documents,
           sum(tokens) AS tokens, sum(evaluated) AS evaluated, sum(flagged) AS flagged,
           sum(evaluated_tokens) AS evaluated_tokens, sum(flagged_tokens) AS flagged_tokens
    FROM slice_counts WHERE dimension <> '{WHOLE}' GROUP BY ALL
), sizes AS (
    SELECT dimension, value, max(documents) AS size, max(tokens) AS tokens FROM counts GROUP BY ALL
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY dimension ORDER BY size DESC, value) AS place,
           count(*) OVER (PARTITION BY dimension) AS total
    FROM sizes
)
SELECT dimension, total, value, size, ranked.tokens, screen, evaluated, flagged, evaluated_tokens,
       flagged_tokens
FROM ranked JOIN counts USING (dimension, value)
WHERE place <= {MAX_SLICE_VALUES} ORDER BY dimension, place, screen
"""

FINDING_KINDS = f"""
SELECT screen, kind, severity, sum(findings) AS findings, sum(documents) AS documents
FROM finding_counts WHERE dimension = '{WHOLE}' GROUP BY ALL ORDER BY screen, findings DESC, kind, severity
"""

FINDING_SLICES = f"""
WITH counts AS (
    SELECT dimension, coalesce(value, 'unknown') AS value, screen, kind, sum(findings) AS findings
    FROM finding_counts WHERE dimension <> '{WHOLE}' GROUP BY ALL
)
SELECT dimension, value, screen, kind, findings FROM counts
QUALIFY row_number() OVER (PARTITION BY dimension ORDER BY findings DESC, value, screen, kind)
        <= {MAX_SLICE_VALUES}
ORDER BY dimension, findings DESC, value, screen, kind
"""

CLUSTERS = f"""
SELECT cluster_id, documents, exact, min_jaccard, nature, nature_reason FROM cluster_counts
ORDER BY documents DESC, cluster_id LIMIT {MAX_CLUSTERS}
"""

CLUSTER_MEMBERS = """
SELECT cluster_id, doc_id FROM cluster_members WHERE list_contains($clusters, cluster_id)
ORDER BY cluster_id, doc_id
"""

CLUSTER_DIFFS = """
SELECT cluster_id, representative, member, jaccard, reason, hunks, left_out, complete
FROM cluster_diffs JOIN cluster_counts USING (cluster_id) ORDER BY documents DESC, cluster_id
"""

ALARMS = f"""
SELECT dimension, value, documents, copies, tokens, copied_tokens FROM duplicate_alarms
ORDER BY dimension DESC, copies DESC, value LIMIT {MAX_ALARMS}
"""

ALARM_COUNT = "SELECT count(*) FROM duplicate_alarms"

PARAGRAPHS = f"""
SELECT documents, evaluated, evaluated_bytes, repeated_bytes FROM paragraph_counts
WHERE dimension = '{WHOLE}'
"""

REPEATED_PARAGRAPHS = """
SELECT hash, documents, bytes, doc_id FROM repeated_paragraphs ORDER BY documents DESC, hash
"""

STRATA = """
WITH drawn AS (SELECT DISTINCT doc_id, phase, stratum FROM samples), judged AS (
    SELECT phase, stratum, count(*) AS judged FROM drawn
    SEMI JOIN (SELECT doc_id FROM judgements WHERE NOT superseded) USING (doc_id) GROUP BY ALL
)
SELECT phase, stratum, design, documents, tokens, strata.drawn, coalesce(judged, 0) AS judged
FROM strata LEFT JOIN judged USING (phase, stratum) ORDER BY phase, stratum
"""

QUESTIONS = """
SELECT question, label, count(*) AS judgements, count(DISTINCT doc_id) AS documents
FROM judgements WHERE NOT superseded AND phase <> 'known_answer'
GROUP BY ALL ORDER BY question, judgements DESC, label
"""

JUDGEMENTS = """
SELECT count(*) AS total, count(DISTINCT doc_id) AS documents, count(DISTINCT reviewer) AS reviewers,
       count(DISTINCT doc_id) FILTER (doc_id NOT IN (SELECT doc_id FROM samples)) AS no_longer_drawn
FROM judgements WHERE NOT superseded AND phase <> 'known_answer'
"""
