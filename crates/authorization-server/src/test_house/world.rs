//! Time that stands still until it is moved, and chance that is counted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Timestamp};

/// A clock that is set.
#[derive(Debug)]
pub(crate) struct Still(AtomicI64);

impl Still {
    /// In the middle of a second of the year 2026, so that rounding shows.
    pub(crate) const fn new() -> Self {
        Self(AtomicI64::new(1_790_000_000_400_000))
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// Each buffer is filled from the hash of a counter.
#[derive(Debug)]
pub(crate) struct Counting(AtomicU64);

impl Counting {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let hash = Hash::of(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.as_bytes()[..chunk.len()]);
        }
    }
}
