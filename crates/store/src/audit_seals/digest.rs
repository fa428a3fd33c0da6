//! The bytes that a seal is made over (docs/audit.md). Pure: the same on both engines, and after a restore on the other one.
//!
//! ```text
//! row      "sekisho audit event v1" or "sekisho audit block v1", 0, then each column in the order of the schema, without
//!          those of the seal: 0 if it is empty; 1 and 8 bytes of a number; 2, the length in 8 bytes, and a text;
//!          3, the length in 8 bytes, and bytes. Numbers are big-endian. SHA-256 of that.
//! name     "sekisho audit name v1", 0, 16 bytes of chance, name and address as columns of a row; the first 16 bytes of SHA-256
//!          of that are the `subject_id` of the row
//! entry    1 byte class, 8 bytes time in microseconds since 1970, 16 bytes id, 32 bytes of the hash of the row
//! digest   SHA-256 of "sekisho audit seal v1", 0, 8 bytes number of the seal, 32 bytes digest of the seal before (zeros
//!          before the first), 8 bytes time, 8 bytes rows in all seals so far, the length of the cutoffs in 8 bytes and
//!          the cutoffs, the entries
//! ```

use protocol::id::Id;
use protocol::secret::Hash;
use protocol::world::Timestamp;

use super::{AuditClass, SealEntry, Sealing};
use crate::engine::Value;

/// Bytes of an entry.
const ENTRY: usize = 1 + 8 + 16 + 32;

pub(super) const EVENT: &[u8] = b"sekisho audit event v1\0";
pub(super) const BLOCK: &[u8] = b"sekisho audit block v1\0";
const NAME: &[u8] = b"sekisho audit name v1\0";
const SEAL: &[u8] = b"sekisho audit seal v1\0";

/// The hash of a row. Each column is its kind, its length and its bytes, so that no two rows have the same bytes.
pub(super) fn row_hash(domain: &[u8], columns: &[Value]) -> Hash {
    let mut bytes = domain.to_vec();
    for column in columns {
        match column {
            Value::Null => bytes.push(0),
            Value::Integer(number) => {
                bytes.push(1);
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            Value::Text(text) => long(&mut bytes, 2, text.as_bytes()),
            Value::Bytes(part) => long(&mut bytes, 3, part),
        }
    }
    Hash::of(&bytes)
}

/// Under which id a name and an address stand.
pub(crate) fn name_id(salt: &[u8; 16], name: Option<&str>, address: Option<&str>) -> [u8; 16] {
    let mut bytes = NAME.to_vec();
    bytes.extend_from_slice(salt);
    for part in [name, address] {
        match part {
            None => bytes.push(0),
            Some(part) => long(&mut bytes, 2, part.as_bytes()),
        }
    }
    half(&Hash::of(&bytes))
}

/// One salt of many, from chance that is drawn once.
pub(crate) fn salt(chance: &[u8; 16], of: &[u8; 16]) -> [u8; 16] {
    half(&Hash::of(&[b"sekisho audit salt v1\0".as_slice(), chance, of].concat()))
}

/// Against whoever would have another name come out at the same id 128 bits are enough: only a second one of a given id helps.
fn half(hash: &Hash) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    half
}

fn long(to: &mut Vec<u8>, tag: u8, part: &[u8]) {
    to.push(tag);
    to.extend_from_slice(&(part.len() as u64).to_be_bytes());
    to.extend_from_slice(part);
}

/// The digest of a seal.
pub(super) fn seal_digest(sealing: &Sealing) -> Hash {
    let mut bytes = SEAL.to_vec();
    bytes.extend_from_slice(&sealing.id.to_be_bytes());
    bytes.extend_from_slice(sealing.previous.as_bytes());
    bytes.extend_from_slice(&sealing.sealed_at.micros().to_be_bytes());
    bytes.extend_from_slice(&sealing.total.to_be_bytes());
    bytes.extend_from_slice(&(sealing.cutoffs.len() as u64).to_be_bytes());
    bytes.extend_from_slice(sealing.cutoffs.as_bytes());
    bytes.extend_from_slice(&packed(&sealing.entries));
    Hash::of(&bytes)
}

pub(super) fn packed(entries: &[SealEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    for entry in entries {
        bytes.push(entry.class.number());
        bytes.extend_from_slice(&entry.at.micros().to_be_bytes());
        bytes.extend_from_slice(entry.id.as_bytes());
        bytes.extend_from_slice(entry.hash.as_bytes());
    }
    bytes
}

/// `None` if these are no entries.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Vec<SealEntry>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return None;
    }
    entries.iter().map(|entry| read(entry)).collect()
}

fn read(entry: &[u8]) -> Option<SealEntry> {
    let (class, rest) = entry.split_first()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    Some(SealEntry {
        class: AuditClass::from_number(*class)?,
        at: Timestamp::from_micros(i64::from_be_bytes(*at)),
        id: Id::from_bytes(*id),
        hash: Hash::from_bytes(rest.try_into().ok()?),
    })
}
