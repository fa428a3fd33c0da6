-- The twin of migrations/sqlite/0001_first.sql: same tables, same columns, three column types.
-- Times are microseconds since 1970; ids and hashes are bytes; sets and documents are JSON that SQL never reads.

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    metadata TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    name TEXT,
    first_consented_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    blocked_at BIGINT
);
CREATE INDEX clients_unused ON clients (last_used_at) WHERE blocked_at IS NULL;

CREATE TABLE users (
    id BYTEA NOT NULL PRIMARY KEY,
    connector TEXT NOT NULL,
    subject TEXT NOT NULL,
    name TEXT,
    email TEXT,
    groups TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_sign_in_at BIGINT NOT NULL,
    disabled_at BIGINT,
    UNIQUE (connector, subject)
);

CREATE TABLE browser_sessions (
    hash BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX browser_sessions_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_expires ON browser_sessions (expires_at);

-- A code belongs to one authorization.
CREATE TABLE authorizations (
    id BYTEA NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    browser BYTEA NOT NULL,
    address TEXT NOT NULL,
    network TEXT NOT NULL,
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    upstream_connector TEXT,
    upstream_state_hash BYTEA UNIQUE,
    upstream_leg_hash BYTEA,
    upstream_nonce_hash BYTEA,
    upstream_verifier BYTEA,
    user_id BYTEA,
    scope TEXT,
    code_hash BYTEA UNIQUE,
    code_expires_at BIGINT,
    shown BYTEA,
    attempts BIGINT,
    grant_id BYTEA,
    redeemed_at BIGINT
);
CREATE INDEX authorizations_waiting ON authorizations (network, expires_at) WHERE state IN ('pending', 'upstream_leg');
CREATE INDEX authorizations_open ON authorizations (expires_at) WHERE state <> 'redeemed';

-- An authorization gives one grant, whatever happened to its row: a code has at most one token family.
CREATE TABLE grants (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    server TEXT NOT NULL,
    scope TEXT NOT NULL,
    authorization_id BYTEA NOT NULL UNIQUE,
    seed BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    shown BYTEA NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_client ON grants (client_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_resource ON grants (resource) WHERE revoked_at IS NULL;
CREATE INDEX grants_expires ON grants (expires_at);

CREATE TABLE revocations (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX revocations_created ON revocations (created_at);
CREATE INDEX revocations_expires ON revocations (expires_at);

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE keys (
    id BYTEA NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    withdrawn_at BIGINT
);

-- Personal data of audit events, beside them, so that it can be blotted out without breaking a seal.
CREATE TABLE audit_subjects (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT,
    address TEXT
);

CREATE TABLE audit_events (
    id BYTEA NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    reference TEXT,
    user_id BYTEA,
    client_id TEXT,
    server TEXT,
    grant_id BYTEA,
    subject_id BYTEA,
    detail TEXT NOT NULL,
    seal_id BIGINT,
    seal_position BIGINT,
    PRIMARY KEY (at, id)
);
CREATE INDEX audit_events_user ON audit_events (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_events_reference ON audit_events (reference, at, id) WHERE reference IS NOT NULL;

-- A seal follows exactly one other; so the chain cannot fork.
CREATE TABLE audit_seals (
    id BIGINT NOT NULL PRIMARY KEY,
    previous BIGINT UNIQUE REFERENCES audit_seals (id),
    digest BYTEA NOT NULL,
    count BIGINT NOT NULL,
    sealed_at BIGINT NOT NULL,
    key_id BYTEA,
    signature BYTEA
);
