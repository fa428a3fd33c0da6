-- What a person allowed beyond the one authorization at hand (product.md, P-9): remembered, or said in advance of another
-- MCP server on the same page. `holder` says who may use it: a browser, a browser session, or nobody in particular.
CREATE TABLE consents (
    user_id BYTEA NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    kind TEXT NOT NULL,
    holder BYTEA NOT NULL,
    server TEXT NOT NULL,
    scope TEXT NOT NULL,
    facts BYTEA NOT NULL,
    shown BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    grant_expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, resource, kind, holder)
);
CREATE INDEX consents_client ON consents (client_id);
CREATE INDEX consents_resource ON consents (resource);
CREATE INDEX consents_server ON consents (server);
CREATE INDEX consents_expires ON consents (expires_at);

-- Until when the person allowed it, if not for as long as can be.
ALTER TABLE authorizations ADD COLUMN grant_expires_at BIGINT;
