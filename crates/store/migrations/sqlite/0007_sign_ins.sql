-- The twin of migrations/postgres/0007_sign_ins.sql. Only adds: the release before this one runs on it as before.

-- Attempts to connect, for those who ask why one failed. A row that is part of another stands beside it because it was told a
-- reference of its own. `steps` is lines of JSON that SQL only ever makes longer. The address stands among the subjects of the
-- audit, under the id of the row.
CREATE TABLE sign_ins (
    id BLOB NOT NULL PRIMARY KEY,
    reference TEXT NOT NULL,
    part_of BLOB,
    begun_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    connected_at INTEGER,
    client_id TEXT,
    client_name TEXT,
    server TEXT,
    user_id BLOB,
    grant_id BLOB,
    failed INTEGER NOT NULL,
    last_step TEXT NOT NULL,
    last_reason TEXT,
    count INTEGER NOT NULL,
    steps TEXT NOT NULL
) STRICT;
CREATE INDEX sign_ins_begun ON sign_ins (begun_at, id);
CREATE INDEX sign_ins_client ON sign_ins (client_id, begun_at) WHERE client_id IS NOT NULL;
CREATE INDEX sign_ins_grant ON sign_ins (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX sign_ins_nobody ON sign_ins (begun_at, id) WHERE user_id IS NULL;
CREATE INDEX sign_ins_part ON sign_ins (part_of) WHERE part_of IS NOT NULL;
CREATE INDEX sign_ins_reference ON sign_ins (reference);
