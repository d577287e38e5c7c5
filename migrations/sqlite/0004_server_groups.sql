-- Server groups.

CREATE TABLE server_groups (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    policy TEXT NOT NULL,
    max_server_per_host BIGINT
);
CREATE INDEX server_groups_by_project ON server_groups (project_id, id);

-- The group that a server is in, for good; that of a group that is deleted stays, and means nothing.
ALTER TABLE instances ADD COLUMN server_group TEXT;
CREATE INDEX instances_by_server_group ON instances (server_group)
    WHERE server_group IS NOT NULL AND deleted_at IS NULL;
