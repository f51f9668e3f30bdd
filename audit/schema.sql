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

-- The largest duplicate clusters.
CREATE TABLE cluster_counts (
    cluster_id VARCHAR NOT NULL,
    documents BIGINT NOT NULL,
    exact BIGINT NOT NULL,   -- members whose normalised text equals the representative's
    min_jaccard REAL
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
