-- PostgreSQL's own types for what it has them for; SQLite keeps text and integers. On both: indexes for every query that
-- looks for work, and for every list.

-- Dropped first, so that they are not built anew for each change of a column's type.
DROP INDEX migrations_under_way;
DROP INDEX images_by_name;

-- Text is compared by its bytes, as SQLite does, and not by the language of whoever made the database.
DO $$
DECLARE
    text_column RECORD;
BEGIN
    FOR text_column IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND data_type = 'text' AND table_name <> '_sqlx_migrations'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"',
                       text_column.table_name, text_column.column_name);
    END LOOP;
END
$$;

-- Microseconds since 1970 as a time.
CREATE FUNCTION pg_temp.as_time(micros bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    RETURN TIMESTAMPTZ 'epoch' + micros * INTERVAL '1 microsecond';

ALTER TABLE projects
    ALTER COLUMN enabled DROP DEFAULT,
    ALTER COLUMN enabled TYPE boolean USING enabled <> 0,
    ALTER COLUMN enabled SET DEFAULT TRUE;

ALTER TABLE users
    ALTER COLUMN enabled DROP DEFAULT,
    ALTER COLUMN enabled TYPE boolean USING enabled <> 0,
    ALTER COLUMN enabled SET DEFAULT TRUE;

ALTER TABLE tokens
    ALTER COLUMN issued_at TYPE timestamptz USING pg_temp.as_time(issued_at),
    ALTER COLUMN expires_at TYPE timestamptz USING pg_temp.as_time(expires_at);

ALTER TABLE flavors
    ALTER COLUMN is_public DROP DEFAULT,
    ALTER COLUMN is_public TYPE boolean USING is_public <> 0,
    ALTER COLUMN is_public SET DEFAULT TRUE,
    ALTER COLUMN extra_specs DROP DEFAULT,
    ALTER COLUMN extra_specs TYPE jsonb USING extra_specs::jsonb,
    ALTER COLUMN extra_specs SET DEFAULT '{}';

ALTER TABLE images
    ALTER COLUMN properties DROP DEFAULT,
    ALTER COLUMN properties TYPE jsonb USING properties::jsonb,
    ALTER COLUMN properties SET DEFAULT '{}',
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at),
    ALTER COLUMN updated_at TYPE timestamptz USING pg_temp.as_time(updated_at);

ALTER TABLE services
    ALTER COLUMN uuid TYPE uuid USING uuid::uuid,
    ALTER COLUMN incarnation TYPE uuid USING incarnation::uuid,
    ALTER COLUMN disabled DROP DEFAULT,
    ALTER COLUMN disabled TYPE boolean USING disabled <> 0,
    ALTER COLUMN disabled SET DEFAULT FALSE,
    ALTER COLUMN forced_down DROP DEFAULT,
    ALTER COLUMN forced_down TYPE boolean USING forced_down <> 0,
    ALTER COLUMN forced_down SET DEFAULT FALSE,
    ALTER COLUMN last_seen TYPE timestamptz USING pg_temp.as_time(last_seen),
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at);

ALTER TABLE compute_nodes
    ALTER COLUMN uuid TYPE uuid USING uuid::uuid,
    ALTER COLUMN inventory TYPE jsonb USING inventory::jsonb,
    ALTER COLUMN updated_at TYPE timestamptz USING pg_temp.as_time(updated_at);

ALTER TABLE allocations
    ALTER COLUMN instance_uuid TYPE uuid USING instance_uuid::uuid,
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at);

ALTER TABLE instances
    ALTER COLUMN uuid TYPE uuid USING uuid::uuid,
    ALTER COLUMN flavor TYPE jsonb USING flavor::jsonb,
    ALTER COLUMN metadata DROP DEFAULT,
    ALTER COLUMN metadata TYPE jsonb USING metadata::jsonb,
    ALTER COLUMN metadata SET DEFAULT '{}',
    ALTER COLUMN request_spec DROP DEFAULT,
    ALTER COLUMN request_spec TYPE jsonb USING request_spec::jsonb,
    ALTER COLUMN request_spec SET DEFAULT '{}',
    ALTER COLUMN config_drive DROP DEFAULT,
    ALTER COLUMN config_drive TYPE boolean USING config_drive <> 0,
    ALTER COLUMN config_drive SET DEFAULT FALSE,
    ALTER COLUMN task_id TYPE uuid USING task_id::uuid,
    ALTER COLUMN owner TYPE uuid USING owner::uuid,
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at),
    ALTER COLUMN updated_at TYPE timestamptz USING pg_temp.as_time(updated_at),
    ALTER COLUMN launched_at TYPE timestamptz USING pg_temp.as_time(launched_at),
    ALTER COLUMN terminated_at TYPE timestamptz USING pg_temp.as_time(terminated_at),
    ALTER COLUMN deleted_at TYPE timestamptz USING pg_temp.as_time(deleted_at);

ALTER TABLE instance_faults
    ALTER COLUMN instance_uuid TYPE uuid USING instance_uuid::uuid,
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at);

ALTER TABLE instance_actions
    ALTER COLUMN instance_uuid TYPE uuid USING instance_uuid::uuid,
    ALTER COLUMN start_time TYPE timestamptz USING pg_temp.as_time(start_time),
    ALTER COLUMN updated_at TYPE timestamptz USING pg_temp.as_time(updated_at);

ALTER TABLE instance_action_events
    ALTER COLUMN instance_uuid TYPE uuid USING instance_uuid::uuid,
    ALTER COLUMN start_time TYPE timestamptz USING pg_temp.as_time(start_time),
    ALTER COLUMN finish_time TYPE timestamptz USING pg_temp.as_time(finish_time);

ALTER TABLE migrations
    ALTER COLUMN uuid TYPE uuid USING uuid::uuid,
    ALTER COLUMN instance_uuid TYPE uuid USING instance_uuid::uuid,
    ALTER COLUMN task_id TYPE uuid USING task_id::uuid,
    ALTER COLUMN block_migration TYPE boolean USING block_migration <> 0,
    ALTER COLUMN owner TYPE uuid USING owner::uuid,
    ALTER COLUMN abort_requested DROP DEFAULT,
    ALTER COLUMN abort_requested TYPE boolean USING abort_requested <> 0,
    ALTER COLUMN abort_requested SET DEFAULT FALSE,
    ALTER COLUMN migrate_data TYPE jsonb USING migrate_data::jsonb,
    ALTER COLUMN created_at TYPE timestamptz USING pg_temp.as_time(created_at),
    ALTER COLUMN updated_at TYPE timestamptz USING pg_temp.as_time(updated_at);

DROP FUNCTION pg_temp.as_time;

-- Whether a run of a service is over is asked by its incarnation.
CREATE INDEX services_by_incarnation ON services (incarnation);

-- What a scheduler or conductor works on: few rows at any time.
CREATE INDEX instances_by_owner ON instances (owner) WHERE owner IS NOT NULL;
CREATE INDEX instances_by_flavor ON instances ((flavor ->> 'id')) WHERE deleted_at IS NULL;

-- Not partial: whichever statuses are asked for, and however they are bound, it serves.
CREATE INDEX migrations_by_source ON migrations (source, status);
CREATE INDEX migrations_by_destination ON migrations (destination, status);
CREATE INDEX migrations_by_status ON migrations (status, id);

CREATE INDEX images_by_name ON images (name, id);
CREATE INDEX images_by_time ON images (created_at, id);
