-- Who signs in by another identity provider and is somebody who is known already: made by an operator, never by an address.
CREATE TABLE identity_links (
    connector TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (connector, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_links_user ON identity_links (user_id);
