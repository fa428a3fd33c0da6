-- In which session at the identity provider a browser session, and what was allowed in it, began: the hash of connector and
-- `sid` (OpenID Connect Back-Channel Logout 1.0, section 2.1). NULL where the provider names none.
ALTER TABLE browser_sessions ADD COLUMN upstream_session BYTEA;
ALTER TABLE authorizations ADD COLUMN upstream_session BYTEA;
CREATE INDEX browser_sessions_upstream ON browser_sessions (upstream_session) WHERE upstream_session IS NOT NULL;
CREATE INDEX authorizations_upstream ON authorizations (upstream_session) WHERE upstream_session IS NOT NULL;
