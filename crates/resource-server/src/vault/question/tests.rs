use protocol::keys::KeyId;
use protocol::mcp::CallKind;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn ring(byte: u8) -> KeyRing<MacKey> {
    KeyRing::new(MacKey::new(KeyId::from_bytes([byte; 4]), &[byte; 32]), Vec::new())
}

fn call(name: &str) -> McpCall {
    McpCall {
        method: "tools/call".to_owned(),
        name: Some(name.to_owned()),
        kind: CallKind::Notification,
        version: None,
        modern: true,
    }
}

fn retry(state: &str, action: &str) -> Bytes {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"a" : 1e400,"a":2}},
        "inputResponses":{{"connect":{{"action":"{action}"}}}},"requestState":"{state}"}}}}"#
    )
    .into()
}

/// RS-138: what answers a question of ours does not go to the MCP server, and everything else does, as it was written.
#[test]
fn an_answer_to_our_question_is_taken_out_of_the_message() {
    let (answered, rest) = take(&call("echo"), &retry("sekisho-connect.1.x", "accept")).unwrap();
    assert!(!answered.is_no);
    assert_eq!(
        rest,
        r#"{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a" : 1e400,"a":2},"name":"echo"}}"#
    );
    for foreign in ["theirs", "", "x.sekisho-connect."] {
        assert!(take(&call("echo"), &retry(foreign, "accept")).is_none(), "{foreign}");
    }
    let older = McpCall { modern: false, ..call("echo") };
    assert!(take(&older, &retry("sekisho-connect.1.x", "accept")).is_none());
}

/// RS-134, RS-181: a no counts for this person, this request and a while.
#[test]
fn a_no_is_one_to_the_question_that_was_put() {
    let (user, other) = (Id::from_bytes([1; 16]), Id::from_bytes([2; 16]));
    let (echo, write) = (call("echo"), call("write"));
    let body = retry("", "");
    let asked = Subject { user, server: "notes", call: &echo, body: &body };
    let state = state(&ring(1), &asked, NOW);
    let no = |action: &str| take(&echo, &retry(&state, action)).unwrap();
    let (answered, rest) = no("decline");
    assert!(answered.is_no_to(&ring(1), &Subject { body: &rest, ..asked }, NOW));
    assert!(no("cancel").0.is_no_to(&ring(1), &asked, NOW));
    assert!(!no("accept").0.is_no_to(&ring(1), &asked, NOW));
    for (subject, key, now) in [
        (Subject { user: other, ..asked }, 1, NOW),
        (Subject { server: "wiki", ..asked }, 1, NOW),
        (Subject { call: &write, ..asked }, 1, NOW),
        (Subject { body: br#"{"params":{"arguments":{"a":3}}}"#, ..asked }, 1, NOW),
        (asked, 2, NOW),
        (asked, 1, NOW.plus(LIFE)),
    ] {
        assert!(!answered.is_no_to(&ring(key), &subject, now), "{subject:?}");
    }
    assert!(!take(&echo, &retry("sekisho-connect.99999999999.00", "decline")).unwrap().0.is_no_to(
        &ring(1),
        &asked,
        NOW
    ));
}
