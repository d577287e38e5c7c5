-- Hosts that wait for an operator: new ones, and known ones that say they have more than they had.

-- Why: 'identity', another machine under the name of a host; 'new'; 'capacity'.
ALTER TABLE refused_hosts ADD COLUMN reason TEXT COLLATE "C" NOT NULL DEFAULT 'identity';

-- What it says that it has.
ALTER TABLE refused_hosts ADD COLUMN inventory JSONB;
