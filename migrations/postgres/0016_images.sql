-- Images as Glance has them.
ALTER TABLE images
    ALTER COLUMN name DROP NOT NULL,
    ADD COLUMN protected BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN os_hidden BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN checksum TEXT COLLATE "C",
    ADD COLUMN os_hash_algo TEXT COLLATE "C",
    ADD COLUMN os_hash_value TEXT COLLATE "C",
    ADD COLUMN virtual_size BIGINT,
    ADD COLUMN tags JSONB NOT NULL DEFAULT '[]',
    -- Where its bytes are, or will be when they have all come: a row of image_objects.
    ADD COLUMN object UUID;
DROP INDEX images_by_name;
CREATE INDEX images_by_change ON images (updated_at, created_at, id);
CREATE INDEX images_by_name ON images (COALESCE(name, ''), created_at, id);
CREATE INDEX images_named ON images (name);
CREATE INDEX images_by_owner ON images (owner, created_at, id);
CREATE INDEX images_by_tag ON images USING GIN (tags);
CREATE INDEX images_by_property ON images USING GIN (properties jsonb_path_ops);

-- Projects that an image is shared with.
CREATE TABLE image_members (
    image_id   TEXT COLLATE "C" NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    member_id  TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (image_id, member_id)
);
CREATE INDEX image_members_by_member ON image_members (member_id, status, image_id);

-- Bytes in the store, named by their id: those that are being written, those of an image, and those that nobody needs
-- any more. A row is there before the first byte and goes after the last, so that none is forgotten.
CREATE TABLE image_objects (
    id            UUID PRIMARY KEY,
    image_id      TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL,
    -- Counts up while somebody writes.
    renewals      BIGINT NOT NULL DEFAULT 0,
    size          BIGINT,
    checksum      TEXT COLLATE "C",
    os_hash_value TEXT COLLATE "C",
    virtual_size  BIGINT,
    -- Why they can't be an image's.
    refusal       TEXT COLLATE "C"
);
CREATE INDEX image_objects_by_state ON image_objects (state, id);
CREATE INDEX image_objects_by_image ON image_objects (image_id);

-- Ids that can't be given again.
CREATE TABLE deleted_images (
    id         TEXT COLLATE "C" PRIMARY KEY,
    deleted_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE image_tasks (
    id         TEXT COLLATE "C" PRIMARY KEY,
    type       TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C",
    image_id   TEXT COLLATE "C",
    user_id    TEXT COLLATE "C",
    request_id TEXT COLLATE "C",
    input      JSONB NOT NULL,
    result     JSONB NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ
);
CREATE INDEX image_tasks_by_time ON image_tasks (created_at, id);
CREATE INDEX image_tasks_by_image ON image_tasks (image_id, created_at);

-- Metadata definitions: namespaces, and their parts of each kind.
CREATE TABLE metadef_namespaces (
    namespace    TEXT COLLATE "C" PRIMARY KEY,
    display_name TEXT COLLATE "C",
    description  TEXT COLLATE "C",
    visibility   TEXT COLLATE "C" NOT NULL,
    protected    BOOLEAN NOT NULL,
    owner        TEXT COLLATE "C",
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX metadef_namespaces_by_time ON metadef_namespaces (created_at, namespace);
CREATE TABLE metadef_parts (
    namespace  TEXT COLLATE "C" NOT NULL REFERENCES metadef_namespaces (namespace) ON UPDATE CASCADE ON DELETE CASCADE,
    kind       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    body       JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (namespace, kind, name)
);
CREATE INDEX metadef_parts_by_kind ON metadef_parts (kind, name);
