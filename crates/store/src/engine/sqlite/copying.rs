//! Out of a file: one read transaction, which in WAL mode is one moment and holds up no writer. Into a file: beside the
//! one that is there, and put in its place in one step when it is whole.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params_from_iter};
use tokio::sync::mpsc;

use super::files::{self, Files};
use super::writer;
use super::{rows, unavailable, value};
use crate::backup::{BackupError, PORTION, Piece, Restore, Restored};
use crate::engine::copying::{Source, in_order, missed, names, nobody_takes_it};
use crate::engine::migrate::{self, Shape};
use crate::engine::value::{Row, Value};
use crate::engine::write::Written;

/// Whoever has the file open has it open for longer.
const PATIENCE: Duration = Duration::from_millis(200);
const EPOCH: &str = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch'";
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";

impl Files {
    pub(in crate::engine) fn dump(&self, to: &mpsc::Sender<Piece>) -> Result<(), BackupError> {
        let mut connection = self.reading()?;
        let moment = connection.transaction().map_err(unavailable)?;
        let tables = in_order(&tables(&moment)?)?;
        let shape = Shape { applied: rows(&moment, migrate::LIST, &[]).map_err(unavailable)?, oldest: None };
        let about = tables.iter().map(|table| count(&moment, table)).sum::<Result<u64, _>>()?;
        let send = |piece| to.blocking_send(piece).map_err(nobody_takes_it);
        send(Piece::Begin { schema: shape.version(), about })?;
        for table in tables {
            let columns = columns(&moment, table)?;
            let sql = format!("SELECT {} FROM {table}", names(&columns)?);
            let width = columns.len();
            send(Piece::Table { name: table.to_owned(), columns })?;
            let mut statement = moment.prepare(&sql).map_err(unavailable)?;
            let mut found = statement.query([]).map_err(unavailable)?;
            let mut portion: Vec<Row> = Vec::with_capacity(PORTION);
            while let Some(row) = found.next().map_err(unavailable)? {
                let row = (0..width).map(|column| value(row.get_ref(column)?)).collect::<Result<Row, _>>();
                portion.push(row.map_err(unavailable)?);
                if portion.len() == PORTION {
                    send(Piece::Rows(std::mem::replace(&mut portion, Vec::with_capacity(PORTION))))?;
                }
            }
            send(Piece::Rows(portion))?;
        }
        send(Piece::End)
    }
}

fn texts(connection: &Connection, sql: &str) -> Result<Vec<String>, BackupError> {
    let text = |row: Row| match row.into_iter().next() {
        Some(Value::Text(text)) => text,
        Some(Value::Bytes(_) | Value::Integer(_) | Value::Null) | None => String::new(),
    };
    Ok(rows(connection, sql, &[]).map_err(unavailable)?.into_iter().map(text).collect())
}

