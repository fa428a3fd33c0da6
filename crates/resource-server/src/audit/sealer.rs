//! The sealer (product.md, P-18): twice a second what is in the record and under no seal goes under the next one, which is
//! signed. Every node runs one; each batch is sealed by the one that was first, and the others look again later.
//!
//! Must never hold up a call: it reads and writes beside them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::id::Id;
use protocol::jose::{Algorithm, Expect, JoseError, VerifyingKeys};
use protocol::keys::Keys;
use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Freshness};
use serde::{Deserialize, Serialize};
use store::{AuditClass, AuditEvent, AuditKind, Cutoffs, Outcome, Seal, Sealing, Store, StoreError};
use tokio_util::sync::CancellationToken;

/// How often there is a look for what is not sealed.
const EVERY: Duration = Duration::from_millis(500);
/// How long it waits when another node was first, or the record fails.
const STAND_BACK: Duration = Duration::from_secs(2);
/// How often what may go is sealed anew when another seal was first.
const TRIES: u32 = 5;
/// How often the last seal is told to the log, where whoever keeps logs keeps it.
const TOLD_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often what is too old is removed.
const REMOVED_EVERY: Duration = Duration::from_secs(60 * 60);
/// Seals that are made at the end, at most.
const LAST_SEALS: u32 = 200;
/// In the cutoffs: from when on names are sealed.
pub(super) const NAMES_FROM: &str = "names";
/// How many seals are looked at for one that can be read.
const LOOKED_BACK: u32 = 100;
/// The type of the signed text.
const TYP: &str = "audit-seal+jwt";

/// What a seal's signature says (docs/audit.md): with the public key it proves that this seal was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealClaims {
    /// The number of the seal.
    pub seal: u64,
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// Rows in all seals up to this one.
    pub rows: u64,
    /// When it was made, in microseconds since 1970.
    pub sealed_at: i64,
}

/// Why there is no seal.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key cannot sign.
    #[error("the seal could not be signed")]
    Jose(#[from] JoseError),
    /// There is no key for it.
    #[error("there is no key for seals")]
    NoKey,
    /// The record did not answer.
    #[error("the record did not answer: {0}")]
    Store(#[from] StoreError),
}

/// What became of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// So many rows were sealed.
    Sealed(usize),
    /// Another node was first.
    Lost,
    /// Everything is sealed.
    Nothing,
}

/// How long events are kept; what is not named is kept for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// By class.
    pub classes: Vec<(AuditClass, Duration)>,
    /// What was summed up from calls.
    pub usage: Option<Duration>,
}

/// Seals the audit; its owner runs it as a task of its own.
#[derive(Debug)]
pub struct Sealer {
    store: Arc<dyn Store>,
    keys: Arc<ArcSwap<Keys>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keep: Keep,
    freshness: Arc<Freshness>,
}

