//! How often, and with which luck: `SEKISHO_ROUNDS` multiplies every count of rounds, `SEKISHO_SEED` repeats a run.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the environment says how long to search and what to repeat; the seed of a failure must be heard"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// So many rounds, times `SEKISHO_ROUNDS`.
pub(crate) fn rounds(few: usize) -> usize {
    few * number("SEKISHO_ROUNDS").map_or(1, |times| usize::try_from(times).unwrap_or(1).max(1))
}

/// A sequence that its seed determines.
pub(crate) struct Chance(AtomicU64);

impl Chance {
    /// From `SEKISHO_SEED`, or from the time; printed, so that a failure can be repeated.
    pub(crate) fn new(test: &str) -> Self {
        let time = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let seed = number("SEKISHO_SEED").unwrap_or_else(time);
        eprintln!("{test}: SEKISHO_SEED={seed}");
        Self(AtomicU64::new(seed))
    }

    /// The next number below `limit` (SplitMix64).
    pub(crate) fn below(&self, limit: usize) -> usize {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self.0.fetch_add(step, Ordering::SeqCst).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit.max(1) as u64).unwrap_or_default()
    }
}

/// Measures how long things take, for promises that name a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// So far.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.0.elapsed()
    }
}

/// Says a measured number aloud.
pub(crate) fn say(words: &str) {
    eprintln!("{words}");
}
