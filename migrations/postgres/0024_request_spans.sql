-- What was done for requests lately, by services that are processes of their own: the latest rows. Times are microseconds
-- since 1970 by the clock of who did it.
CREATE TABLE request_spans (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id TEXT COLLATE "C" NOT NULL,
    span_id TEXT COLLATE "C" NOT NULL,
    parent_id TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C",
    peer TEXT COLLATE "C" NOT NULL,
    sent BIGINT,
    began BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    error TEXT COLLATE "C"
);
CREATE INDEX request_spans_by_request ON request_spans (request_id);
