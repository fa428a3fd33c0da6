//! Sealing anew: every key under another master key, every sealed value under the sealing key that works (product.md,
//! P-15; attacks.md, ST-05).
//!
//! Row by row, each by compare-and-set, so that it may be broken off at any point and begun again, by several nodes at
//! once, in either direction. At every moment each row opens with one of the two keys. Must never drop what it cannot
//! open: that stays as it is, and is told.

use std::fmt;

use protocol::keys::{KeyId, KeyRing, OpenError, SealingKey};
use store::{AuditEvent, AuditKind, KeyRecord, Outcome, SealedColumn, SealedRow, Store, StoreError};

use super::{Change, KeysError, MASTER_KEY, Opening, recorded_by};

/// Told of rows done and rows in all, as the work goes on.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// How a sealing anew ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Rows that were sealed anew.
    pub done: u64,
    /// Rows that open with no key we have, and were left as they are.
    pub broken: u64,
    /// Whether the record is the new master key's now, or everything was already.
    pub finished: bool,
}

/// The work of sealing anew.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    /// The record, the keys, time and chance.
    pub change: Change<'a>,
    /// Whom to tell.
    pub progress: Progress<'a>,
}

/// How many keys that count are sealed under another master key than this one.
#[must_use]
pub fn under_other_master(records: &[KeyRecord], master: KeyId) -> usize {
    let other = |key: &&KeyRecord| key.withdrawn_at.is_none() && key.sealed.key_id() != Some(master);
    records.iter().filter(other).count()
}

/// How many values are sealed with another sealing key than the one that works.
///
/// # Errors
/// If the record does not answer.
pub async fn unlike_active(store: &dyn Store, active: KeyId) -> Result<u64, StoreError> {
    let mut count = 0;
    for column in store.sealed_columns() {
        count += store.count_sealed(*column, active).await?;
    }
    Ok(count)
}

/// How many values are sealed with this sealing key.
///
/// # Errors
/// If the record does not answer.
pub async fn sealed_with(store: &dyn Store, key: KeyId) -> Result<u64, StoreError> {
    const NONE: KeyId = KeyId::from_bytes([0; 4]);
    Ok(unlike_active(store, NONE).await?.saturating_sub(unlike_active(store, key).await?))
}

impl fmt::Debug for Sealing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("change", &self.change).finish_non_exhaustive()
    }
}

