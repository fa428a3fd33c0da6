//! Why there is no backup, or no restore. Said to the operator.

use crate::StoreError;
use crate::engine::OpenError;

/// Why a backup was not made or is not used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It ends before its end.
    #[error("the backup was cut off: its end is missing")]
    Cut,
    /// A checksum does not fit.
    #[error("the backup is damaged: a checksum does not fit")]
    Damaged,
    /// The disk.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another release wrote it in another way.
    #[error(
        "the backup has format {found}, which this release does not know: use the release that made it, or a newer one"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It has a newer schema.
    #[error(
        "the backup has schema {found} and this release knows only {known}: use the release that made it, or a newer one"
    )]
    NewerSchema {
        /// Its schema.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// It is something else.
    #[error("this is no backup of Sekisho")]
    NotABackup,
    /// Where it should go there is something.
    #[error("{0}")]
    NotEmpty(String),
    /// The record cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The record has a table that is not of this release.
    #[error(
        "the record has a table `{0}` that this release does not know: make the backup with the newer release"
    )]
    UnknownTable(String),
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Open(OpenError::Store(error))
    }
}
