-- What was called, summed up by the hour from the audit: calls by how they ended, bytes of answers, and how many took how long.
CREATE TABLE usage_hours (
    hour BIGINT NOT NULL,
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id BYTEA NOT NULL,
    called TEXT NOT NULL,
    calls BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    ten_ms BIGINT NOT NULL,
    thirty_ms BIGINT NOT NULL,
    hundred_ms BIGINT NOT NULL,
    three_hundred_ms BIGINT NOT NULL,
    one_second BIGINT NOT NULL,
    three_seconds BIGINT NOT NULL,
    ten_seconds BIGINT NOT NULL,
    longer BIGINT NOT NULL,
    PRIMARY KEY (hour, server, client_id, user_id, called)
);
