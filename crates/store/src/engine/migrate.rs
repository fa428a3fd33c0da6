//! Migrations: twins in `migrations/`, forward only, each applied once and remembered with its checksum.
//!
//! Expand before contract: a migration only adds, so that the binaries of the release before it run on; what nobody uses
//! any more goes in a later one, which says from which schema on a binary can do without it (`needs`). The record
//! remembers the strictest of these. So two releases next to each other share one schema, in either direction.
//!
//! A record that is newer than this binary can bear, that it would have to take in one step too many, or whose
//! migrations are not the ones this binary knows, is left alone: guessing would cost somebody's data.

use protocol::secret::Hash;

use super::{OpenError, Value, value::Row};

/// One step of the schema, in both dialects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    /// The oldest schema whose binaries run on this one: 1 if it only adds.
    pub(crate) needs: i64,
}

macro_rules! migrations {
    ($($version:literal $name:literal $(needs $needs:literal)?;)+) => {
        /// All migrations, oldest first.
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
            needs: 1 $(* $needs)?,
        },)+];
    };
}

migrations! {
    1 "0001_first";
    2 "0002_emergency_logins";
    3 "0003_key_activation";
    4 "0004_audit_blocks";
    5 "0005_ended_grants";
    6 "0006_replays";
    7 "0007_sign_ins";
    8 "0008_standing_grants";
    9 "0009_device_authorizations";
    10 "0010_client_decisions";
    11 "0011_lent_grants";
    12 "0012_identity_links";
    13 "0013_consents";
    14 "0014_upstream_sessions";
    15 "0015_dpop";
    16 "0016_offline_access";
    17 "0017_audit_intents";
    18 "0018_connections";
    19 "0019_audit_seals";
    20 "0020_tool_definitions";
    21 "0021_audit_holds";
    22 "0022_usage";
    23 "0023_former_upstream_clients";
    24 "0024_settled_intents";
    25 "0025_sealed_names";
    26 "0026_sealed_owners";
}

/// All that this binary knows.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn known() -> &'static [Migration] {
    MIGRATIONS
}

#[cfg(feature = "failpoints")]
pub(crate) use super::later::known;

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

/// The releases that were published, and the newest schema each of them knows.
const RELEASES: &[(&str, i64)] = &[];

/// Where the record remembers from which schema on a binary may run on it.
pub(crate) const OLDEST: &str = "SELECT value FROM meta WHERE key = 'oldest_schema'";
pub(crate) const REMEMBER_OLDEST: &str = "INSERT INTO meta (key, value) VALUES ('oldest_schema', $1) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// What a record says about its shape.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The rows of [`LIST`].
    pub(crate) applied: Vec<Row>,
    /// The row of [`OLDEST`], if there is one.
    pub(crate) oldest: Option<Row>,
}

impl Shape {
    /// What is still to be applied; nothing if a newer release has been here and left room for this one.
    pub(crate) fn pending(&self) -> Result<&'static [Migration], OpenError> {
        pending(known(), self)
    }

    /// The newest schema that was applied.
    pub(crate) fn version(&self) -> i64 {
        match self.applied.last().map(Vec::as_slice) {
            Some([Value::Integer(version), ..]) => *version,
            Some(_) | None => 0,
        }
    }

    fn oldest(&self) -> Option<i64> {
        match self.oldest.as_deref() {
            Some([Value::Text(oldest)]) => oldest.parse().ok(),
            Some(_) | None => None,
        }
    }
}

/// From which schema on a binary may run on a record to which all of these were applied.
fn oldest_of(migrations: &[Migration]) -> i64 {
    migrations.iter().map(|migration| migration.needs).max().unwrap_or(1)
}

/// What the record is told after so many of our migrations.
pub(crate) fn oldest_after(applied: usize) -> String {
    oldest_of(known().get(..applied).unwrap_or(known())).to_string()
}

