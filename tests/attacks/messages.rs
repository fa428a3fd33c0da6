//! Messages that two readers could read in two ways (attacks.md, 1.9, PX-12 to PX-17 and PX-29), over the wire: each is
//! refused in both versions of HTTP, the MCP server is not even dialled, and the audit has one event for each.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{AuditKind, Outcome};
use testkit::http::{Answer, Http, request};
use testkit::outcomes::{Verdict, harmless};

use super::proxy::{HEADERS, bearer, echo};
use crate::steps::{Flow, while_trying};

const MISMATCH: i64 = -32020;
const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;
const PARSE: i64 = -32700;
const UNSUPPORTED: i64 = -32022;

/// What is sent: headers in place of the usual ones of 2026-07-28 or beside them, a body, and the code of the refusal.
struct Bad {
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    code: i64,
}

fn bad(headers: &[(&'static str, &'static str)], body: impl ToString, code: i64) -> Bad {
    Bad { headers: headers.to_vec(), body: body.to_string(), code }
}

/// The usual headers without those that are named here, and these; `absent` is none.
fn headers<'a>(good: &'a str, changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = HEADERS.into_iter().chain([("content-type", "application/json"), ("authorization", good)]);
    let mut all: Vec<(&str, &str)> =
        usual.filter(|(name, _)| changed.iter().all(|(other, _)| other != name)).collect();
    all.extend(changed.iter().filter(|(_, value)| *value != "absent"));
    all
}

/// Sends each over both versions of HTTP.
async fn refuse(cases: Vec<Bad>) -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let mut reasons = 0;
    for http in [flow.house.http.another(), Http::http2()] {
        for case in &cases {
            let what = format!("{:?} {}", case.headers, case.body);
            let headers = headers(&good, &case.headers);
            let answer = http.post(&flow.house.resource("notes"), &headers, case.body.clone()).await?;
            is_refused(&answer, case.code).map_err(while_trying(&what))?;
            harmless(&answer, &["c4n4ry", &tokens.access]).map_err(while_trying(&what))?;
            reasons += 1;
        }
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    // The door is open for who asks in order.
    let usual = headers(&good, &[]);
    let answer = flow.house.http.post(&flow.house.resource("notes"), &usual, echo("x").to_string()).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    flow.house = flow.house.restart().await?;
    let events = flow.house.audit(AuditKind::CallRefused).await?;
    let whole = events.iter().filter(|event| {
        event.outcome == Outcome::Refused
            && event.reason.is_some()
            && event.client_id.is_some()
            && event.address.is_some()
            && event.server.as_deref() == Some("notes")
    });
    assert_eq!(whole.count(), reasons, "{events:?}");
    flow.close().await
}

fn is_refused(answer: &Answer, code: i64) -> Verdict {
    let json = answer.json();
    let right = answer.status == StatusCode::BAD_REQUEST
        && json["jsonrpc"] == "2.0"
        && json["error"]["code"] == code
        && json["error"]["message"].as_str().is_some_and(|text| !text.is_empty())
        && answer.header("cache-control").contains("no-store");
    if right { Ok(()) } else { Err(format!("{code} is expected: {} {}", answer.status, answer.text())) }
}

