-- What MCP servers say of their tools: what counts of each tool, and what waits until somebody accepts it. `generation` is that of
-- everything that is known of a server: whoever changes something names the one that they read.
CREATE TABLE tool_lists (
    server TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tool_definitions (
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    fingerprint BLOB,
    definition TEXT,
    seen_at INTEGER,
    accepted_at INTEGER,
    accepted_by TEXT,
    waiting_fingerprint BLOB,
    waiting_definition TEXT,
    waiting_seen_at INTEGER,
    PRIMARY KEY (server, tool)
) STRICT;
