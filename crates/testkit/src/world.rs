//! Time that stands still and chance that counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Timestamp};

/// Midnight of 2026-11-01, in seconds since 1970.
const BEGIN: i64 = 1_793_491_200;

/// A clock that moves only when a test moves it; or one that runs, and jumps when a test says so.
#[derive(Debug)]
pub struct TestClock {
    /// Time of day, less what has run.
    micros: AtomicI64,
    /// The same of the time that never jumps.
    monotonic: AtomicI64,
    running_since: Option<Instant>,
}

impl Default for TestClock {
    fn default() -> Self {
        let begin = Timestamp::from_secs(BEGIN).micros();
        Self { micros: AtomicI64::new(begin), monotonic: AtomicI64::new(begin), running_since: None }
    }
}

impl TestClock {
    /// A clock that runs as real ones do.
    #[expect(clippy::disallowed_methods, reason = "this is where a test's time may run")]
    pub fn running() -> Self {
        Self { running_since: Some(Instant::now()), ..Self::default() }
    }

    /// The same, at the time of day that it is.
    #[expect(clippy::disallowed_methods, reason = "this is where a test's time may be the real one")]
    pub fn real() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        Self { micros: AtomicI64::new(micros), ..Self::running() }
    }

    /// Moves the clock forward: time passes.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        // In this order: to whoever looks in between, the time of day must not seem to have jumped forward.
        self.monotonic.fetch_add(micros, Ordering::SeqCst);
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the time of day forward or back by so many seconds: no time passes.
    pub fn jump(&self, seconds: i64) {
        self.micros.fetch_add(seconds.saturating_mul(1_000_000), Ordering::SeqCst);
    }

    fn run(&self) -> i64 {
        self.running_since.map_or(0, |since| i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst).saturating_add(self.run()))
    }

    fn monotonic(&self) -> Duration {
        let micros = self.monotonic.load(Ordering::SeqCst).saturating_add(self.run());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
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
