//! Whether the keys that we verify by still hold: how lately they were read, and which of them were withdrawn
//! (product.md, P-2).
//!
//! A token by a withdrawn key is refused because the key is gone from the set (`bearer.rs`); what was opened with such a
//! token before is ended here. Must never fetch or change a key: they are read elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use protocol::keys::Keys;
use protocol::world::{Clock, Freshness};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::streams::Streams;
use crate::verdicts::Access;

/// How soon a change is noticed.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// The keys that are held.
pub struct HeldKeys {
    keys: Arc<ArcSwap<Keys>>,
    read: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    streams: Arc<Streams>,
}

impl HeldKeys {
    pub(crate) const fn new(
        keys: Arc<ArcSwap<Keys>>,
        read: Arc<Freshness>,
        clock: Arc<dyn Clock>,
        streams: Arc<Streams>,
    ) -> Self {
        Self { keys, read, clock, streams }
    }

    /// Whether they were read lately enough to serve by.
    pub(crate) fn are_fresh(&self) -> bool {
        self.read.is_fresh(self.clock.monotonic())
    }

    /// All of them, as they stand.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// How long ago they were read.
    pub(crate) fn age(&self) -> Duration {
        self.read.age(self.clock.monotonic())
    }

    /// The `kid` of each that was withdrawn.
    pub(crate) fn withdrawn(&self) -> Vec<String> {
        self.keys.load().withdrawn.iter().map(ToString::to_string).collect()
    }

    /// How lately they were read, and whether our clock is that of the record.
    pub(crate) const fn freshness(&self) -> &Arc<Freshness> {
        &self.read
    }

    /// Whether our clock is not that of the record.
    pub(crate) fn clock_differs(&self) -> bool {
        self.read.clock_differs()
    }

    /// Whether the key behind this access was withdrawn.
    pub(crate) fn disown(&self, access: &Access) -> bool {
        self.keys.load().withdrawn.contains(&access.key)
    }

    /// Ends streams whose key was withdrawn, and all that are not low-risk when nobody knows any more; until it is told
    /// to stop. Its owner runs it as a task of its own.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.watch_for_ever() => {}
        }
    }

    async fn watch_for_ever(&self) {
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = self.keys.load_full();
        loop {
            ticks.tick().await;
            let keys = self.keys.load_full();
            if !Arc::ptr_eq(&keys, &known) {
                self.streams.end_where(|access| keys.withdrawn.contains(&access.key));
                known = keys;
            }
            if !self.are_fresh() {
                self.streams.end_unless_low_risk();
            }
        }
    }
}

impl fmt::Debug for HeldKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldKeys").field("fresh", &self.are_fresh()).finish_non_exhaustive()
    }
}
