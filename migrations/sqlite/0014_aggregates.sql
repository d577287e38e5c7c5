-- Host aggregates and the zones they make, who may use private flavors, and what usage is counted from.

CREATE TABLE aggregates (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    -- The key `availability_zone` makes its hosts a zone.
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT
);

CREATE TABLE aggregate_hosts (
    aggregate_id BIGINT NOT NULL,
    host TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, host)
);
CREATE INDEX aggregate_hosts_by_host ON aggregate_hosts (host);

-- The zone that a host's aggregates put it into; `zone` is this where there is one, or else the host's own.
ALTER TABLE services ADD COLUMN aggregate_zone TEXT;

CREATE TABLE flavor_access (
    flavor_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    PRIMARY KEY (project_id, flavor_id)
);
CREATE INDEX flavor_access_by_flavor ON flavor_access (flavor_id);

-- Usage of a period: page by page, project by project.
CREATE INDEX instances_launched ON instances (project_id, uuid) WHERE launched_at IS NOT NULL;
