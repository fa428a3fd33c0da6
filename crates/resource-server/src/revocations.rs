//! What has been withdrawn, in memory (product.md, P-2): grants, people, clients, resources or everything, each with
//! the moment up to which its access tokens are dead.
//!
//! Read in full before we are ready, then every two seconds with a generous overlap, and told at once of what this
//! process itself commits. If reading fails for longer than T, nothing is served. An entry is only ever added or
//! moved forward; it goes when no token that it could kill can be alive.

mod entries;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::world::{Clock, Timestamp};
use store::{Revocation, Store, StoreError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::entries::Entries;
use crate::streams::Streams;
use crate::verdicts::Access;

const EVERY: Duration = Duration::from_secs(2);
/// The same while they cannot be read.
const AGAIN: Duration = Duration::from_millis(500);
/// How far back each reading goes: other nodes' clocks, which may be five minutes behind, and writes that took long to
/// commit.
const OVERLAP: Duration = Duration::from_secs(6 * 60);
/// Everything is read again this often, so that a clock that was wrong for a while leaves no hole.
const IN_FULL_EVERY: Duration = Duration::from_secs(60);
/// How long an entry is kept beyond its end, for clocks that differ.
const KEPT_LONGER: Duration = Duration::from_secs(300);
/// How soon it is noticed that nothing was read for too long.
const WATCH_EVERY: Duration = Duration::from_millis(500);
const NEVER: u64 = u64::MAX;

/// The revocations known to this process.
pub struct Revocations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    streams: Arc<Streams>,
    freshness: Duration,
    entries: RwLock<Entries>,
    /// Nothing is withdrawn: the common case, which takes no lock.
    empty: AtomicBool,
    /// When the last reading that succeeded was begun, in microseconds of the monotonic clock.
    read_at: AtomicU64,
    /// The same by the time of day.
    read_until: AtomicI64,
    /// When the last full reading that succeeded was begun.
    read_in_full_at: AtomicU64,
}

impl Revocations {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        streams: Arc<Streams>,
        freshness: Duration,
    ) -> Self {
        Self {
            store,
            clock,
            streams,
            freshness,
            entries: RwLock::new(Entries::default()),
            empty: AtomicBool::new(true),
            read_at: AtomicU64::new(NEVER),
            read_until: AtomicI64::new(i64::MIN),
            read_in_full_at: AtomicU64::new(NEVER),
        }
    }

    /// Takes note of a revocation and ends the streams that it kills. Quick, and without a visit to the record.
    pub fn apply(&self, revocation: &Revocation) {
        {
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            if !entries.put(revocation) {
                return;
            }
            self.empty.store(false, Ordering::Release);
        }
        self.streams.end_where(|access| self.is_dead(access));
    }

    /// Whether our knowledge is young enough to serve by.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let read_at = self.read_at.load(Ordering::Acquire);
        read_at != NEVER
            && self.clock.monotonic().saturating_sub(Duration::from_micros(read_at)) <= self.freshness
    }

    /// Reads until it is told to stop; its owner runs it as a task of its own. Streams are ended when the reading
    /// fails for longer than T: nobody knows then whether they may still be open.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.read_for_ever() => {}
            () = self.watch_for_ever() => {}
        }
    }

    /// Reads once: everything at first and once a minute, otherwise what is new.
    ///
    /// # Errors
    /// If the record does not answer; what was known stays known.
    pub async fn read(&self) -> Result<(), StoreError> {
        // While the clock is in doubt: what others write now is not after it, and nothing is forgotten too soon.
        let (now, monotonic) = (self.clock.earliest(), self.clock.monotonic());
        let started = micros(monotonic);
        let in_full_at = self.read_in_full_at.load(Ordering::Acquire);
        let in_full = in_full_at == NEVER
            || monotonic.saturating_sub(Duration::from_micros(in_full_at)) >= IN_FULL_EVERY;
        let until = Timestamp::from_micros(self.read_until.load(Ordering::Acquire)).min(now);
        let since = if in_full { Timestamp::from_micros(i64::MIN) } else { until.minus(OVERLAP) };
        for revocation in self.store.list_revocations(since).await? {
            self.apply(&revocation);
        }
        for revocation in self.store.list_stopped_grants(since).await? {
            self.apply(&revocation);
        }
        self.read_until.store(now.micros(), Ordering::Release);
        self.read_at.store(started, Ordering::Release);
        if in_full {
            self.read_in_full_at.store(started, Ordering::Release);
            self.forget(now.minus(KEPT_LONGER));
        }
        Ok(())
    }

    /// Whether access was withdrawn.
    pub(crate) fn is_dead(&self, access: &Access) -> bool {
        if self.empty.load(Ordering::Acquire) {
            return false;
        }
        self.entries.read().unwrap_or_else(PoisonError::into_inner).kills(access)
    }

    /// Drops what can kill no token any more.
    fn forget(&self, before: Timestamp) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.forget(before);
        self.empty.store(entries.is_empty(), Ordering::Release);
    }

    async fn read_for_ever(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            match tokio::time::timeout(self.freshness, self.read()).await {
                Ok(Ok(())) if failing => {
                    failing = false;
                    tracing::info!("revocations are read again");
                }
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    failing = true;
                    tracing::warn!(error = &error as &dyn std::error::Error, "revocations cannot be read");
                }
                Err(_) => {
                    failing = true;
                    tracing::warn!("revocations cannot be read: the record does not answer");
                }
            }
            if failing {
                // Until they are read again nobody is served.
                ticks.reset_after(AGAIN);
            }
        }
    }

    async fn watch_for_ever(&self) {
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.is_fresh() {
                self.streams.end_unless_low_risk();
            }
        }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("fresh", &self.is_fresh()).finish_non_exhaustive()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests;
