//! The one error of the record. It says nothing that a caller could repair.

use std::error::Error;

/// The record failed. *Not found* is an `Option` and *lost the race* is an outcome; neither is an error.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record cannot be reached, is full, or broke off. Whether a write that was under way happened is
    /// unknown: it must not be answered as done (attacks.md, RV-03). The source is for the log alone.
    #[error("the record is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A row that no statement of ours writes. It is refused whole, never read in part.
    #[error("impossible row `{row}` in table `{table}`, column `{column}`")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The first column that cannot be.
        column: &'static str,
        /// The row's key, shortened; never a secret, since there is none in the record.
        row: String,
    },
}

impl StoreError {
    /// The record is unavailable, for this reason.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into())
    }
}
