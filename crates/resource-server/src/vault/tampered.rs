//! Sealed tokens that were changed in the record, or moved from where they belong (attacks.md, ST-02).
//!
//! They can never be used again: the audit says so, and the person connects anew instead of being told to wait. Must never
//! take a key that this node has not read yet for tampering, nor a form of a later release that it does not know: these are
//! waited for.

use protocol::keys::OpenError;
use protocol::secret::Sealed;
use store::{AuditEvent, AuditKind, ConnectionRecord};

use super::connection::{ACCESS, REFRESH, Vault};
use crate::reason::CallReason;

impl Vault {
    /// Goes on if what is sealed in a connection is what we sealed there.
    pub(super) async fn untampered(&self, record: ConnectionRecord) -> Result<ConnectionRecord, CallReason> {
        let Some(column) = self.tampered(&record) else { return Ok(record) };
        tracing::error!(connection = %record.id, column, "a sealed token was changed or moved");
        let mut event: AuditEvent = self.event(&record, AuditKind::SealBroken, "connection_seal_broken");
        event.detail.insert("place", format!("connections.{column}"));
        event.detail.insert("row", record.id.to_string());
        self.store.append_audit(vec![event]).await?;
        self.mark_dead(&record, "connection_seal_broken").await
    }

    /// The column that does not hold what we put there, if one does not.
    fn tampered(&self, record: &ConnectionRecord) -> Option<&'static str> {
        let keys = self.keys.load();
        let is_odd = |column: &str, sealed: &Sealed| {
            let context: [&[u8]; 3] = [b"connections", column.as_bytes(), record.id.as_bytes()];
            matches!(keys.sealing.open(&context, sealed), Err(OpenError::NotAuthentic))
        };
        let refresh = record.tokens.refresh_token.as_ref();
        if is_odd(ACCESS, &record.tokens.access_token) {
            Some(ACCESS)
        } else {
            refresh.is_some_and(|sealed| is_odd(REFRESH, sealed)).then_some(REFRESH)
        }
    }
}
