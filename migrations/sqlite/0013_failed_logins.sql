-- Log-ins that have failed since the last that did not, for Keystone's lock-out; its names.
ALTER TABLE users ADD COLUMN failed_auth_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN failed_auth_at BIGINT;
