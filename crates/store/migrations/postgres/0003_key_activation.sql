-- A key may be made before it works: it is published first. Without a time it works from its birth.
ALTER TABLE keys ADD COLUMN activates_at BIGINT;
