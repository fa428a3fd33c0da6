-- The twin of migrations/sqlite/0004_audit_blocks.sql. Only adds: the release before this one runs on it as before.

-- Audit events of calls, packed by the writer that gathered them: one row for many events, each of them whole. The
-- events of a block lie close together, or it could not be told from its two times which blocks a page may need.
CREATE TABLE audit_blocks (
    id BYTEA NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    events BIGINT NOT NULL,
    seal_id BIGINT,
    seal_position BIGINT,
    packed BYTEA NOT NULL,
    PRIMARY KEY (last_at, id),
    CHECK (last_at >= first_at AND last_at - first_at <= 10000000 AND events > 0)
);
CREATE INDEX audit_blocks_first ON audit_blocks (first_at, id);
