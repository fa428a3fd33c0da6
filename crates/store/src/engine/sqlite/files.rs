//! The file, its folder and its connections. All of it is for its owner alone (attacks.md, ST-17).

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params_from_iter};

use super::{rows, unavailable};
use crate::StoreError;
use crate::engine::OpenError;
use crate::engine::migrate::{self, Migration, Shape};

/// How long the writer waits for another process that holds the file, such as a backup.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);
/// A reader waits only while the file is being recovered.
const READER_PATIENCE: Duration = Duration::from_secs(1);
/// How often the log is tried to be emptied; each time it waits as long as any write.
const FOLDS: u32 = 5;
/// More than there are statements.
const STATEMENTS_KEPT: usize = 200;
/// No value of ours comes near; what does is not ours.
const LONGEST_VALUE: i32 = 4 << 20;

/// Where the file is and how it is opened.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Files {
    path: PathBuf,
    full: bool,
    /// Which file it was when it was opened: device and number.
    opened: (u64, u64),
}

impl Files {
    /// Makes what is missing, closed to others from the first moment on; closes what was left open.
    pub(super) fn prepare(path: &Path, full: bool) -> Result<Self, OpenError> {
        let refused = |error: &Error| OpenError::Setting(format!("`{}`: {error}", path.display()));
        let path = prepare(path).map_err(|error| refused(&error))?;
        let opened = identity(&path).map_err(|error| refused(&error))?;
        Ok(Self { path, full, opened })
    }

    /// Whether the file is still where it was opened. SQLite would go on writing into one that was removed or replaced,
    /// and what was acknowledged would be gone at the next start (attacks.md, F-10).
    pub(in crate::engine) fn in_place(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(found) if found == self.opened => Ok(()),
            Ok(_) => Err(StoreError::unavailable(
                "the database file was replaced while it was open; nothing is written until Sekisho is started again",
            )),
            Err(error) => Err(StoreError::unavailable(format!("the database file: {error}"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection that may write.
    pub(super) fn writing(&self) -> Result<Connection, StoreError> {
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_PATIENCE).map_err(unavailable)
    }

    /// A connection that cannot write.
    pub(super) fn reading(&self) -> Result<Connection, StoreError> {
        self.open(OpenFlags::SQLITE_OPEN_READ_ONLY, READER_PATIENCE).map_err(unavailable)
    }

    fn open(&self, access: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
        // Each connection is used by one thread at a time, so SQLite's own lock around it is left out.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(patience)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        // A plan must not depend on what is bound: else a statement is prepared anew for each value.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", if self.full { "full" } else { "off" })?;
            // What is deleted or changed is overwritten with zeros: who was forgotten is not to be found in the file.
            connection.pragma_update(None, "secure_delete", "on")?;
            // Checkpoints are the writer's, between batches, so that no commit waits for one.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        }
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // Nothing of the record in temporary files.
        connection.pragma_update(None, "temp_store", "memory")?;
        Ok(connection)
    }

    /// Folds the log into the file and empties it. Whether it is empty: not while somebody reads what stands in it.
    pub(in crate::engine) fn fold(&self) -> Result<bool, StoreError> {
        let connection = self.writing()?;
        for _ in 0..FOLDS {
            let busy =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            if busy.map_err(unavailable)? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(in crate::engine) fn migrate(&self) -> Result<&'static [Migration], OpenError> {
        let mut connection = self.writing()?;
        migrate(&mut connection, i64::MAX)
    }

    pub(in crate::engine) fn shape(&self) -> Result<Shape, StoreError> {
        shape(&self.reading()?).map_err(unavailable)
    }

    /// Prepares every statement and takes the write lock once.
    pub(in crate::engine) fn check(&self) -> Result<String, OpenError> {
        let mut connection = self.writing()?;
        for statement in crate::statements() {
            connection.prepare(statement.sql).map_err(|error| {
                OpenError::Setting(format!("statement `{}` is not accepted: {error}", statement.name))
            })?;
        }
        let lock =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
        lock.rollback().map_err(unavailable)?;
        Ok(format!(
            "writable, commits {}",
            if self.full { "are durable" } else { "do not wait for the disk" }
        ))
    }
}

/// Applies what is pending up to this version, all or nothing.
pub(in crate::engine) fn migrate(
    connection: &mut Connection,
    up_to: i64,
) -> Result<&'static [Migration], OpenError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    transaction.execute_batch(migrate::CREATE_SQLITE).map_err(unavailable)?;
    let shape = shape(&transaction).map_err(unavailable)?;
    let pending = migrate::up_to(shape.pending()?, up_to);
    for migration in pending {
        transaction.execute_batch(migration.sqlite).map_err(unavailable)?;
        let row = migration.remembered();
        transaction.execute(migrate::REMEMBER, params_from_iter(&row)).map_err(unavailable)?;
    }
    if !pending.is_empty() {
        let oldest = migrate::oldest_after(shape.applied.len() + pending.len());
        transaction.execute(migrate::REMEMBER_OLDEST, [oldest]).map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)?;
    Ok(pending)
}

fn shape(connection: &Connection) -> rusqlite::Result<Shape> {
    let has = |table| connection.table_exists(None, table);
    let applied = if has("schema_migrations")? { rows(connection, migrate::LIST, &[])? } else { Vec::new() };
    let oldest = if has("meta")? { rows(connection, migrate::OLDEST, &[])?.pop() } else { None };
    Ok(Shape { applied, oldest })
}

fn identity(path: &Path) -> Result<(u64, u64), Error> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn prepare(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "is not a file name"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Links above the file are the operator's; the file itself must be one.
    let path = folder.canonicalize()?.join(name);
    // `create_new` neither follows a link nor opens what somebody else put there first.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::symlink_metadata(&path)?;
    if !found.file_type().is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is a link or not a file"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        // The files beside it (-wal, -shm) take their permissions from it.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        tracing::warn!(path = %path.display(), "the database file was open to others and has been closed");
    }
    Ok(path)
}
