-- What a device asked for (RFC 8628): kept until a person decided in a browser and the device came for it. Both codes are
-- hashes; what the person decided stands in the authorization that their browser made.
CREATE TABLE device_authorizations (
    device_code BYTEA NOT NULL PRIMARY KEY,
    user_code BYTEA NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    address TEXT NOT NULL,
    network TEXT NOT NULL,
    resource TEXT NOT NULL,
    server TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    polled_at BIGINT,
    authorization_id BYTEA
);
CREATE INDEX device_authorizations_network ON device_authorizations (network, expires_at);
CREATE INDEX device_authorizations_expires ON device_authorizations (expires_at);
