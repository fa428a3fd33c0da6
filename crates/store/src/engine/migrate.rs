//! Migrations: twins in `migrations/`, forward only, each applied once and remembered with its checksum.
//!
//! A record that is newer than this binary, or whose migrations are not the ones this binary knows, is left
//! alone: guessing would cost somebody's data.

use protocol::secret::Hash;

use super::{OpenError, Value, value::Row};

/// One step of the schema, in both dialects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal;)+) => {
        /// All migrations, oldest first.
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        },)+];
    };
}

migrations! {
    1 "0001_first";
    2 "0002_emergency_logins";
    3 "0003_key_activation";
    4 "0004_audit_blocks";
}

/// The table by which the record knows its own shape. It is made by the migrator, before any migration.
pub(crate) const CREATE_SQLITE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
    (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL) STRICT";
pub(crate) const CREATE_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
    (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum BYTEA NOT NULL)";
pub(crate) const LIST: &str = "SELECT version, checksum FROM schema_migrations ORDER BY version";
pub(crate) const REMEMBER: &str =
    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)";

impl Migration {
    /// Of both twins together: changing either is changing the migration.
    pub(crate) fn checksum(&self) -> Hash {
        let mut text = Vec::with_capacity(self.sqlite.len() + self.postgres.len() + 1);
        text.extend_from_slice(self.sqlite.as_bytes());
        text.push(0);
        text.extend_from_slice(self.postgres.as_bytes());
        Hash::of(&text)
    }

    /// The row that remembers it.
    pub(crate) fn remembered(&self) -> Row {
        vec![Value::from(self.version), Value::from(self.name), Value::from(self.checksum())]
    }
}

/// What is still to be applied to a record in which these rows of [`LIST`] were found.
pub(crate) fn pending(applied: &[Row]) -> Result<&'static [Migration], OpenError> {
    for (place, row) in applied.iter().enumerate() {
        let (version, checksum) = match row.as_slice() {
            [Value::Integer(version), Value::Bytes(checksum)] => (*version, checksum),
            _ => return Err(OpenError::Changed { version: 0 }),
        };
        let Some(known) = MIGRATIONS.get(place) else {
            let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
            return Err(OpenError::Newer { found: version, known: newest });
        };
        if known.version != version || known.checksum().as_bytes().as_slice() != checksum.as_slice() {
            return Err(OpenError::Changed { version });
        }
    }
    Ok(MIGRATIONS.get(applied.len()..).unwrap_or_default())
}
