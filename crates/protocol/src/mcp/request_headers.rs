//! The headers that mirror a call (MCP 2026-07-28, Streamable HTTP, section 6), and that of the session before it.
//!
//! A header that stands twice has no value here: two readers would take two (attack PX-12).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

/// `MCP-Protocol-Version`.
pub static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`.
pub static METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`.
pub static NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`, up to 2025-11-25.
pub static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const SENTINEL_START: &str = "=?base64?";
const SENTINEL_END: &str = "?=";

/// A header that should stand once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sole<'a> {
    Absent,
    /// Its value, without spaces around it.
    Once(&'a str),
    /// Repeated, or not visible ASCII.
    Unclear,
}

impl<'a> Sole<'a> {
    pub(super) fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => match value.to_str() {
                Ok(text) => Self::Once(text.trim_matches([' ', '\t'])),
                Err(_) => Self::Unclear,
            },
            (Some(_), Some(_)) => Self::Unclear,
        }
    }
}

/// What a value of `Mcp-Name` says: itself, or what is wrapped in `=?base64?…?=`, once (section 6.3.2).
///
/// The markers are exact and lower case, the base64 is padded and canonical, the bytes are UTF-8: else `None`.
/// What comes out is not looked into again.
#[must_use]
pub fn decode_name(value: &str) -> Option<Cow<'_, str>> {
    let Some(wrapped) = value.strip_prefix(SENTINEL_START).and_then(|rest| rest.strip_suffix(SENTINEL_END))
    else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(wrapped).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The value of `Mcp-Name` that says this name: wrapped if it could not stand as it is.
#[must_use]
pub fn encode_name(name: &str) -> String {
    let visible = name.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let like_sentinel = name.starts_with(SENTINEL_START) && name.ends_with(SENTINEL_END);
    if visible && !like_sentinel && name.trim_matches(' ') == name {
        return name.to_owned();
    }
    format!("{SENTINEL_START}{}{SENTINEL_END}", STANDARD.encode(name))
}
