-- By what an identity provider can be asked later whether a person is still there: sealed. `claim` is of the one who asks now, for
-- as long as `claimed_until`; `doubtful` says that an answer was lost, and with it perhaps
-- the next token, if this provider gives others in exchange (`rotates`).
CREATE TABLE offline_access (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id),
    connector TEXT NOT NULL,
    subject TEXT NOT NULL,
    sealed BLOB NOT NULL,
    obtained_at INTEGER NOT NULL,
    checked_at INTEGER NOT NULL,
    claim BLOB,
    claimed_until INTEGER,
    doubtful INTEGER NOT NULL,
    rotates INTEGER NOT NULL,
    UNIQUE (user_id, connector)
) STRICT, WITHOUT ROWID;
CREATE INDEX offline_access_obtained ON offline_access (obtained_at);
