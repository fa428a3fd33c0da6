-- A seal stands alone: what it covers, row by row, what stood before it, and from when on rows of which class may be gone.
ALTER TABLE audit_seals ADD COLUMN previous_digest BLOB;
ALTER TABLE audit_seals ADD COLUMN total INTEGER;
ALTER TABLE audit_seals ADD COLUMN cutoffs TEXT;
ALTER TABLE audit_seals ADD COLUMN entries BLOB;

-- What is still to be sealed, and what a seal covers.
CREATE INDEX audit_events_unsealed ON audit_events (at, id) WHERE seal_id IS NULL;
CREATE INDEX audit_blocks_unsealed ON audit_blocks (last_at, id) WHERE seal_id IS NULL;
CREATE INDEX audit_events_sealed ON audit_events (seal_id, seal_position) WHERE seal_id IS NOT NULL;
CREATE INDEX audit_blocks_sealed ON audit_blocks (seal_id, seal_position) WHERE seal_id IS NOT NULL;
