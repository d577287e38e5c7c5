-- The first schema. The same tables for SQLite and PostgreSQL; the two files differ only in how a number is generated.
--
-- Ids are text, times are microseconds since 1970 in UTC, booleans are 0 or 1, structured values are JSON in text: what
-- both databases and one set of queries understand alike.

-- Who may ask -------------------------------------------------------------------------------------------------------

CREATE TABLE projects (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    enabled     BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    -- argon2id in PHC form.
    password_hash TEXT NOT NULL,
    enabled       BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE role_assignments (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    PRIMARY KEY (user_id, project_id, role)
);

-- A token is kept as its SHA-256, so that who reads this table can't use it.
CREATE TABLE tokens (
    token_hash TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- NULL: not scoped to anything yet.
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- What can be asked for ---------------------------------------------------------------------------------------------

CREATE TABLE flavors (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    vcpus        BIGINT NOT NULL,
    memory_mb    BIGINT NOT NULL,
    disk_gb      BIGINT NOT NULL,
    ephemeral_gb BIGINT NOT NULL DEFAULT 0,
    swap_mb      BIGINT NOT NULL DEFAULT 0,
    is_public    BIGINT NOT NULL DEFAULT 1,
    description  TEXT,
    extra_specs  TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE images (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    status           TEXT NOT NULL,
    visibility       TEXT NOT NULL,
    owner            TEXT,
    size             BIGINT,
    min_disk_gb      BIGINT NOT NULL DEFAULT 0,
    min_ram_mb       BIGINT NOT NULL DEFAULT 0,
    disk_format      TEXT,
    container_format TEXT,
    properties       TEXT NOT NULL DEFAULT '{}',
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX images_by_name ON images (name);

-- Who works ---------------------------------------------------------------------------------------------------------

CREATE TABLE services (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid            TEXT NOT NULL UNIQUE,
    binary_name     TEXT NOT NULL,
    host            TEXT NOT NULL,
    zone            TEXT NOT NULL,
    incarnation     TEXT NOT NULL,
    disabled        BIGINT NOT NULL DEFAULT 0,
    disabled_reason TEXT,
    forced_down     BIGINT NOT NULL DEFAULT 0,
    last_seen       BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    UNIQUE (binary_name, host)
);

CREATE TABLE compute_nodes (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid               TEXT NOT NULL UNIQUE,
    host               TEXT NOT NULL UNIQUE,
    -- What the host said of itself, as JSON.
    inventory          TEXT NOT NULL,
    -- (total - reserved) x ratio: what may be claimed.
    vcpus_capacity     BIGINT NOT NULL,
    memory_mb_capacity BIGINT NOT NULL,
    disk_gb_capacity   BIGINT NOT NULL,
    -- The sums of the host's allocations, kept in the same transactions.
    vcpus_used         BIGINT NOT NULL DEFAULT 0,
    memory_mb_used     BIGINT NOT NULL DEFAULT 0,
    disk_gb_used       BIGINT NOT NULL DEFAULT 0,
    allocation_count   BIGINT NOT NULL DEFAULT 0,
    generation         BIGINT NOT NULL DEFAULT 0,
    updated_at         BIGINT NOT NULL
);

CREATE TABLE allocations (
    instance_uuid TEXT NOT NULL,
    host          TEXT NOT NULL,
    vcpus         BIGINT NOT NULL,
    memory_mb     BIGINT NOT NULL,
    disk_gb       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (instance_uuid, host)
);
CREATE INDEX allocations_by_host ON allocations (host);

-- What is worked on -------------------------------------------------------------------------------------------------

CREATE TABLE instances (
    uuid              TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT,
    hostname          TEXT NOT NULL,
    image_ref         TEXT,
    -- The flavor as it was at the build, as JSON.
    flavor            TEXT NOT NULL,
    metadata          TEXT NOT NULL DEFAULT '{}',
    -- What the scheduler was asked for, as JSON.
    request_spec      TEXT NOT NULL DEFAULT '{}',
    requested_zone    TEXT,
    user_data         TEXT,
    key_name          TEXT,
    config_drive      BIGINT NOT NULL DEFAULT 0,
    reservation_id    TEXT NOT NULL,
    launch_index      BIGINT NOT NULL DEFAULT 0,
    host              TEXT,
    availability_zone TEXT,
    vm_state          TEXT NOT NULL,
    task_state        TEXT,
    power_state       BIGINT NOT NULL DEFAULT 0,
    -- The operation that task_state belongs to, and the request that asked for it.
    task_id           TEXT,
    task_request_id   TEXT,
    -- The incarnation of the scheduler or conductor that works on it.
    owner             TEXT,
    report_seq        BIGINT NOT NULL DEFAULT 0,
    attempts          BIGINT NOT NULL DEFAULT 0,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    launched_at       BIGINT,
    terminated_at     BIGINT,
    deleted_at        BIGINT
);
CREATE INDEX instances_by_project ON instances (project_id, created_at, uuid) WHERE deleted_at IS NULL;
CREATE INDEX instances_by_time ON instances (created_at, uuid);
CREATE INDEX instances_by_change ON instances (updated_at);
CREATE INDEX instances_by_host ON instances (host) WHERE deleted_at IS NULL;
CREATE INDEX instances_under_way ON instances (task_state, updated_at) WHERE task_state IS NOT NULL;

CREATE TABLE instance_faults (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_uuid TEXT NOT NULL,
    code          BIGINT NOT NULL,
    message       TEXT NOT NULL,
    details       TEXT,
    created_at    BIGINT NOT NULL
);
CREATE INDEX instance_faults_by_instance ON instance_faults (instance_uuid, id);

CREATE TABLE instance_actions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_uuid TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    action        TEXT NOT NULL,
    user_id       TEXT,
    project_id    TEXT,
    start_time    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    message       TEXT,
    UNIQUE (instance_uuid, request_id)
);

CREATE TABLE instance_action_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_uuid TEXT NOT NULL,
    request_id    TEXT NOT NULL,
    event         TEXT NOT NULL,
    host          TEXT NOT NULL DEFAULT '',
    start_time    BIGINT NOT NULL,
    finish_time   BIGINT,
    result        TEXT,
    details       TEXT,
    UNIQUE (instance_uuid, request_id, event, host)
);

CREATE TABLE migrations (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid                  TEXT NOT NULL UNIQUE,
    instance_uuid         TEXT NOT NULL,
    task_id               TEXT NOT NULL,
    kind                  TEXT NOT NULL,
    status                TEXT NOT NULL,
    source                TEXT NOT NULL,
    destination           TEXT,
    requested_destination TEXT,
    -- 1, 0, or NULL for 'auto'.
    block_migration       BIGINT,
    owner                 TEXT,
    request_id            TEXT NOT NULL,
    user_id               TEXT,
    project_id            TEXT,
    memory_total          BIGINT NOT NULL DEFAULT 0,
    memory_processed      BIGINT NOT NULL DEFAULT 0,
    memory_remaining      BIGINT NOT NULL DEFAULT 0,
    disk_total            BIGINT NOT NULL DEFAULT 0,
    disk_processed        BIGINT NOT NULL DEFAULT 0,
    disk_remaining        BIGINT NOT NULL DEFAULT 0,
    report_seq            BIGINT NOT NULL DEFAULT 0,
    abort_requested       BIGINT NOT NULL DEFAULT 0,
    -- What the hosts' drivers have agreed on, as JSON: kept so that the copy can be asked for again after a crash.
    migrate_data          TEXT,
    error                 TEXT,
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL
);
CREATE INDEX migrations_by_instance ON migrations (instance_uuid, id);
CREATE INDEX migrations_by_time ON migrations (created_at, id);
CREATE INDEX migrations_by_change ON migrations (updated_at);
CREATE INDEX migrations_under_way ON migrations (source, status)
    WHERE status IN ('accepted', 'queued', 'preparing', 'running', 'post-migrating', 'reverting');
