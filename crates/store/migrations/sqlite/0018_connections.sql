-- The account of a person at an MCP server's own provider: what was given for it, sealed (product.md, P-15), and to whom
-- (`binding`). A connection that ended stays until the provider has heard of it. `claim` is of the one who asks the provider now, until `claimed_until`.
CREATE TABLE connections (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    server TEXT NOT NULL,
    binding TEXT NOT NULL,
    account TEXT,
    scope TEXT,
    access_token BLOB NOT NULL,
    refresh_token BLOB,
    expires_at INTEGER,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    needs_sign_in TEXT,
    claim BLOB,
    claimed_until INTEGER,
    ended_at INTEGER,
    tries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX connections_live ON connections (user_id, server) WHERE ended_at IS NULL;
CREATE INDEX connections_user ON connections (user_id);
CREATE INDEX connections_server ON connections (server);
CREATE INDEX connections_ended ON connections (ended_at) WHERE ended_at IS NOT NULL;

-- Connections on their way, each tied to one person in one browser. What was taken once is taken by nobody else.
CREATE TABLE connecting (
    id BLOB NOT NULL PRIMARY KEY,
    state_hash BLOB NOT NULL UNIQUE,
    browser BLOB NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id),
    server TEXT NOT NULL,
    leg TEXT NOT NULL,
    verifier BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    taken_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX connecting_user ON connecting (user_id);
CREATE INDEX connecting_server ON connecting (server);
CREATE INDEX connecting_expires ON connecting (expires_at);

-- Who we are at the authorization servers where we registered ourselves (RFC 7591): sealed, for all nodes.
CREATE TABLE upstream_clients (
    id BLOB NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (server, issuer)
) STRICT, WITHOUT ROWID;
