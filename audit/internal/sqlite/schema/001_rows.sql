-- Rows in the order of their writing; payloads stay out of the indexes' way.
CREATE TABLE rows (
    id              INTEGER PRIMARY KEY,
    ts              INTEGER NOT NULL, -- Unix milliseconds, as all times here
    topic           TEXT    NOT NULL,
    part            INTEGER NOT NULL,
    off             INTEGER NOT NULL,
    type            TEXT    NOT NULL, -- request, response, dead_letter, gap
    request_id      TEXT    NOT NULL, -- empty where the record had none
    request_topic   TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    success         INTEGER NOT NULL,
    error           TEXT    NOT NULL,
    record_ms       INTEGER NOT NULL, -- the record's time as it stood in Kafka
    sent_ms         INTEGER NOT NULL,
    timeout_ms      INTEGER NOT NULL,
    duration_ms     INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    plugin          TEXT    NOT NULL,
    key_id          TEXT    NOT NULL,
    gap_end         INTEGER NOT NULL,
    keyed           INTEGER NOT NULL, -- 0: the record had no Kafka key, which differs from an empty one
    kafka_key       BLOB,
    reply_to        TEXT    NOT NULL,
    reply_partition INTEGER NOT NULL,
    traceparent     TEXT    NOT NULL,
    tracestate      TEXT    NOT NULL,
    payload         BLOB              -- sealed, as it was on the wire
);

-- A record has one row, however often it is read.
CREATE UNIQUE INDEX rows_by_time ON rows (ts, topic, part, off);

CREATE INDEX rows_by_id ON rows (request_id) WHERE request_id <> '';

CREATE TABLE positions (
    topic       TEXT    NOT NULL,
    part        INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- offset after the last one stored
    record_ms   INTEGER NOT NULL,
    complete_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, part)
) WITHOUT ROWID;
