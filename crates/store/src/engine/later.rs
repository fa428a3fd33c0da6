//! Taking itself for a later release, for tests of upgrades (attacks.md, F-20): the migrations that this release knows and
//! some that only tests know. The first adds something, the second takes away what only this release and older ones use.
//!
//! Nothing of this file is in a release.

use std::sync::OnceLock;

use super::migrate::{MIGRATIONS, Migration};

/// What the later releases add, oldest first: name, the SQL of both engines, and whether what came before is still borne.
const LATER: [(&str, &str, bool); 2] = [
    (
        "of_the_next_release",
        "CREATE TABLE next_release (id BIGINT NOT NULL PRIMARY KEY); \
         ALTER TABLE grants ADD COLUMN added_later TEXT; \
         ALTER TABLE clients ADD COLUMN added_later BIGINT NOT NULL DEFAULT 0; \
         CREATE INDEX grants_added_later ON grants (added_later)",
        true,
    ),
    ("of_the_one_after", "DROP TABLE next_release", false),
];

static KNOWN: OnceLock<Vec<Migration>> = OnceLock::new();

/// Has this process take itself for a release that is so many ahead. Once for all, before any record is opened.
pub fn become_later_release(ahead: usize) {
    let mut known = MIGRATIONS.to_vec();
    let newest = known.last().map_or(0, |migration| migration.version);
    for (version, (name, sql, adds)) in (newest + 1..).zip(LATER).take(ahead) {
        let needs = if adds { 1 } else { version - 1 };
        known.push(Migration { version, name, sqlite: sql, postgres: sql, needs });
    }
    let _ = KNOWN.set(known);
}

/// All migrations, oldest first.
pub(crate) fn known() -> &'static [Migration] {
    KNOWN.get().map_or(MIGRATIONS, Vec::as_slice)
}
