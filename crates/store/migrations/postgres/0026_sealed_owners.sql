-- What is sealed is sealed for whose row it is as well (attacks.md, ST-02). What was sealed before opens no more, and is not
-- to look like something that was tampered with: it goes. People connect their accounts again, and sign in again where
-- a provider is asked about them; whoever is on the way to a provider begins again.
DELETE FROM connecting;
DELETE FROM connections;
DELETE FROM offline_access;
DELETE FROM upstream_clients;
DELETE FROM former_upstream_clients;
UPDATE authorizations SET state = 'pending', upstream_connector = NULL, upstream_state_hash = NULL,
    upstream_leg_hash = NULL, upstream_nonce_hash = NULL, upstream_verifier = NULL WHERE state = 'upstream_leg';

-- What was not granted may change while the tokens stay, so it stands outside of what they are bound to.
ALTER TABLE connections ADD COLUMN missing TEXT NOT NULL DEFAULT '';
