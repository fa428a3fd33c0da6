-- A way in for one person while the identity provider is away. The code is a hash; whose it is, and the hash, stand sealed beside it,
-- so that a row that somebody else wrote opens nothing.
CREATE TABLE emergency_logins (
    id BLOB NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    user_id BLOB NOT NULL REFERENCES users (id),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX emergency_logins_expires ON emergency_logins (expires_at);
CREATE INDEX emergency_logins_user ON emergency_logins (user_id);
