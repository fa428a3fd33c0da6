-- A grant that no browser flow made: of each person, client and resource one is alive (`standing.rs`). It names itself in
-- place of an authorization.
ALTER TABLE grants ADD COLUMN standing INTEGER;
CREATE UNIQUE INDEX grants_standing ON grants (user_id, client_id, resource) WHERE standing IS NOT NULL AND revoked_at IS NULL;
