//! Backup and restore: the whole record in one file that either engine reads (`sekisho backup`, `sekisho restore`).
//!
//! A backup is one consistent moment, taken beside whoever writes. It holds what the record holds: what is sealed stays
//! sealed, and the master key is not in it. A restore is no return to that moment: what was revoked since must not come
//! back to life (attacks.md, F-24), so it ends everything that was allowed, in the same transaction, and counts an epoch.

mod error;
mod file;
mod restore;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write as Output};
use std::path::Path;
use std::sync::Arc;

use protocol::keys::KeyId;
use protocol::secret::Sealed;
use protocol::world::Timestamp;
use tokio::sync::mpsc;

pub use error::BackupError;
pub use file::Header;
pub(crate) use restore::STATEMENTS;
pub use restore::{Restore, Restored};

use self::file::Writer;
pub(crate) use self::file::{Reader, is_plain};
use crate::engine::{Engine, Row, Value};
use crate::{KeyPurpose, KeyRecord, StoreError};

/// A fact about the shape of a record, not about what is in it: never carried from one to another.
pub(crate) const OF_ONE_RECORD: &str = "oldest_schema";

/// Rows on the way at once, and pieces.
pub(crate) const PORTION: usize = 1000;
pub(crate) const PIECES: usize = 4;

/// How far it is: rows or bytes done, and in all as far as that is known.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A piece of a record on its way.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The moment is taken: its schema, and how many rows there are about.
    Begin { schema: i64, about: u64 },
    /// The rows that follow are of this table, with these columns.
    Table { name: String, columns: Vec<String> },
    /// Rows.
    Rows(Vec<Row>),
    /// That was everything.
    End,
}

/// What is in a backup, after every byte of it was checked.
#[derive(Debug)]
pub struct Contents {
    /// Where it comes from.
    pub header: Header,
    /// Rows per table.
    pub counts: BTreeMap<String, u64>,
    /// Facts about the record.
    pub meta: BTreeMap<String, String>,
    /// Its keys, sealed.
    pub keys: Vec<KeyRecord>,
    /// The checksum of it all.
    pub(crate) sum: [u8; 32],
}

impl Engine {
    /// Writes everything into `out`, as of one moment, while others read and write. Returns rows per table.
    ///
    /// # Errors
    /// [`BackupError`]; then what was written is no backup, and is recognised as none.
    pub async fn back_up(
        &self,
        out: impl Output + Send + 'static,
        (made_by, now): (&str, Timestamp),
        progress: Progress,
    ) -> Result<BTreeMap<String, u64>, BackupError> {
        let (pieces, coming) = mpsc::channel(PIECES);
        let header = Header::new(made_by, self.kind(), now);
        let writing = tokio::task::spawn_blocking(move || write(out, header, coming, &progress));
        let dumped = self.dump(pieces).await;
        let written = writing.await.map_err(StoreError::unavailable)?;
        // A full disk ends the reading too: the first cause is told.
        match (written, dumped) {
            (Err(BackupError::Cut), Err(error)) => Err(error),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(counts), Ok(())) => Ok(counts),
        }
    }
}

fn write(
    out: impl Output,
    header: Header,
    mut coming: mpsc::Receiver<Piece>,
    progress: &Progress,
) -> Result<BTreeMap<String, u64>, BackupError> {
    let Some(Piece::Begin { schema, about }) = coming.blocking_recv() else { return Err(BackupError::Cut) };
    let mut writer = Writer::begin(out, &Header { schema, ..header })?;
    loop {
        match coming.blocking_recv() {
            Some(Piece::Table { name, columns }) => writer.table(name, columns)?,
            Some(Piece::Rows(rows)) => {
                writer.rows(&rows)?;
                progress(writer.rows_so_far(), about.max(writer.rows_so_far()));
            }
            Some(Piece::End) => return writer.finish(),
            // A reading that broke off sends no end: nothing is called whole that is not.
            Some(Piece::Begin { .. }) | None => return Err(BackupError::Cut),
        }
    }
}

/// Reads a backup from end to end and says what is in it.
///
/// # Errors
/// [`BackupError`] if it is none, is damaged or was cut off, or is of a newer release.
pub fn verify(from: impl Read) -> Result<Contents, BackupError> {
    let mut reader = Reader::begin(from)?;
    let header = reader.header().clone();
    let mut contents =
        Contents { header, counts: BTreeMap::new(), meta: BTreeMap::new(), keys: Vec::new(), sum: [0; 32] };
    let (mut table, mut columns) = (String::new(), Vec::new());
    loop {
        match reader.next()? {
            Piece::Begin { .. } => return Err(BackupError::Damaged),
            Piece::Table { name, columns: named } => {
                if contents.counts.insert(name.clone(), 0).is_some() {
                    return Err(BackupError::Damaged);
                }
                (table, columns) = (name, named);
            }
            Piece::Rows(rows) => {
                *contents.counts.get_mut(&table).ok_or(BackupError::Damaged)? += rows.len() as u64;
                for row in rows {
                    contents.take(&table, &columns, row)?;
                }
            }
            Piece::End => break,
        }
    }
    contents.sum = reader.finish(&contents.counts)?;
    Ok(contents)
}

/// The same for a file. Progress is told in bytes.
///
/// # Errors
/// As [`verify`], or if it cannot be read.
pub fn verify_file(path: &Path, progress: &Progress) -> Result<Contents, BackupError> {
    let file = File::open(path)?;
    let all = file.metadata()?.len();
    verify(BufReader::with_capacity(1 << 18, Counted { file, done: 0, all, progress }))
}

/// A file that tells how far it was read.
struct Counted<'a> {
    file: File,
    done: u64,
    all: u64,
    progress: &'a Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        (self.progress)(self.done, self.all.max(self.done));
        Ok(count)
    }
}

impl Contents {
    /// Keeps what must be looked at before a restore.
    fn take(&mut self, table: &str, columns: &[String], row: Row) -> Result<(), BackupError> {
        if table != "meta" && table != "keys" {
            return Ok(());
        }
        let mut named: BTreeMap<&str, Value> = columns.iter().map(String::as_str).zip(row).collect();
        let mut column = |name: &str| named.remove(name).unwrap_or(Value::Null);
        if table == "meta" {
            let (Value::Text(key), Value::Text(value)) = (column("key"), column("value")) else {
                return Err(BackupError::Damaged);
            };
            self.meta.insert(key, value);
            return Ok(());
        }
        let time = |value: Value| match value {
            Value::Integer(micros) => Some(Timestamp::from_micros(micros)),
            Value::Bytes(_) | Value::Null | Value::Text(_) => None,
        };
        let (Value::Bytes(id), Value::Text(purpose), Value::Bytes(sealed)) =
            (column("id"), column("purpose"), column("sealed"))
        else {
            return Err(BackupError::Damaged);
        };
        let created_at = time(column("created_at")).ok_or(BackupError::Damaged)?;
        let purpose = KeyPurpose::ALL.into_iter().find(|known| known.as_str() == purpose);
        self.keys.push(KeyRecord {
            id: KeyId::from_bytes(id.try_into().map_err(|_| BackupError::Damaged)?),
            purpose: purpose.ok_or(BackupError::Damaged)?,
            sealed: Sealed::from_bytes(sealed),
            created_at,
            // Without a time it works from its birth.
            activates_at: time(column("activates_at")).unwrap_or(created_at),
            retired_at: time(column("retired_at")),
            withdrawn_at: time(column("withdrawn_at")),
        });
        Ok(())
    }
}
