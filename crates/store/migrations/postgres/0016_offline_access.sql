-- By what an identity provider can be asked later whether a person is still there: sealed. `claim` is of the one who asks now, for
-- as long as `claimed_until`; `doubtful` says that an answer was lost, and with it perhaps
-- the next token, if this provider gives others in exchange (`rotates`).
CREATE TABLE offline_access (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA NOT NULL REFERENCES users (id),
    connector TEXT NOT NULL,
    subject TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    obtained_at BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    claim BYTEA,
    claimed_until BIGINT,
    doubtful BIGINT NOT NULL,
    rotates BIGINT NOT NULL,
    UNIQUE (user_id, connector)
);
CREATE INDEX offline_access_obtained ON offline_access (obtained_at);