/// Those of them up to a version.
pub(crate) fn up_to(pending: &'static [Migration], version: i64) -> &'static [Migration] {
    let count = pending.iter().take_while(|migration| migration.version <= version).count();
    pending.get(..count).unwrap_or_default()
}

fn pending<'a>(known: &'a [Migration], shape: &Shape) -> Result<&'a [Migration], OpenError> {
    let newest = known.last().map_or(0, |migration| migration.version);
    let found = shape.version();
    for (place, row) in shape.applied.iter().enumerate() {
        let (version, checksum) = match row.as_slice() {
            [Value::Integer(version), Value::Bytes(checksum)] => (*version, checksum),
            _ => return Err(OpenError::Changed { version: 0 }),
        };
        let Some(known) = known.get(place) else {
            // A newer release has been here. It may have left room for this one.
            return match shape.oldest() {
                Some(oldest) if oldest <= newest => Ok(&[]),
                Some(_) | None => Err(OpenError::Newer { found, known: newest }),
            };
        };
        if known.version != version || known.checksum().as_bytes().as_slice() != checksum.as_slice() {
            return Err(OpenError::Changed { version });
        }
    }
    let pending = known.get(shape.applied.len()..).unwrap_or_default();
    // On an empty record nobody runs.
    let skipped = pending.iter().find(|migration| found > 0 && migration.needs > found);
    if let Some(migration) = skipped {
        return Err(OpenError::Skips { found, needs: migration.needs, release: release_of(migration.needs) });
    }
    Ok(pending)
}

/// The first release that knows this schema, in words.
fn release_of(schema: i64) -> String {
    let release = RELEASES.iter().find(|(_, newest)| *newest >= schema);
    release.map_or_else(|| "the release before this one".to_owned(), |(name, _)| format!("release {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn migration(version: i64, needs: i64) -> Migration {
        Migration { version, name: "of a test", sqlite: "", postgres: "", needs }
    }

    /// What the record says after these.
    fn after(migrations: &[Migration]) -> Shape {
        let row = |one: &Migration| vec![Value::from(one.version), Value::from(one.checksum())];
        let oldest = oldest_of(migrations).to_string();
        Shape { applied: migrations.iter().map(row).collect(), oldest: Some(vec![Value::from(oldest)]) }
    }

    fn versions(known: &[Migration], shape: &Shape) -> Result<Vec<i64>, OpenError> {
        pending(known, shape).map(|pending| pending.iter().map(|migration| migration.version).collect())
    }

    #[test]
    fn a_release_runs_on_what_the_next_one_added_and_not_on_what_the_one_after_took_away() {
        let all = [migration(1, 1), migration(2, 1), migration(3, 2)];
        let (first, second) = (&all[..1], &all[..2]);
        assert_eq!(versions(first, &after(second)).unwrap(), [0; 0], "N on the schema of N + 1");
        assert_eq!(versions(second, &after(&all)).unwrap(), [0; 0], "N + 1 on the schema of N + 2");
        let error = versions(first, &after(&all)).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 3, known: 1 }), "{error}");
        assert_eq!(versions(second, &after(first)).unwrap(), [2]);
        assert_eq!(versions(&all, &after(second)).unwrap(), [3]);
    }

    #[test]
    fn a_release_that_is_one_too_far_says_which_one_comes_first() {
        let all = [migration(1, 1), migration(2, 1), migration(3, 2)];
        let error = versions(&all, &after(&all[..1])).unwrap_err();
        assert!(matches!(error, OpenError::Skips { found: 1, needs: 2, .. }), "{error}");
        assert!(error.to_string().contains("the release before this one"), "{error}");
        assert_eq!(versions(&all, &after(&[])).unwrap(), [1, 2, 3], "an empty record has nobody on it");
    }

    #[test]
    fn a_newer_record_that_does_not_say_whom_it_bears_is_left_alone() {
        let all = [migration(1, 1), migration(2, 1)];
        for oldest in [None, Some(vec![Value::from("many")]), Some(vec![Value::Null])] {
            let shape = Shape { oldest, ..after(&all) };
            assert!(matches!(versions(&all[..1], &shape), Err(OpenError::Newer { found: 2, known: 1 })));
        }
    }

    #[test]
    fn migrations_are_numbered_and_need_what_came_before() {
        for (place, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version).unwrap(), place + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            assert!((1..=migration.version).contains(&migration.needs), "{}", migration.name);
        }
    }
}
