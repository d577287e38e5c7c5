-- The time in which heartbeats were received without a break, in one row. A host's silence counts only within it.
CREATE TABLE listening (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since BIGINT NOT NULL,
    until BIGINT NOT NULL
);
INSERT INTO listening (id, since, until) VALUES (1, 0, 0);

-- Whether the service has said that it stops, since it was last started.
ALTER TABLE services ADD COLUMN stopped BIGINT NOT NULL DEFAULT 0;
