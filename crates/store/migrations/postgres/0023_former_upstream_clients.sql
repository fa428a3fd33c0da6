-- Who we were at such authorization servers under another address of ours: connections that were made then go on as that client.
CREATE TABLE former_upstream_clients (
    id BYTEA NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (server, issuer, client_id)
);
