//! Readers of bytes that strangers write, and the laws that each keeps to whatever the bytes are (attacks.md, F-32): it does
//! not panic, it reads what another reader reads, what it prints it reads back, and what was changed does not open.
//!
//! One function for each reader. It takes any bytes and panics when a law is broken; bytes that are refused keep all laws.
//! `tests/properties.rs` runs them on every build; `cargo xtask fuzz` runs them for as long as one likes, guided by coverage.

mod definitions;
mod doors;
mod keys;
mod lists;
mod mcp;
mod oauth;
mod proofs;
mod text;
mod world;

/// A reader with its laws.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 17] = [
    ("basic", oauth::basic),
    ("challenges", oauth::challenges),
    ("client_ids", oauth::client_ids),
    ("cookies", doors::cookies),
    ("definitions", definitions::definitions),
    ("envelopes", mcp::envelopes),
    ("events", mcp::events),
    ("forms", oauth::forms),
    ("forwarded", doors::forwarded),
    ("lists", lists::lists),
    ("names", mcp::names),
    ("proofs", proofs::proofs),
    ("redirects", oauth::redirects),
    ("registrations", oauth::registrations),
    ("scopes", oauth::scopes),
    ("sealed", keys::sealed),
    ("tokens", keys::tokens),
];

/// The one of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