impl Sealer {
    /// One that has not begun, and removes nothing.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<ArcSwap<Keys>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let keep = Keep { classes: Vec::new(), usage: None };
        Self { store, keys, clock, entropy, keep, freshness: Arc::new(Freshness::for_ever()) }
    }

    /// The same, and it removes what is too old.
    #[must_use]
    pub fn keeping(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The same, and while its clock is found to be another than that of the record it leaves the work to others.
    #[must_use]
    pub fn by_the_clock_of(mut self, freshness: Arc<Freshness>) -> Self {
        self.freshness = freshness;
        self
    }

    /// Seals one batch.
    ///
    /// # Errors
    /// [`SealError`]; then nothing was sealed, or it was and nobody heard.
    pub async fn seal(&self) -> Result<Round, SealError> {
        if self.freshness.clock_differs() {
            return Ok(Round::Nothing);
        }
        let entries = self.store.unsealed_rows().await?;
        if entries.is_empty() {
            return Ok(Round::Nothing);
        }
        let (count, last) = (entries.len(), last(self.store.as_ref()).await?);
        let seal = self.next(last.as_ref(), entries, None)?;
        Ok(if self.store.put_seal(seal).await? { Round::Sealed(count) } else { Round::Lost })
    }

    /// Removes what is too old: first a seal says so, and then it goes. How many rows of the audit.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub async fn remove(&self) -> Result<u64, SealError> {
        if self.freshness.clock_differs() {
            return Ok(0);
        }
        // By the earlier time, if it is in doubt.
        let now = self.clock.earliest();
        if let Some(keep) = self.keep.usage {
            self.store.remove_usage(now.minus(keep)).await?;
        }
        let before = |keep: &Duration| now.minus(*keep);
        let classes = &self.keep.classes;
        let cutoffs: Cutoffs =
            classes.iter().map(|(class, keep)| (class.as_str().to_owned(), before(keep).micros())).collect();
        if cutoffs.is_empty() || !self.sealed_cutoffs(&cutoffs).await? {
            return Ok(0);
        }
        let (mut removed, mut error) = (BTreeMap::new(), None);
        for (class, keep) in classes {
            match self.store.remove_audit(*class, before(keep)).await {
                Ok(0) => {}
                Ok(count) => *removed.entry(class.as_str()).or_insert(0) += count,
                Err(failed) => error = Some(failed),
            }
        }
        let all = removed.values().sum();
        if all > 0 {
            let at = self.clock.now();
            let id = Id::mint(at, &*self.entropy);
            let mut told = AuditEvent::new(id, at, AuditKind::AuditRemoved, Outcome::Ok);
            told.detail = removed.into_iter().map(|(class, count)| (class, count.to_string())).collect();
            self.store.append_audit(vec![told]).await?;
        }
        error.map_or(Ok(all), |error| Err(error.into()))
    }

    /// The same as [`Sealer::seal_cutoffs`], again while another seal is first: there is one every second on a busy house.
    async fn sealed_cutoffs(&self, cutoffs: &Cutoffs) -> Result<bool, SealError> {
        for _ in 0..TRIES {
            if self.seal_cutoffs(cutoffs).await? {
                return Ok(true);
            }
            tokio::time::sleep(STAND_BACK).await;
        }
        tracing::warn!(
            "old audit events were not removed: another seal was always first; it will be tried again"
        );
        Ok(false)
    }

    /// Says in a seal what may be gone from now on; only then may it go. What might go before still may. Whether it was
    /// sealed.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub async fn seal_cutoffs(&self, cutoffs: &Cutoffs) -> Result<bool, SealError> {
        let last = last(self.store.as_ref()).await?;
        let mut all = last.as_ref().map(|seal| seal.sealing.read_cutoffs()).unwrap_or_default();
        for (class, before) in cutoffs {
            let cutoff = all.entry(class.clone()).or_insert(*before);
            *cutoff = (*cutoff).max(*before);
        }
        let seal = self.next(last.as_ref(), self.store.unsealed_rows().await?, Some(&all))?;
        Ok(self.store.put_seal(seal).await?)
    }

    fn next(
        &self,
        last: Option<&Seal>,
        entries: Vec<store::SealEntry>,
        cutoffs: Option<&Cutoffs>,
    ) -> Result<Seal, SealError> {
        let keys = self.keys.load();
        let key = keys.audit.as_ref().ok_or(SealError::NoKey)?.active();
        let before = last.map(|seal| &seal.sealing);
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let now = self.clock.now();
        let mut all = match (cutoffs, before) {
            (Some(cutoffs), _) => cutoffs.clone(),
            (None, Some(before)) => before.read_cutoffs(),
            (None, None) => Cutoffs::new(),
        };
        // What an older release wrote says nothing of names.
        all.entry(NAMES_FROM.to_owned()).or_insert_with(|| before.map_or(0, |_| now.micros()));
        let sealing = Sealing {
            id: before.map_or(0, |before| before.id) + 1,
            previous: last.map_or(Hash::from_bytes([0; 32]), |seal| seal.digest),
            sealed_at: now,
            total: before.map_or(0, |before| before.total).saturating_add(count),
            cutoffs: Sealing::write_cutoffs(&all)?,
            entries,
        };
        let digest = sealing.digest();
        let signature = key.sign(TYP, &claims(&sealing, &digest))?;
        Ok(Seal { sealing, digest, key: key.id(), signature })
    }

    /// Seals until it is told to stop, then what is left. What is too old is removed beside that, and holds up no seal.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.seal_until(&shutdown), self.remove_until(&shutdown));
        for _ in 0..LAST_SEALS {
            match self.seal().await {
                Ok(Round::Sealed(_) | Round::Lost) => {}
                Ok(Round::Nothing) | Err(_) => break,
            }
        }
        self.tell().await;
    }

    async fn seal_until(&self, shutdown: &CancellationToken) {
        let (mut told_at, mut failing) = (self.clock.monotonic(), false);
        let mut pause = EVERY;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.seal().await {
                // More may be waiting.
                Ok(Round::Sealed(_)) => Duration::ZERO,
                Ok(Round::Nothing) => EVERY,
                Ok(Round::Lost) => STAND_BACK,
                Err(error) => {
                    if !failing {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the audit is not being sealed"
                        );
                    }
                    failing = true;
                    STAND_BACK
                }
            };
            if pause < STAND_BACK {
                failing = false;
            }
            if self.clock.monotonic().saturating_sub(told_at) >= TOLD_EVERY {
                told_at = self.clock.monotonic();
                self.tell().await;
            }
        }
    }

    async fn remove_until(&self, shutdown: &CancellationToken) {
        loop {
            let removed = tokio::select! {
                () = shutdown.cancelled() => return,
                removed = self.remove() => removed,
            };
            match removed {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "audit events whose time was over were removed"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "old audit events were not removed; it will be tried again");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(REMOVED_EVERY) => {}
            }
        }
    }

    /// The last seal, where it outlives whatever is done to the record.
    async fn tell(&self) {
        let Ok(Some(found)) = self.store.last_seal().await else { return };
        let (seal, rows) = (found.seal.sealing.id, found.seal.sealing.total);
        if found.is_whole() {
            tracing::info!(seal, rows, checkpoint = found.seal.signature, "the audit is sealed");
        } else {
            tracing::error!(seal, "the last seal of the audit was altered: run `sekisho audit verify`");
        }
    }
}

