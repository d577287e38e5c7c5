-- The time in which heartbeats were received without a break, in one row. A host's silence counts only within it.
CREATE TABLE listening (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since BIGINT NOT NULL,
    until BIGINT NOT NULL
);
INSERT INTO listening (id, since, until) VALUES (1, 0, 0);

-- Whether the service takes work: not before it is ready, and not when it has said that it stops.
ALTER TABLE services ADD COLUMN serving BIGINT NOT NULL DEFAULT 1;
