//! Seals and sealed rows as they stand in the record, whatever was done to them behind its back: one of them that no release
//! could have written is one that was altered, and must never keep the others from being looked at (attacks ST-19).

use protocol::id::{AuditEvent, Id};
use protocol::keys::KeyId;
use protocol::secret::Hash;

use super::{AuditClass, Seal, SealEntry, SealedAuditRow, Sealing, digest};
use crate::StoreError;
use crate::codec::Decoder;
use crate::engine::{Row, Value};

/// Of a row whose id is none.
pub(super) const NO_ID: Id<AuditEvent> = Id::from_bytes([0; 16]);
const NOTHING: Hash = Hash::from_bytes([0; 32]);

/// A seal as it stands in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSeal {
    /// What it says. What cannot be read is empty in it.
    pub seal: Seal,
    /// How many rows it says that it has, beside its entries.
    pub count: i64,
    /// The columns that cannot be read.
    pub unreadable: Vec<&'static str>,
}

impl FoundSeal {
    /// Whether it can be read.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.unreadable.is_empty()
    }

    /// Whether this column can be read.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        !self.unreadable.contains(&column)
    }

    pub(super) fn decode(row: Row) -> Result<Self, StoreError> {
        let mut row = Decoder::new("audit_seals", row);
        let mut unreadable = Vec::new();
        // Numbers by the schema: only that one is missing, or below zero, is possible.
        let (id, count, sealed_at) = (row.count("id")?, row.int("count")?, row.time("sealed_at")?);
        let total = or(&mut unreadable, "total", row.count("total"), 0);
        let previous = or(&mut unreadable, "previous_digest", row.hash("previous_digest"), NOTHING);
        let cutoffs = or(&mut unreadable, "cutoffs", row.text("cutoffs"), String::new());
        let entries = row.bytes("entries").ok().and_then(|entries| digest::unpacked(&entries));
        let entries = entries.unwrap_or_else(|| {
            unreadable.push("entries");
            Vec::new()
        });
        let digest = or(&mut unreadable, "digest", row.hash("digest"), NOTHING);
        let key = or(&mut unreadable, "key_id", row.array("key_id"), [0; 4]);
        let signature = or(&mut unreadable, "signature", row.bytes("signature"), Vec::new());
        let signature = String::from_utf8(signature).unwrap_or_else(|_| {
            unreadable.push("signature");
            String::new()
        });
        let sealing = Sealing { id, previous, sealed_at, total, cutoffs, entries };
        let seal = Seal { sealing, digest, key: KeyId::from_bytes(key), signature };
        Ok(Self { seal, count, unreadable })
    }
}

/// What was read, or this, and which column could not be.
fn or<T>(
    unreadable: &mut Vec<&'static str>,
    column: &'static str,
    read: Result<T, StoreError>,
    otherwise: T,
) -> T {
    read.unwrap_or_else(|_| {
        unreadable.push(column);
        otherwise
    })
}

pub(super) fn rows(events: Vec<Row>, blocks: Vec<Row>) -> Result<Vec<SealedAuditRow>, StoreError> {
    let of_events = events.into_iter().map(|row| sealed_row(row, false));
    of_events.chain(blocks.into_iter().map(|row| sealed_row(row, true))).collect()
}

/// The hash is over the values as they stand, whatever they are: a row that no release could have written is one that was
/// altered.
fn sealed_row(mut columns: Row, is_block: bool) -> Result<SealedAuditRow, StoreError> {
    let table = if is_block { "audit_blocks" } else { "audit_events" };
    let position = columns.pop();
    let domain = if is_block { digest::BLOCK } else { digest::EVENT };
    let hash = digest::row_hash(domain, &columns);
    let kind = match columns.get(2) {
        Some(Value::Text(kind)) if !is_block => AuditClass::of(kind),
        _ if is_block => AuditClass::Block,
        Some(_) | None => AuditClass::Security,
    };
    let mut row = Decoder::new(table, columns);
    let id = row.id("id").unwrap_or(NO_ID);
    let mut at = row.time("at")?;
    if is_block {
        at = row.time("last_at")?;
    }
    let position = match position {
        Some(Value::Integer(position)) => position,
        Some(Value::Null) => 0,
        Some(Value::Bytes(_) | Value::Text(_)) | None => return Err(row.corrupt("seal_position")),
    };
    Ok(SealedAuditRow { position, entry: SealEntry { class: kind, at, id, hash } })
}
