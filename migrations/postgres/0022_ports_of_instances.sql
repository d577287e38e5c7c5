-- What Networking has given each server, in place of the address that stood for it.

ALTER TABLE instances DROP COLUMN fixed_ip;
DROP TABLE fixed_ip_numbers;

ALTER TABLE instances ADD COLUMN network_info JSONB NOT NULL DEFAULT '[]';

-- Whether Networking may have ports that are to be given back.
ALTER TABLE instances ADD COLUMN has_ports BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX instances_ports_to_give_back ON instances (deleted_at)
    WHERE has_ports AND deleted_at IS NOT NULL;
CREATE INDEX instances_failed_with_ports ON instances (updated_at)
    WHERE has_ports AND deleted_at IS NULL AND vm_state = 'error' AND host IS NULL AND task_state IS NULL;
