//! Registrations in the audit (product.md, P-18): counts for each fingerprint and minute, never one event each.
//!
//! Registering is free and open to strangers, so what is kept of it has an end however many there are: in a minute at most
//! [`FINGERPRINTS`] are counted apart, and the rest together. A count that could not be written is kept for the next minute;
//! a node that is killed loses the counts of its last one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::id::Id;
use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Timestamp};
use store::{AuditEvent, AuditKind, Outcome, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::RegisterError;

/// Told apart in a minute, first come.
const FINGERPRINTS: usize = 8;
/// How often is told.
const EVERY: Duration = Duration::from_secs(60);

/// Counts what is registered and refused, and tells of it.
pub struct Registrations {
    counts: Mutex<Counts>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Default)]
struct Counts {
    /// By fingerprint; `None` is all the others.
    registered: BTreeMap<Option<[u8; 32]>, u64>,
    refused: BTreeMap<&'static str, u64>,
    /// Of an earlier minute. They keep their ids, so that one whose answer was lost is not there twice.
    unwritten: Vec<AuditEvent>,
}

impl Counts {
    fn add(&mut self, fingerprint: [u8; 32]) {
        let apart = self.registered.keys().flatten().count();
        let known = self.registered.contains_key(&Some(fingerprint));
        *self.registered.entry(Some(fingerprint).filter(|_| known || apart < FINGERPRINTS)).or_default() += 1;
    }
}

impl Registrations {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), store, clock, entropy })
    }

    pub(super) fn count(&self, fingerprint: &Hash) {
        self.held().add(*fingerprint.as_bytes());
    }

    pub(super) fn count_refused(&self, error: &RegisterError) {
        *self.held().refused.entry(error.reason()).or_default() += 1;
    }

    fn held(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells each minute until told to stop, and then once more. A task that somebody must own.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopped = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            if let Err(error) = self.tell().await {
                tracing::warn!(%error, "what was registered could not be told to the audit; it will be tried again");
            }
            if stopped {
                return;
            }
        }
    }

    /// Writes what was counted since the last time, if anything was.
    ///
    /// # Errors
    /// [`StoreError`] if the record does not answer: then it is counted still.
    pub async fn tell(&self) -> Result<(), StoreError> {
        // What could not be written before, and then what was counted since.
        for _ in 0..2 {
            let events = self.events();
            if !events.is_empty() {
                self.store.append_audit(events).await?;
                self.held().unwritten.clear();
            }
        }
        Ok(())
    }

    fn events(&self) -> Vec<AuditEvent> {
        let mut held = self.held();
        if held.unwritten.is_empty() {
            held.unwritten = self.made(&held, self.clock.now());
            held.registered.clear();
            held.refused.clear();
        }
        held.unwritten.clone()
    }

    fn made(&self, counts: &Counts, now: Timestamp) -> Vec<AuditEvent> {
        let event = |kind, outcome| AuditEvent::new(Id::mint(now, &*self.entropy), now, kind, outcome);
        let registered = counts.registered.iter().map(|(fingerprint, count)| {
            let fingerprint = fingerprint.as_ref().map_or_else(|| "others".to_owned(), shown);
            let detail = BTreeMap::from([("count", count.to_string()), ("fingerprint", fingerprint)]);
            AuditEvent { detail, ..event(AuditKind::ClientsRegistered, Outcome::Ok) }
        });
        let refused = counts.refused.iter().map(|(reason, count)| AuditEvent {
            reason: Some(reason),
            detail: BTreeMap::from([("count", count.to_string())]),
            ..event(AuditKind::RegistrationRefused, Outcome::Refused)
        });
        registered.chain(refused).collect()
    }
}

/// Half of it, which is enough to tell software apart.
fn shown(fingerprint: &[u8; 32]) -> String {
    let number = fingerprint.first_chunk().copied().map_or(0, u128::from_be_bytes);
    format!("{number:032x}")
}

impl fmt::Debug for Registrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registrations(..)")
    }
}
