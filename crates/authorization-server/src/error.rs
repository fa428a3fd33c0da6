//! What all endpoints' errors share: how a failure of the record is told.

use protocol::oauth::ErrorCode;
use store::StoreError;

/// A record that is away may come back; a record that is broken will not.
pub(crate) const fn store_code(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Unavailable(_) => ErrorCode::TemporarilyUnavailable,
        StoreError::Corrupt { .. } => ErrorCode::ServerError,
    }
}
