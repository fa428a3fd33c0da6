-- The twin of migrations/postgres/0001_first.sql: same tables, same columns, three column types.
-- Times are microseconds since 1970; ids and hashes are bytes; sets and documents are JSON that SQL never reads.

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    metadata TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    name TEXT,
    first_consented_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    blocked_at INTEGER
) STRICT;
CREATE INDEX clients_unused ON clients (last_used_at) WHERE blocked_at IS NULL;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    connector TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT,
    email TEXT,
    groups TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER NOT NULL,
    disabled_at INTEGER,
    UNIQUE (connector, subject)
) STRICT;

CREATE TABLE browser_sessions (
    hash BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_sessions_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_expires ON browser_sessions (expires_at);

-- A code belongs to one authorization.
CREATE TABLE authorizations (
    id BLOB NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    browser BLOB NOT NULL,
    address TEXT NOT NULL,
    network TEXT NOT NULL,
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    upstream_connector TEXT,
    upstream_state_hash BLOB UNIQUE,
    upstream_leg_hash BLOB,
    upstream_nonce_hash BLOB,
    upstream_verifier BLOB,
    user_id BLOB,
    scope TEXT,
    code_hash BLOB UNIQUE,
    code_expires_at INTEGER,
    shown BLOB,
    attempts INTEGER,
    grant_id BLOB,
    redeemed_at INTEGER
) STRICT;
CREATE INDEX authorizations_waiting ON authorizations (network, expires_at) WHERE state IN ('pending', 'upstream_leg');
CREATE INDEX authorizations_open ON authorizations (expires_at) WHERE state <> 'redeemed';

-- An authorization gives one grant, whatever happened to its row: a code has at most one token family.
CREATE TABLE grants (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    server TEXT NOT NULL,
    scope TEXT NOT NULL,
    authorization_id BLOB NOT NULL UNIQUE,
    seed BLOB NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    idle_expires_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    shown BLOB NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_client ON grants (client_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_resource ON grants (resource) WHERE revoked_at IS NULL;
CREATE INDEX grants_expires ON grants (expires_at);

CREATE TABLE revocations (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_created ON revocations (created_at);
CREATE INDEX revocations_expires ON revocations (expires_at);

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id BLOB NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    withdrawn_at INTEGER
) STRICT, WITHOUT ROWID;

-- Personal data of audit events, beside them, so that it can be blotted out without breaking a seal.
CREATE TABLE audit_subjects (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT,
    address TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    reference TEXT,
    user_id BLOB,
    client_id TEXT,
    server TEXT,
    grant_id BLOB,
    subject_id BLOB,
    detail TEXT NOT NULL,
    seal_id INTEGER,
    seal_position INTEGER,
    PRIMARY KEY (at, id)
) STRICT;
CREATE INDEX audit_events_user ON audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_reference ON audit_events (reference, at, id) WHERE reference IS NOT NULL;

-- A seal follows exactly one other; so the chain cannot fork.
CREATE TABLE audit_seals (
    id INTEGER NOT NULL PRIMARY KEY,
    previous INTEGER UNIQUE REFERENCES audit_seals (id),
    digest BLOB NOT NULL,
    count INTEGER NOT NULL,
    sealed_at INTEGER NOT NULL,
    key_id BLOB,
    signature BLOB
) STRICT;
