//! What has expired is removed from the record, usage is summed up, and calls of nodes that are gone are settled (attacks.md, F-13).
//!
//! Must never remove or settle anything by a clock that is not that of the record: it would be gone for all nodes.

use std::time::Duration;

use protocol::world::{Clock, Entropy, Freshness};
use store::Store;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::roles::Shared;

/// How often there is a look.
const EVERY: Duration = Duration::from_secs(60);
/// By how much a look is late when this process was held, and not only busy.
const HELD: Duration = Duration::from_secs(10);

/// Looks now and then, until told to stop.
pub(super) async fn sweep(shared: Shared, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    // A process that was held makes up for nothing.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let world = (&*shared.world.clock, &*shared.world.entropy);
    let mut sweep = Sweep::new(&*shared.store, world, shared.keeper.freshness());
    loop {
        tokio::select! {
            _ = ticks.tick() => sweep.look(&stop).await,
            () = stop.cancelled() => return,
        }
    }
}

struct Sweep<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    entropy: &'a dyn Entropy,
    freshness: &'a Freshness,
    /// When there was a look last.
    looked: Duration,
}

impl<'a> Sweep<'a> {
    fn new(
        store: &'a dyn Store,
        (clock, entropy): (&'a dyn Clock, &'a dyn Entropy),
        freshness: &'a Freshness,
    ) -> Self {
        Self { store, clock, entropy, freshness, looked: clock.monotonic() }
    }

    async fn look(&mut self, stop: &CancellationToken) {
        let before = std::mem::replace(&mut self.looked, self.clock.monotonic());
        let was_held = self.looked.saturating_sub(before) > EVERY.saturating_add(HELD);
        if self.freshness.clock_differs() {
            // What is removed by a wrong clock is gone for everybody.
            return;
        }
        if let Err(error) = self.store.sweep(self.clock.earliest()).await {
            tracing::warn!(%error, "what has expired could not be removed; it will be tried again");
        }
        self.sum_up(stop).await;
        // Else others may have been held as well, and neither they nor we were heard of since: nobody is taken for gone.
        if !was_held && !stop.is_cancelled() {
            self.settle().await;
        }
    }

    async fn sum_up(&self, stop: &CancellationToken) {
        loop {
            match self.store.roll_up_usage().await {
                Ok(_) if stop.is_cancelled() => return,
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "usage could not be summed up; it will be tried again");
                    return;
                }
            }
        }
    }

    async fn settle(&self) {
        let mut chance = [0; 16];
        self.entropy.fill(&mut chance);
        match self.store.settle_intents(self.clock.earliest(), chance).await {
            Ok(0) => {}
            Ok(calls) => tracing::warn!(
                calls,
                "a node ended before these calls did, which may have changed something: their outcome is unknown"
            ),
            Err(error) => tracing::warn!(%error, "calls of nodes that are gone could not be settled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::secret::Hash;
    use protocol::world::Timestamp;
    use store::{Engine, EngineConfig, Queries as _, ReplayKind, Replays as _};
    use testkit::world::TestClock;

    use super::*;
    use crate::world::SystemEntropy;

    /// F-13: a node whose clock is not that of the record removes nothing by it, and goes on when it was put right.
    #[tokio::test]
    async fn f_13_nothing_is_removed_by_a_clock_that_is_not_that_of_the_record() {
        let folder = tempfile::tempdir().unwrap();
        let at = EngineConfig::Sqlite { path: folder.path().join("record.db"), synchronous_full: false };
        let (store, clock) = (Engine::open(at).await.unwrap(), Arc::new(TestClock::default()));
        let (freshness, stop) = (Freshness::for_ever(), CancellationToken::new());
        let mut sweep = Sweep::new(&store, (&*clock, &SystemEntropy), &freshness);
        let rows = async || store.counts().await.unwrap();
        let now: Timestamp = clock.now();
        let until = now.plus(Duration::from_secs(30));
        assert!(store.use_once(ReplayKind::DpopProof, Hash::of(b"a proof"), until, now).await.unwrap());
        let before = rows().await;
        clock.advance(Duration::from_secs(86_400));
        freshness.note_clock(true);
        sweep.look(&stop).await;
        assert_eq!(rows().await, before, "by a clock that differs");
        freshness.note_clock(false);
        sweep.look(&stop).await;
        assert_ne!(rows().await, before, "what is over is removed");
    }
}
