//! The id of a request (JSON-RPC 2.0, section 4; MCP allows strings and integers), kept as it was written.

use std::fmt;

/// Longest id that is echoed, quotes included.
const MAX_ID: usize = 1024;

/// An id as JSON text, echoed byte for byte. `1` and `"1"` are two ids (attack PX-17).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id that this JSON text is: a string, or an integer that 64 bits hold in one reading.
    ///
    /// Not null, not `1.0`, not `-0`, not beyond 1 KiB: what a server behind us might read as another number
    /// would be answered under another id.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let right = if json.starts_with('"') {
            json.len() <= MAX_ID && serde_json::from_str::<std::borrow::Cow<'_, str>>(json).is_ok()
        } else {
            let digits = json.strip_prefix('-').unwrap_or(json);
            let canonical =
                digits.bytes().all(|b| b.is_ascii_digit()) && (!digits.starts_with('0') || json == "0");
            canonical && json.parse::<i64>().is_ok()
        };
        right.then(|| Self(json.into()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}
