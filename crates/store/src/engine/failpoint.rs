//! Failing on purpose, for tests: whoever uses the record must stay honest when it breaks (attacks.md, RV-03).

use std::sync::atomic::{AtomicU8, Ordering};

use super::Engine;
use crate::StoreError;

/// Where the record fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// Each write is done and durable, and its answer is lost.
    AfterCommit,
    /// No read is answered.
    BeforeRead,
    /// No write is done.
    BeforeWrite,
}

/// Which one is set.
#[derive(Default)]
pub(super) struct Failpoints(AtomicU8);

impl Engine {
    /// Has every use of the record fail at this point, or at none.
    pub fn fail_at(&self, failpoint: Option<Failpoint>) {
        self.inner.failpoints.0.store(number(failpoint), Ordering::SeqCst);
    }

    pub(super) fn pass(&self, failpoint: Failpoint) -> Result<(), StoreError> {
        if self.inner.failpoints.0.load(Ordering::SeqCst) == number(Some(failpoint)) {
            return Err(StoreError::unavailable(format!("made to fail: {failpoint:?}")));
        }
        Ok(())
    }
}

const fn number(failpoint: Option<Failpoint>) -> u8 {
    match failpoint {
        None => 0,
        Some(Failpoint::AfterCommit) => 1,
        Some(Failpoint::BeforeRead) => 2,
        Some(Failpoint::BeforeWrite) => 3,
    }
}
