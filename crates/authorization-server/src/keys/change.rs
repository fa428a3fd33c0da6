//! New keys for old ones: rotation and withdrawal, each one write that is lost as a whole if another node was first.
//!
//! A new signing key is published at once and signs after a lead time, so that every node and every MCP server that keeps
//! the JWKS knows it by then. Must never withdraw the key that works without making another in the same write.

use std::time::Duration;

use protocol::keys::{KeyId, KeyRing, MasterKey};
use protocol::world::{Clock, Entropy, Timestamp};
use store::{AuditEvent, AuditKind, KeyChange, KeyPurpose, KeyRecord, NewKey, Store};

use super::lifecycle::{KeyState, states};
use super::{KeysError, MASTER_KEY, event, mint, recorded_by};

/// What only nodes read is known to all of them well within this: they read the keys every two seconds.
const AMONG_NODES: Duration = Duration::from_secs(60);
/// The least difference between two times in the record.
const TICK: Duration = Duration::from_micros(1);

/// When a new key begins to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When everybody can know it. The lead time is that of signing keys; the others need a minute.
    AfterLead(Duration),
    /// At once: what it makes may be refused for some seconds, and by MCP servers that check tokens themselves until
    /// they read the JWKS again.
    AtOnce,
}

/// What became of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// Another node or command changed the keys in this moment; nothing was done.
    Lost,
    /// A key was made.
    Made {
        /// Its id.
        id: KeyId,
        /// When it begins to make.
        from: Timestamp,
    },
    /// A key was waiting already; nothing was done.
    Waiting {
        /// Its id.
        id: KeyId,
        /// When it begins to make.
        from: Timestamp,
    },
}

/// What is needed to change keys.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The record.
    pub store: &'a dyn Store,
    /// The master keys.
    pub masters: &'a KeyRing<MasterKey>,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub entropy: &'a dyn Entropy,
}

impl Change<'_> {
    /// Makes the next key of a purpose.
    ///
    /// # Errors
    /// [`KeysError`] if the record does not answer, or is of another master key.
    pub async fn rotate(&self, purpose: KeyPurpose, when: When) -> Result<Rotated, KeysError> {
        let (records, now) = (self.store.list_keys().await?, self.clock.now());
        let waiting = states(&records, purpose, now).into_iter().find_map(|(key, state)| match state {
            KeyState::Pending { from } => Some(Rotated::Waiting { id: key.id, from }),
            KeyState::Active
            | KeyState::Gone { .. }
            | KeyState::Retired { .. }
            | KeyState::Withdrawn { .. } => None,
        });
        if let (Some(waiting), When::AfterLead(_)) = (waiting, when) {
            return Ok(waiting);
        }
        self.add(&records, purpose, now, when).await
    }

    /// Withdraws keys: what they made counts no more. Where the one that works is among them, another takes its place at
    /// once. Whether it was done; if not, another node or command changed the keys in this moment.
    ///
    /// # Errors
    /// [`KeysError`] if there is no such key, the record does not answer, or is of another master key.
    pub async fn withdraw(&self, ids: &[KeyId]) -> Result<bool, KeysError> {
        let (records, now) = (self.store.list_keys().await?, self.clock.now());
        let master = self.recorded_master().await?;
        let mut change = KeyChange {
            master: master.fingerprint(),
            withdraw: Vec::new(),
            add: Vec::new(),
            audit: Vec::new(),
            at: now,
        };
        for id in ids {
            let key = records.iter().find(|record| record.id == *id).ok_or(KeysError::NoSuchKey(*id))?;
            if key.withdrawn_at.is_none() {
                change.withdraw.push(*id);
                change.audit.push(event(key, AuditKind::KeyWithdrawn, now, self.entropy));
            }
        }
        for purpose in KeyPurpose::ALL {
            let works = states(&records, purpose, now)
                .into_iter()
                .find_map(|(key, state)| (state == KeyState::Active).then_some(key.id));
            if works.is_some_and(|works| change.withdraw.contains(&works)) {
                let (new, told) = self.next(&records, purpose, master, (now, When::AtOnce))?;
                change.add.push(new);
                change.audit.push(told);
            }
        }
        if change.withdraw.is_empty() {
            return Ok(true);
        }
        Ok(self.store.change_keys(change).await?)
    }

    /// The key of a purpose that works now.
    ///
    /// # Errors
    /// [`KeysError`] if the record does not answer, or has none.
    pub async fn working_key(&self, purpose: KeyPurpose) -> Result<KeyId, KeysError> {
        let records = self.store.list_keys().await?;
        states(&records, purpose, self.clock.now())
            .into_iter()
            .find_map(|(key, state)| (state == KeyState::Active).then_some(key.id))
            .ok_or(KeysError::Absent { purpose: purpose.as_str() })
    }

    /// Makes a key after the youngest of these.
    pub(super) async fn add(
        &self,
        records: &[KeyRecord],
        purpose: KeyPurpose,
        now: Timestamp,
        when: When,
    ) -> Result<Rotated, KeysError> {
        let master = self.recorded_master().await?;
        let (new, told) = self.next(records, purpose, master, (now, when))?;
        let made = Rotated::Made { id: new.key.id, from: new.key.activates_at };
        let change = KeyChange {
            master: master.fingerprint(),
            withdraw: Vec::new(),
            add: vec![new],
            audit: vec![told],
            at: now,
        };
        Ok(if self.store.change_keys(change).await? { made } else { Rotated::Lost })
    }

    fn next(
        &self,
        records: &[KeyRecord],
        purpose: KeyPurpose,
        master: &MasterKey,
        (now, when): (Timestamp, When),
    ) -> Result<(NewKey, AuditEvent), KeysError> {
        let of_purpose = records.iter().filter(|record| record.purpose == purpose);
        let youngest = of_purpose
            .max_by_key(|record| (record.created_at, record.id))
            .ok_or(KeysError::Absent { purpose: purpose.as_str() })?;
        // After it in every order, whatever the clocks of two nodes say.
        let created_at = now.max(youngest.created_at.plus(TICK));
        let activates_at = match (when, purpose) {
            (When::AtOnce, _) => created_at,
            (When::AfterLead(lead), KeyPurpose::Signing | KeyPurpose::SigningRs256) => created_at.plus(lead),
            (
                When::AfterLead(lead),
                KeyPurpose::Audit
                | KeyPurpose::ClientIds
                | KeyPurpose::Forms
                | KeyPurpose::RefreshTokens
                | KeyPurpose::Sealing,
            ) => created_at.plus(lead.min(AMONG_NODES)),
        };
        let key = mint(purpose, master, (created_at, activates_at), self.entropy)?;
        let mut told = event(&key, AuditKind::KeyRotated, now, self.entropy);
        told.detail.insert("after", youngest.id.to_string());
        told.detail.insert("works_from", format!("{activates_at:?}"));
        Ok((NewKey { key, after: youngest.id }, told))
    }

    /// The master key that the record is of: whatever is made is sealed under it, so that every node can open it.
    async fn recorded_master(&self) -> Result<&MasterKey, KeysError> {
        let recorded = self.store.meta(MASTER_KEY).await?.ok_or(KeysError::Gone)?;
        recorded_by(self.masters, &recorded)
            .ok_or_else(|| KeysError::OtherMasterKey { given: self.masters.active().fingerprint(), recorded })
    }
}
