-- Schema of audit.duckdb, version 1. Rebuilt from parts, samples and judgements; never edited in place.
-- The large tables (documents, findings, duplicates, rejects) are views over parts/, made beside this; so are
-- those of the schema `parts`, one a family, bound to the files that the index of parts lists. Beside them:
--   cell_counts         the corpus by cell, a column per dimension and count: the sum of the view cells
--   sampled_documents   a row a document of a sample: doc_id, shard, position, url, text_digest, n_tokens, its
--                       dimensions, and scores and flags of the screens as SCREEN_MEASURE
-- The view canaries (shard, screen, canary, control, expected, found, outcome: passed, missed or fired, path) tells
-- of documents that screens were shown beside each shard; they are in no other table.
-- So are the probes' results, for the documents of the phase `probe` in `samples`:
--   probe_NAME          a row a sampled document: stratum, draw, inclusion_probability, state (NULL: evaluated;
--                       else skipped: … or failed: …), and the measures as NAME_MEASURE
--   probe_measurements  doc_id, shard, position, probe, measure, value (NULL: not evaluated); yes is 1
--   probe_findings      as findings, with the column probe for screen
--   phases              doc_id, shard, position, probe_probability, review_probability, joint_probability:
--                       documents that both phases drew

CREATE SCHEMA parts;

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

-- Some members of the largest clusters, by id.
CREATE TABLE cluster_members (cluster_id VARCHAR NOT NULL, doc_id VARCHAR NOT NULL);

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

-- Records that are no documents, counted by shard and reason.
CREATE TABLE reject_counts (shard VARCHAR NOT NULL, reason VARCHAR NOT NULL, documents BIGINT NOT NULL);

-- Parts of the run by family: how many, and the bytes of their own files, packed or not.
CREATE TABLE part_sizes (
    family VARCHAR NOT NULL,
    parts BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sketches BOOLEAN NOT NULL    -- what duplicates are found with
);

-- A few masked previews of each kind of finding.
CREATE TABLE previews (screen VARCHAR NOT NULL, kind VARCHAR NOT NULL, examples VARCHAR[] NOT NULL);

-- What became of each canary, over all shards; the view `canaries` has them one by one.
CREATE TABLE canary_counts (
    screen VARCHAR NOT NULL,
    canary VARCHAR NOT NULL,
    control BOOLEAN NOT NULL,
    expected VARCHAR,
    shards BIGINT NOT NULL,
    passed BIGINT NOT NULL,
    failure VARCHAR,         -- missed or fired; NULL where all passed
    found VARCHAR[],         -- where it did not pass, a few
    paths VARCHAR[] NOT NULL
);

-- Documents that were judged before the last pass and that the corpus held then, wherever they lie now.
CREATE TABLE judged_documents (doc_id VARCHAR NOT NULL, text_digest VARCHAR NOT NULL);

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
    inclusion_probability DOUBLE NOT NULL,  -- of the adjudication: over both phases, pi1 * pi2
    draw BIGINT NOT NULL,
    shard VARCHAR NOT NULL,
    position BIGINT NOT NULL,
    question VARCHAR         -- of the adjudication, which selects question by question; NULL: any
);

-- Probes that are configured. Costs are those of the try-out that the size of the sample follows from.
CREATE TABLE probes (
    probe VARCHAR PRIMARY KEY,
    version VARCHAR NOT NULL,
    resources VARCHAR NOT NULL,     -- JSON: library or model -> version or digest
    missing VARCHAR,                -- why it could not run; NULL where it did
    documents_per_second DOUBLE,    -- in one worker; NULL: the size was given, nothing was tried
    loading_seconds DOUBLE,
    memory_bytes BIGINT             -- by which a worker's peak grew
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
    superseded BOOLEAN NOT NULL,  -- the same reviewer answered the same question again later
    phase VARCHAR NOT NULL,  -- review, adjudication, or known_answer: of an item that is no document
    harm VARCHAR,            -- yes, no, unsure or skipped; NULL where the question is no metric
    expected VARCHAR,        -- the right label of a known-answer item
    spans VARCHAR,           -- JSON: start, end (half-open code points) and label of marked passages
    free_text VARCHAR        -- personal values masked
);

-- What estimates rest on: the adjudicated answer, else what all reviewers of the document say, else unsure.
CREATE TABLE final_labels (
    doc_id VARCHAR NOT NULL,
    text_digest VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    weight DOUBLE            -- of the adjudication: 1 / its probability; 0: not selected; NULL: there is none
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
    reason VARCHAR NOT NULL,
    waived BOOLEAN NOT NULL,     -- a waiver keeps it from blocking; the outcome is the true one all the same
    waived_by VARCHAR,           -- of a waiver that there is, expired or not
    waiver_reason VARCHAR,
    waiver_expires VARCHAR       -- last day on which it holds, YYYY-MM-DD
);

-- What the review says of a screen's scores; NULL, with a reason, where too few documents were judged.
CREATE TABLE calibration (
    screen VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    n BIGINT NOT NULL,           -- judged documents with a score and a clear answer
    positives BIGINT NOT NULL,
    slope DOUBLE,                -- 1 and 0 would be perfect
    slope_low DOUBLE,
    slope_high DOUBLE,
    intercept DOUBLE,
    intercept_low DOUBLE,
    intercept_high DOUBLE,
    confidence DOUBLE NOT NULL,
    method VARCHAR NOT NULL,
    reason VARCHAR               -- why there is none
);

-- Predicted and observed shares of harmful documents by score, weighted to the corpus.
CREATE TABLE reliability (
    screen VARCHAR NOT NULL,
    question VARCHAR NOT NULL,
    low DOUBLE NOT NULL,         -- the band of scores, half-open
    high DOUBLE NOT NULL,
    n BIGINT NOT NULL,
    positives BIGINT NOT NULL,
    predicted DOUBLE NOT NULL,   -- mean score
    recalibrated DOUBLE NOT NULL,
    observed DOUBLE NOT NULL,
    observed_low DOUBLE NOT NULL,
    observed_high DOUBLE NOT NULL
);

-- How good the screens are by the run's own review, by slice ('all' = the whole corpus); they decide no gate.
CREATE TABLE detector_quality (
    question VARCHAR NOT NULL,
    screen VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    n BIGINT NOT NULL,               -- judged documents of the slice that count
    harmful BIGINT NOT NULL,         -- of those, judged harmful
    flagged BIGINT NOT NULL,         -- of those, flagged by the screen
    "precision" DOUBLE,              -- share of harm in what it flags; NULL: too few judged
    precision_low DOUBLE,
    precision_high DOUBLE,
    recall DOUBLE,                   -- share of the harm that it flags
    recall_low DOUBLE,
    recall_high DOUBLE,
    slope DOUBLE,                    -- of the log odds of harm on the score's: 1 and 0 would be perfect
    slope_low DOUBLE,
    slope_high DOUBLE,
    intercept DOUBLE,
    intercept_low DOUBLE,
    intercept_high DOUBLE,
    threshold DOUBLE,                -- highest cut that misses no more harm than was allowed
    threshold_missed_high DOUBLE,    -- upper limit of the share of harm that it misses
    threshold_precision DOUBLE,
    confidence DOUBLE NOT NULL,      -- two-sided level of the intervals
    method VARCHAR NOT NULL,
    reason VARCHAR                   -- why nothing is said
);
