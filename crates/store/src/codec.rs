//! From rows to records. A row that no statement of ours writes is refused whole, by table, column and key
//! (house.md, 1.7): a record is never guessed from half a row.

use std::fmt::Write as _;

use protocol::id::Id;
use protocol::secret::Hash;
use protocol::world::Timestamp;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::engine::{Row, Value};

/// Takes a row's columns one by one, in the order of the statement. The first column is its key.
pub(crate) struct Decoder {
    table: &'static str,
    key: String,
    columns: std::vec::IntoIter<Value>,
}

impl Decoder {
    pub(crate) fn new(table: &'static str, row: Row) -> Self {
        Self { table, key: row.first().map(key_of).unwrap_or_default(), columns: row.into_iter() }
    }

    /// This row cannot be, because of this column.
    pub(crate) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, row: self.key.clone() }
    }

    pub(crate) fn opt_int(&mut self, column: &'static str) -> Result<Option<i64>, StoreError> {
        match self.columns.next() {
            Some(Value::Integer(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            Some(Value::Bytes(_) | Value::Text(_)) | None => Err(self.corrupt(column)),
        }
    }

    pub(crate) fn int(&mut self, column: &'static str) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A number that cannot be negative.
    pub(crate) fn count<N: TryFrom<i64>>(&mut self, column: &'static str) -> Result<N, StoreError> {
        N::try_from(self.int(column)?).map_err(|_| self.corrupt(column))
    }

    pub(crate) fn opt_text(&mut self, column: &'static str) -> Result<Option<String>, StoreError> {
        match self.columns.next() {
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            Some(Value::Bytes(_) | Value::Integer(_)) | None => Err(self.corrupt(column)),
        }
    }

    pub(crate) fn text(&mut self, column: &'static str) -> Result<String, StoreError> {
        self.opt_text(column)?.ok_or_else(|| self.corrupt(column))
    }

    pub(crate) fn opt_bytes(&mut self, column: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.columns.next() {
            Some(Value::Bytes(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            Some(Value::Integer(_) | Value::Text(_)) | None => Err(self.corrupt(column)),
        }
    }

    pub(crate) fn bytes(&mut self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        self.opt_bytes(column)?.ok_or_else(|| self.corrupt(column))
    }

    pub(crate) fn opt_array<const N: usize>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        let bytes = self.opt_bytes(column)?;
        bytes.map(|bytes| <[u8; N]>::try_from(bytes).map_err(|_| self.corrupt(column))).transpose()
    }

    pub(crate) fn array<const N: usize>(&mut self, column: &'static str) -> Result<[u8; N], StoreError> {
        self.opt_array(column)?.ok_or_else(|| self.corrupt(column))
    }

    pub(crate) fn id<T>(&mut self, column: &'static str) -> Result<Id<T>, StoreError> {
        self.array(column).map(Id::from_bytes)
    }

    pub(crate) fn opt_id<T>(&mut self, column: &'static str) -> Result<Option<Id<T>>, StoreError> {
        Ok(self.opt_array(column)?.map(Id::from_bytes))
    }

    pub(crate) fn hash(&mut self, column: &'static str) -> Result<Hash, StoreError> {
        self.array(column).map(Hash::from_bytes)
    }

    pub(crate) fn opt_hash(&mut self, column: &'static str) -> Result<Option<Hash>, StoreError> {
        Ok(self.opt_array(column)?.map(Hash::from_bytes))
    }

    pub(crate) fn time(&mut self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn opt_time(&mut self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_micros))
    }

    /// A word in text, by its own parser.
    pub(crate) fn parsed<T, E>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(&text).map_err(|_| self.corrupt(column))
    }

    /// The same, where the column may be empty.
    pub(crate) fn opt_parsed<T, E>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, StoreError> {
        let text = self.opt_text(column)?;
        text.map(|text| parse(&text).map_err(|_| self.corrupt(column))).transpose()
    }

    /// One of a list of names.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        column: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| self.corrupt(column))
    }

    /// What is left, byte by byte, to be compared with what somebody vouches for.
    pub(crate) fn rest(self) -> Vec<Vec<u8>> {
        let bytes = |value| match value {
            Value::Bytes(bytes) => bytes,
            Value::Integer(number) => number.to_be_bytes().to_vec(),
            Value::Null => Vec::new(),
            Value::Text(text) => text.into_bytes(),
        };
        self.columns.map(bytes).collect()
    }

    /// A document.
    pub(crate) fn json<T: DeserializeOwned>(&mut self, column: &'static str) -> Result<T, StoreError> {
        self.parsed(column, |text| serde_json::from_str(text))
    }
}

/// The key of a row for an error message: ids whole, hashes and texts shortened.
fn key_of(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(id) => Id::<()>::from_bytes(id).to_string(),
            Err(_) => bytes.iter().take(4).fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            }),
        },
        Value::Integer(value) => value.to_string(),
        Value::Null => String::new(),
        Value::Text(text) => text.chars().take(40).flat_map(char::escape_debug).collect(),
    }
}

/// A document for a column.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_row_is_named_by_table_column_and_key() {
        let row = vec![Value::from([0x5a_u8; 16]), Value::from("not a time")];
        let mut row = Decoder::new("grants", row);
        row.id::<()>("id").unwrap();
        assert_eq!(
            row.time("created_at").unwrap_err().to_string(),
            "impossible row `5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a` in table `grants`, column `created_at`"
        );
    }

    #[test]
    fn a_long_key_is_shortened_and_escaped() {
        assert_eq!(key_of(&Value::from([7_u8; 32])), "07070707");
        assert_eq!(key_of(&Value::from(format!("a\n{}", "b".repeat(90)))).len(), 41);
    }

    #[test]
    fn a_column_that_is_missing_or_negative_is_refused() {
        assert!(Decoder::new("t", vec![Value::from(-1_i64)]).count::<u32>("generation").is_err());
        assert!(Decoder::new("t", vec![]).int("generation").is_err());
        assert!(Decoder::new("t", vec![Value::Null]).text("name").is_err());
    }
}
