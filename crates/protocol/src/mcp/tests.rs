//! Calls as clients and attackers send them (attacks PX-12 to PX-17, conformance "http-header-validation" and
//! "server-stateless").

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::request_headers::{decode_name, encode_name};
use super::session::{SessionOwner, UnknownSession, open_session, seal_session};
use super::*;
use crate::id::Id;
use crate::keys::{KeyId, KeyRing, SealingKey};
use crate::test_world::Counting;

const MODERN: &str = "2026-07-28";

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn read(list: &[(&str, &str)], body: &str) -> Result<McpCall, CallRefused> {
    McpCall::read(&headers(list), body.as_bytes())
}

/// Code and reason of the refusal.
fn refusal(list: &[(&str, &str)], body: &str) -> (i64, &'static str) {
    let refused = read(list, body).expect_err(body);
    (refused.code, refused.reason)
}

fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

fn meta(version: &str) -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {} })
}

/// A modern `tools/call` of `add`.
fn modern_call() -> String {
    request("tools/call", &json!({ "name": "add", "arguments": { "a": 1 }, "_meta": meta(MODERN) }))
}

const GOOD: [(&str, &str); 3] =
    [("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "add")];

fn with(changed: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut list = GOOD.to_vec();
    list.retain(|(name, _)| changed.iter().all(|(other, _)| other != name));
    list.extend(changed.iter().filter(|(_, value)| *value != "absent"));
    list
}

#[test]
fn a_modern_call_is_read_from_headers_and_body() {
    let call = read(&GOOD, &modern_call()).unwrap();
    assert_eq!(call.method, "tools/call");
    assert_eq!(call.name.as_deref(), Some("add"));
    assert_eq!(call.kind, CallKind::Request(RequestId::from_json("1").unwrap()));
    assert_eq!(call.version, Some(ProtocolVersion::V2026_07_28));
    assert!(call.modern);
}

#[test]
fn a_legacy_call_is_read_with_and_without_the_version_header() {
    let body = request("tools/call", &json!({ "name": "add", "arguments": {} }));
    let call = read(&[], &body).unwrap();
    assert_eq!((call.version, call.modern, call.name.as_deref()), (None, false, Some("add")));
    let call = read(&[("mcp-protocol-version", " 2025-06-18 ")], &body).unwrap();
    assert_eq!((call.version, call.modern), (Some(ProtocolVersion::V2025_06_18), false));
    assert_eq!(refusal(&[("mcp-protocol-version", "1999-01-01")], &body), (-32600, "version_unknown"));
    assert_eq!(refusal(&[("mcp-protocol-version", "latest")], &body), (-32600, "version_unknown"));
    let twice = [("mcp-protocol-version", "2025-06-18"), ("mcp-protocol-version", "2025-11-25")];
    assert_eq!(refusal(&twice, &body), (-32020, "version_header"));
}

#[test]
fn px_12_headers_that_differ_from_the_body_are_refused() {
    for (changed, reason) in [
        (("Mcp-Method", "tools/list"), "method_header"),
        (("Mcp-Method", "Tools/Call"), "method_header"),
        (("Mcp-Method", "absent"), "method_header"),
        (("Mcp-Method", ""), "method_header"),
        (("Mcp-Name", "sub"), "name_header"),
        (("Mcp-Name", "ADD"), "name_header"),
        (("Mcp-Name", "absent"), "name_header"),
        (("Mcp-Name", "\u{e4}dd"), "name_header"),
        (("MCP-Protocol-Version", "absent"), "version_header"),
        (("MCP-Protocol-Version", "2025-11-25"), "version_header"),
        (("MCP-Protocol-Version", "2027-01-01"), "version_header"),
    ] {
        assert_eq!(refusal(&with(&[changed]), &modern_call()), (-32020, reason), "{changed:?}");
    }
    for (name, value, reason) in [
        ("Mcp-Method", "tools/call", "method_header"),
        ("Mcp-Name", "add", "name_header"),
        ("MCP-Protocol-Version", MODERN, "version_header"),
    ] {
        let mut list = GOOD.to_vec();
        list.push((name, value));
        assert_eq!(refusal(&list, &modern_call()), (-32020, reason), "{name} twice");
    }
}

#[test]
fn outer_spaces_and_the_case_of_header_names_do_not_matter() {
    let list = [("MCP-PROTOCOL-VERSION", MODERN), ("mcp-method", "  tools/call\t"), ("MCP-Name", " add ")];
    assert!(read(&list, &modern_call()).is_ok());
}

#[test]
fn the_error_answer_echoes_the_id() {
    let refused = read(&with(&[("Mcp-Name", "sub")]), &modern_call()).unwrap_err();
    let body: Value = serde_json::from_slice(&refused.to_error().to_body()).unwrap();
    assert_eq!(body["jsonrpc"], "2.0");
    assert_eq!(body["id"], 1);
    assert_eq!(body["error"]["code"], -32020);
    assert!(body["error"].get("data").is_none());
}

#[test]
fn px_13_the_sentinel_is_decoded_exactly_once() {
    let name = |value: &'static str| with(&[("Mcp-Name", value)]);
    assert!(read(&name("=?base64?YWRk?="), &modern_call()).is_ok());
    for value in [
        "=?BASE64?YWRk?=",
        "=?base64?YWRk",
        "=?base64?YWR?=",
        "=?base64?YWRk=?=",
        "=?base64?YW Rk?=",
        "=?base64?/w==?=",
        "=?base64?PT9iYXNlNjQ/WVdSaz89?=",
        "=?base64??=",
    ] {
        assert_eq!(refusal(&name(value), &modern_call()), (-32020, "name_header"), "{value}");
    }
    // A tool that is really called so: what comes out of the sentinel is not decoded again.
    let literal = request("tools/call", &json!({ "name": "=?base64?YWRk?=", "_meta": meta(MODERN) }));
    assert!(read(&name("=?base64?PT9iYXNlNjQ/WVdSaz89?="), &literal).is_ok());
    assert_eq!(refusal(&name("=?base64?YWRk?="), &literal), (-32020, "name_header"));
}

#[test]
fn non_canonical_base64_is_no_sentinel() {
    // Both stand for one byte; the second has stray bits.
    assert_eq!(decode_name("=?base64?YQ==?=").as_deref(), Some("a"));
    assert_eq!(decode_name("=?base64?YR==?="), None);
    assert_eq!(decode_name("=?base64?YQ?="), None);
}

#[test]
fn names_that_cannot_stand_in_a_header_are_wrapped() {
    assert_eq!(encode_name("add"), "add");
    assert_eq!(encode_name("a b"), "a b");
    for name in [" add", "\u{e4}dd", "a\u{7f}", "=?base64?YWRk?="] {
        let value = encode_name(name);
        assert!(value.starts_with("=?base64?"), "{name}");
        assert_eq!(decode_name(&value).as_deref(), Some(name));
    }
}

#[test]
fn the_member_that_mcp_name_mirrors_depends_on_the_method() {
    for (method, member) in [
        ("prompts/get", "name"),
        ("resources/read", "uri"),
        ("tasks/get", "taskId"),
        ("tasks/update", "taskId"),
        ("tasks/cancel", "taskId"),
    ] {
        let body = request(method, &json!({ member: "it", "_meta": meta(MODERN) }));
        let version = ("mcp-protocol-version", MODERN);
        let call = read(&[version, ("mcp-method", method), ("mcp-name", "it")], &body).unwrap();
        assert_eq!(call.name.as_deref(), Some("it"));
        assert_eq!(refusal(&[version, ("mcp-method", method)], &body), (-32020, "name_header"));
        for wrong in [json!({ "_meta": meta(MODERN) }), json!({ member: 7, "_meta": meta(MODERN) })] {
            let list = [version, ("mcp-method", method), ("mcp-name", "7")];
            assert_eq!(refusal(&list, &request(method, &wrong)), (-32602, "name_invalid"));
        }
    }
}

#[test]
fn a_subscription_names_its_resource_and_needs_no_header() {
    let call = read(&[], &request("resources/subscribe", &json!({ "uri": "file:///a" }))).unwrap();
    assert_eq!(call.name.as_deref(), Some("file:///a"));
    let list = [("mcp-protocol-version", MODERN), ("mcp-method", "resources/subscribe")];
    let call = read(&list, &request("resources/subscribe", &json!({ "_meta": meta(MODERN) }))).unwrap();
    assert_eq!(call.name, None);
}

#[test]
fn unknown_methods_are_calls_without_a_name() {
    let call = read(&[("mcp-name", "it")], &request("acme/frobnicate", &json!({ "name": "x" }))).unwrap();
    assert_eq!((call.method.as_str(), call.name), ("acme/frobnicate", None));
}

/// PX-15, RS-063: the tool reads its arguments by the same parser, or by another.
#[test]
fn px_15_no_key_stands_twice_at_any_depth() {
    let many = (0..40).map(|n| format!(r#""k{n}":{n},"#)).collect::<String>();
    let of = |arguments: &str| {
        let params = format!(r#"{{"name":"write","arguments":{arguments}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        read(&[], &body).map(|_| ()).map_err(|refused| (refused.code, refused.reason))
    };
    for twice in [
        r#"{"path":"/tmp/a","path":"/etc/passwd"}"#,
        r#"{"path":"/tmp/a","p\u0061th":"/etc/passwd"}"#,
        r#"{"a":[1,{"b":{"c":1,"c":1}}]}"#,
        r#"{"":1,"":2}"#,
        &format!(r#"{{{many}"k39":1}}"#),
        &format!(r#"{{{many}"k0":1}}"#),
    ] {
        assert_eq!(of(twice), Err((-32600, "duplicate_key")), "{twice}");
    }
    for once in [
        r#"{"path":1,"Path":2,"PATH":3}"#.to_owned(),
        r#"{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}"#.to_owned(),
        format!(r#"{{{many}"k40":1}}"#),
    ] {
        assert_eq!(of(&once), Ok(()), "{once}");
    }
}

/// PX-12, RS-105.
#[test]
fn a_name_in_the_header_is_in_the_body_whatever_the_method() {
    let of = |method: &'static str, params: Value, names: &[&'static str]| {
        let mut params = params;
        params["_meta"] = meta(MODERN);
        let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
        headers.extend(names.iter().map(|name| ("mcp-name", *name)));
        read(&headers, &request(method, &params)).map(|_| ()).map_err(|refused| refused.code)
    };
    for (method, params, names) in [
        ("tools/list", json!({}), &["wipe"][..]),
        ("tools/list", json!({}), &[""]),
        ("acme/run", json!({ "name": "safe" }), &["danger"]),
        ("acme/run", json!({ "name": "safe" }), &["safe", "safe"]),
        ("acme/run", json!({ "name": "safe", "uri": "a:b" }), &["safe"]),
        ("acme/run", json!({ "name": 7 }), &["7"]),
        ("tasks/result", json!({ "taskId": "mine" }), &["theirs"]),
        ("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "a" } }), &["b"]),
        ("resources/subscribe", json!({}), &["a:b"]),
    ] {
        assert_eq!(of(method, params.clone(), names), Err(-32020), "{method} {params} {names:?}");
        assert_eq!(of(method, params.clone(), &[]), Ok(()), "{method} {params}");
    }
    assert_eq!(of("acme/run", json!({ "name": "safe" }), &["safe"]), Ok(()));
    assert_eq!(of("tasks/result", json!({ "taskId": "mine" }), &["mine"]), Ok(()));
}

#[test]
fn required_meta_is_asked_for_in_the_fixed_order() {
    let list = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/list")];
    let version = json!({ "io.modelcontextprotocol/protocolVersion": MODERN });
    let capabilities = json!({ "io.modelcontextprotocol/clientCapabilities": {} });
    for (params, reason) in [
        (json!({}), "meta_version_missing"),
        (json!({ "_meta": null }), "meta_version_missing"),
        (json!({ "_meta": capabilities }), "meta_version_missing"),
        (json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": 7 } }), "meta_version_missing"),
        (json!({ "_meta": version }), "capabilities_missing"),
        (json!({ "_meta": 7 }), "meta_invalid"),
        (json!({ "_meta": [] }), "meta_invalid"),
    ] {
        assert_eq!(refusal(&list, &request("tools/list", &params)), (-32602, reason), "{params}");
    }
    let mut odd = meta(MODERN);
    odd["io.modelcontextprotocol/clientCapabilities"] = json!(true);
    assert_eq!(
        refusal(&list, &request("tools/list", &json!({ "_meta": odd }))),
        (-32602, "capabilities_missing")
    );
    // Without its headers, -32020 comes first; a version that is not served comes before _meta, and both before Mcp-Method.
    assert_eq!(refusal(&[], &request("tools/list", &json!({ "_meta": version }))).0, -32020);
    assert_eq!(
        refusal(&[("mcp-protocol-version", "2027-01-01")], &request("tools/list", &json!({}))).0,
        -32022
    );
    assert_eq!(refusal(&[list[0]], &request("tools/list", &json!({ "_meta": version }))).0, -32602);
    assert_eq!(refusal(&[list[0]], &request("tools/list", &json!({ "_meta": meta(MODERN) }))).0, -32020);
}

#[test]
fn a_version_that_is_not_served_is_answered_with_those_that_are() {
    for version in ["2027-01-01", "1900-01-01", "banana", "2025-11-25"] {
        let list = [("mcp-protocol-version", version), ("mcp-method", "server/discover")];
        let body = request("server/discover", &json!({ "_meta": meta(version) }));
        let refused = read(&list, &body).unwrap_err();
        let error: Value = serde_json::from_slice(&refused.to_error().to_body()).unwrap();
        assert_eq!(error["error"]["code"], -32022);
        assert_eq!(error["error"]["data"]["requested"], version);
        let supported = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
        assert_eq!(error["error"]["data"]["supported"], json!(supported));
    }
}

#[test]
fn an_initialize_is_always_legacy() {
    let params = json!({ "protocolVersion": MODERN, "_meta": meta(MODERN) });
    let call = read(&[("mcp-protocol-version", MODERN)], &request("initialize", &params)).unwrap();
    assert!(!call.modern);
    assert!(!read(&[], &request("initialize", &json!({ "protocolVersion": MODERN }))).unwrap().modern);
}

#[test]
fn a_session_that_names_the_modern_version_in_its_header_stays_a_session() {
    let body = request("tools/list", &json!({}));
    let version = ("mcp-protocol-version", MODERN);
    let call = read(&[version, ("mcp-session-id", "abc")], &body).unwrap();
    assert_eq!((call.modern, call.version), (false, Some(ProtocolVersion::V2026_07_28)));
    assert_eq!(refusal(&[version], &body), (-32602, "meta_version_missing"));
    assert_eq!(refusal(&[version, ("mcp-session-id", "")], &body), (-32602, "meta_version_missing"));
    // A version that nobody knows is none, session or not.
    let unknown = [("mcp-protocol-version", "2027-01-01"), ("mcp-session-id", "abc")];
    assert_eq!(refusal(&unknown, &body), (-32600, "version_unknown"));
}

#[test]
fn px_14_no_way_of_claiming_another_version_is_weaker() {
    let modern = modern_call();
    // An older version in the header, or none, beside a modern body.
    assert_eq!(refusal(&with(&[("MCP-Protocol-Version", "2025-11-25")]), &modern).0, -32020);
    assert_eq!(refusal(&with(&[("MCP-Protocol-Version", "absent")]), &modern).0, -32020);
    // A session id does not make a modern body legacy.
    let mut session = GOOD.to_vec();
    session.push(("mcp-session-id", "abc"));
    assert!(read(&session, &modern).unwrap().modern);
    assert_eq!(refusal(&[("mcp-session-id", "abc")], &modern).0, -32020);
    // Mirror headers on a legacy call must tell the truth as well.
    let legacy = request("tools/call", &json!({ "name": "add" }));
    assert_eq!(refusal(&[("mcp-method", "tools/list")], &legacy), (-32020, "method_header"));
    assert_eq!(refusal(&[("mcp-name", "sub")], &legacy), (-32020, "name_header"));
    assert!(read(&[("mcp-method", "tools/call"), ("mcp-name", "add")], &legacy).is_ok());
    assert_eq!(refusal(&[], &request("tools/call", &json!({ "arguments": {} }))), (-32602, "name_invalid"));
}

#[test]
fn px_15_keys_that_two_readers_may_read_in_two_ways_are_refused() {
    for (body, reason) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#, "duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, "duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":2}"#, "duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}"#, "duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"ping"}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","METHOD\u0000":"tools/call"}"#, "odd_key"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}", "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","name":"b"}}"#, "duplicate_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","Name":"b"}}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"ur\u0069":"a"}}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_Meta":{}}}"#, "odd_key"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"Arguments":{}}}"#, "odd_key"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"arguments":{},"arguments":{}}}"#,
            "duplicate_key",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a\u0062":1,"ab":1}}"#, "duplicate_key"),
    ] {
        assert_eq!(refusal(&[], body), (-32600, reason), "{body}");
    }
}

#[test]
fn px_15_the_reserved_keys_of_meta_have_one_spelling() {
    let in_meta =
        |meta: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{meta}}}}}"#);
    for meta in [
        r#"{"io.modelcontextprotocol/protocolversion":"2026-07-28"}"#,
        r#"{"IO.modelcontextprotocol/protocolVersion":"2026-07-28"}"#,
        r#"{"io.modelcontextprotocol\/protocolVersion":"2026-07-28"}"#,
        r#"{"io.modelcontextprotocol/protocol\u0056ersion":"2026-07-28"}"#,
        r#"{"Io.modelcontextprotocol/anything":1}"#,
        r#"{"io.modelcontextprotocol/\u0061nything":1}"#,
    ] {
        assert_eq!(refusal(&[], &in_meta(meta)), (-32600, "odd_key"), "{meta}");
    }
    let twice = r#"{"io.modelcontextprotocol/x":1,"io.modelcontextprotocol/x":2}"#;
    assert_eq!(refusal(&[], &in_meta(twice)), (-32600, "duplicate_key"));
    assert!(
        read(&[], &in_meta(r#"{"progressToken":1,"caf\u00e9":1,"io.modelcontextprotocol/related-task":{}}"#))
            .is_ok()
    );
}

#[test]
fn keys_deeper_down_are_not_ours_to_judge() {
    let body = request(
        "tools/call",
        &json!({ "name": "add", "arguments": { "Name": 1, "Method": 2, "params": 3 } }),
    );
    assert!(read(&[], &body).is_ok());
}

#[test]
fn px_15_what_is_not_json_is_a_parse_error() {
    let deep = |depth: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(read(&[], &deep(100)).is_ok());
    for body in [
        "".to_owned(),
        " ".to_owned(),
        "\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}".to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping"} x"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping"}{}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping","x":NaN}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping","x":Infinity}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping","x":1e400}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping",}"#.to_owned(),
        r#"{"jsonrpc":"2.0",/* */"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"ping\ud800"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"\udc00"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x""#.to_owned(),
        deep(200),
        deep(100_000),
    ] {
        assert_eq!(refusal(&[], &body), (-32700, "not_json"), "{body:.80}");
    }
    let refused =
        McpCall::read(&HeaderMap::new(), b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"x\":\"\xff\"}");
    assert_eq!(refused.unwrap_err().code, -32700);
}

#[test]
fn px_16_a_batch_is_refused() {
    for body in ["[]", " \n[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]"] {
        assert_eq!(refusal(&[], body), (-32600, "batch"));
    }
}

#[test]
fn what_is_no_message_is_an_invalid_request() {
    for (body, reason) in [
        ("7", "not_a_message"),
        ("\"x\"", "not_a_message"),
        ("{}", "not_a_message"),
        (r#"{"id":1,"method":"ping"}"#, "not_a_message"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "not_a_message"),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, "not_a_message"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000x"}"#, "method_invalid"),
        // PX-15: judged as what nobody knows, and run as a call of a tool by a reader without case.
        (r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call"}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":" tools/call"}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tool\u017f/call"}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"logging/setlevel "}"#, "method_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, "ambiguous"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":null}"#, "ambiguous"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, "ambiguous"),
        (r#"{"jsonrpc":"2.0","result":{}}"#, "id_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, "params_invalid"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#, "params_invalid"),
    ] {
        assert_eq!(refusal(&[], body), (-32600, reason), "{body}");
    }
    let name = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\u0000b"}}"#;
    assert_eq!(refusal(&[], name), (-32602, "name_invalid"));
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(257));
    assert_eq!(refusal(&[], &long), (-32600, "method_invalid"));
}

#[test]
fn px_17_ids_are_strings_or_integers_and_echoed_as_they_were() {
    let of = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    for id in ["1", "\"1\"", "0", "-5", "\"a\\u0062\"", "\"\"", "9223372036854775807"] {
        let call = read(&[], &of(id)).unwrap();
        assert_eq!(call.kind, CallKind::Request(RequestId::from_json(id).unwrap()));
        let refused = read(&[("mcp-method", "other")], &of(id)).unwrap_err();
        let body = String::from_utf8(refused.to_error().to_body().to_vec()).unwrap();
        assert!(body.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":"#)), "{body}");
    }
    let huge = format!("\"{}\"", "x".repeat(1_000_000));
    for id in ["1.0", "1e3", "null", "{}", "[1]", "true", "-0", "9223372036854775808", "\"\\ud800\"", &huge] {
        assert_eq!(refusal(&[], &of(id)), (-32600, "id_invalid"), "{id:.80}");
    }
    assert_ne!(RequestId::from_json("1"), RequestId::from_json("\"1\""));
}

#[test]
fn a_notification_needs_no_headers_and_may_not_contradict_them() {
    let plain = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let version = ("mcp-protocol-version", MODERN);
    let call = read(&[version], plain).unwrap();
    assert_eq!(
        (call.kind, call.modern, call.version),
        (CallKind::Notification, true, Some(ProtocolVersion::V2026_07_28))
    );
    assert!(!read(&[], plain).unwrap().modern);
    assert_eq!(refusal(&[version, ("mcp-method", "ping")], plain), (-32020, "method_header"));
    let with_meta =
        json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": { "_meta": meta(MODERN) } })
            .to_string();
    assert!(read(&[], &with_meta).unwrap().modern);
    assert_eq!(refusal(&[("mcp-protocol-version", "2025-11-25")], &with_meta), (-32020, "version_header"));
    assert_eq!(refusal(&[("mcp-protocol-version", "2027-01-01")], plain), (-32022, "version_unsupported"));
}

#[test]
fn a_response_of_the_client_exists_before_2026_07_28_only() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no"}}"#,
    ] {
        let call = read(&[("mcp-session-id", "abc")], body).unwrap();
        assert_eq!((call.kind, call.method.as_str(), call.modern), (CallKind::Response, "", false));
        assert_eq!(refusal(&[("mcp-protocol-version", MODERN)], body), (-32600, "response_unexpected"));
        assert_eq!(refusal(&[("mcp-method", "ping")], body), (-32020, "method_header"));
    }
}

#[test]
fn an_error_body_without_id_has_no_id_member() {
    let error = JsonRpcError { id: None, code: -32600, message: "a \"b\"", data: Some(json!({ "x": 1 })) };
    assert_eq!(
        error.to_body().as_ref(),
        br#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"a \"b\"","data":{"x":1}}}"#
    );
}

#[test]
fn a_session_opens_for_its_owner_only() {
    let entropy = Counting::new();
    let keys = KeyRing::new(SealingKey::new(KeyId::from_bytes([1; 4]), &[1; 32]), vec![]);
    let owner = SessionOwner {
        user: Id::from_bytes([1; 16]),
        server: "docs",
        client_id: "https://a.example/c",
        signer: None,
    };
    let key = crate::jose::dpop::Thumbprint::from_bytes([7; 32]);
    let id = seal_session(keys.active(), "upstream-1", &owner, &entropy);
    assert!(HeaderValue::from_str(&id).is_ok());
    assert_eq!(open_session(&keys, &id, &owner).as_deref(), Ok("upstream-1"));
    for stranger in [
        SessionOwner { user: Id::from_bytes([2; 16]), ..owner },
        SessionOwner { server: "wiki", ..owner },
        SessionOwner { client_id: "https://b.example/c", ..owner },
        SessionOwner { signer: Some(&key), ..owner },
    ] {
        assert_eq!(open_session(&keys, &id, &stranger), Err(UnknownSession));
    }
}

#[test]
fn se_04_forged_session_ids_are_unknown() {
    let keys = KeyRing::new(SealingKey::new(KeyId::from_bytes([1; 4]), &[1; 32]), vec![]);
    let owner = SessionOwner { user: Id::from_bytes([1; 16]), server: "docs", client_id: "c", signer: None };
    let large = "A".repeat(9000);
    for id in ["", "1", "2", "\r\nx", "\u{e4}", "\0", "AQEBAQEAAAAAAAAAAAAAAAAA", &large] {
        assert_eq!(open_session(&keys, id, &owner), Err(UnknownSession), "{id:.20}");
    }
}

#[test]
fn versions_are_known_by_their_names() {
    for version in ProtocolVersion::SERVED {
        assert_eq!(ProtocolVersion::parse(version.as_str()), Some(version));
    }
    assert_eq!(ProtocolVersion::parse("2026-07-28 "), None);
    assert!(ProtocolVersion::names_a_modern_one("2026-07-28"));
    assert!(ProtocolVersion::names_a_modern_one("2031-01-01"));
    for text in ["2026-07-27", "banana", "9999", "2026-07-28x", "20260-7-28"] {
        assert!(!ProtocolVersion::names_a_modern_one(text), "{text}");
    }
}
