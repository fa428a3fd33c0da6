//! Sealed tokens that were changed in the record, or moved from where they belong (attacks.md, ST-02).
//!
//! They can never be used again: the audit says so, and the person connects anew instead of being told to wait. Must never
//! take a key that this node has not read yet for tampering, nor a form of a later release that it does not know: these are
//! waited for.

use protocol::id::Id;
use protocol::keys::OpenError;
use protocol::secret::{Sealed, Secret};
use store::{AuditEvent, AuditKind, ConnectionRecord, OfflineAccessRecord, Outcome, StoreError, TokensPlace};

use super::connection::Vault;
use super::counts::Became;
use crate::reason::CallReason;

const REASON: &str = "connection_seal_broken";

impl Vault {
    /// Goes on if what is sealed in a connection is what we sealed there, for this person and this MCP server. Of all calls that
    /// find it otherwise, one has it written down: by the statement that marks the connection.
    pub(super) async fn untampered(&self, record: ConnectionRecord) -> Result<ConnectionRecord, CallReason> {
        let Some(column) = self.tampered(&record) else { return Ok(record) };
        tracing::error!(connection = %record.id, column, "a sealed token was changed or moved");
        let mut broken = self.event(&record, AuditKind::SealBroken, REASON);
        broken.detail.insert("place", format!("connections.{column}"));
        broken.detail.insert("row", record.id.to_string());
        let dead = self.event(&record, AuditKind::ConnectionDead, REASON);
        if self.store.mark_connection(record.id, record.generation, REASON, vec![broken, dead]).await? {
            self.counts.count(Became::Dead);
        }
        self.forget(record.user, &record.server);
        Err(CallReason::ConnectionDead)
    }

    /// The column that does not hold what we put there, if one does not.
    fn tampered(&self, record: &ConnectionRecord) -> Option<&'static str> {
        let keys = self.keys.load();
        let is_odd = |column: &str, sealed: &Sealed| {
            let context = record.place().context(column);
            matches!(keys.sealing.open(&context, sealed), Err(OpenError::NotAuthentic))
        };
        let refresh = record.tokens.refresh_token.as_ref();
        if is_odd(TokensPlace::ACCESS, &record.tokens.access_token) {
            Some(TokensPlace::ACCESS)
        } else {
            refresh.is_some_and(|sealed| is_odd(TokensPlace::REFRESH, sealed)).then_some(TokensPlace::REFRESH)
        }
    }

    /// What an identity provider gave at the sign-in of this person. What was given for somebody else, or was changed, goes, and
    /// the audit has it, once; the person signs in again.
    pub(super) async fn opened(&self, kept: OfflineAccessRecord) -> Result<Option<Secret>, StoreError> {
        let opened = self.keys.load().sealing.open(&kept.place().context(), &kept.sealed);
        let error = match opened {
            Ok(opened) => return Ok(std::str::from_utf8(&opened).ok().map(str::to_owned).map(Secret::new)),
            Err(error) => error,
        };
        tracing::error!(connector = kept.connector, %error, "what an identity provider is asked by does not open");
        if error == OpenError::NotAuthentic {
            let now = self.clock.now();
            let id = Id::mint(now, &*self.entropy);
            let mut event = AuditEvent::new(id, now, AuditKind::SealBroken, Outcome::Failed);
            event.reason = Some("offline_access_seal_broken");
            event.user = Some(kept.user);
            event.detail.insert("place", "offline_access.sealed".to_owned());
            event.detail.insert("row", kept.id.to_string());
            self.store.forget_broken_offline_access(kept, event).await?;
        }
        Ok(None)
    }
}
