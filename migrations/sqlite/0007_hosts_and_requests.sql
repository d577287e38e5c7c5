-- Hosts that are known by more than their names, and what was asked and must not be forgotten.

-- What a host is beside its name: made once, kept in its state folder.
ALTER TABLE compute_nodes ADD COLUMN identity TEXT;

-- Hosts that said hello under the name of another one, until an operator decides.
CREATE TABLE refused_hosts (
    host TEXT NOT NULL PRIMARY KEY,
    identity TEXT,
    last_seen BIGINT NOT NULL
);

-- Whether the source is still to be told that a live migration is to be completed by force.
ALTER TABLE migrations ADD COLUMN force_complete_requested BIGINT NOT NULL DEFAULT 0;

CREATE INDEX instance_action_events_open ON instance_action_events (start_time) WHERE finish_time IS NULL;
