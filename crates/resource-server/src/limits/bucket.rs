//! One budget that fills itself, in one number: when it is whole again (the generic cell rate algorithm).
//!
//! Time is handed in. Must never hold more than twice its depth of debt, whatever is charged.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) count: NonZeroU64,
    pub(super) per: Duration,
}

impl Flow {
    /// How long it takes until so many are back.
    pub(super) fn time_of(self, amount: u64) -> Duration {
        let nanos = self.per.as_nanos().saturating_mul(amount.into()) / u128::from(self.count.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// When the budget is whole again, in nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    whole_at: AtomicU64,
}

impl Bucket {
    pub(super) fn is_whole(&self, now: Duration) -> bool {
        self.whole_at.load(Ordering::Relaxed) <= nanos(now)
    }

    /// Whether one more may be drawn; if not, when.
    pub(super) fn look(&self, flow: Flow, depth: Duration, now: Duration) -> Result<(), Duration> {
        next(self.whole_at.load(Ordering::Relaxed), flow, depth, now).map(drop)
    }

    /// Draws one.
    pub(super) fn draw(&self, flow: Flow, depth: Duration, now: Duration) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.load(Ordering::Relaxed);
        loop {
            let next = next(whole_at, flow, depth, now)?;
            match self.whole_at.compare_exchange_weak(whole_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => whole_at = seen,
            }
        }
    }

    /// Draws so many, whether there is room for them or not; the debt is never more than what the flow brings in twice its
    /// time.
    pub(super) fn charge(&self, flow: Flow, amount: u64, now: Duration) {
        let most = nanos(now.saturating_add(flow.per).saturating_add(flow.per));
        let cost = nanos(flow.time_of(amount));
        // The closure always gives a value.
        let _ = self.whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |whole_at| {
            Some(whole_at.max(nanos(now)).saturating_add(cost).min(most))
        });
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// When it is whole again after one more, if there is room for one.
fn next(whole_at: u64, flow: Flow, depth: Duration, now: Duration) -> Result<u64, Duration> {
    let next = whole_at.max(nanos(now)).saturating_add(nanos(flow.time_of(1)).max(1));
    let from = next.saturating_sub(nanos(depth));
    match from.checked_sub(nanos(now)) {
        None | Some(0) => Ok(next),
        Some(early) => Err(Duration::from_nanos(early)),
    }
}
