-- Calls that may change something, from before they are forwarded until they are over. What stays behind when its node is
-- gone is a call of which nobody knows how it ended. Name and address are of the person, and go with the row.
CREATE TABLE audit_intents (
    id BYTEA NOT NULL PRIMARY KEY,
    node BYTEA NOT NULL,
    at BIGINT NOT NULL,
    user_id BYTEA NOT NULL,
    client_id TEXT NOT NULL,
    server TEXT NOT NULL,
    grant_id BYTEA NOT NULL,
    method TEXT NOT NULL,
    called TEXT,
    name TEXT,
    address TEXT
);

-- Nodes that have such calls, and when each was last heard of.
CREATE TABLE nodes (
    id BYTEA NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
