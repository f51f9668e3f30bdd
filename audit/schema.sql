-- Schema of audit.duckdb, version 1. Rebuilt from parts, samples and judgements; never edited in place.
-- The large tables (documents, findings, duplicates, rejects) are views over parts/, made beside this.

CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);

-- One row per unit of work. status: complete, truncated (read up to the damage) or failed (not read).
CREATE TABLE shards (
    shard VARCHAR PRIMARY KEY,
    uri VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    bytes BIGINT NOT NULL,
    digest VARCHAR,          -- SHA-256 of the content; NULL when it could not be read
    documents BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR
);

-- What each screen did with each shard's documents; evaluated + skipped + failed = documents.
CREATE TABLE evaluations (
    shard VARCHAR NOT NULL,
    screen VARCHAR NOT NULL,
    evaluated BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    reason VARCHAR           -- NULL for the evaluated ones
);

-- Records that claim a document id that an earlier record has: they keep their place under another id.
CREATE TABLE renamed_documents (shard VARCHAR, position BIGINT, doc_id VARCHAR);

-- Additive counts of what screens flagged, by one dimension at a time ('all' = the whole corpus).
CREATE TABLE slice_counts (
    dimension VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    screen VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    evaluated BIGINT NOT NULL,
    flagged BIGINT NOT NULL,
    evaluated_tokens BIGINT NOT NULL,
    flagged_tokens BIGINT NOT NULL
);

-- Additive counts of located findings, by one dimension at a time.
CREATE TABLE finding_counts (
    screen VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    dimension VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    findings BIGINT NOT NULL,
    documents BIGINT NOT NULL
);

-- The largest duplicate clusters. nature: copies, template (pages that differ in fields) or unknown.
CREATE TABLE cluster_counts (
    cluster_id VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    exact BIGINT NOT NULL,   -- members whose normalised text equals the representative's
    min_jaccard REAL,
    nature VARCHAR NOT NULL,
    nature_reason VARCHAR NOT NULL
);

-- Of the very largest clusters: the representative against the member that is least like it.
CREATE TABLE cluster_diffs (
    cluster_id VARCHAR NOT NULL,
    representative VARCHAR NOT NULL,
    member VARCHAR NOT NULL,
    jaccard REAL,
    reason VARCHAR,          -- why there is no difference to show; NULL where there is one
    hunks VARCHAR NOT NULL,  -- JSON: before, removed, added, after; masked, bounded
    left_out INTEGER NOT NULL,
    complete BOOLEAN NOT NULL
);

-- Sources and domains of which most documents would go with the copies.
CREATE TABLE duplicate_alarms (
    dimension VARCHAR NOT NULL,  -- source or domain
    value VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    copies BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    copied_tokens BIGINT NOT NULL
);

-- Bytes in paragraphs that many documents share, by one dimension at a time.
CREATE TABLE paragraph_counts (
    dimension VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    evaluated BIGINT NOT NULL,
    bytes BIGINT NOT NULL,           -- of documents that were not evaluated: 4 a character
    evaluated_bytes BIGINT NOT NULL,
    repeated_bytes BIGINT NOT NULL
);

-- The paragraphs that most documents share: by hash, never as text.
CREATE TABLE repeated_paragraphs (
    hash VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    bytes BIGINT NOT NULL,           -- in all of them
    doc_id VARCHAR NOT NULL          -- one that holds it
);

-- How the samples were drawn, and how many documents and tokens each stratum holds.
CREATE TABLE strata (
    phase VARCHAR NOT NULL,
    stratum VARCHAR NOT NULL,
    design VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    drawn BIGINT NOT NULL
);

CREATE TABLE samples (
    doc_id VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    stratum VARCHAR NOT NULL,
    inclusion_probability DOUBLE NOT NULL,
    draw BIGINT NOT NULL,
    shard VARCHAR NOT NULL,
    position BIGINT NOT NULL
);

CREATE TABLE judgements (
    doc_id VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    severity VARCHAR,
    reviewer VARCHAR,
    seconds DOUBLE,
    "at" VARCHAR,
    text_digest VARCHAR NOT NULL,  -- of the text that was judged
    superseded BOOLEAN NOT NULL  -- the same reviewer answered the same question again later
);

CREATE TABLE estimates (
    metric VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    value DOUBLE,            -- NULL without evidence, never 0
    low DOUBLE,
    high DOUBLE,
    n BIGINT NOT NULL,
    confidence DOUBLE NOT NULL,
    method VARCHAR NOT NULL
);

CREATE TABLE gates (
    gate VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    "limit" DOUBLE NOT NULL,
    alpha DOUBLE NOT NULL,
    severity VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);
