-- Key pairs, tags of servers, and locked servers.

CREATE TABLE keypairs (
    id INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE instance_tags (
    instance_uuid TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (instance_uuid, tag)
);

-- Who has locked a server: its owner, or an administrator. NULL: nobody.
ALTER TABLE instances ADD COLUMN locked_by TEXT;
ALTER TABLE instances ADD COLUMN locked_reason TEXT;
