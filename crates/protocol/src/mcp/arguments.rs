//! The `arguments` of a message, from the very bytes that are forwarded (attacks PX-12 to PX-15); and whether it has a `cursor`.
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
    #[serde(borrow)]
    cursor: Option<&'a RawValue>,
}

/// The text of `params.arguments`; none if there are none. What cannot be read is a text that nobody can read either.
#[must_use]
pub fn arguments(body: &[u8]) -> Option<&str> {
    match serde_json::from_slice::<Message<'_>>(body) {
        Ok(message) => message.params?.arguments.map(RawValue::get),
        Err(_) => Some(""),
    }
}

/// Whether it asks for a page of a list that is not the first. What cannot be read does.
#[must_use]
pub fn has_cursor(body: &[u8]) -> bool {
    serde_json::from_slice::<Message<'_>>(body)
        .map_or(true, |message| message.params.is_some_and(|params| params.cursor.is_some()))
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
    fn a_page_that_is_not_the_first_has_a_cursor() {
        for first in [r#"{"params":{}}"#, "{}", r#"{"params":{"cursor":null}}"#] {
            assert!(!has_cursor(first.as_bytes()), "{first}");
        }
        for later in [r#"{"params":{"cursor":""}}"#, r#"{"params":{"cursor":{}}}"#, "[]"] {
            assert!(has_cursor(later.as_bytes()), "{later}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_no_arguments() {
        for broken in ["", "[]", r#"{"params":[]}"#, r#"{"params":{"arguments":{}},"params":{}}"#] {
            assert_eq!(arguments(broken.as_bytes()), Some(""), "{broken}");
        }
    }
}
