//! Sekisho as it is shipped, but for two things: it ends at the n-th passage of a failpoint, as by `kill -9`, and it can
//! take itself for a later release.
//!
//! `SEKISHO_FAILPOINTS` names a file. When it is there, what it says (a point or `any`, and a number) is counted down from
//! the next passage on, and the file is taken away. `SEKISHO_TEST_RELEASE` says how many releases it is ahead: so many migrations more it knows.
//! Nothing of this is in the shipped binary.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

static ORDERS: OnceLock<PathBuf> = OnceLock::new();
/// The point that is waited for, and how many passages are left.
static COUNTDOWN: Mutex<Option<(String, u64)>> = Mutex::new(None);

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "only a test sets it, and only for this binary")]
    let orders = std::env::var("SEKISHO_FAILPOINTS");
    if let Ok(path) = orders {
        let _ = ORDERS.set(path.into());
        store::watch_failpoints(passed);
        upstream::watch_failpoints(passed);
    }
    #[expect(clippy::disallowed_methods, reason = "only a test sets it, and only for this binary")]
    let ahead = std::env::var("SEKISHO_TEST_RELEASE");
    store::become_later_release(ahead.ok().and_then(|ahead| ahead.parse().ok()).unwrap_or(0));
    sekisho::commands::main()
}

fn passed(point: &'static str) {
    let mut countdown = COUNTDOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if countdown.is_none() {
        *countdown = ordered();
    }
    let Some((_, left)) = countdown.as_mut().filter(|(awaited, _)| awaited == "any" || awaited == point)
    else {
        return;
    };
    *left = left.saturating_sub(1);
    if *left == 0 {
        drop(std::fs::write(ORDERS.get().map(|path| path.with_extension("died")).unwrap_or_default(), point));
        // No destructor, no flush, no answer: to everybody outside this is `kill -9`.
        std::process::abort();
    }
}

fn ordered() -> Option<(String, u64)> {
    let path = ORDERS.get()?;
    let text = std::fs::read_to_string(path).ok()?;
    let (point, count) = text.trim().split_once(' ')?;
    let count = count.parse().ok()?;
    std::fs::remove_file(path).ok()?;
    Some((point.to_owned(), count))
}
