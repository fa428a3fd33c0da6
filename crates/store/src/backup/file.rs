//! The file: a header, and then chunks, each compressed for itself and followed by a checksum over everything so far.
//!
//! ```text
//! "SEKISHO-BACKUP\n" format:u32
//! chunk = kind:u8 stored:u32 plain:u32 payload sum:32      sum = SHA-256(sum before | kind | stored | plain | payload)
//! kinds: 1 header (JSON), 2 table (JSON), 3 rows (LZ4), 4 end (JSON: rows per table)
//! ```
//!
//! Numbers are big-endian. A checksum finds accidents, not forgers: who may read and write the file is for the operator to
//! say. Nothing of it is believed before its checksum was seen, and no length of it beyond what a chunk may have.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};

use protocol::secret::Hash;
use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupError, Piece};
use crate::engine::{Row, TABLES, Value};

const MAGIC: &[u8] = b"SEKISHO-BACKUP\n";
const FORMAT: u32 = 1;
const KIND_HEADER: u8 = 1;
const KIND_TABLE: u8 = 2;
const KIND_ROWS: u8 = 3;
const KIND_END: u8 = 4;
/// Rows are put together until there are so many bytes.
const CHUNK: usize = 256 << 10;
/// No chunk is longer: a chunk and the longest row.
const LONGEST: usize = 32 << 20;

/// Where a backup comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The release that made it.
    pub made_by: String,
    /// The engine it was made from.
    pub engine: String,
    /// The schema of the record.
    pub schema: i64,
    /// When: nothing later is in it; in microseconds since 1970.
    pub taken_at: i64,
}

impl Header {
    pub(super) fn new(made_by: &str, engine: &str, now: Timestamp) -> Self {
        let (made_by, engine) = (made_by.to_owned(), engine.to_owned());
        Self { made_by, engine, schema: 0, taken_at: now.micros() }
    }

    /// When it was taken.
    #[must_use]
    pub const fn taken_at(&self) -> Timestamp {
        Timestamp::from_micros(self.taken_at)
    }
}

#[derive(Serialize, Deserialize)]
struct Table {
    name: String,
    columns: Vec<String>,
}

/// The checksum of everything so far.
struct Sum([u8; 32]);

impl Sum {
    fn begin() -> Self {
        Self(*Hash::of(MAGIC).as_bytes())
    }

    fn over(&mut self, head: &[u8], payload: &[u8]) -> &[u8; 32] {
        self.0 = *Hash::of(&[&self.0, head, payload].concat()).as_bytes();
        &self.0
    }
}

pub(super) struct Writer<W: Write> {
    out: W,
    sum: Sum,
    waiting: Vec<u8>,
    counts: BTreeMap<String, u64>,
    table: String,
    rows: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W, header: &Header) -> Result<Self, BackupError> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_be_bytes())?;
        let mut writer = Self {
            out,
            sum: Sum::begin(),
            waiting: Vec::new(),
            counts: BTreeMap::new(),
            table: String::new(),
            rows: 0,
        };
        writer.json(KIND_HEADER, header)?;
        Ok(writer)
    }

    pub(super) const fn rows_so_far(&self) -> u64 {
        self.rows
    }

    pub(super) fn table(&mut self, name: String, columns: Vec<String>) -> Result<(), BackupError> {
        self.flush()?;
        self.counts.insert(name.clone(), 0);
        self.table.clone_from(&name);
        self.json(KIND_TABLE, &Table { name, columns })
    }

    pub(super) fn rows(&mut self, rows: &[Row]) -> Result<(), BackupError> {
        for row in rows {
            row.iter().try_for_each(|value| put(&mut self.waiting, value))?;
            if self.waiting.len() >= CHUNK {
                self.flush()?;
            }
        }
        self.rows += rows.len() as u64;
        *self.counts.entry(self.table.clone()).or_default() += rows.len() as u64;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<BTreeMap<String, u64>, BackupError> {
        self.flush()?;
        let counts = std::mem::take(&mut self.counts);
        self.json(KIND_END, &counts)?;
        self.out.flush()?;
        Ok(counts)
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.waiting);
        let stored = lz4_flex::block::compress(&plain);
        self.chunk(KIND_ROWS, plain.len(), &stored)
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> Result<(), BackupError> {
        let text = serde_json::to_vec(value).map_err(std::io::Error::other)?;
        self.chunk(kind, text.len(), &text)
    }

    fn chunk(&mut self, kind: u8, plain: usize, stored: &[u8]) -> Result<(), BackupError> {
        let head = head(kind, stored.len(), plain)?;
        self.out.write_all(&head)?;
        self.out.write_all(stored)?;
        self.out.write_all(self.sum.over(&head, stored))?;
        Ok(())
    }
}

fn head(kind: u8, stored: usize, plain: usize) -> Result<[u8; 9], BackupError> {
    let short = |length: usize| {
        u32::try_from(length).ok().filter(|_| length <= LONGEST).ok_or_else(|| too_long("a row"))
    };
    let mut head = [kind; 9];
    head[1..5].copy_from_slice(&short(stored)?.to_be_bytes());
    head[5..9].copy_from_slice(&short(plain)?.to_be_bytes());
    Ok(head)
}

fn too_long(what: &str) -> BackupError {
    BackupError::Io(std::io::Error::new(ErrorKind::InvalidData, format!("{what} is too long for a backup")))
}

