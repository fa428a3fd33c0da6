-- The key to which the refresh tokens of a public client are bound (RFC 9449, section 5): its thumbprint.
ALTER TABLE grants ADD COLUMN dpop_key BYTEA;
