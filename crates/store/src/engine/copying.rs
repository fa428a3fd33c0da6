//! Everything out of one record and into another, on either engine: which tables and columns there are the engine says
//! itself, so that none is forgotten.

use std::fs::File;
use std::io::BufReader;

use tokio::sync::mpsc;

use super::{Driver, Engine, EngineConfig, Row, TABLES, Value, blocking, postgres, sqlite};
use crate::StoreError;
use crate::backup::{BackupError, OF_ONE_RECORD, Piece, Reader, Restore, Restored, is_plain};

impl Engine {
    /// Sends the whole record, as of one moment.
    pub(crate) async fn dump(&self, to: mpsc::Sender<Piece>) -> Result<(), BackupError> {
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.dump(&to).await,
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.dump(&to)).await?
            }
        }
    }

    /// What the record is kept on.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.inner.driver {
            Driver::Postgres(_) => "PostgreSQL",
            Driver::Sqlite(_) => "SQLite",
        }
    }
}

/// Restores into an empty record.
pub(crate) async fn restore(config: EngineConfig, restore: Restore) -> Result<Restored, BackupError> {
    match config {
        EngineConfig::Postgres { url, ca, .. } => postgres::restore((&url, ca.as_deref()), restore).await,
        EngineConfig::Sqlite { path, .. } => blocking(move || sqlite::restore(&path, &restore)).await?,
    }
}

/// The tables that the engine has, in our order. One that we do not know would be missing from the backup.
pub(super) fn in_order(found: &[String]) -> Result<Vec<&'static str>, BackupError> {
    let known = |name: &&String| TABLES.contains(&name.as_str()) || *name == "schema_migrations";
    if let Some(unknown) = found.iter().find(|name| !known(name)) {
        return Err(BackupError::UnknownTable(unknown.clone()));
    }
    Ok(TABLES.into_iter().filter(|table| found.iter().any(|name| name == table)).collect())
}

/// Whoever receives has given up: their reason counts.
pub(super) fn nobody_takes_it<T>(_: T) -> BackupError {
    BackupError::Cut
}

/// Names come from a catalogue or a checked file; a name that is no plain one is none of ours.
pub(super) fn names(columns: &[String]) -> Result<String, BackupError> {
    if columns.is_empty() || !columns.iter().all(|name| is_plain(name)) {
        return Err(BackupError::Damaged);
    }
    Ok(columns.join(", "))
}

/// The verified file once more, piece by piece.
pub(super) struct Source<'a> {
    reader: Reader<BufReader<File>>,
    restore: &'a Restore,
    /// The place of the column by which rows are left out, while rows of such a table come.
    left_out: Option<usize>,
    done: u64,
}

impl<'a> Source<'a> {
    pub(super) fn open(restore: &'a Restore) -> Result<Self, BackupError> {
        let file = BufReader::with_capacity(1 << 18, File::open(&restore.from)?);
        Ok(Self { reader: Reader::begin(file)?, restore, left_out: None, done: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Piece, BackupError> {
        let mut piece = self.reader.next()?;
        match &mut piece {
            Piece::Table { name, columns } => {
                self.left_out =
                    if name == "meta" { columns.iter().position(|name| name == "key") } else { None };
            }
            Piece::Rows(rows) => {
                self.done += rows.len() as u64;
                let all = self.restore.contents.counts.values().sum();
                (self.restore.progress)(self.done, all);
                if let Some(key) = self.left_out {
                    rows.retain(|row| !is_of_one_record(row, key));
                }
            }
            Piece::Begin { .. } | Piece::End => {}
        }
        Ok(piece)
    }

    /// Was it the file that was verified?
    pub(super) fn finish(self) -> Result<(), BackupError> {
        let sum = self.reader.finish(&self.restore.contents.counts)?;
        if sum == self.restore.contents.sum { Ok(()) } else { Err(BackupError::Damaged) }
    }
}

fn is_of_one_record(row: &Row, key: usize) -> bool {
    matches!(row.get(key), Some(Value::Text(key)) if key == OF_ONE_RECORD)
}

/// The write that a restore ends with must not miss.
pub(super) fn missed() -> BackupError {
    StoreError::unavailable("the restored record does not take the end of its grants").into()
}
