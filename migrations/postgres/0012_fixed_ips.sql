-- Every server's address on one network, until there is a network service.

ALTER TABLE instances ADD COLUMN fixed_ip TEXT COLLATE "C";

-- Which of the network's addresses is given next. Each API process takes many at a time.
CREATE TABLE fixed_ip_numbers (
    next BIGINT NOT NULL
);

INSERT INTO fixed_ip_numbers (next) VALUES (0);
