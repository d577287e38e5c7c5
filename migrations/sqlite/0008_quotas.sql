-- Quotas: what administrators have set, and what a project's servers come to, to be counted by an index alone.

-- A limit that is not the default. The user '': of the project itself.
CREATE TABLE quotas (
    project_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, user_id, resource)
);

-- Limits by class. Those of the class 'default' hold where a project has none of its own.
CREATE TABLE quota_classes (
    class_name TEXT NOT NULL,
    resource TEXT NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (class_name, resource)
);

-- Those of the flavor.
ALTER TABLE instances ADD COLUMN vcpus BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN memory_mb BIGINT NOT NULL DEFAULT 0;
UPDATE instances SET vcpus = flavor ->> 'vcpus', memory_mb = flavor ->> 'memory_mb';

-- With all that is counted. SQLite reads no row only if the index has the column of its own condition, too.
DROP INDEX instances_by_project;
CREATE INDEX instances_by_project ON instances (project_id, created_at, uuid, user_id, vcpus, memory_mb, deleted_at)
    WHERE deleted_at IS NULL;
