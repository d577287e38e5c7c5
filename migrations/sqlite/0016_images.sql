-- Images as Glance has them. The table is made anew, since SQLite can't let a column be NULL afterwards.
CREATE TABLE images_16 (
    id               TEXT PRIMARY KEY,
    name             TEXT,
    status           TEXT NOT NULL,
    visibility       TEXT NOT NULL,
    owner            TEXT,
    protected        BIGINT NOT NULL DEFAULT 0,
    os_hidden        BIGINT NOT NULL DEFAULT 0,
    checksum         TEXT,
    os_hash_algo     TEXT,
    os_hash_value    TEXT,
    size             BIGINT,
    virtual_size     BIGINT,
    min_disk_gb      BIGINT NOT NULL DEFAULT 0,
    min_ram_mb       BIGINT NOT NULL DEFAULT 0,
    disk_format      TEXT,
    container_format TEXT,
    tags             TEXT NOT NULL DEFAULT '[]',
    properties       TEXT NOT NULL DEFAULT '{}',
    -- Where its bytes are, or will be when they have all come: a row of image_objects.
    object           TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
INSERT INTO images_16 (id, name, status, visibility, owner, size, min_disk_gb, min_ram_mb, disk_format, container_format,
    properties, created_at, updated_at)
SELECT id, name, status, visibility, owner, size, min_disk_gb, min_ram_mb, disk_format, container_format, properties,
    created_at, updated_at FROM images;
DROP TABLE images;
ALTER TABLE images_16 RENAME TO images;
CREATE INDEX images_by_time ON images (created_at, id);
CREATE INDEX images_by_change ON images (updated_at, created_at, id);
CREATE INDEX images_by_name ON images (COALESCE(name, ''), created_at, id);
CREATE INDEX images_named ON images (name);
CREATE INDEX images_by_owner ON images (owner, created_at, id);

-- Projects that an image is shared with.
CREATE TABLE image_members (
    image_id   TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    member_id  TEXT NOT NULL,
    status     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (image_id, member_id)
);
CREATE INDEX image_members_by_member ON image_members (member_id, status, image_id);

-- Bytes in the store, named by their id: those that are being written, those of an image, and those that nobody needs
-- any more. A row is there before the first byte and goes after the last, so that none is forgotten.
CREATE TABLE image_objects (
    id            TEXT PRIMARY KEY,
    image_id      TEXT NOT NULL,
    state         TEXT NOT NULL,
    -- Counts up while somebody writes.
    renewals      BIGINT NOT NULL DEFAULT 0,
    size          BIGINT,
    checksum      TEXT,
    os_hash_value TEXT,
    virtual_size  BIGINT,
    -- Why they can't be an image's.
    refusal       TEXT
);
CREATE INDEX image_objects_by_state ON image_objects (state, id);
CREATE INDEX image_objects_by_image ON image_objects (image_id);

-- Ids that can't be given again.
CREATE TABLE deleted_images (
    id         TEXT PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);

CREATE TABLE image_tasks (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    status     TEXT NOT NULL,
    owner      TEXT,
    image_id   TEXT,
    user_id    TEXT,
    request_id TEXT,
    input      TEXT NOT NULL,
    result     TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX image_tasks_by_time ON image_tasks (created_at, id);
CREATE INDEX image_tasks_by_image ON image_tasks (image_id, created_at);

-- Metadata definitions: namespaces, and their parts of each kind.
CREATE TABLE metadef_namespaces (
    namespace    TEXT PRIMARY KEY,
    display_name TEXT,
    description  TEXT,
    visibility   TEXT NOT NULL,
    protected    BIGINT NOT NULL,
    owner        TEXT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX metadef_namespaces_by_time ON metadef_namespaces (created_at, namespace);
CREATE TABLE metadef_parts (
    namespace  TEXT NOT NULL REFERENCES metadef_namespaces (namespace) ON UPDATE CASCADE ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, kind, name)
);
CREATE INDEX metadef_parts_by_kind ON metadef_parts (kind, name);
