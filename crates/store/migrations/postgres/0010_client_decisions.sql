-- What an administrator decided about clients, who waits for such a decision, and tokens by which a client may register.
CREATE TABLE client_rules (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    destination TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject, destination)
);

CREATE TABLE client_requests (
    authorization_id BYTEA NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    client_id TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    name TEXT,
    metadata TEXT NOT NULL,
    destination TEXT NOT NULL,
    server TEXT NOT NULL,
    user_id BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX client_requests_reference ON client_requests (reference);
CREATE INDEX client_requests_user ON client_requests (user_id);
CREATE INDEX client_requests_expires ON client_requests (expires_at);

CREATE TABLE registration_tokens (
    hash BYTEA NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX registration_tokens_expires ON registration_tokens (expires_at);
