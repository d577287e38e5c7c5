-- The time in which heartbeats were received without a break, in one row. A host's silence counts only within it.
CREATE TABLE listening (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL
);
INSERT INTO listening (id, since, until) VALUES (1, '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z');

-- Whether the service has said that it stops, since it was last started.
ALTER TABLE services ADD COLUMN stopped BOOLEAN NOT NULL DEFAULT FALSE;
