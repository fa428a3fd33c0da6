//! Time that stands still and chance that counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Timestamp};

/// Midnight of 2026-11-01, in seconds since 1970.
const BEGIN: i64 = 1_793_491_200;

/// A clock that moves only when a test moves it.
#[derive(Debug)]
pub struct TestClock {
    micros: AtomicI64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { micros: AtomicI64::new(Timestamp::from_secs(BEGIN).micros()) }
    }
}

impl TestClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.now().since(Timestamp::from_secs(0))
    }
}

/// Bytes that are the same in every run: SHA-256 of a counter.
#[derive(Debug, Default)]
pub struct TestEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl TestEntropy {
    /// Another stream of bytes, for another node.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for TestEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let count = self.counter.fetch_add(1, Ordering::SeqCst);
            let input = [self.seed.to_be_bytes(), count.to_be_bytes()].concat();
            let block = Hash::of(&input);
            chunk.copy_from_slice(block.as_bytes().get(..chunk.len()).unwrap_or_default());
        }
    }
}