fn modern(method: &str, params: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

#[tokio::test]
async fn px_12_px_14_headers_that_say_another_thing_than_the_body_are_refused() -> Verdict {
    let body = || echo("c4n4ry");
    let listing = modern("tools/list", "");
    let legacy = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}});
    refuse(vec![
        bad(&[("mcp-method", "tools/list")], body(), MISMATCH),
        bad(&[("mcp-method", "Tools/Call")], body(), MISMATCH),
        bad(&[("mcp-method", "absent")], body(), MISMATCH),
        bad(&[("mcp-method", "")], body(), MISMATCH),
        bad(&[("mcp-method", "tools/call"), ("mcp-method", "tools/list")], body(), MISMATCH),
        bad(&[("mcp-method", "tools/call"), ("mcp-method", "tools/call")], body(), MISMATCH),
        bad(&[("mcp-method", "tools/call, tools/list")], body(), MISMATCH),
        bad(&[("mcp-method", "tools/call")], &listing, MISMATCH),
        bad(&[("mcp-name", "Echo")], body(), MISMATCH),
        bad(&[("mcp-name", "write")], body(), MISMATCH),
        bad(&[("mcp-name", "absent")], body(), MISMATCH),
        bad(&[("mcp-name", "")], body(), MISMATCH),
        bad(&[("mcp-name", "echo"), ("mcp-name", "echo")], body(), MISMATCH),
        bad(&[("mcp-name", "ech\u{f6}")], body(), MISMATCH),
        bad(&[("mcp-protocol-version", "absent")], body(), MISMATCH),
        bad(&[("mcp-protocol-version", "")], body(), MISMATCH),
        bad(&[("mcp-protocol-version", "2025-11-25")], body(), MISMATCH),
        bad(&[("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "s")], body(), MISMATCH),
        bad(
            &[("mcp-protocol-version", "2026-07-28"), ("mcp-protocol-version", "2026-07-28")],
            body(),
            MISMATCH,
        ),
        bad(
            &[("mcp-protocol-version", "2026-07-28"), ("mcp-protocol-version", "2025-11-25")],
            body(),
            MISMATCH,
        ),
        bad(
            &[("mcp-protocol-version", "2099-01-01")],
            body().to_string().replace("2026-07-28", "2099-01-01"),
            UNSUPPORTED,
        ),
        bad(&[("mcp-protocol-version", "2099-01-01")], &legacy, UNSUPPORTED),
        bad(&[], &legacy, INVALID_PARAMS),
        bad(&[("mcp-protocol-version", "absent"), ("mcp-method", "tools/list")], &legacy, MISMATCH),
        bad(&[("mcp-protocol-version", "absent"), ("mcp-name", "write")], &legacy, MISMATCH),
        bad(&[("mcp-protocol-version", "2025-11-25"), ("mcp-name", "write")], &legacy, MISMATCH),
        bad(&[("mcp-protocol-version", "1999-01-01")], &legacy, INVALID_REQUEST),
        bad(&[("mcp-protocol-version", "DRAFT-2026")], &legacy, INVALID_REQUEST),
    ])
    .await
}

#[tokio::test]
async fn px_13_a_wrapped_name_is_unwrapped_once_and_exactly() -> Verdict {
    let games = [
        "=?BASE64?ZWNobw==?=",
        "=?Base64?ZWNobw==?=",
        "=?base64?ZWNobw==?",
        "=?base64?ZWNobw?=",
        "=?base64?ZWNobw=?=",
        "=?base64?ZWNobx==?=",
        "=?base64?ZWNo bw==?=",
        "=?base64?ZWNobw==?= ?=",
        "=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=",
        "=?base64?=?=",
        "=?base64??=",
        "=?base64?/////w==?=",
        "=?utf-8?B?ZWNobw==?=",
        "=?base64?ZWNobwA=?=",
        "=?base64?ZWNobw==?==?base64?ZWNobw==?=",
    ];
    let mut cases: Vec<Bad> =
        games.into_iter().map(|game| bad(&[("mcp-name", game)], echo("x"), MISMATCH)).collect();
    // A tool whose name looks like a wrapped one is named by wrapping that.
    let literal = modern("tools/call", r#""name":"=?base64?ZWNobw==?=","arguments":{},"#);
    cases.push(bad(&[("mcp-name", "=?base64?ZWNobw==?=")], &literal, MISMATCH));
    cases.push(bad(&[("mcp-name", "echo")], literal, MISMATCH));
    refuse(cases).await
}

#[tokio::test]
async fn px_15_px_16_json_that_two_readers_read_in_two_ways_is_refused() -> Verdict {
    let call = echo("x").to_string();
    let with = |from: &str, to: &str| {
        assert!(call.contains(from), "{from} {call}");
        call.replacen(from, to, 1)
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let keys: String = (0..200).map(|n| format!(r#""k{n}":1,"#)).collect();
    refuse(vec![
        bad(&[], with(r#""method":"#, r#""method":"tools/list","method":"#), INVALID_REQUEST),
        bad(&[], with(r#""method":"#, r#""Method":"tools/list","method":"#), INVALID_REQUEST),
        bad(&[], with(r#""method":"#, r#""\u006dethod":"#), INVALID_REQUEST),
        bad(&[], with(r#""method":"#, r#""method\u0000":"x","method":"#), INVALID_REQUEST),
        bad(&[], with(r#""name":"#, r#""name":"write","name":"#), INVALID_REQUEST),
        bad(&[], with(r#""name":"#, r#""NAME":"write","name":"#), INVALID_REQUEST),
        bad(&[], with(r#""arguments":"#, r#""arguments":{"a":1},"arguments":"#), INVALID_REQUEST),
        bad(&[], with(r#""params":"#, r#""params":{},"params":"#), INVALID_REQUEST),
        bad(&[], with(r#""params":"#, "\"param\u{17f}\":{},\"params\":"), INVALID_REQUEST),
        bad(&[], with(r#""id":1"#, r#""id":1,"id":2"#), INVALID_REQUEST),
        bad(&[], with(r#""jsonrpc":"2.0""#, r#""jsonrpc":"2.0","jsonrpc":"2.0""#), INVALID_REQUEST),
        bad(&[], with(r#""jsonrpc":"2.0""#, r#""jsonrpc":"1.0""#), INVALID_REQUEST),
        bad(&[], with(r#""jsonrpc":"2.0""#, r#""jsonrpc":2.0"#), INVALID_REQUEST),
        bad(&[], with(r#""id":1"#, &format!(r#"{keys}"id":1"#)), INVALID_REQUEST),
        bad(
            &[],
            with("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/ProtocolVersion"),
            INVALID_REQUEST,
        ),
        bad(&[], format!("\u{feff}{call}"), PARSE),
        bad(&[], format!("{call}{call}"), PARSE),
        bad(&[], format!("{call}\0"), PARSE),
        bad(&[], format!("{call},"), PARSE),
        bad(&[], format!("// a comment\n{call}"), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":NaN"#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":Infinity"#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":1e999"#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":"\ud800""#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""\udc00":"x""#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":'x'"#), PARSE),
        bad(&[], with(r#""said":"x""#, r#""said":"x",}"#), PARSE),
        bad(&[], with(r#""said":"x""#, "\"said\":\"a\nb\""), PARSE),
        bad(&[], with(r#""said":"x""#, &format!(r#""said":{deep}"#)), PARSE),
        bad(&[], format!("[{call}]"), INVALID_REQUEST),
        bad(&[], format!("[{},{call}]", modern("tools/list", "")), INVALID_REQUEST),
        bad(&[("mcp-protocol-version", "2025-03-26")], "[]", INVALID_REQUEST),
        bad(&[("mcp-protocol-version", "absent")], format!(" \n[{call}]"), INVALID_REQUEST),
        bad(&[], "", PARSE),
        bad(&[], "null", INVALID_REQUEST),
        bad(&[], "\"tools/call\"", INVALID_REQUEST),
        bad(&[], with(r#""method":"tools/call""#, r#""method":["tools/call"]"#), INVALID_REQUEST),
        bad(&[], with(r#""method":"tools/call""#, r#""method":"tools/call","result":{}"#), INVALID_REQUEST),
        bad(&[], r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, INVALID_REQUEST),
    ])
    .await
}

#[tokio::test]
async fn px_17_ids_that_are_none_are_refused_and_those_that_are_come_back_as_they_were() -> Verdict {
    let with = |id: &str| echo("x").to_string().replacen(r#""id":1"#, &format!(r#""id":{id}"#), 1);
    let long = format!("\"{}\"", "x".repeat(1_000_000));
    let mut cases = Vec::new();
    for id in ["null", "1.0", "1e0", "-0", "true", "{}", "[1]", "9223372036854775808", "1e400", &long] {
        cases.push(bad(&[], with(id), INVALID_REQUEST));
    }
    refuse(cases).await?;
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let longest = format!("\"{}\"", "y".repeat(1000));
    for id in
        ["0", "-1", "1", "\"1\"", "\"\"", "\"\\u0031\"", "9223372036854775807", "\"\u{1f6aa}\"", &longest]
    {
        let body = with(id);
        let headers = headers(&good, &[]);
        let answer = flow.house.http.post(&flow.house.resource("notes"), &headers, body.clone()).await?;
        assert_eq!(answer.status, StatusCode::OK, "{id}: {}", answer.text());
        assert_eq!(answer.json()["id"], serde_json::from_str::<Value>(id).unwrap_or_default(), "{id}");
        let arrived = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
        assert_eq!(arrived.body, body.as_bytes(), "the bytes that were judged");
        // Our own refusals echo it as it was written.
        let refused = with(id).replacen(r#""name":"echo""#, r#""name":"other""#, 1);
        let refused = flow.house.http.post(&flow.house.resource("notes"), &headers, refused).await?;
        assert!(refused.text().contains(&format!(r#""id":{id},"#)), "{id}: {}", refused.text());
    }
    // One id, several calls in flight: each answer is that of its own call.
    let calls = (0..20).map(|n| {
        let (http, headers) = (&flow.house.http, headers(&good, &[]));
        let (url, said) = (flow.house.resource("notes"), format!("said {n}"));
        async move { http.post(&url, &headers, echo(&said).to_string()).await.map(|answer| (said, answer)) }
    });
    for answered in futures_util::future::join_all(calls).await {
        let (said, answer) = answered?;
        assert!(answer.text().contains(&said), "{said}: {}", answer.text());
    }
    flow.close().await
}

#[tokio::test]
async fn px_29_a_parameter_header_is_passed_on_unread_or_refused_and_says_nothing_to_us() -> Verdict {
    refuse(vec![
        bad(&[("mcp-param-city", "K\u{f8}benhavn")], echo("x"), MISMATCH),
        bad(&[("mcp-param-city", "a\tb")], echo("x"), MISMATCH),
        bad(&[("mcp-param-city", "a"), ("mcp-param-city", "a")], echo("x"), MISMATCH),
        bad(&[("mcp-param-city", "a"), ("mcp-param-city", "b")], echo("x"), MISMATCH),
    ])
    .await?;
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    // Names that a tool may have marked, and some that it may not: they are the MCP server's to judge (RS-163).
    let passed = [
        ("mcp-param-authorization", "Bearer of-somebody"),
        ("mcp-param-host", "evil.example"),
        ("mcp-param-content-length", "0"),
        ("mcp-param-sekisho-identity", "forged"),
        ("mcp-param-name", "write"),
        ("mcp-param-", "no name"),
        ("mcp-param-a.b!#$%&'*+^`|~", "=?base64?w6k=?="),
        ("mcp-param-empty", ""),
    ];
    for http in [flow.house.http.another(), Http::http2()] {
        let headers = headers(&good, &passed);
        let answer = http.post(&flow.house.resource("notes"), &headers, echo("x").to_string()).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let arrived = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
        for (name, value) in passed {
            assert_eq!(arrived.header(name), value, "{name}");
        }
        assert!(!arrived.headers.contains_key("authorization"), "{:?}", arrived.headers);
        assert_eq!(arrived.header("host"), flow.house.mcp.url.split('/').nth(2).unwrap_or_default());
    }
    // Line ends are no header at all.
    let usual: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = echo("x").to_string();
    let before = flow.house.mcp.received().len();
    for value in ["a\r\n b", "a\rb", "a\nMcp-Name: write", "a\0b"] {
        let bytes = format!(
            "POST /notes/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: {good}\r\nContent-Type: application/json\r\n{usual}Mcp-Param-City: {value}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            flow.house.host(),
            body.len()
        );
        let answer = testkit::raw::send(&flow.house.address(), bytes.as_bytes()).await?;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{value:?}");
    }
    assert_eq!(flow.house.mcp.received().len(), before);
    flow.close().await
}

/// RFC 9110, section 9.3.2: over HTTP/2 a client takes content after a HEAD for an error of the connection.
#[tokio::test]
async fn whatever_is_answered_to_a_head_has_no_content() -> Verdict {
    let flow = Flow::new().await?;
    let places = [
        ("/nowhere", 404),
        ("/readyz", 200),
        ("/.well-known/oauth-authorization-server", 200),
        ("/oauth/token", 405),
        ("/notes/mcp", 405),
        ("/ledger/mcp/", 404),
    ];
    for stale in [false, true] {
        if stale {
            // Nobody knows what was revoked since, and that is said in words.
            flow.house.clock.advance(Duration::from_secs(20));
        }
        for http in [flow.house.http.another(), Http::http2()] {
            for (path, expected) in places {
                let asked =
                    request(Method::HEAD, &flow.at(path), &[("authorization", "Bearer x")], Bytes::new())?;
                let answer = http.send(asked).await.map_err(|why| format!("{path}, {stale}: {why}"))?;
                assert_eq!(answer.text(), "", "{path}");
                assert!(stale || answer.status.as_u16() == expected, "{path}: {}", answer.status);
            }
        }
    }
    flow.close().await
}

/// Neighbours of the rows: whatever else HTTP has to offer, one call is one call or none.
#[tokio::test]
async fn what_http_offers_beside_a_post_changes_nothing_of_a_call() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let url = flow.house.resource("notes");
    for http in [flow.house.http.another(), Http::http2()] {
        for changed in [
            vec![("accept", "*/*")],
            vec![("accept", "absent")],
            vec![("accept", "application/json"), ("accept", "text/event-stream")],
            vec![("accept", "TEXT/*;q=0.1 , Application/JSON;q=1.0")],
            vec![("content-type", "APPLICATION/JSON ; Charset=\"UTF-8\"")],
            vec![
                ("range", "bytes=0-1"),
                ("if-none-match", "*"),
                ("if-match", "\"x\""),
                ("if-range", "\"x\""),
            ],
            vec![("expect", "100-continue")],
            vec![("mcp-session-id", "ignored"), ("last-event-id", "7")],
            vec![("content-encoding", "identity")],
        ] {
            let answer = http.post(&url, &headers(&good, &changed), echo("x").to_string()).await?;
            assert_eq!(answer.status, StatusCode::OK, "{changed:?}: {}", answer.text());
            assert!(!answer.headers.contains_key("mcp-session-id"), "{:?}", answer.headers);
        }
        for (changed, status) in [
            (vec![("accept", "")], 406),
            (vec![("accept", "application/json")], 406),
            (vec![("accept", "text/event-stream")], 406),
            (vec![("accept", "application/json, text/event-stream;q=0")], 406),
            (vec![("accept", "text/html, application/xml")], 406),
            (vec![("content-type", "absent")], 415),
            (vec![("content-type", "")], 415),
            (vec![("content-type", "text/plain")], 415),
            (vec![("content-type", "text/json")], 415),
            (vec![("content-type", "application/json-seq")], 415),
            (vec![("content-type", "application/x-www-form-urlencoded")], 415),
            (vec![("content-type", "multipart/form-data; boundary=x")], 415),
            (vec![("content-type", "application/json; charset=utf-16")], 415),
            (vec![("content-type", "application/json, application/json")], 415),
            (vec![("content-type", "application/json"), ("content-type", "application/json")], 415),
            (vec![("content-type", "application/json"), ("content-type", "text/plain")], 415),
        ] {
            let before = flow.house.mcp.received().len();
            let answer = http.post(&url, &headers(&good, &changed), echo("x").to_string()).await?;
            assert_eq!(answer.status.as_u16(), status, "{changed:?}: {}", answer.text());
            assert_eq!(flow.house.mcp.received().len(), before, "{changed:?}");
        }
        for method in ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "QUERY", "post", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
            let before = flow.house.mcp.received().len();
            let body = if method == Method::TRACE { String::new() } else { echo("x").to_string() };
            let asked = request(method.clone(), &url, &headers(&good, &[]), Bytes::from(body))?;
            let answer = http.send(asked).await?;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(answer.header("allow"), "POST", "{method}");
            assert_eq!(flow.house.mcp.received().len(), before, "{method}");
        }
    }
    flow.close().await
}

/// A token is what stands in the header, once, whatever blanks HTTP lets stand around it.
#[tokio::test]
async fn px_01_blanks_and_repetition_make_no_other_token_in_either_version_of_http() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let token = &tokens.access;
    let url = flow.house.resource("notes");
    for http in [flow.house.http.another(), Http::http2()] {
        for written in [
            format!("bearer {token}"),
            format!("BEARER   {token}"),
            format!("Bearer {token} "),
            format!("Bearer {token}\t"),
        ] {
            let answer = http.post_json(&url, &auth(&written), &echo("x")).await?;
            assert_eq!(answer.status, StatusCode::OK, "{written:?}: {}", answer.text());
        }
        let before = flow.house.mcp.received().len();
        let (good, other) = (format!("Bearer {token}"), "Bearer x".to_owned());
        for (written, status) in [
            (vec![good.clone(), good.clone()], 400),
            (vec![good.clone(), other.clone()], 400),
            (vec![other.clone(), good.clone()], 400),
            (vec!["Basic eDp5".to_owned(), good.clone()], 400),
            (vec![good.clone(), String::new()], 400),
            (vec![format!("{good},Basic eDp5")], 400),
            (vec![format!("{good} , {good}")], 400),
            (vec![format!("Bearer\t{token}")], 401),
            (vec![format!("Bearer{token}")], 401),
            (vec![format!("Bearer:{token}")], 401),
            (vec![format!("Bearer \"{token}\"")], 401),
            (vec![format!("Bearer {token}.")], 401),
            (vec![format!("Bearer {token}=")], 401),
            (vec![format!("Bearer {}", token.replace('.', "%2e"))], 401),
            (vec![format!("Token {token}")], 401),
            (vec![token.clone()], 401),
        ] {
            let mut headers = HEADERS.to_vec();
            headers.extend(written.iter().map(|value| ("authorization", value.as_str())));
            let answer = http.post_json(&url, &headers, &echo("x")).await?;
            assert_eq!(answer.status.as_u16(), status, "{written:?}: {}", answer.text());
            harmless(&answer, &[token])?;
        }
        assert_eq!(flow.house.mcp.received().len(), before);
    }
    flow.close().await
}

fn auth(value: &str) -> Vec<(&str, &str)> {
    HEADERS.into_iter().chain([("authorization", value)]).collect()
}

#[tokio::test]
async fn a_trailer_says_nothing_and_a_body_of_get_and_delete_goes_nowhere() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let (host, address) = (flow.house.host(), flow.house.address());
    let usual: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = echo("x").to_string();
    let chunked = |head: &str, trailers: &str| {
        format!(
            "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{usual}{head}TE: trailers\r\nTrailer: Authorization, Mcp-Name\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n{trailers}\r\n",
            body.len()
        )
    };
    let late = chunked("", &format!("Authorization: {good}\r\n"));
    testkit::outcomes::rs401_bare(&testkit::raw::send(&address, late.as_bytes()).await?)?;
    assert_eq!(flow.house.mcp.connections(), 0);
    let trailed = chunked(
        &format!("Authorization: {good}\r\n"),
        "Mcp-Name: write\r\nSekisho-Identity: forged\r\nMcp-Param-X: 1\r\nContent-Length: 1\r\n",
    );
    let answer = testkit::raw::send(&address, trailed.as_bytes()).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let arrived = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
    assert_eq!((arrived.header("mcp-name"), arrived.header("mcp-param-x")), ("echo", ""));
    assert_ne!(arrived.header("sekisho-identity"), "forged");
    for method in ["GET", "DELETE"] {
        let before = flow.house.mcp.received().len();
        flow.house.mcp.answer_next(http::Response::new(Bytes::new()));
        let bytes = format!(
            "{method} /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: {good}\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = testkit::raw::send(&address, bytes.as_bytes()).await?;
        assert!(!answer.status.is_server_error(), "{method}: {}", answer.status);
        let seen = flow.house.mcp.received().split_off(before);
        assert!(seen.len() <= 1 && seen.iter().all(|call| call.body.is_empty()), "{method}: {seen:?}");
    }
    flow.house.close().await
}
