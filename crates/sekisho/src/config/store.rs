//! `[store]`: where the record is kept.

use std::path::PathBuf;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// Where the record is kept: an SQLite file on this machine, or a PostgreSQL database that several
    /// nodes share. One of `sqlite` and `postgres_file` (or `postgres_env`, `postgres_command`) is needed.
    Store = "[store]" {
        /// The SQLite file. Its folder must exist; the file is created, readable by its owner only.
        sqlite: Option<String> = optional, "a path", parse::text;
        /// Connections to PostgreSQL that each node keeps.
        pool_size: u64 = "16", "1 to 200", parse::number::<1, 200>;
        /// Certificate authorities for PostgreSQL over TLS, in PEM, beside those of the system.
        postgres_ca_file: Option<String> = optional, "a path", parse::text;
    }
}

/// Where the record is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreAt {
    /// PostgreSQL; the connection string is a secret.
    Postgres(SecretSource),
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// `[store]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Where.
    pub at: StoreAt,
    /// The other settings.
    pub settings: Store,
}

impl StoreConfig {
    /// Reads `[store]`.
    pub(super) fn read(root: &mut Section<'_>) -> Option<Self> {
        const NEEDED: &str =
            "sqlite = \"sekisho.db\", or postgres_file = \"path to a file with the connection string\"";
        let Some(mut section) = root.table("store") else {
            root.mistake("store", "is missing", NEEDED);
            return None;
        };
        let settings = Store::read(&mut section);
        let postgres = SecretSource::read(&mut section, "postgres", false);
        let at = match (settings.as_ref().and_then(|settings| settings.sqlite.as_ref()), postgres.as_ref()) {
            (Some(_), Some(Some(_))) => {
                section.mistake("sqlite", "is given together with PostgreSQL", "one of the two");
                None
            }
            (Some(path), _) => Some(StoreAt::Sqlite(section.source.path(path))),
            (None, Some(Some(source))) => Some(StoreAt::Postgres(source.clone())),
            (None, Some(None)) => {
                if settings.is_some() {
                    section.mistake("sqlite", "is missing", NEEDED);
                }
                None
            }
            (None, None) => None,
        };
        section.finish();
        Some(Self { at: at?, settings: settings? })
    }
}