/// A value: what it is, and then it.
fn put(out: &mut Vec<u8>, value: &Value) -> Result<(), BackupError> {
    let sized = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| -> Result<(), BackupError> {
        let length = u32::try_from(bytes.len()).map_err(|_| too_long("a value"))?;
        out.push(kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
        Ok(())
    };
    match value {
        Value::Null => out.push(0),
        Value::Integer(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Text(text) => sized(out, 2, text.as_bytes())?,
        Value::Bytes(bytes) => sized(out, 3, bytes)?,
    }
    Ok(())
}

pub(crate) struct Reader<R: Read> {
    from: R,
    sum: Sum,
    header: Header,
    width: usize,
    ended: Option<BTreeMap<String, u64>>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn begin(mut from: R) -> Result<Self, BackupError> {
        let (mut magic, mut format) = ([0; MAGIC.len()], [0; 4]);
        let begun = from.read_exact(&mut magic).and_then(|()| from.read_exact(&mut format));
        match begun {
            Ok(()) if magic == MAGIC => {}
            Ok(()) => return Err(BackupError::NotABackup),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(BackupError::NotABackup),
            Err(error) => return Err(error.into()),
        }
        let found = u32::from_be_bytes(format);
        if found != FORMAT {
            return Err(BackupError::Newer { found });
        }
        let header = Header { made_by: String::new(), engine: String::new(), schema: 0, taken_at: 0 };
        let mut reader = Self { from, sum: Sum::begin(), header, width: 0, ended: None };
        let (kind, payload) = reader.chunk()?;
        if kind != KIND_HEADER {
            return Err(BackupError::Damaged);
        }
        reader.header = serde_json::from_slice(&payload).map_err(|_| BackupError::Damaged)?;
        Ok(reader)
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// The next piece; it is believed, since its checksum was seen.
    pub(crate) fn next(&mut self) -> Result<Piece, BackupError> {
        let (kind, payload) = self.chunk()?;
        let json = |_| BackupError::Damaged;
        match kind {
            KIND_TABLE => {
                let table: Table = serde_json::from_slice(&payload).map_err(json)?;
                if !TABLES.contains(&table.name.as_str()) || !table.columns.iter().all(|name| is_plain(name))
                {
                    return Err(BackupError::Damaged);
                }
                self.width = table.columns.len();
                Ok(Piece::Table { name: table.name, columns: table.columns })
            }
            KIND_ROWS => Ok(Piece::Rows(rows(&payload, self.width)?)),
            KIND_END => {
                self.ended = Some(serde_json::from_slice(&payload).map_err(json)?);
                Ok(Piece::End)
            }
            _ => Err(BackupError::Damaged),
        }
    }

    /// After the end: nothing may follow, and so many rows must have been there. The checksum of it all.
    pub(crate) fn finish(mut self, counts: &BTreeMap<String, u64>) -> Result<[u8; 32], BackupError> {
        let mut more = [0];
        if self.ended.as_ref() != Some(counts) || self.from.read(&mut more)? != 0 {
            return Err(BackupError::Damaged);
        }
        Ok(self.sum.0)
    }

    fn chunk(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let cut = |error: std::io::Error| {
            if error.kind() == ErrorKind::UnexpectedEof { BackupError::Cut } else { error.into() }
        };
        let (mut head, mut sum) = ([0; 9], [0; 32]);
        self.from.read_exact(&mut head).map_err(cut)?;
        let [kind, a, b, c, d, e, f, g, h] = head;
        let (stored, plain) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let (stored, plain) = (stored as usize, plain as usize);
        if stored > LONGEST || plain > LONGEST {
            return Err(BackupError::Damaged);
        }
        let mut payload = vec![0; stored];
        self.from.read_exact(&mut payload).map_err(cut)?;
        self.from.read_exact(&mut sum).map_err(cut)?;
        if *self.sum.over(&head, &payload) != sum {
            return Err(BackupError::Damaged);
        }
        if kind == KIND_ROWS {
            payload = lz4_flex::block::decompress(&payload, plain).map_err(|_| BackupError::Damaged)?;
        }
        if payload.len() != plain {
            return Err(BackupError::Damaged);
        }
        Ok((kind, payload))
    }
}

/// A name as ours are: it may stand in a statement.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn rows(mut bytes: &[u8], width: usize) -> Result<Vec<Row>, BackupError> {
    let mut rows = Vec::new();
    while !bytes.is_empty() && width > 0 {
        rows.push(
            (0..width).map(|_| value(&mut bytes)).collect::<Option<Row>>().ok_or(BackupError::Damaged)?,
        );
    }
    if bytes.is_empty() { Ok(rows) } else { Err(BackupError::Damaged) }
}

fn value(bytes: &mut &[u8]) -> Option<Value> {
    let sized = |bytes: &mut &[u8]| {
        let length = u32::from_be_bytes(*bytes.split_off(..4)?.first_chunk()?);
        Some(bytes.split_off(..length as usize)?.to_vec())
    };
    Some(match bytes.split_off_first()? {
        0 => Value::Null,
        1 => Value::Integer(i64::from_be_bytes(*bytes.split_off(..8)?.first_chunk()?)),
        2 => Value::Text(String::from_utf8(sized(bytes)?).ok()?),
        3 => Value::Bytes(sized(bytes)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
