-- What may be used once and was: the hash of it, until it would be over anyway.
CREATE TABLE replays (
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_expires ON replays (expires_at);
