-- What was called, summed up by the hour from the audit: calls by how they ended, bytes of answers, and how many took how long.
CREATE TABLE usage_hours (
    hour INTEGER NOT NULL,
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id BLOB NOT NULL,
    called TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    ten_ms INTEGER NOT NULL,
    thirty_ms INTEGER NOT NULL,
    hundred_ms INTEGER NOT NULL,
    three_hundred_ms INTEGER NOT NULL,
    one_second INTEGER NOT NULL,
    three_seconds INTEGER NOT NULL,
    ten_seconds INTEGER NOT NULL,
    longer INTEGER NOT NULL,
    PRIMARY KEY (hour, server, client_id, user_id, called)
) STRICT, WITHOUT ROWID;
