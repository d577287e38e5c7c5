-- Servers that were put aside, to be deleted later.

-- When; NULL: it was not, or was brought back.
ALTER TABLE instances ADD COLUMN soft_deleted_at TIMESTAMPTZ;
CREATE INDEX instances_soft_deleted ON instances (soft_deleted_at)
    WHERE soft_deleted_at IS NOT NULL AND deleted_at IS NULL;
