-- Instances that wait for a host are not in the index of those that have one. Without statistics, or with some of a quiet
-- hour, PostgreSQL takes them for few and finds the few that it is to place among all that wait.
DROP INDEX instances_by_host;
CREATE INDEX instances_by_host ON instances (host) WHERE host IS NOT NULL AND deleted_at IS NULL;