/// The seal that the next one follows. Of one that was altered so that it cannot be read as much as can be: it is found, and
/// what comes after it is sealed all the same.
async fn last(store: &dyn Store) -> Result<Option<Seal>, SealError> {
    let Some(mut found) = store.last_seal().await? else { return Ok(None) };
    if !found.is_whole() {
        let before = whole(store).await?;
        let sealing = before.as_ref().map(|seal| &seal.sealing);
        if !found.has("total") {
            found.seal.sealing.total = sealing.map_or(0, |sealing| sealing.total);
        }
        if !found.has("cutoffs") {
            found.seal.sealing.cutoffs = match sealing {
                Some(sealing) => sealing.cutoffs.clone(),
                None => Sealing::write_cutoffs(&Cutoffs::new())?,
            };
        }
    }
    Ok(Some(found.seal))
}

/// The last seal that can be read, if it is one of the last.
async fn whole(store: &dyn Store) -> Result<Option<Seal>, StoreError> {
    let last = store.last_seals(LOOKED_BACK).await?;
    Ok(last.into_iter().find(store::FoundSeal::is_whole).map(|found| found.seal))
}

/// What may be gone, as the last seal says that can be read.
pub(super) async fn readable_cutoffs(store: &dyn Store) -> Result<Cutoffs, StoreError> {
    Ok(whole(store).await?.map(|seal| seal.sealing.read_cutoffs()).unwrap_or_default())
}

/// What the signature of a seal must say.
pub(super) fn claims(sealing: &Sealing, digest: &Hash) -> SealClaims {
    SealClaims {
        seal: sealing.id,
        digest: hex(digest),
        rows: sealing.total,
        sealed_at: sealing.sealed_at.micros(),
    }
}

/// What a signed text says, if it is the seal of one of these keys.
///
/// # Errors
/// [`JoseError`], the first that was found.
pub fn read_checkpoint(keys: &VerifyingKeys, text: &str) -> Result<SealClaims, JoseError> {
    keys.verify(text, &Expect { typ: Some(&[TYP]), algorithms: &[Algorithm::Es256] })
}

fn hex(hash: &Hash) -> String {
    use std::fmt::Write as _;
    hash.as_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
