-- What users say of a server and nothing here acts on; a live migration to a host that no scheduler is asked about.

ALTER TABLE instances ADD COLUMN access_ip_v4 TEXT COLLATE "C";
ALTER TABLE instances ADD COLUMN access_ip_v6 TEXT COLLATE "C";
-- Whether OS-DCF:diskConfig is AUTO.
ALTER TABLE instances ADD COLUMN auto_disk_config BOOLEAN NOT NULL DEFAULT FALSE;
-- Ids of certificates.
ALTER TABLE instances ADD COLUMN trusted_certs JSONB NOT NULL DEFAULT '[]';

ALTER TABLE migrations ADD COLUMN forced BOOLEAN NOT NULL DEFAULT FALSE;

-- A number, as JSON.
ALTER TABLE flavors ADD COLUMN rxtx_factor JSONB NOT NULL DEFAULT '1.0';
