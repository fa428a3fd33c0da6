-- The twin of migrations/postgres/0004_audit_blocks.sql. Only adds: the release before this one runs on it as before.

-- Audit events of calls, packed by the writer that gathered them: one row for many events, each of them whole. The
-- events of a block lie close together, or it could not be told from its two times which blocks a page may need.
CREATE TABLE audit_blocks (
    id BLOB NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    seal_id INTEGER,
    seal_position INTEGER,
    packed BLOB NOT NULL,
    PRIMARY KEY (last_at, id),
    CHECK (last_at >= first_at AND last_at - first_at <= 10000000 AND events > 0)
) STRICT;
CREATE INDEX audit_blocks_first ON audit_blocks (first_at, id);
