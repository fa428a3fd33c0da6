-- The account of a person at an MCP server's own provider: what was given for it, sealed (product.md, P-15), and to whom
-- (`binding`). A connection that ended stays until the provider has heard of it. `claim` is of the one who asks the provider now, until `claimed_until`.
CREATE TABLE connections (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    server TEXT NOT NULL,
    binding TEXT NOT NULL,
    account TEXT,
    scope TEXT,
    access_token BYTEA NOT NULL,
    refresh_token BYTEA,
    expires_at BIGINT,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    refreshed_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    needs_sign_in TEXT,
    claim BYTEA,
    claimed_until BIGINT,
    ended_at BIGINT,
    tries BIGINT NOT NULL
);
CREATE UNIQUE INDEX connections_live ON connections (user_id, server) WHERE ended_at IS NULL;
CREATE INDEX connections_user ON connections (user_id);
CREATE INDEX connections_server ON connections (server);
CREATE INDEX connections_ended ON connections (ended_at) WHERE ended_at IS NOT NULL;

-- Connections on their way, each tied to one person in one browser. What was taken once is taken by nobody else.
CREATE TABLE connecting (
    id BYTEA NOT NULL PRIMARY KEY,
    state_hash BYTEA NOT NULL UNIQUE,
    browser BYTEA NOT NULL,
    user_id BYTEA NOT NULL REFERENCES users (id),
    server TEXT NOT NULL,
    leg TEXT NOT NULL,
    verifier BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    taken_at BIGINT
);
CREATE INDEX connecting_user ON connecting (user_id);
CREATE INDEX connecting_server ON connecting (server);
CREATE INDEX connecting_expires ON connecting (expires_at);

-- Who we are at the authorization servers where we registered ourselves (RFC 7591): sealed, for all nodes.
CREATE TABLE upstream_clients (
    id BYTEA NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (server, issuer)
);
