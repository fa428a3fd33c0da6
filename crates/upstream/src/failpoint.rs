//! Dying on purpose around a call outward, for tests (attacks.md, 2.3): between what was asked of somebody else and what
//! the record knows of it. Nothing of this file is in a release.

use std::sync::OnceLock;

/// Who hears of every passage.
static WATCHER: OnceLock<fn(&'static str)> = OnceLock::new();

/// Has every passage of a failpoint of this process told to `watcher`, which may end the process. Once for all.
pub fn watch_failpoints(watcher: fn(&'static str)) {
    let _ = WATCHER.set(watcher);
}

pub(crate) fn passed(point: &'static str) {
    if let Some(watcher) = WATCHER.get() {
        watcher(point);
    }
}
