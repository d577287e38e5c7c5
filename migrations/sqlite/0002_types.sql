-- PostgreSQL's own types for what it has them for; SQLite keeps text and integers. On both: indexes for every query that
-- looks for work, and for every list.

-- Whether a run of a service is over is asked by its incarnation.
CREATE INDEX services_by_incarnation ON services (incarnation);

-- What a scheduler or conductor works on: few rows at any time.
CREATE INDEX instances_by_owner ON instances (owner) WHERE owner IS NOT NULL;
CREATE INDEX instances_by_flavor ON instances ((flavor ->> 'id')) WHERE deleted_at IS NULL;

-- Not partial: whichever statuses are asked for, and however they are bound, it serves.
DROP INDEX migrations_under_way;
CREATE INDEX migrations_by_source ON migrations (source, status);
CREATE INDEX migrations_by_destination ON migrations (destination, status);
CREATE INDEX migrations_by_status ON migrations (status, id);

DROP INDEX images_by_name;
CREATE INDEX images_by_name ON images (name, id);
CREATE INDEX images_by_time ON images (created_at, id);
