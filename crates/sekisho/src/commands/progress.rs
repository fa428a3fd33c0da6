//! How far long work has come: a bar on a terminal, lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use protocol::world::Clock as _;

use crate::world::SystemClock;

/// What is done sooner needs no lines: nobody waited for it, and who reads them later learns nothing.
const SOON: Duration = Duration::from_secs(2);

/// Tells of progress on standard error.
#[derive(Debug)]
pub(super) struct Told {
    what: &'static str,
    bar: Option<ProgressBar>,
    /// It began with this clock.
    clock: SystemClock,
    /// The tenth part told last.
    tenth: AtomicU64,
}

impl Told {
    /// `what` is done, as in "keys sealed anew".
    pub(super) fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar
        });
        Self { what, bar, clock: SystemClock::default(), tenth: AtomicU64::new(0) }
    }

    /// So many of so many are done.
    pub(super) fn tell(&self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            return;
        }
        if self.clock.monotonic() < SOON {
            return;
        }
        let tenth = done.saturating_mul(10).checked_div(all).unwrap_or_default();
        if self.tenth.fetch_max(tenth, Ordering::Relaxed) < tenth {
            // Nobody reads it: the work goes on all the same.
            let _ = writeln!(anstream::stderr(), "{done} of {all} {}", self.what);
        }
    }

    /// Everything is done, or given up.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
