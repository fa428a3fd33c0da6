-- What must not be removed from the audit, whatever its age: of a person, at an MCP server, of a time; what is empty is not
-- asked about.
CREATE TABLE audit_holds (
    id BYTEA NOT NULL PRIMARY KEY,
    user_id BYTEA,
    server TEXT,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
-- Names and addresses that several calls name: none that began then or later does. Empty where one event has it for itself.
ALTER TABLE audit_subjects ADD COLUMN used_until BIGINT;
UPDATE audit_subjects SET used_until = (SELECT COALESCE(MAX(last_at), 0) + 3600000000 FROM audit_blocks)
    WHERE NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.subject_id = audit_subjects.id)
    AND NOT EXISTS (SELECT 1 FROM sign_ins s WHERE s.id = audit_subjects.id);
CREATE INDEX audit_subjects_by_use ON audit_subjects (used_until, id) WHERE used_until IS NOT NULL;
