//! Time that stands still unless it is told to move, and chance that counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::world::{Clock, Entropy, Timestamp};
use upstream::egress::{Egress, Fetcher};
use upstream::trust::Trust;

/// 2027-01-15T08:00:00Z, when every test begins.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        NOW.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Default)]
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = count[index % count.len()];
        }
    }
}

/// The platform's roots, read once for all tests.
pub(crate) fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| Trust::new(&[]).unwrap())
}

pub(crate) fn fetcher() -> Arc<dyn Egress> {
    Arc::new(Fetcher::new(trust()))
}
