//! Messages, streams of events, wrapped names: another reader sees what the policy saw.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use protocol::mcp::request_headers::{METHOD, NAME, PROTOCOL_VERSION, decode_name, encode_name};
use protocol::mcp::{CallKind, McpCall, RequestId};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::text::{message, text};

/// The bytes are headers and a body; the body alone is also sent without headers, and with those that a right client
/// sends (attacks PX-12 to PX-17).
pub(crate) fn envelopes(data: &[u8]) {
    let (headers, body) = message(data);
    let body = if body.is_empty() { data } else { body };
    agrees(&headers, body);
    agrees(&HeaderMap::new(), body);
    if let Some(headers) = mirrored(body) {
        agrees(&headers, body);
    }
    if let Some(id) = text(body).and_then(RequestId::from_json) {
        assert_eq!(id.as_json().as_bytes(), body, "echoed as it was written");
    }
}

/// What stands twice or nearly twice, kept: an object as its members in their order.
enum Kept {
    List,
    Object(Vec<(String, Kept)>),
    Other(Value),
}

struct KeptVisitor;

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeptVisitor)
    }
}

impl<'de> Visitor<'de> for KeptVisitor {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, Kept>()? {
            members.push(member);
        }
        Ok(Kept::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kept, A::Error> {
        while list.next_element::<Kept>()?.is_some() {}
        Ok(Kept::List)
    }

    fn visit_str<E>(self, value: &str) -> Result<Kept, E> {
        Ok(Kept::Other(value.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kept, E> {
        Ok(Kept::Other(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kept, E> {
        Ok(Kept::Other(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kept, E> {
        Ok(Kept::Other(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kept, E> {
        Ok(Kept::Other(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok(Kept::Other(Value::Null))
    }
}

/// A reader with habits of its own: which of several members it takes, and for which key it takes them.
#[derive(Clone, Copy)]
struct Reader {
    last: bool,
    folds_case: bool,
}

impl Reader {
    fn get<'k>(self, object: &'k Kept, key: &str) -> Option<&'k Kept> {
        let Kept::Object(members) = object else { return None };
        let is_it =
            |held: &str| if self.folds_case { folded(held) == key.to_lowercase() } else { held == key };
        let mut found = members.iter().filter(|(held, _)| is_it(held)).map(|(_, value)| value);
        if self.last { found.next_back() } else { found.next() }
    }

    fn text<'k>(self, object: Option<&'k Kept>, key: &str) -> Option<&'k str> {
        match self.get(object?, key)? {
            Kept::Other(value) => value.as_str(),
            Kept::List | Kept::Object(_) => None,
        }
    }
}

/// As readers fold that know more letters than ASCII's, and those that stop at NUL.
pub(crate) fn folded(key: &str) -> String {
    let key = key.split('\0').next().unwrap_or_default();
    key.to_lowercase().replace('\u{17f}', "s").replace('\u{131}', "i").replace("i\u{307}", "i")
}

const READERS: [Reader; 4] = [
    Reader { last: false, folds_case: false },
    Reader { last: true, folds_case: false },
    Reader { last: false, folds_case: true },
    Reader { last: true, folds_case: true },
];

/// If it was accepted, then every one of these readers sees the message that was accepted.
fn agrees(headers: &HeaderMap, body: &[u8]) {
    let call = match McpCall::read(headers, body) {
        Ok(call) => call,
        Err(refused) => {
            let error: Result<Value, _> = serde_json::from_slice(&refused.to_error().to_body());
            assert!(error.is_ok_and(|error| error["error"]["code"] == refused.code), "an answer is json");
            return;
        }
    };
    let kept: Result<Kept, _> = serde_json::from_slice(body);
    assert!(kept.is_ok(), "an accepted body is json");
    let Ok(kept) = kept else { return };
    for reader in READERS {
        sees(reader, &call, &kept);
    }
    sees_headers(headers, &call);
}

fn sees(reader: Reader, call: &McpCall, kept: &Kept) {
    assert_eq!(reader.text(Some(kept), "jsonrpc"), Some("2.0"));
    let method = reader.text(Some(kept), "method");
    let id = reader.get(kept, "id");
    match &call.kind {
        CallKind::Notification => assert!(id.is_none() && method == Some(&call.method)),
        CallKind::Request(known) => {
            let known: Option<Value> = serde_json::from_str(known.as_json()).ok();
            let id = id.and_then(|id| if let Kept::Other(value) = id { Some(value.clone()) } else { None });
            assert!(id.is_some() && id == known, "{id:?}");
            assert_eq!(method, Some(call.method.as_str()));
        }
        CallKind::Response => assert!(reader.get(kept, "method").is_none() && call.method.is_empty()),
    }
    let params = reader.get(kept, "params");
    let member = match call.method.as_str() {
        "prompts/get" | "tools/call" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/cancel" | "tasks/get" | "tasks/update" => Some("taskId"),
        _ => None,
    };
    assert_eq!(member.and_then(|member| reader.text(params, member)), call.name.as_deref());
    let version = reader.text(params.and_then(|params| reader.get(params, "_meta")), VERSION);
    if call.modern {
        assert!(version.is_none() || version == call.version.map(|version| version.as_str()), "{version:?}");
    } else {
        assert!(version.is_none() || call.method == "initialize", "{version:?}");
    }
}

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

fn sees_headers(headers: &HeaderMap, call: &McpCall) {
    for name in [&PROTOCOL_VERSION, &METHOD, &NAME] {
        let mut all = headers.get_all(name).iter();
        let only = all.next();
        // `Mcp-Name` counts where something is named.
        let counts = *name != NAME || call.name.is_some();
        assert!(all.next().is_none() || !counts, "{name} stands twice");
        let said = only.and_then(|value| value.to_str().ok()).map(|value| value.trim_matches([' ', '\t']));
        if *name == METHOD {
            assert!(only.is_none() || said == Some(&call.method), "{said:?}");
        } else if *name == NAME && counts {
            let named = said.and_then(decode_name);
            assert!(only.is_none() || named.as_deref() == call.name.as_deref(), "{said:?}");
        } else if *name == PROTOCOL_VERSION && call.modern {
            assert!(only.is_none() || said == call.version.map(|version| version.as_str()), "{said:?}");
        }
    }
}

/// The headers that a right client would send with this body.
fn mirrored(body: &[u8]) -> Option<HeaderMap> {
    let message: Value = serde_json::from_slice(body).ok()?;
    let params = &message["params"];
    let mut headers = HeaderMap::new();
    let named =
        ["name", "uri", "taskId"].into_iter().find_map(|member| params[member].as_str()).map(encode_name);
    for (name, value) in [
        (&PROTOCOL_VERSION, params["_meta"][VERSION].as_str()),
        (&METHOD, message["method"].as_str()),
        (&NAME, named.as_deref()),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    Some(headers)
}

/// A stream of events, whole and cut anywhere (attacks PX-18; HTML, section 9.2.6).
pub(crate) fn events(data: &[u8]) {
    let whole = resource_server::readers::events(&[data]);
    assert_eq!(whole, told_apart(data), "{}", String::from_utf8_lossy(data));
    let total: usize = whole.iter().map(Vec::len).sum();
    assert!(total <= data.len(), "nothing is added");
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(resource_server::readers::events(&bytes), whole, "byte by byte");
    let at = data.first().map_or(0, |byte| usize::from(*byte)) % data.len().max(1);
    let (one, two) = data.split_at(at);
    assert_eq!(resource_server::readers::events(&[one, &[], two]), whole, "cut at {at}");
}

/// The same written a second time: first all lines, then the events.
fn told_apart(data: &[u8]) -> Vec<Vec<u8>> {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = data.get(at) {
        at += 1;
        match byte {
            b'\r' | b'\n' => {
                at += usize::from(*byte == b'\r' && data.get(at) == Some(&b'\n'));
                lines.push(std::mem::take(&mut line));
            }
            other => line.push(*other),
        }
    }
    let (mut events, mut values): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            if !values.is_empty() {
                events.push(std::mem::take(&mut values).join(&b'\n'));
            }
        } else if line == b"data" {
            values.push(Vec::new());
        } else if let Some(value) = line.strip_prefix(b"data:") {
            values.push(value.strip_prefix(b" ").unwrap_or(value).to_vec());
        }
    }
    events
}

/// `Mcp-Name` (attacks PX-13; MCP 2026-07-28, transports, "Value Encoding").
pub(crate) fn names(data: &[u8]) {
    let Some(name) = text(data) else { return };
    let written = encode_name(name);
    assert!(written.is_empty() || HeaderValue::from_str(&written).is_ok(), "{written}");
    assert_eq!(written.trim_matches([' ', '\t']), written, "nothing that a header loses");
    assert_eq!(decode_name(&written).as_deref(), Some(name));
    let wrapped = name.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match (decode_name(name), wrapped) {
        (Some(read), None) => assert_eq!(read, name),
        (Some(read), Some(wrapped)) => assert_eq!(STANDARD.encode(read.as_bytes()), wrapped, "one spelling"),
        (None, Some(wrapped)) => {
            let bytes = STANDARD.decode(wrapped).unwrap_or(vec![0xff]);
            assert!(String::from_utf8(bytes).is_err(), "{name}");
        }
        (None, None) => assert!(wrapped.is_some(), "what is not wrapped says itself"),
    }
}