fn tables(connection: &Connection) -> Result<Vec<String>, BackupError> {
    texts(connection, TABLES)
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, BackupError> {
    texts(connection, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"))
}

fn count(connection: &Connection, table: &str) -> Result<u64, BackupError> {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(unavailable)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Restores beside the file, and puts the whole in its place.
pub(in crate::engine) fn restore(path: &Path, restore: &Restore) -> Result<Restored, BackupError> {
    let place = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(place)?;
    // One at a time; whoever is killed lets go.
    if let Err(TryLockError::WouldBlock) = folder.try_lock() {
        return Err(BackupError::NotEmpty(format!("another restore is at work in `{}`", place.display())));
    }
    let there = make_way(path, restore.replace)?;
    let epoch = restore.epoch(there.epoch);
    let aside = free(path, epoch);
    let beside = with(path, ".restoring");
    remove(&beside)?;
    let files = Files::prepare(&beside, false)?;
    let filled = fill(&files, restore, epoch).and_then(|ended| {
        File::open(&beside)?.sync_all()?;
        Ok(ended)
    });
    let grants_ended = filled.inspect_err(|_| drop(remove(&beside)))?;
    if there.is_kept {
        // A second name for it, so that there is a file under the first at every moment: without one a start would make
        // an empty record.
        fs::hard_link(path, &aside)?;
    }
    logs_aside(path, &aside)?;
    fs::rename(&beside, path)?;
    folder.sync_all()?;
    Ok(Restored { grants_ended, epoch, moved_to: there.is_kept.then_some(aside) })
}

/// What is in the way.
#[derive(Default)]
struct There {
    /// Whether it must not be lost.
    is_kept: bool,
    /// How often it was restored.
    epoch: u64,
}

/// Whether there is room, or may be made.
fn make_way(path: &Path, replace: bool) -> Result<There, BackupError> {
    if !path.try_exists()? || fs::metadata(path)?.len() == 0 {
        return Ok(There::default());
    }
    let place = path.display();
    match looked_at(path) {
        Ok((None, epoch)) => Ok(There { is_kept: false, epoch }),
        Ok((Some(_), epoch)) if replace => Ok(There { is_kept: true, epoch }),
        Ok((Some(table), _)) => Err(BackupError::NotEmpty(format!(
            "`{place}` is not empty (there is something in `{table}`); `--replace` moves it aside first"
        ))),
        Err(error) if is_damaged(&error) && replace => Ok(There { is_kept: true, epoch: 0 }),
        Err(error) => Err(BackupError::NotEmpty(format!(
            "`{place}` is in use or cannot be read ({error}); stop Sekisho first; a damaged file is moved aside by `--replace`"
        ))),
    }
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    error.sqlite_error_code().is_some_and(|code| code == DatabaseCorrupt || code == NotADatabase)
}

/// A table with something in it, and how often the record was restored.
fn looked_at(path: &Path) -> rusqlite::Result<(Option<&'static str>, u64)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // Leaving WAL needs the file for itself: whoever has it open, a running Sekisho above all, is found out, and the
    // log is folded in, so that the file is whole by itself.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = delete", [], |row| row.get(0))?;
    if mode != "delete" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let is_used = |table: &&str| *table != "meta" && count(&connection, table).is_ok_and(|count| count > 0);
    let used = crate::engine::TABLES.into_iter().find(is_used);
    // Without the table nobody restored anything.
    let epoch = connection.query_row(EPOCH, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
    Ok((used, u64::try_from(epoch).unwrap_or(0)))
}

/// A name that nothing has: a restore that was cut short may have left one.
fn free(path: &Path, epoch: u64) -> PathBuf {
    let first = with(path, &format!(".before-epoch-{epoch}"));
    if first.symlink_metadata().is_err() {
        return first;
    }
    let mut next = (2_u32..).map(|number| with(&first, &format!(".{number}")));
    next.find(|name| name.symlink_metadata().is_err()).unwrap_or(first)
}

/// A log that lies beside the file is of what was there. SQLite would read it into the new file.
fn logs_aside(path: &Path, aside: &Path) -> Result<(), BackupError> {
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::rename(with(path, suffix), with(aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// All of it into an empty file. How many grants were ended.
fn fill(files: &Files, restore: &Restore, epoch: u64) -> Result<u64, BackupError> {
    let mut connection = files.writing()?;
    // Nobody sees this file before it is whole and on the disk.
    connection.pragma_update(None, "synchronous", "off").map_err(unavailable)?;
    connection.pragma_update(None, "foreign_keys", false).map_err(unavailable)?;
    files::migrate(&mut connection, restore.contents.header.schema)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    insert(&transaction, restore)?;
    let astray = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1";
    if !texts(&transaction, astray)?.is_empty() {
        return Err(BackupError::Damaged);
    }
    transaction.commit().map_err(unavailable)?;
    files::migrate(&mut connection, i64::MAX)?;
    let (write, grants) = restore.end_of_everything(epoch)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
    let Written::Done(touched) = writer::steps(&transaction, &write)? else { return Err(missed()) };
    transaction.commit().map_err(unavailable)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = delete", [], |row| row.get(0)).map_err(unavailable)?;
    if mode != "delete" {
        return Err(missed());
    }
    Ok(touched.get(grants).map_or(0, |grants| grants.count))
}

fn insert(connection: &Connection, restore: &Restore) -> Result<(), BackupError> {
    let mut source = Source::open(restore)?;
    let mut sql = String::new();
    loop {
        match source.next()? {
            Piece::Begin { .. } => return Err(BackupError::Damaged),
            Piece::Table { name, columns } => {
                let marks: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
                sql = format!("INSERT INTO {name} ({}) VALUES ({})", names(&columns)?, marks.join(", "));
            }
            Piece::Rows(rows) => {
                let mut statement = connection.prepare_cached(&sql).map_err(unavailable)?;
                for row in rows {
                    statement.execute(params_from_iter(&row)).map_err(unavailable)?;
                }
            }
            Piece::End => return source.finish(),
        }
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> Result<(), BackupError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(with(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
