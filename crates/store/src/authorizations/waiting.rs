//! How many authorizations wait for a person, told from memory so that taking one in costs no counting.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use protocol::world::Timestamp;

/// A full house is counted anew no more often than this.
const RECOUNT: Duration = Duration::from_secs(5);
/// No count was made yet.
const NEVER: i64 = i64::MIN;

/// The number, and when the table was last counted.
#[derive(Debug)]
pub(crate) struct Waiting {
    count: AtomicU64,
    counted_at: AtomicI64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { count: AtomicU64::new(0), counted_at: AtomicI64::new(NEVER) }
    }
}

impl Waiting {
    /// Whether the table should be counted before deciding: never done yet, or full for a while. Says yes to one
    /// caller only.
    pub(super) fn wants_count(&self, total: u32, now: Timestamp) -> bool {
        let before = self.counted_at.load(Ordering::Relaxed);
        let counted_at = Timestamp::from_micros(before);
        // Either way: a clock that was set back must not keep the house closed.
        let long_ago = now.since(counted_at) >= RECOUNT || counted_at.since(now) >= RECOUNT;
        let wanted = before == NEVER || (!self.has_room(total) && long_ago);
        wanted
            && self
                .counted_at
                .compare_exchange(before, now.micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(super) fn has_room(&self, total: u32) -> bool {
        self.count.load(Ordering::Relaxed) < u64::from(total)
    }

    pub(crate) fn counted(&self, count: u64, now: Timestamp) {
        self.count.store(count, Ordering::Relaxed);
        self.counted_at.store(now.micros(), Ordering::Relaxed);
    }

    pub(super) fn came(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn went(&self) {
        let less = |count: u64| Some(count.saturating_sub(1));
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_counted_at_first_and_then_only_when_full_for_a_while() {
        let waiting = Waiting::default();
        let at = Timestamp::from_secs;
        assert!(waiting.wants_count(2, at(100)));
        assert!(!waiting.wants_count(2, at(100)), "one caller counts");
        waiting.counted(1, at(100));
        assert!(waiting.has_room(2) && !waiting.wants_count(2, at(200)));
        waiting.came();
        assert!(!waiting.has_room(2));
        assert!(!waiting.wants_count(2, at(104)));
        assert!(waiting.wants_count(2, at(105)) && !waiting.wants_count(2, at(106)));
        assert!(waiting.wants_count(2, at(10)), "the clock was set back");
        waiting.went();
        assert!(waiting.has_room(2));
    }
}
