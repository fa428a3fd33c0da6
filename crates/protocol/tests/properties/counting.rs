//! Chance for these tests: counted, so that a failure can be run again.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::secret::Hash;
use protocol::world::Entropy;

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
            let hash = Hash::of(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&hash.as_bytes()[..chunk.len()]);
        }
    }
}
