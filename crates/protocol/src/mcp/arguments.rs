//! The `arguments` of a message, from the very bytes that are forwarded (attacks PX-12 to PX-15).
//!
//! Must only be asked about bytes that [`McpCall::read`](super::McpCall::read) has taken: it has refused those of which two
//! readers could see different `arguments`.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The text of `params.arguments`; none if there are none. What cannot be read is a text that nobody can read either.
#[must_use]
pub fn arguments(body: &[u8]) -> Option<&str> {
    match serde_json::from_slice::<Message<'_>>(body) {
        Ok(message) => message.params?.arguments.map(RawValue::get),
        Err(_) => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_given_as_they_were_written() {
        let body = br#"{"jsonrpc":"2.0","params":{"name":"x","arguments": {"a" : 1.0,"a":2}}}"#;
        assert_eq!(arguments(body), Some(r#"{"a" : 1.0,"a":2}"#));
        for none in [r"{}", r#"{"params":null}"#, r#"{"params":{}}"#, r#"{"params":{"arguments":null}}"#] {
            assert_eq!(arguments(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_no_arguments() {
        for broken in ["", "[]", r#"{"params":[]}"#, r#"{"params":{"arguments":{}},"params":{}}"#] {
            assert_eq!(arguments(broken.as_bytes()), Some(""), "{broken}");
        }
    }
}
