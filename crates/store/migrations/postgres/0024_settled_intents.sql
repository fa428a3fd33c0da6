-- Calls that were written down as of unknown outcome, because their node was not heard of. If it was only held, how they ended
-- is told by an event of another kind, so that each call has one event `call`.
CREATE TABLE settled_intents (
    id BYTEA NOT NULL PRIMARY KEY,
    settled_at BIGINT NOT NULL
);
CREATE INDEX settled_intents_settled_at ON settled_intents (settled_at);
