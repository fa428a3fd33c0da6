//! Whether the server answers, as far as anybody here has noticed.
//!
//! Once somebody waited in vain, the next ones wait shortly until somebody got an answer: a request that asks twice must
//! still be answered in time, and thousands that wait for nothing help nobody. New connections are then made by one task
//! alone (`ear`), which tries again soon and unevenly.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How long anybody waits for a server that somebody has just waited for in vain.
const SHORT: Duration = Duration::from_millis(300);
/// Waits between attempts: the first, and the longest.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_millis(1000);

/// What is known.
#[derive(Default)]
pub(super) struct Health {
    away: AtomicBool,
    /// Whether somebody is there who will notice that it is back.
    watched: AtomicBool,
    noticed: Notify,
}

impl Health {
    /// Somebody waited in vain.
    pub(super) fn lost(&self) {
        self.away.store(true, Ordering::Release);
        self.noticed.notify_one();
    }

    /// Somebody got an answer.
    pub(super) fn back(&self) {
        if self.away.load(Ordering::Acquire) {
            self.away.store(false, Ordering::Release);
        }
    }

    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::Release);
    }

    /// Away, and somebody else is looking after it.
    pub(super) fn is_looked_after(&self) -> bool {
        self.away.load(Ordering::Acquire) && self.watched.load(Ordering::Acquire)
    }

    /// Resolves when somebody waited in vain.
    pub(super) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// How long to wait now, if this is what one waits usually.
    pub(super) fn patience(&self, usual: Duration) -> Duration {
        if self.is_looked_after() { usual.min(SHORT) } else { usual }
    }
}

/// How long to wait before this attempt (0 is the first): twice as long each time, and never the same for two nodes.
pub(super) fn pause(attempt: u32) -> Duration {
    let longest = SOON.saturating_mul(1 << attempt.min(5)).min(LATE);
    uneven(longest)
}

/// Between half of it and all of it. Not chance that anything hangs on: keys that std makes for its hash tables.
pub(super) fn uneven(longest: Duration) -> Duration {
    let share = RandomState::new().build_hasher().finish() % 1000;
    let half = longest / 2;
    half + half.mul_f64(f64::from(u32::try_from(share).unwrap_or(0)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_later_each_time_and_unevenly() {
        for attempt in 0..40 {
            let pause = pause(attempt);
            assert!(pause >= SOON / 2 && pause <= LATE, "{attempt}: {pause:?}");
        }
        let many: std::collections::HashSet<Duration> = (0..100).map(|_| uneven(LATE)).collect();
        assert!(many.len() > 50, "{}", many.len());
    }

    #[test]
    fn patience_is_short_only_while_somebody_looks_after_it() {
        let health = Health::default();
        health.lost();
        assert_eq!(health.patience(LATE), LATE);
        health.watch();
        assert_eq!(health.patience(LATE), SHORT);
        health.back();
        assert_eq!(health.patience(LATE), LATE);
    }
}
