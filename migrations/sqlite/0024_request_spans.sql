-- What was done for requests lately, by services that are processes of their own: the latest rows. Times are microseconds
-- since 1970 by the clock of who did it.
CREATE TABLE request_spans (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    host TEXT,
    peer TEXT NOT NULL,
    sent BIGINT,
    began BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    error TEXT
);
CREATE INDEX request_spans_by_request ON request_spans (request_id);
