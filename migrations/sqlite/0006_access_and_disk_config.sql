-- What users say of a server and nothing here acts on; a live migration to a host that no scheduler is asked about.

ALTER TABLE instances ADD COLUMN access_ip_v4 TEXT;
ALTER TABLE instances ADD COLUMN access_ip_v6 TEXT;
-- Whether OS-DCF:diskConfig is AUTO.
ALTER TABLE instances ADD COLUMN auto_disk_config BIGINT NOT NULL DEFAULT 0;
-- Ids of certificates, as JSON.
ALTER TABLE instances ADD COLUMN trusted_certs TEXT NOT NULL DEFAULT '[]';

ALTER TABLE migrations ADD COLUMN forced BIGINT NOT NULL DEFAULT 0;

-- A number, as JSON.
ALTER TABLE flavors ADD COLUMN rxtx_factor TEXT NOT NULL DEFAULT '1.0';
