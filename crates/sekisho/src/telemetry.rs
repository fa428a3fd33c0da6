//! Where logs go: one line per event on standard error, text on a terminal and JSON elsewhere.
//!
//! The level comes from `SEKISHO_LOG` (default `info`), in the syntax of `tracing-subscriber`.

mod lines;

use std::any::Any;
use std::io::IsTerminal;
use std::panic::{self, Location};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use lines::Log;

/// Installs the subscriber. A second call changes nothing. What comes back is held until the program ends.
pub fn install(default_level: &str) -> Log {
    let filter = EnvFilter::try_from_env("SEKISHO_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = lines::Lines::begin(std::io::stderr());
    let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).with_target(false);
    let installed = if std::io::stderr().is_terminal() {
        registry.with(layer).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    drop(installed);
    Log(lines)
}

/// What a program that fell leaves on the disk holds every key that it held: it leaves nothing. (`prlimit --core` gives a
/// running one its core file back.)
#[cfg(unix)]
pub fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core files cannot be turned off");
    }
}

/// Such a system writes none where anybody would look for it.
#[cfg(not(unix))]
pub const fn leave_no_core() {}

/// Has every panic logged by its place, without the values that may stand in its message: a text that could not be cut, a
/// result that was not expected. A fixed sentence is told.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(Location::to_string);
        tracing::error!(place, "a part of the program failed: {}", sentence(info.payload()));
    }));
}

/// The message, if it was written down beforehand; one that was put together may hold anything.
fn sentence(payload: &dyn Any) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its message is not told, for it may hold a secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_panic_only_what_was_written_beforehand_is_told() {
        let told = |fails: fn()| sentence(&*panic::catch_unwind(fails).unwrap_err()).to_owned();
        assert_eq!(told(|| panic!("a fixed sentence")), "a fixed sentence");
        let cut = told(|| {
            let secret = "ska_\u{e9}c4n4ry".to_owned();
            drop(secret[..5].to_owned());
        });
        let unwrapped = told(|| "c4n4ry".parse::<u8>().map_err(|_| "c4n4ry").map(drop).unwrap());
        for message in [cut, unwrapped] {
            assert!(
                message.starts_with("its message is not told") && !message.contains("c4n4ry"),
                "{message}"
            );
        }
    }
}
