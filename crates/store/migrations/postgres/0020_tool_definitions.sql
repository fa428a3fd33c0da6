-- What MCP servers say of their tools: what counts of each tool, and what waits until somebody accepts it. `generation` is that of
-- everything that is known of a server: whoever changes something names the one that they read.
CREATE TABLE tool_lists (
    server TEXT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL
);

CREATE TABLE tool_definitions (
    server TEXT NOT NULL,
    tool TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    fingerprint BYTEA,
    definition TEXT,
    seen_at BIGINT,
    accepted_at BIGINT,
    accepted_by TEXT,
    waiting_fingerprint BYTEA,
    waiting_definition TEXT,
    waiting_seen_at BIGINT,
    PRIMARY KEY (server, tool)
);
