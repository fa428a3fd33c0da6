//! SQLite: one file, one writer thread that shares each commit among all who wait, readers that never wait.
//!
//! WAL with `synchronous=FULL`: a write is answered after the fsync that made it durable, and that fsync is
//! shared, so durability costs nothing that speed would gain.

mod copying;
mod files;
mod readers;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql, params_from_iter};

pub(super) use self::copying::restore;

use self::files::Files;
use self::readers::Readers;
use self::writer::Writer;
use super::value::{Row, Value};
use super::write::{Write, Written};
use super::{Listeners, OpenError};
use crate::StoreError;

/// The open file.
pub(super) struct Sqlite {
    files: Files,
    place: String,
    // Readers go first, so that the writer is the last to close and leaves a whole file behind.
    readers: Arc<Readers>,
    writer: Writer,
}

impl Sqlite {
    pub(super) fn open(path: &Path, full: bool, heard: Arc<Listeners>) -> Result<Self, OpenError> {
        let files = Files::prepare(path, full)?;
        let place = format!("SQLite {} at `{}`", rusqlite::version(), files.path().display());
        let writer = Writer::start(files.clone(), heard)?;
        let readers = Arc::new(Readers::new(files.clone()));
        Ok(Self { files, place, readers, writer })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn files(&self) -> Files {
        self.files.clone()
    }

    pub(super) fn readers(&self) -> Arc<Readers> {
        Arc::clone(&self.readers)
    }

    pub(super) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.writer.write(write).await
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// All rows of a statement. It was prepared once and is kept by its connection.
fn rows(connection: &Connection, sql: &str, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut statement: CachedStatement<'_> = connection.prepare_cached(sql)?;
    let width = statement.column_count();
    let mut found = statement.query(params_from_iter(params))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..width).map(|column| value(row.get_ref(column)?)).collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}

fn value(from: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match from {
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Null => Value::Null,
        ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
        // A text that is none is bytes, and refused where a text is read: it must not keep the rows beside it from being read.
        ValueRef::Text(text) => String::from_utf8(text.to_vec())
            .map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text),
    })
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable(error)
}