impl Sealing<'_> {
    /// Seals every key under the master key that is configured now, and then makes the record its own.
    ///
    /// # Errors
    /// [`KeysError`] if the record does not answer, or is of a third master key.
    pub async fn go_over_to_master(&self) -> Result<Resealed, KeysError> {
        let Change { store, masters, clock, entropy } = self.change;
        let to = masters.active();
        let recorded = store.meta(MASTER_KEY).await?.ok_or(KeysError::Gone)?;
        let given = to.fingerprint();
        let from = recorded_by(masters, &recorded)
            .ok_or_else(|| KeysError::OtherMasterKey { given, recorded: recorded.clone() })?
            .fingerprint();
        let mut made = Resealed::default();
        // A key that another node makes meanwhile is under the old one, so it is looked for until none is left.
        loop {
            let records = store.list_keys().await?;
            let left: Vec<&KeyRecord> =
                records.iter().filter(|key| key.sealed.key_id() != Some(given)).collect();
            let round = self.rewrap(&left, records.len()).await?;
            made.done += round.done;
            made.broken = round.broken;
            if from == given && round.done == 0 {
                made.finished = under_other_master(&records, given) == 0;
                return Ok(made);
            }
            let now = clock.now();
            let mut told = AuditEvent::new(
                protocol::id::Id::mint(now, entropy),
                now,
                AuditKind::MasterKeyRotated,
                Outcome::Ok,
            );
            told.detail.insert("from", from.to_string());
            told.detail.insert("to", given.to_string());
            if from != given && store.move_master_key(from, given, told).await? {
                tracing::info!(%from, to = %given, "the record went over to another master key");
                made.finished = true;
                return Ok(made);
            }
            if round.done == 0 {
                // Another one moved it, or something cannot be opened.
                made.finished = store.meta(MASTER_KEY).await? == Some(given.to_string());
                return Ok(made);
            }
        }
    }

    async fn rewrap(&self, left: &[&KeyRecord], all: usize) -> Result<Resealed, KeysError> {
        let Change { store, masters, entropy, .. } = self.change;
        let mut made = Resealed::default();
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let already = all.saturating_sub(u64::try_from(left.len()).unwrap_or(u64::MAX));
        (self.progress)(already, all);
        for key in left {
            let purpose = key.purpose.as_str();
            match masters.unwrap(purpose, key.id, &key.sealed) {
                Ok(material) => {
                    let new = masters.active().wrap(purpose, key.id, &material, entropy);
                    // Whoever was faster did the same.
                    if store.rewrap_key(key.id, key.sealed.clone(), new).await? {
                        made.done += 1;
                    }
                }
                Err(_) => {
                    made.broken += 1;
                    tracing::error!(key = %key.id, purpose, "a key does not open and was left as it is");
                }
            }
            (self.progress)(already + made.done + made.broken, all);
        }
        Ok(made)
    }

    /// Seals every value in the record with the sealing key that works.
    ///
    /// # Errors
    /// [`KeysError`] if the record does not answer, or keys are missing.
    pub async fn reseal(&self) -> Result<Resealed, KeysError> {
        let Change { store, masters, clock, .. } = self.change;
        let records = store.list_keys().await?;
        let keys = Opening { masters, records: &records, now: clock.now() }.sealing()?;
        let all = unlike_active(store, keys.active().id()).await?;
        let mut made = Resealed { finished: true, ..Resealed::default() };
        (self.progress)(0, all);
        for column in store.sealed_columns() {
            let mut after = None;
            loop {
                let rows = store.list_sealed(*column, keys.active().id(), after).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.id);
                for row in rows {
                    self.reseal_row(*column, row, &keys, &mut made).await?;
                    (self.progress)((made.done + made.broken).min(all), all);
                }
            }
        }
        if made.done > 0 {
            self.tell(AuditKind::Resealed, Outcome::Ok, &[("rows", made.done.to_string())]).await?;
        }
        Ok(made)
    }

    async fn reseal_row(
        &self,
        column: SealedColumn,
        row: SealedRow,
        keys: &KeyRing<SealingKey>,
        made: &mut Resealed,
    ) -> Result<(), KeysError> {
        let context = row.context(column);
        let place = format!("{}.{}", column.table, column.column);
        match keys.open(&context, &row.sealed) {
            Ok(value) => {
                let new = keys.active().seal(&context, &value, self.change.entropy);
                made.done += u64::from(self.change.store.swap_sealed(column, row, new).await?);
            }
            // Withdrawn, or long gone: it is lost, and nobody touched it.
            Err(OpenError::OtherKey(_)) => made.broken += 1,
            Err(OpenError::Malformed | OpenError::NotAuthentic) => {
                made.broken += 1;
                let id = protocol::id::Id::<()>::from_bytes(row.id).to_string();
                tracing::error!(place, row = id, "a sealed value was changed or moved");
                self.tell(AuditKind::SealBroken, Outcome::Failed, &[("place", place), ("row", id)]).await?;
            }
        }
        Ok(())
    }

    async fn tell(
        &self,
        kind: AuditKind,
        outcome: Outcome,
        detail: &[(&'static str, String)],
    ) -> Result<(), StoreError> {
        let Change { store, clock, entropy, .. } = self.change;
        let now = clock.now();
        let mut told = AuditEvent::new(protocol::id::Id::mint(now, entropy), now, kind, outcome);
        told.detail.extend(detail.iter().cloned());
        store.append_audit(vec![told]).await
    }
}
