//! Which scope a call needs (product.md, P-12), by the call that stands in the body.
//!
//! The rules are those of the gateway without policies: lists are free, what reads needs `read`, everything else `write`.

use std::collections::BTreeSet;

use protocol::mcp::{Effect, McpCall};

/// The scope that a call needs, if any.
pub(crate) fn needed(call: &McpCall, read_only: &BTreeSet<String>) -> Option<&'static str> {
    match call.effect() {
        Effect::Notifies | Effect::Responds | Effect::Upkeep => None,
        Effect::Reads => Some("read"),
        Effect::Unknown => Some("write"),
        Effect::CallsATool => {
            let reads = call.name.as_ref().is_some_and(|name| read_only.contains(name));
            Some(if reads { "read" } else { "write" })
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn of(body: &str) -> Option<&'static str> {
        let call = McpCall::read(&HeaderMap::new(), body.as_bytes()).unwrap();
        needed(&call, &BTreeSet::from(["look".to_owned()]))
    }

    #[test]
    fn what_may_change_something_needs_write() {
        for (method, params, scope) in [
            ("tools/list", "{}", None),
            ("tools/call", r#"{"name":"look"}"#, Some("read")),
            ("tools/call", r#"{"name":"look "}"#, Some("write")),
            ("tools/call", r#"{"name":"keep"}"#, Some("write")),
            ("resources/read", r#"{"uri":"a:b"}"#, Some("read")),
            ("somebody/else", "{}", Some("write")),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            assert_eq!(of(&body), scope, "{body}");
        }
        assert_eq!(of(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), None);
        assert_eq!(of(r#"{"jsonrpc":"2.0","method":"notifications/acme/wipe"}"#), Some("write"));
        assert_eq!(of(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"keep"}}"#), Some("write"));
    }
}
