-- A way in for one person while the identity provider is away. The code is a hash; whose it is, and the hash, stand sealed beside it,
-- so that a row that somebody else wrote opens nothing.
CREATE TABLE emergency_logins (
    id BYTEA NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    user_id BYTEA NOT NULL REFERENCES users (id),
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX emergency_logins_expires ON emergency_logins (expires_at);
CREATE INDEX emergency_logins_user ON emergency_logins (user_id);
