-- Key pairs, tags of servers, and locked servers.

CREATE TABLE keypairs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    public_key TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE instance_tags (
    instance_uuid UUID NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (instance_uuid, tag)
);

-- Who has locked a server: its owner, or an administrator. NULL: nobody.
ALTER TABLE instances ADD COLUMN locked_by TEXT COLLATE "C";
ALTER TABLE instances ADD COLUMN locked_reason TEXT COLLATE "C";
