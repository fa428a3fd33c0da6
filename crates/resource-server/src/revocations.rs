//! What has been withdrawn, in memory (product.md, P-2): grants, people, clients, resources or everything, each with
//! the moment up to which its access tokens are dead.
//!
//! Read in full before we are ready, then every two seconds with a generous overlap, and told at once of what this
//! process itself commits. If reading fails for longer than T, nothing is served. An entry is only ever added or
//! moved forward; it goes when no token that it could kill can be alive.

mod entries;
mod log;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use protocol::world::{Clock, Entropy, Timestamp};
use store::{Revocation, Store, StoreError};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::entries::Entries;
pub(crate) use self::log::Told;
use self::log::{Cursor, Log};
use crate::streams::Streams;
use crate::vault::connection::Vault;
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
/// The most of one answer that tells everything; readers take 4 MiB.
const WHOLE: usize = 3 << 20;
const NEVER: u64 = u64::MAX;

/// The revocations known to this process.
pub struct Revocations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    streams: Arc<Streams>,
    freshness: Duration,
    known: RwLock<Known>,
    /// Held by whoever reads: one that began earlier must not end later, and take itself for the last.
    turn: tokio::sync::Mutex<()>,
    /// Nothing is withdrawn: the common case, which takes no lock.
    empty: AtomicBool,
    /// When the last reading that succeeded was begun, in microseconds of the monotonic clock.
    read_at: AtomicU64,
    /// The same by the time of day.
    read_until: AtomicI64,
    /// When the last full reading that succeeded was begun.
    read_in_full_at: AtomicU64,
    /// When the record was restored from a backup, in microseconds since 1970; 0 if it never was.
    restored_at: AtomicI64,
    /// By which readers know whether their cursor is ours; made when the first one comes.
    process: OnceLock<u64>,
    /// Counts what was heard, for those who wait for it.
    heard: watch::Sender<u64>,
    /// What holds credentials of people, and hears of everything new too, be it of another process that does not announce it.
    vault: OnceLock<Weak<Vault>>,
}

/// The entries, by what they name and in their order.
#[derive(Debug, Default)]
struct Known {
    entries: Entries,
    log: Log,
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
            known: RwLock::new(Known::default()),
            turn: tokio::sync::Mutex::default(),
            empty: AtomicBool::new(true),
            read_at: AtomicU64::new(NEVER),
            read_until: AtomicI64::new(i64::MIN),
            read_in_full_at: AtomicU64::new(NEVER),
            restored_at: AtomicI64::new(0),
            process: OnceLock::new(),
            heard: watch::Sender::new(0),
            vault: OnceLock::new(),
        }
    }

    /// Has this vault told of everything that is heard from now on.
    pub(crate) fn tell(&self, vault: &Arc<Vault>) {
        // Once, when both are made.
        let _ = self.vault.set(Arc::downgrade(vault));
    }

    /// Takes note of a revocation and ends the streams that it kills. Quick, and without a visit to the record.
    pub fn apply(&self, revocation: &Revocation) {
        let number = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if !known.entries.put(revocation) {
                return;
            }
            self.empty.store(false, Ordering::Release);
            known.log.push(revocation)
        };
        // Of two at once the later number may come first.
        self.heard.send_if_modified(|heard| {
            let is_later = number > *heard;
            *heard = number.max(*heard);
            is_later
        });
        self.streams.end_where(|access| self.is_dead(access));
        if let Some(vault) = self.vault.get().and_then(Weak::upgrade) {
            vault.hear(revocation);
        }
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
        let _turn = self.turn.lock().await;
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
            let restored_at = self.store.last_restore().await?.map_or(0, Timestamp::micros);
            self.restored_at.store(restored_at, Ordering::Release);
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
        self.known.read().unwrap_or_else(PoisonError::into_inner).entries.kills(access)
    }

    /// How old our knowledge is.
    pub(crate) fn age(&self) -> Duration {
        match self.read_at.load(Ordering::Acquire) {
            NEVER => Duration::MAX,
            read_at => self.clock.monotonic().saturating_sub(Duration::from_micros(read_at)),
        }
    }

    /// How old it may be.
    pub(crate) const fn freshness(&self) -> Duration {
        self.freshness
    }

    /// When the record was restored from a backup.
    pub(crate) fn epoch(&self) -> i64 {
        self.restored_at.load(Ordering::Acquire)
    }

    /// The entries that were heard of after this cursor was given, in their order.
    pub(crate) fn since(&self, cursor: Option<&str>, most: usize, entropy: &dyn Entropy) -> Told {
        let process = *self.process.get_or_init(|| a_number(entropy));
        let ours = cursor.and_then(|text| self.cursor(text));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let after = ours.filter(|number| *number <= known.log.last());
        // Whoever comes from another node must be done at once: behind a balancer the next page is that node's again.
        let (revocations, number, more) =
            after.map_or_else(|| known.log.whole(WHOLE), |number| known.log.after(number, most));
        let cursor = Cursor { process, number }.to_string();
        Told { cursor, more, reset: after.is_none(), revocations }
    }

    /// Waits until something is heard that a reader with this cursor has not been told, but not longer than that.
    pub(crate) async fn news(&self, cursor: Option<&str>, wait: Duration) {
        let Some(told) = cursor.and_then(|text| self.cursor(text)) else { return };
        let mut heard = self.heard.subscribe();
        // Whoever has heard it all waits; `end_waiting` makes the number another one, too.
        let news = heard.wait_for(|number| *number != told);
        let _ = tokio::time::timeout(wait, news).await;
    }

    /// Sends the waiting readers away with what there is.
    pub(crate) fn end_waiting(&self) {
        self.heard.send_replace(NEVER);
    }

    fn cursor(&self, text: &str) -> Option<u64> {
        let is_ours = |cursor: &Cursor| self.process.get() == Some(&cursor.process);
        Cursor::parse(text).filter(is_ours).map(|cursor| cursor.number)
    }

    /// Drops what can kill no token any more.
    fn forget(&self, before: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entries.forget(before);
        known.log.forget(before);
        self.empty.store(known.entries.is_empty(), Ordering::Release);
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

/// A number that no other process has.
fn a_number(entropy: &dyn Entropy) -> u64 {
    let mut chance = [0; 8];
    entropy.fill(&mut chance);
    u64::from_be_bytes(chance)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests;
