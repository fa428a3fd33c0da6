//! How many connections the system lets this process have.
//!
//! A connection that is accepted takes a descriptor, and its call another one towards the MCP server. Rather than to run
//! out of them in the middle of a call, no more connections are taken than there are descriptors for both.

/// Descriptors for everything else: the record, the listeners, the log, identity providers.
const APART: u64 = 96;
/// However few there are, a handful of connections is let in.
const LEAST: u64 = 8;

/// Raises the limit of open files as far as the system allows, and says how many of the wanted connections fit.
pub fn connections(wanted: u64) -> u64 {
    let fit = open_files().map_or(wanted, fitting);
    if fit < wanted {
        tracing::warn!(
            limit = fit,
            configured = wanted,
            "fewer connections are taken than `limits.connections` says: the system allows too few open files \
             (`ulimit -n`, `LimitNOFILE=`), and each connection may need two"
        );
    }
    fit.min(wanted)
}

/// How many connections fit into so many open files.
pub fn fitting(files: u64) -> u64 {
    (files.saturating_sub(APART) / 2).max(LEAST)
}

/// How many open files so many connections need.
pub fn needed(connections: u64) -> u64 {
    connections.saturating_mul(2).saturating_add(APART)
}

/// The limit of open files as it is, and as far as it can be raised; nothing is raised.
#[cfg(unix)]
pub fn allowed() -> Option<(u64, u64)> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Some((limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX)))
}

/// The limit of open files, where there is none.
#[cfg(not(unix))]
pub const fn allowed() -> Option<(u64, u64)> {
    None
}

#[cfg(unix)]
fn open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refused where the system has a lower bound of its own; then it stays as it was.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    Some(now.unwrap_or(u64::MAX))
}

#[cfg(not(unix))]
const fn open_files() -> Option<u64> {
    None
}
