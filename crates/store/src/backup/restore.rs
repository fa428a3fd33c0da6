//! Restoring: into an empty record, whole or not at all, and with an end to everything that was allowed.
//!
//! What was revoked after the backup was taken must not come back to life. So every grant is ended, every session and
//! sign-in under way dropped, every signing key withdrawn (a token's times are of the clocks of nodes, a withdrawn key is
//! not), every approval of a client and every initial access token taken back, an entry for the whole issuer made, and the epoch counted. Who presents what was good before is sent to sign in,
//! and is told apart from a thief by the time at which the grants were ended. A connected account stays, so that it can be
//! taken back at its provider when another takes its place, but is used no more: it may have been disconnected since, and a
//! refresh token that was exchanged since would be taken for a stolen one.

use std::path::PathBuf;

use protocol::world::Timestamp;

use super::{BackupError, Contents, Progress};
use crate::engine::{Engine, EngineConfig, Step, Write, params};
use crate::statements::statement_list;
use crate::{
    AuditEvent, KeyPurpose, KeyRecord, Revocation, StoreError, audit_events, client_rules, connecting,
    connections, keys, registration_tokens, revocations, stop,
};

/// A restore.
pub struct Restore {
    /// The file.
    pub from: PathBuf,
    /// What is in it, as it was verified; if it is another one meanwhile, nothing is restored.
    pub contents: Contents,
    /// Whether a database file that is there is moved aside.
    pub replace: bool,
    /// The end of all access tokens.
    pub revocation: Revocation,
    /// The signing key that works from now on.
    pub signing: KeyRecord,
    /// The event; its time is the time of the restore.
    pub audit: AuditEvent,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore")
            .field("from", &self.from)
            .field("replace", &self.replace)
            .finish_non_exhaustive()
    }
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Grants that were ended.
    pub grants_ended: u64,
    /// How often this record was restored, this time included.
    pub epoch: u64,
    /// Where the database file went that was there.
    pub moved_to: Option<PathBuf>,
}

statement_list! {
    DEVICE_AUTHORIZATIONS_OF_ALL = "DELETE FROM device_authorizations";
    CLIENT_REQUESTS_OF_ALL = "DELETE FROM client_requests";
    EMERGENCY_LOGINS_OF_ALL = "DELETE FROM emergency_logins";
    OPEN_AUTHORIZATIONS_OF_ALL = "DELETE FROM authorizations WHERE state <> 'redeemed'";
    SET_META = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    WITHDRAW_ALL = "UPDATE keys SET withdrawn_at = $1 WHERE withdrawn_at IS NULL AND purpose = $2";
}

/// The fact that counts restores, and the one that says when the last was.
const EPOCH: &str = "epoch";
const RESTORED_AT: &str = "restored_at";
const RESTORED_FROM: &str = "restored_from";

impl Restore {
    /// How often the record will have been restored; `there` is what the one says that it takes the place of.
    pub(crate) fn epoch(&self, there: u64) -> u64 {
        let before = self.contents.meta.get(EPOCH).and_then(|epoch| epoch.parse::<u64>().ok());
        before.unwrap_or(0).max(there).saturating_add(1)
    }

    /// The end of everything, and at which place of it the grants are counted.
    pub(crate) fn end_of_everything(&self, epoch: u64) -> Result<(Write, usize), StoreError> {
        let now = self.audit.at;
        let set = |key: &'static str, value: String| Step::one(SET_META, params![key, value]);
        let mut steps = vec![
            Step::any(client_rules::DISALLOW_ALL, params![]),
            Step::any(stop::OFFLINE_OF_ALL, params![]),
            Step::any(connecting::END_OF_ALL, params![]),
            Step::any(connections::RESTORED, params![]),
            Step::any(stop::SESSIONS_OF_ALL, params![]),
            Step::any(EMERGENCY_LOGINS_OF_ALL, params![]),
            Step::any(stop::CONSENTS_OF_ALL, params![]),
            Step::any(DEVICE_AUTHORIZATIONS_OF_ALL, params![]),
            Step::any(OPEN_AUTHORIZATIONS_OF_ALL, params![]),
            Step::any(CLIENT_REQUESTS_OF_ALL, params![]),
            Step::any(registration_tokens::END_ALL, params![]),
        ];
        let grants = steps.len();
        steps.extend([
            Step::any(stop::GRANTS_OF_ALL, params![now]),
            revocations::entry(&self.revocation, now),
            set(EPOCH, epoch.to_string()),
            set(RESTORED_AT, now.micros().to_string()),
            set(RESTORED_FROM, self.contents.header.taken_at.to_string()),
            Step::any(WITHDRAW_ALL, params![now, self.signing.purpose.as_str()]),
            // Whoever needs one makes it at the start.
            Step::any(WITHDRAW_ALL, params![now, KeyPurpose::SigningRs256.as_str()]),
            keys::put(&self.signing),
        ]);
        audit_events::push(&mut steps, &self.audit)?;
        Ok((Write::new(steps), grants))
    }
}

impl Engine {
    /// Restores into an empty record. Nobody else may use the record meanwhile.
    ///
    /// # Errors
    /// [`BackupError`]; then the record is as it was.
    pub async fn restore(config: EngineConfig, restore: Restore) -> Result<Restored, BackupError> {
        let known = Self::newest_schema();
        let found = restore.contents.header.schema;
        if !(1..=known).contains(&found) {
            return Err(BackupError::NewerSchema { found, known });
        }
        crate::engine::restore(config, restore).await
    }

    pub(crate) async fn restored_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let told = crate::KeysRecord::meta(self, RESTORED_AT).await?;
        Ok(told.and_then(|micros| micros.parse().ok()).map(Timestamp::from_micros))
    }
}
