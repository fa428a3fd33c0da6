-- The grants that a stop ended are asked for by the time of it (`revocations.rs`).
CREATE INDEX grants_revoked ON grants (revoked_at) WHERE revoked_at IS NOT NULL;
