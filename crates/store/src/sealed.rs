//! The columns in which something sealed stands: one list, by which everything is sealed anew when the sealing key
//! changes (product.md, P-15).
//!
//! What stands in one of them was sealed for its table and column, the id of its row, and what the row says of whose it is:
//! a value that is moved does not open, and neither does one whose row was given to somebody else (attacks.md, ST-02). The
//! context of each is made beside its record; what of the row belongs to it, in the same order, is said here once more, so
//! that all are sealed anew alike. A new column with sealed values is one line here.

use protocol::keys::KeyId;
use protocol::secret::Sealed;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::{Answer, Statement, StoreError};

/// A column with sealed values.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumn {
    /// Its table, whose key is `id`, 16 bytes.
    pub table: &'static str,
    /// Its name.
    pub column: &'static str,
    count: &'static str,
    list: &'static str,
    swap: &'static str,
}

/// One sealed value and the row where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// The id of the row.
    pub id: [u8; 16],
    /// What the row says of whose it is.
    pub owner: Vec<Vec<u8>>,
    /// The value.
    pub sealed: Sealed,
}

impl SealedRow {
    /// For what it was sealed, if it stands where it was put.
    #[must_use]
    pub fn context(&self, column: SealedColumn) -> Vec<&[u8]> {
        let place: [&[u8]; 3] = [column.table.as_bytes(), column.column.as_bytes(), &self.id];
        place.into_iter().chain(self.owner.iter().map(Vec::as_slice)).collect()
    }
}

/// What is sealed in the record, apart from the keys.
pub trait SealedRows: Send + Sync {
    /// Every column with sealed values.
    fn sealed_columns(&self) -> &'static [SealedColumn] {
        SealedColumn::ALL
    }

    /// How many values in a column were sealed with another key than this one.
    fn count_sealed(&self, column: SealedColumn, not_with: KeyId) -> Answer<'_, u64>;

    /// A few values that were sealed with another key than this one, by the id of their row and beyond `after`.
    fn list_sealed(
        &self,
        column: SealedColumn,
        not_with: KeyId,
        after: Option<[u8; 16]>,
    ) -> Answer<'_, Vec<SealedRow>>;

    /// Replaces a value by the same one sealed anew. Whether it was still the old one.
    fn swap_sealed(&self, column: SealedColumn, old: SealedRow, new: Sealed) -> Answer<'_, bool>;
}

macro_rules! sealed_columns {
    ($($name:ident = $table:literal $column:literal $(of $($owner:literal)+)?;)+) => {
        $(const $name: SealedColumn = SealedColumn {
            table: $table,
            column: $column,
            // The id of the sealing key stands in the second to the fifth byte of what it sealed.
            count: concat!("SELECT COUNT(*) FROM ", $table, " WHERE ", $column, " IS NOT NULL AND substr(",
                $column, ", 2, 4) <> $1"),
            list: concat!("SELECT id, ", $column, $($(", ", $owner,)+)? " FROM ", $table, " WHERE ", $column,
                " IS NOT NULL AND substr(", $column, ", 2, 4) <> $1 AND id > $2 ORDER BY id LIMIT 100"),
            swap: concat!("UPDATE ", $table, " SET ", $column, " = $1 WHERE id = $2 AND ", $column, " = $3"),
        };)+

        impl SealedColumn {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($name,)+];
        }

        pub(crate) const STATEMENTS: &[Statement] = &[$(
            Statement { name: "COUNT_SEALED", sql: $name.count },
            Statement { name: "LIST_SEALED", sql: $name.list },
            Statement { name: "SWAP_SEALED", sql: $name.swap },
        )+];
    };
}

sealed_columns! {
    CONNECTING_VERIFIER = "connecting" "verifier" of "user_id" "server" "browser" "leg";
    CONNECTION_ACCESS = "connections" "access_token" of "user_id" "server" "binding";
    CONNECTION_REFRESH = "connections" "refresh_token" of "user_id" "server" "binding";
    // Whose it is stands in what is sealed.
    EMERGENCY_LOGIN = "emergency_logins" "sealed";
    FORMER_UPSTREAM_CLIENT = "former_upstream_clients" "sealed" of "server" "issuer" "client_id";
    OFFLINE_ACCESS = "offline_access" "sealed" of "user_id" "connector" "subject";
    UPSTREAM_CLIENT = "upstream_clients" "sealed" of "server" "issuer" "client_id";
    UPSTREAM_VERIFIER = "authorizations" "upstream_verifier" of "browser" "client_id" "upstream_connector";
}

impl SealedRows for Engine {
    fn count_sealed(&self, column: SealedColumn, not_with: KeyId) -> Answer<'_, u64> {
        Box::pin(async move {
            let row = self.one(column.count, params![not_with]).await?.unwrap_or_default();
            Decoder::new(column.table, row).count(column.column)
        })
    }

    fn list_sealed(
        &self,
        column: SealedColumn,
        not_with: KeyId,
        after: Option<[u8; 16]>,
    ) -> Answer<'_, Vec<SealedRow>> {
        Box::pin(async move {
            // An id has 16 bytes: every one of them is beyond no byte at all.
            let after = after.map_or(Vec::new(), Vec::from);
            let rows = self.many(column.list, params![not_with, after.as_slice()]).await?;
            rows.into_iter().map(|row| decode(column, row)).collect()
        })
    }

    fn swap_sealed(&self, column: SealedColumn, old: SealedRow, new: Sealed) -> Answer<'_, bool> {
        Box::pin(async move {
            let swap = Step::one(column.swap, params![&new, old.id, &old.sealed]);
            Ok(matches!(self.write(Write::new(vec![swap])).await?, Written::Done(_)))
        })
    }
}

fn decode(column: SealedColumn, row: Row) -> Result<SealedRow, StoreError> {
    let mut row = Decoder::new(column.table, row);
    let (id, sealed) = (row.array("id")?, row.bytes(column.column).map(Sealed::from_bytes)?);
    Ok(SealedRow { id, sealed, owner: row.rest() })
}
