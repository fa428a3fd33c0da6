-- What must not be removed from the audit, whatever its age: of a person, at an MCP server, of a time; what is empty is not
-- asked about.
CREATE TABLE audit_holds (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB,
    server TEXT,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Names and addresses that several calls name: none that began then or later does. Empty where one event has it for itself.
ALTER TABLE audit_subjects ADD COLUMN used_until INTEGER;
UPDATE audit_subjects SET used_until = (SELECT COALESCE(MAX(last_at), 0) + 3600000000 FROM audit_blocks)
    WHERE id NOT IN (SELECT subject_id FROM audit_events WHERE subject_id IS NOT NULL) AND id NOT IN (SELECT id FROM sign_ins);
CREATE INDEX audit_subjects_by_use ON audit_subjects (used_until, id) WHERE used_until IS NOT NULL;
