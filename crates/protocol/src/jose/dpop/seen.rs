//! The proofs that one node has seen (RFC 9449, section 11.1): in memory, for as long as they could be sent again, and
//! bounded. Beyond the bound the oldest are forgotten first, so that nobody can make a node refuse proofs or run full.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::secret::Hash;

/// A proof is good for five minutes before and after its `iat`.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// In each generation; two are kept: 20 MB at most.
const MOST: usize = 250_000;

/// The proofs that were seen.
#[derive(Debug)]
pub struct Seen {
    generations: Mutex<Generations>,
    most: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<u128>,
    old: HashSet<u128>,
    /// When the young one was begun, by the clock that is never set back.
    begun: Duration,
}

impl Default for Seen {
    fn default() -> Self {
        Self::of_at_most(MOST)
    }
}

impl Seen {
    /// One that keeps at most twice so many.
    #[must_use]
    pub fn of_at_most(most: usize) -> Self {
        Self { generations: Mutex::default(), most }
    }

    /// Whether this proof is seen for the first time. `monotonic` is the time now.
    #[must_use]
    pub fn is_new(&self, id: &Hash, monotonic: Duration) -> bool {
        let id = u128::from_be_bytes(id.as_bytes().first_chunk().copied().unwrap_or_default());
        let mut all = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if monotonic.saturating_sub(all.begun) >= REMEMBERED {
            all.grow_old(monotonic);
        }
        if all.old.contains(&id) || all.young.contains(&id) {
            return false;
        }
        // Only what is new makes room for itself: by repeating one nobody makes a node forget others.
        if all.young.len() >= self.most {
            all.grow_old(monotonic);
        }
        all.young.insert(id)
    }
}

impl Generations {
    /// Whatever is in the young one stays for a whole generation more.
    fn grow_old(&mut self, monotonic: Duration) {
        self.old = std::mem::take(&mut self.young);
        self.begun = monotonic;
    }
}
