-- What may be used once and was: the hash of it, until it would be over anyway.
CREATE TABLE replays (
    kind TEXT NOT NULL,
    hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, hash)
);
CREATE INDEX replays_expires ON replays (expires_at);
