//! Failing on purpose, for tests: whoever uses the record must stay honest when it breaks (attacks.md, RV-03), when the
//! process dies at any point (section 2.3), and whoever tests it must notice when a guard is gone.
//!
//! Nothing of this file is in a release: `cargo xtask test` looks for [`MARK`] in the binary that ships.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::Engine;
use super::write::{Expect, Write};
use crate::StoreError;

/// Stands in every binary that can be made to fail.
pub const MARK: &str = "a failpoint of Sekisho";

/// Where the record fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// Each write is done and durable, and its answer is lost.
    AfterCommit,
    /// The steps of a write are done, and nothing is committed. Only watched: see [`watch_failpoints`].
    BeforeCommit,
    /// No read is answered.
    BeforeRead,
    /// No write is done.
    BeforeWrite,
}

/// Which one is set for one record, from which passage on, and whether the guards of writes count.
#[derive(Default)]
pub(super) struct Failpoints {
    which: AtomicU8,
    /// Passages that are let through before it fails, once; 0: it fails each time.
    after: AtomicU64,
    unguarded: AtomicBool,
}

/// Who hears of every passage of every failpoint of this process.
static WATCHER: OnceLock<fn(&'static str)> = OnceLock::new();

/// Has every passage of every failpoint of this process told to `watcher`, which may end the process. Once for all.
pub fn watch_failpoints(watcher: fn(&'static str)) {
    let _ = WATCHER.set(watcher);
}

/// A passage that nobody can refuse.
pub(super) fn passed(failpoint: Failpoint) {
    if let Some(watcher) = WATCHER.get() {
        watcher(name(failpoint));
    }
}

impl Engine {
    /// Has every use of the record fail at this point, or at none.
    pub fn fail_at(&self, failpoint: Option<Failpoint>) {
        self.inner.failpoints.after.store(0, Ordering::SeqCst);
        self.inner.failpoints.which.store(failpoint.map_or(0, number), Ordering::SeqCst);
    }

    /// Has the `nth` passage of this point fail, counted from 1, and none after it.
    pub fn fail_once_at(&self, failpoint: Failpoint, nth: u64) {
        self.inner.failpoints.after.store(nth.max(1), Ordering::SeqCst);
        self.inner.failpoints.which.store(number(failpoint), Ordering::SeqCst);
    }

    /// Takes the guards off all writes, or puts them back: a step that touches no row no longer undoes the whole. This
    /// is the broken build in which a test of what happens at most once must fail.
    pub fn unguarded(&self, unguarded: bool) {
        self.inner.failpoints.unguarded.store(unguarded, Ordering::SeqCst);
    }

    pub(super) fn as_guarded(&self, mut write: Write) -> Write {
        if self.inner.failpoints.unguarded.load(Ordering::SeqCst) {
            write.steps.iter_mut().for_each(|step| step.expect = Expect::Any);
        }
        write
    }

    pub(super) fn pass(&self, failpoint: Failpoint) -> Result<(), StoreError> {
        passed(failpoint);
        let failpoints = &self.inner.failpoints;
        if failpoints.which.load(Ordering::SeqCst) != number(failpoint) {
            return Ok(());
        }
        let after = failpoints.after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match after {
            Ok(1) => failpoints.which.store(0, Ordering::SeqCst),
            Ok(_) => return Ok(()),
            Err(_) => {}
        }
        Err(StoreError::unavailable(format!("{MARK}: {}", name(failpoint))))
    }
}

const fn number(failpoint: Failpoint) -> u8 {
    match failpoint {
        Failpoint::AfterCommit => 1,
        Failpoint::BeforeCommit => 2,
        Failpoint::BeforeRead => 3,
        Failpoint::BeforeWrite => 4,
    }
}

const fn name(failpoint: Failpoint) -> &'static str {
    match failpoint {
        Failpoint::AfterCommit => "after_commit",
        Failpoint::BeforeCommit => "before_commit",
        Failpoint::BeforeRead => "before_read",
        Failpoint::BeforeWrite => "before_write",
    }
}
