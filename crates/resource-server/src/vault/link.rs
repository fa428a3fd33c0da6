//! The link by which a person connects an account: made for one person and one MCP server (requirements RS-177 to RS-179).
//!
//! It says neither who the person is nor anything that opens something: a mark that only this house can make and check.
//! Whoever opens it signed in as somebody else is refused.

use std::fmt::Write as _;

use protocol::id::{Id, User};
use protocol::keys::{KeyRing, MacKey};
use protocol::secret::Secret;

/// What the mark is for.
const LABEL: &str = "connect: link";
/// Bytes of the mark that stand in the link.
const LENGTH: usize = 16;

/// The mark of a link for this person.
pub(crate) fn mark(keys: &KeyRing<MacKey>, user: Id<User>, server: &str) -> String {
    marked(keys.active(), user, server)
}

/// Whether the link was made for this person.
pub(crate) fn is_for(keys: &KeyRing<MacKey>, presented: &str, user: Id<User>, server: &str) -> bool {
    let presented = Secret::new(presented.to_owned());
    keys.iter().any(|key| presented.matches(&Secret::new(marked(key, user, server))))
}

fn marked(key: &MacKey, user: Id<User>, server: &str) -> String {
    hex(&key.mac(LABEL, &[user.as_bytes(), server.as_bytes()]))
}

/// So much of a mark as stands in a text.
pub(super) fn hex(mac: &[u8]) -> String {
    mac.iter().take(LENGTH).fold(String::with_capacity(LENGTH * 2), |mut text, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
