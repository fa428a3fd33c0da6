//! Whatever bytes come, reading a call neither panics nor sees another message than a plain JSON reader does.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use protocol::mcp::request_headers::{METHOD, NAME, PROTOCOL_VERSION, SESSION_ID, decode_name, encode_name};
use protocol::mcp::{CallKind, McpCall, RequestId};
use serde_json::{Map, Value, json};

const METHODS: [&str; 8] = [
    "initialize",
    "ping",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "tasks/get",
    "tools/call",
    "tools/list",
];

/// The member that names what a method calls, told a second time and independently.
fn name_in(value: &Value) -> Option<&str> {
    let member = match value["method"].as_str()? {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    value["params"][member].as_str()
}

/// If it was accepted, then as what `serde_json::Value` shows; and it has headers that agree.
fn agrees(headers: &HeaderMap, body: &[u8]) {
    let Ok(call) = McpCall::read(headers, body) else { return };
    let value: Value = serde_json::from_slice(body).expect("an accepted body is JSON");
    assert_eq!(value["jsonrpc"], "2.0");
    match &call.kind {
        CallKind::Response => assert!(value.get("method").is_none() && call.method.is_empty()),
        CallKind::Notification => assert!(value.get("id").is_none() && value["method"] == *call.method),
        CallKind::Request(id) => {
            assert_eq!(value["method"], *call.method);
            assert_eq!(serde_json::from_str::<Value>(id.as_json()).ok(), value.get("id").cloned());
        }
    }
    assert_eq!(call.name.as_deref(), name_in(&value));
    if let Some(method) = headers.get(&METHOD) {
        assert_eq!(method.to_str().ok().map(str::trim), Some(call.method.as_str()));
    }
    let version = value["params"]["_meta"].get("io.modelcontextprotocol/protocolVersion");
    if let (Some(version), true) = (version, call.modern) {
        assert_eq!(version.as_str(), call.version.map(|version| version.as_str()));
    }
    assert!(call.modern || version.is_none() || call.method == "initialize");
}

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "jsonrpc",
            "id",
            "method",
            "params",
            "result",
            "error",
            "name",
            "uri",
            "taskId",
            "_meta",
            "arguments",
            "Method",
            "param\u{17f}",
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientCapabilities",
        ])
        .prop_map(str::to_owned),
        "[a-z]{0,3}",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(json!("2026-07-28")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(keys(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Messages that are near to being right.
fn messages() -> impl Strategy<Value = Value> {
    let meta = prop_oneof![
        Just(json!({})),
        Just(
            json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} })
        ),
        values(),
    ];
    let params = (meta, prop::collection::btree_map(keys(), values(), 0..4), "[a-z]{1,3}").prop_map(
        |(meta, more, name)| {
            let mut params: Map<String, Value> = more.into_iter().collect();
            params.entry("_meta").or_insert(meta);
            for member in ["name", "uri", "taskId"] {
                params.entry(member).or_insert_with(|| name.clone().into());
            }
            Value::Object(params)
        },
    );
    let id = prop_oneof![any::<i64>().prop_map(Value::from), "\\PC{0,4}".prop_map(Value::from), values()];
    (
        prop::sample::select(&METHODS[..]),
        params,
        prop::option::of(id),
        prop::collection::btree_map(keys(), values(), 0..2),
    )
        .prop_map(|(method, params, id, more)| {
            let mut message: Map<String, Value> = more.into_iter().collect();
            message.insert("jsonrpc".to_owned(), "2.0".into());
            message.insert("method".to_owned(), method.into());
            message.insert("params".to_owned(), params);
            if let Some(id) = id {
                message.insert("id".to_owned(), id);
            }
            Value::Object(message)
        })
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let version = prop::option::of(prop::sample::select(vec![
        "2025-03-26",
        "2025-11-25",
        "2026-07-28",
        "2027-01-01",
        "x",
    ]));
    let method = prop::option::of(prop::sample::select(&METHODS[..]));
    (version, method, prop::option::of("[a-z]{1,3}"), any::<bool>()).prop_map(
        |(version, method, name, session)| {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert(&PROTOCOL_VERSION, HeaderValue::from_static(version));
            }
            if let Some(method) = method {
                headers.insert(&METHOD, HeaderValue::from_static(method));
            }
            if let Some(name) = name {
                headers.insert(&NAME, HeaderValue::from_str(&name).expect("letters"));
            }
            if session {
                headers.insert(&SESSION_ID, HeaderValue::from_static("s"));
            }
            headers
        },
    )
}

/// Headers that a right client would send with this message.
fn mirrored(message: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(version) = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str() {
        headers.insert(&PROTOCOL_VERSION, HeaderValue::from_str(version).expect("visible"));
    }
    if let Some(method) = message["method"].as_str() {
        headers.insert(&METHOD, HeaderValue::from_str(method).expect("visible"));
    }
    if let Some(name) = name_in(message) {
        headers.insert(&NAME, HeaderValue::from_str(&encode_name(name)).expect("encoded"));
    }
    headers
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(headers in headers(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees(&headers, &body);
    }

    #[test]
    fn near_messages_are_read_as_any_reader_reads_them(headers in headers(), message in messages()) {
        agrees(&headers, message.to_string().as_bytes());
        agrees(&mirrored(&message), message.to_string().as_bytes());
        agrees(&HeaderMap::new(), message.to_string().as_bytes());
    }

    #[test]
    fn messages_with_a_changed_byte_are_read_as_any_reader_reads_them(
        message in messages(), place in any::<prop::sample::Index>(), byte in prop_oneof![any::<u8>(), 0x20..0x7fu8],
    ) {
        let mut body = message.to_string().into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        agrees(&HeaderMap::new(), &body);
    }

    #[test]
    fn a_right_modern_call_is_accepted(method in prop::sample::select(&METHODS[1..]), name in "\\PC{1,20}", arguments in values()) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {
            "name": name, "uri": name, "taskId": name, "arguments": arguments,
            "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} },
        } });
        let body = message.to_string();
        let call = McpCall::read(&mirrored(&message), body.as_bytes()).expect("a right call");
        prop_assert!(call.modern);
        agrees(&mirrored(&message), body.as_bytes());
    }

    #[test]
    fn names_survive_the_sentinel(name in any::<String>()) {
        let value = encode_name(&name);
        prop_assert!(value.is_empty() || HeaderValue::from_str(&value).is_ok());
        prop_assert_eq!(decode_name(&value).expect("what we wrap"), name);
    }

    #[test]
    fn a_name_has_one_canonical_sentinel(bytes in "[A-Za-z0-9+/=]{0,12}") {
        let value = format!("=?base64?{bytes}?=");
        if let Some(name) = decode_name(&value) {
            use base64::Engine as _;
            prop_assert_eq!(base64::engine::general_purpose::STANDARD.encode(name.as_bytes()), bytes);
        }
    }

    #[test]
    fn an_id_that_is_accepted_is_a_string_or_a_64_bit_integer(json in "\\PC{0,12}") {
        if let Some(id) = RequestId::from_json(&json) {
            let value: Value = serde_json::from_str(id.as_json()).expect("json");
            prop_assert!(value.is_string() || value.is_i64());
            prop_assert_eq!(id.as_json(), json);
        }
    }
}
