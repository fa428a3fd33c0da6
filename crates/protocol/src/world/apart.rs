//! How far the clocks of nodes may lie apart (attacks.md, F-13), in one place: each node compares its own with that of the
//! record and serves nothing beyond the bound, so that every tolerance of a time that one node writes and another judges
//! can be held against it when it is built.

use std::time::Duration;

/// How far the clock of a node may be from that of the record. Two nodes are at most twice as far from each other.
pub const CLOCK_MAY_DIFFER: Duration = Duration::from_secs(4);

/// A span that one node begins by its clock and another judges by its own. It does not build if two clocks that may
/// differ could use it up.
///
/// # Panics
/// If it is too short; in a constant, which is what it is for, that is an error of the compiler.
#[must_use]
pub const fn between_nodes(span: Duration) -> Duration {
    assert!(span.as_micros() > 2 * CLOCK_MAY_DIFFER.as_micros(), "two nodes in order could use it up");
    span
}
