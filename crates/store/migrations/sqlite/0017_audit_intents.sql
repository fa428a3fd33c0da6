-- Calls that may change something, from before they are forwarded until they are over. What stays behind when its node is
-- gone is a call of which nobody knows how it ended. Name and address are of the person, and go with the row.
CREATE TABLE audit_intents (
    id BLOB NOT NULL PRIMARY KEY,
    node BLOB NOT NULL,
    at INTEGER NOT NULL,
    user_id BLOB NOT NULL,
    client_id TEXT NOT NULL,
    server TEXT NOT NULL,
    grant_id BLOB NOT NULL,
    method TEXT NOT NULL,
    called TEXT,
    name TEXT,
    address TEXT
) STRICT, WITHOUT ROWID;

-- Nodes that have such calls, and when each was last heard of.
CREATE TABLE nodes (
    id BLOB NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
