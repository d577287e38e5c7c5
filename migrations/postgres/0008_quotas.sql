-- Quotas: what administrators have set, and what a project's servers come to, to be counted by an index alone.

-- A limit that is not the default. The user '': of the project itself.
CREATE TABLE quotas (
    project_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, user_id, resource)
);

-- Limits by class. Those of the class 'default' hold where a project has none of its own.
CREATE TABLE quota_classes (
    class_name TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (class_name, resource)
);

-- Those of the flavor.
ALTER TABLE instances
    ADD COLUMN vcpus BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN memory_mb BIGINT NOT NULL DEFAULT 0;
UPDATE instances SET vcpus = (flavor ->> 'vcpus')::bigint, memory_mb = (flavor ->> 'memory_mb')::bigint;

-- With all that is counted.
DROP INDEX instances_by_project;
CREATE INDEX instances_by_project ON instances (project_id, created_at, uuid) INCLUDE (user_id, vcpus, memory_mb)
    WHERE deleted_at IS NULL;
