-- Identity whole: domains, a tree of projects, groups, roles with ids of their own, and what else Keystone keeps.

-- One number that grows with each change that may end a token or change what it is good for. Who keeps tokens in memory
-- compares it, and forgets them when it has grown.
CREATE TABLE identity_revision (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO identity_revision (id, revision) VALUES (1, 1);

-- Their roles were names; whoever has one logs in again.
DROP TABLE tokens;
ALTER TABLE role_assignments RENAME TO role_assignments_before;
ALTER TABLE users RENAME TO users_before;
ALTER TABLE projects RENAME TO projects_before;

-- A domain is a project, too, as in Keystone: without a domain or a parent of its own.
CREATE TABLE projects (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    domain_id   TEXT REFERENCES projects (id) ON DELETE CASCADE,
    -- Of a project at the top its domain.
    parent_id   TEXT REFERENCES projects (id),
    is_domain   BIGINT NOT NULL DEFAULT 0,
    description TEXT,
    enabled     BIGINT NOT NULL DEFAULT 1,
    tags        TEXT NOT NULL DEFAULT '[]',
    options     TEXT NOT NULL DEFAULT '{}',
    -- What clients gave beside what is known.
    extra       TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX projects_unique ON projects (COALESCE(domain_id, ''), name);
CREATE INDEX projects_by_name ON projects (name, id);
CREATE INDEX projects_by_domain ON projects (domain_id, name, id);
CREATE INDEX projects_by_parent ON projects (parent_id, name, id);
INSERT INTO projects (id, name, is_domain, description)
    VALUES ('default', 'Default', 1, 'The default domain');
INSERT INTO projects (id, name, domain_id, parent_id, description, enabled)
    SELECT id, name, 'default', 'default', description, enabled FROM projects_before;

CREATE TABLE users (
    id                  TEXT PRIMARY KEY,
    domain_id           TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name                TEXT NOT NULL,
    enabled             BIGINT NOT NULL DEFAULT 1,
    default_project_id  TEXT,
    -- argon2id in PHC form; NULL: no log-in by password.
    password_hash       TEXT,
    password_created_at BIGINT,
    password_expires_at BIGINT,
    options             TEXT NOT NULL DEFAULT '{}',
    extra               TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX users_unique ON users (domain_id, name);
CREATE INDEX users_by_name ON users (name, id);
INSERT INTO users (id, domain_id, name, enabled, password_hash)
    SELECT id, 'default', name, enabled, password_hash FROM users_before;

-- The hashes of earlier passwords, for those who forbid to take one again.
CREATE TABLE password_history (
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    password_hash TEXT NOT NULL,
    replaced_at   BIGINT NOT NULL
);
CREATE INDEX password_history_by_user ON password_history (user_id, replaced_at);

CREATE TABLE user_groups (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT,
    extra       TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX user_groups_unique ON user_groups (domain_id, name);
CREATE INDEX user_groups_by_name ON user_groups (name, id);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_by_user ON group_members (user_id, group_id);

CREATE TABLE roles (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    -- NULL: of the whole cloud.
    domain_id   TEXT REFERENCES projects (id) ON DELETE CASCADE,
    description TEXT,
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX roles_unique ON roles (COALESCE(domain_id, ''), name);
CREATE INDEX roles_by_name ON roles (name, id);
CREATE INDEX roles_by_domain ON roles (domain_id, name, id);
INSERT INTO roles (id, name, options)
    SELECT LOWER(HEX(RANDOMBLOB(16))), column1, '{"immutable":true}'
    FROM (VALUES ('admin'), ('manager'), ('member'), ('reader'), ('service'));

CREATE TABLE implied_roles (
    prior_role_id   TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    implied_role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_role_id, implied_role_id)
);
CREATE INDEX implied_roles_by_implied ON implied_roles (implied_role_id);
INSERT INTO implied_roles (prior_role_id, implied_role_id)
    SELECT prior.id, implied.id FROM roles prior JOIN roles implied
    ON (prior.name, implied.name) IN (VALUES ('admin', 'manager'), ('manager', 'member'), ('member', 'reader'));

-- Who has which role where: a user or a group; in a project, in a domain (which is a project) or, NULL, in the system.
-- An inherited one counts in all projects below, and not in the project or domain itself.
CREATE TABLE role_assignments (
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    group_id   TEXT REFERENCES user_groups (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    inherited  BIGINT NOT NULL DEFAULT 0,
    CHECK ((user_id IS NULL) <> (group_id IS NULL))
);
CREATE UNIQUE INDEX role_assignments_unique ON role_assignments
    (COALESCE(user_id, ''), COALESCE(group_id, ''), COALESCE(project_id, ''), role_id, inherited);
CREATE INDEX role_assignments_by_user ON role_assignments (user_id, project_id);
CREATE INDEX role_assignments_by_group ON role_assignments (group_id, project_id);
CREATE INDEX role_assignments_by_project ON role_assignments (project_id);
CREATE INDEX role_assignments_by_role ON role_assignments (role_id);
INSERT INTO role_assignments (user_id, project_id, role_id)
    SELECT before.user_id, before.project_id, roles.id
    FROM role_assignments_before before JOIN roles ON roles.name = before.role;

DROP TABLE role_assignments_before;
DROP TABLE users_before;
DROP TABLE projects_before;

-- What users leave with others or with programs ----------------------------------------------------------------------

CREATE TABLE trusts (
    id                   TEXT PRIMARY KEY,
    trustor_user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    trustee_user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id           TEXT REFERENCES projects (id) ON DELETE CASCADE,
    impersonation        BIGINT NOT NULL,
    -- Ids of roles.
    roles                TEXT NOT NULL,
    expires_at           BIGINT,
    remaining_uses       BIGINT,
    redelegated_trust_id TEXT REFERENCES trusts (id) ON DELETE CASCADE,
    redelegation_count   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX trusts_by_trustor ON trusts (trustor_user_id, id);
CREATE INDEX trusts_by_trustee ON trusts (trustee_user_id, id);
CREATE INDEX trusts_by_project ON trusts (project_id);
CREATE INDEX trusts_by_trust ON trusts (redelegated_trust_id);

CREATE TABLE application_credentials (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT,
    secret_hash  TEXT NOT NULL,
    -- Ids of roles.
    roles        TEXT NOT NULL,
    expires_at   BIGINT,
    unrestricted BIGINT NOT NULL
);
CREATE UNIQUE INDEX application_credentials_unique ON application_credentials (user_id, name);
CREATE INDEX application_credentials_by_project ON application_credentials (project_id);

CREATE TABLE access_rules (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    method  TEXT NOT NULL,
    path    TEXT NOT NULL
);
CREATE UNIQUE INDEX access_rules_unique ON access_rules (user_id, service, method, path);

CREATE TABLE application_credential_access_rules (
    application_credential_id TEXT NOT NULL REFERENCES application_credentials (id) ON DELETE CASCADE,
    access_rule_id            TEXT NOT NULL REFERENCES access_rules (id) ON DELETE CASCADE,
    PRIMARY KEY (application_credential_id, access_rule_id)
);
CREATE INDEX application_credential_access_rules_by_rule ON application_credential_access_rules (access_rule_id);

CREATE TABLE credentials (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    type       TEXT NOT NULL,
    blob       TEXT NOT NULL,
    extra      TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX credentials_by_user ON credentials (user_id, type, id);
CREATE INDEX credentials_by_project ON credentials (project_id);

-- A token is kept as its SHA-256, so that who reads this table can't use it.
CREATE TABLE tokens (
    token_hash                TEXT PRIMARY KEY,
    user_id                   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- unscoped, project, domain or system.
    scope                     TEXT NOT NULL,
    -- The project or the domain.
    project_id                TEXT REFERENCES projects (id) ON DELETE CASCADE,
    trust_id                  TEXT REFERENCES trusts (id) ON DELETE CASCADE,
    application_credential_id TEXT REFERENCES application_credentials (id) ON DELETE CASCADE,
    methods                   TEXT NOT NULL,
    audit_ids                 TEXT NOT NULL,
    issued_at                 BIGINT NOT NULL,
    expires_at                BIGINT NOT NULL
);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX tokens_by_project ON tokens (project_id);
CREATE INDEX tokens_by_trust ON tokens (trust_id);
CREATE INDEX tokens_by_application_credential ON tokens (application_credential_id);

-- The catalog --------------------------------------------------------------------------------------------------------

CREATE TABLE regions (
    id               TEXT PRIMARY KEY,
    description      TEXT NOT NULL DEFAULT '',
    parent_region_id TEXT REFERENCES regions (id),
    extra            TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX regions_by_parent ON regions (parent_region_id, id);

CREATE TABLE catalog_services (
    id      TEXT PRIMARY KEY,
    type    TEXT NOT NULL,
    name    TEXT NOT NULL DEFAULT '',
    enabled BIGINT NOT NULL DEFAULT 1,
    extra   TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX catalog_services_by_type ON catalog_services (type, id);
CREATE INDEX catalog_services_by_name ON catalog_services (name, id);

CREATE TABLE catalog_endpoints (
    id         TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES catalog_services (id) ON DELETE CASCADE,
    region_id  TEXT REFERENCES regions (id),
    interface  TEXT NOT NULL,
    -- Without a scheme: below where the client has reached this cloud.
    url        TEXT NOT NULL,
    enabled    BIGINT NOT NULL DEFAULT 1,
    extra      TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX catalog_endpoints_by_service ON catalog_endpoints (service_id, id);
CREATE INDEX catalog_endpoints_by_region ON catalog_endpoints (region_id, id);

CREATE TABLE endpoint_groups (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    filters     TEXT NOT NULL
);
CREATE INDEX endpoint_groups_by_name ON endpoint_groups (name, id);

CREATE TABLE endpoint_group_projects (
    endpoint_group_id TEXT NOT NULL REFERENCES endpoint_groups (id) ON DELETE CASCADE,
    project_id        TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (endpoint_group_id, project_id)
);
CREATE INDEX endpoint_group_projects_by_project ON endpoint_group_projects (project_id);

CREATE TABLE endpoint_projects (
    endpoint_id TEXT NOT NULL REFERENCES catalog_endpoints (id) ON DELETE CASCADE,
    project_id  TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (endpoint_id, project_id)
);
CREATE INDEX endpoint_projects_by_project ON endpoint_projects (project_id);

-- The rest -----------------------------------------------------------------------------------------------------------

CREATE TABLE identity_policies (
    id    TEXT PRIMARY KEY,
    type  TEXT NOT NULL,
    blob  TEXT NOT NULL,
    extra TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX identity_policies_by_type ON identity_policies (type, id);

CREATE TABLE oauth1_consumers (
    id          TEXT PRIMARY KEY,
    description TEXT,
    secret      TEXT NOT NULL,
    extra       TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE registered_limits (
    id            TEXT PRIMARY KEY,
    service_id    TEXT NOT NULL REFERENCES catalog_services (id),
    region_id     TEXT REFERENCES regions (id),
    resource_name TEXT NOT NULL,
    default_limit BIGINT NOT NULL,
    description   TEXT
);
CREATE UNIQUE INDEX registered_limits_unique
    ON registered_limits (service_id, COALESCE(region_id, ''), resource_name);
CREATE INDEX registered_limits_by_region ON registered_limits (region_id);

CREATE TABLE project_limits (
    id                  TEXT PRIMARY KEY,
    -- One of the two.
    project_id          TEXT REFERENCES projects (id) ON DELETE CASCADE,
    domain_id           TEXT REFERENCES projects (id) ON DELETE CASCADE,
    registered_limit_id TEXT NOT NULL REFERENCES registered_limits (id),
    -- Those of the registered limit, which has others only while nobody refers to it.
    service_id          TEXT NOT NULL,
    region_id           TEXT,
    resource_name       TEXT NOT NULL,
    resource_limit      BIGINT NOT NULL,
    description         TEXT
);
CREATE UNIQUE INDEX project_limits_unique
    ON project_limits (COALESCE(project_id, ''), COALESCE(domain_id, ''), registered_limit_id);
CREATE INDEX project_limits_by_project ON project_limits (project_id, id);
CREATE INDEX project_limits_by_domain ON project_limits (domain_id, id);
CREATE INDEX project_limits_by_registered_limit ON project_limits (registered_limit_id);

CREATE TABLE domain_config_options (
    domain_id    TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    option_group TEXT NOT NULL,
    option_name  TEXT NOT NULL,
    value        TEXT NOT NULL,
    PRIMARY KEY (domain_id, option_group, option_name)
);
