-- What an administrator decided about clients, who waits for such a decision, and tokens by which a client may register.
CREATE TABLE client_rules (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    destination TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_requests (
    authorization_id BLOB NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    client_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    name TEXT,
    metadata TEXT NOT NULL,
    destination TEXT NOT NULL,
    server TEXT NOT NULL,
    user_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_requests_reference ON client_requests (reference);
CREATE INDEX client_requests_user ON client_requests (user_id);
CREATE INDEX client_requests_expires ON client_requests (expires_at);

CREATE TABLE registration_tokens (
    hash BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_tokens_expires ON registration_tokens (expires_at);
