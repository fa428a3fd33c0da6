//! The two lists of headers, whole: what of a request reaches the MCP server, and what of its answer reaches the client
//! (attacks PX-05 to PX-07; product.md, P-14). Whatever is not written here goes nowhere, in either version of HTTP.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;
use testkit::http::{Answer, Http, request};
use testkit::mcp_server::Received;
use testkit::outcomes::Verdict;

use super::proxy::{HEADERS, bearer, echo};
use crate::steps::{Flow, Tokens};

const VALUE: &str = "c4n4ry";
/// A request or answer has at most a hundred header lines; some of them are its own.
const LINES: usize = 80;

/// Two hundred names that nobody has on a list, and those that somebody somewhere believes.
fn odd_names() -> Vec<String> {
    let known = "accept-charset accept-encoding accept-language access-control-request-headers alt-used baggage cache-control \
        cdn-loop cf-access-jwt-assertion cf-connecting-ip client-ip cookie correlation-id date device-stock-ua digest \
        dpop early-data fastly-client-ip forwarded from grpc-timeout if-match if-modified-since if-none-match if-range \
        if-unmodified-since idempotency-key last-event-id last-modified link max-forwards mcp-param_x mcp-params-x \
        mcp_method mcp_name mcp_protocol_version mcp_session_id mcp-session-id mcp-user mcpmethod pragma prefer priority \
        proxy-authorization proxy-status range referer save-data sec-fetch-dest sec-fetch-mode sec-fetch-site \
        sec-fetch-user sec-gpc sec-websocket-key sekisho sekisho-identity sekisho-identity-2 sekisho-user \
        sekisho_identity service-worker signature signature-input soapaction ssl-client-cert surrogate-capability \
        traceparent tracestate true-client-ip upgrade-insecure-requests user user-agent via want-digest warning \
        x-access-token x-amz-date x-amzn-oidc-data x-api-key x-auth-request-user x-authenticated-user x-client-cert \
        x-cluster-client-ip x-csrf-token x-envoy-original-path x-forwarded x-forwarded-access-token \
        x-forwarded-client-cert x-forwarded-email x-forwarded-for x-forwarded-groups x-forwarded-host x-forwarded-port \
        x-forwarded-proto x-forwarded-server x-forwarded-uri x-forwarded-user x_forwarded_user x-goog-iap-jwt-assertion \
        x-http-method x-http-method-override x-mcp-param-a x-mcp-user x-method-override x-ms-client-principal \
        x-original-host x-original-url x-pomerium-jwt-assertion x-real-ip x-remote-user x-request-id x-rewrite-url \
        x-sekisho-identity x-user x-user-id x-vault-token";
    let numbered = (0..100).map(|n| format!("x-odd-{n}"));
    known.split_whitespace().map(str::to_owned).chain(numbered).collect()
}

/// What a request says beside that: it must go through, and nothing else.
struct Sent {
    method: Method,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    arrives: &'static [&'static str],
}

const ALWAYS: [&str; 4] = ["accept", "accept-encoding", "host", "sekisho-identity"];

fn legacy(method: &str) -> Bytes {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "echo", "arguments": {}}})
        .to_string()
        .into()
}

/// One request of each kind, in a session of an older client where there are sessions.
fn kinds(session: &str) -> Vec<Sent> {
    let modern: Vec<(&str, String)> = HEADERS
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .chain([("content-type", "application/json".to_owned()), ("mcp-param-city", "Kyoto".to_owned())])
        .collect();
    let older = |accept: &str| {
        vec![
            ("accept", accept.to_owned()),
            ("mcp-protocol-version", "2025-11-25".to_owned()),
            ("mcp-session-id", session.to_owned()),
        ]
    };
    let json = |headers: Vec<(&'static str, String)>| {
        [headers, vec![("content-type", "application/json; charset=utf-8".to_owned())]].concat()
    };
    let both = "application/json, text/event-stream";
    let in_session: &[&str] = &["content-length", "content-type", "mcp-protocol-version", "mcp-session-id"];
    let bare: &[&str] = &["mcp-protocol-version", "mcp-session-id"];
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let response = json!({"jsonrpc": "2.0", "id": 7, "result": {}}).to_string();
    let post = |headers, body, arrives| Sent { method: Method::POST, headers, body, arrives };
    vec![
        post(
            modern,
            echo("x").to_string().into(),
            &[
                "content-length",
                "content-type",
                "mcp-method",
                "mcp-name",
                "mcp-param-city",
                "mcp-protocol-version",
            ],
        ),
        post(json(older(both)), legacy("tools/call"), in_session),
        post(json(older(both)), notification.into(), in_session),
        post(json(older(both)), response.into(), in_session),
        Sent { method: Method::GET, headers: older("text/event-stream"), body: Bytes::new(), arrives: bare },
        Sent { method: Method::DELETE, headers: older(both), body: Bytes::new(), arrives: bare },
    ]
}

async fn begin(flow: &Flow, good: &str) -> Result<String, String> {
    let headers = [("authorization", good), ("accept", "application/json, text/event-stream")];
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }});
    let answer = flow.house.http.post_json(&flow.house.resource("notes"), &headers, &hello).await?;
    Ok(answer.header("mcp-session-id").to_owned())
}

/// Sends it with some odd headers beside its own, and hands over what arrived.
async fn arrived(
    flow: &Flow,
    http: &Http,
    good: &str,
    sent: &Sent,
    odd: &[String],
) -> Result<Received, String> {
    let own: BTreeSet<&str> = sent.headers.iter().map(|(name, _)| *name).collect();
    let mut headers: Vec<(&str, &str)> = vec![("authorization", good)];
    headers.extend(sent.headers.iter().map(|(name, value)| (*name, value.as_str())));
    let odd = odd.iter().filter(|name| !own.contains(name.as_str()));
    headers.extend(odd.map(|name| (name.as_str(), VALUE)));
    let before = flow.house.mcp.received().len();
    if sent.method == Method::GET {
        flow.house.mcp.answer_next(events());
    }
    let asked = request(sent.method.clone(), &flow.house.resource("notes"), &headers, sent.body.clone())?;
    let answer = http.send(asked).await?;
    assert!(answer.status.is_success(), "{}: {} {}", sent.method, answer.status, answer.text());
    let mut received = flow.house.mcp.received().split_off(before);
    assert_eq!(received.len(), 1, "{received:?}");
    received.pop().ok_or_else(|| "nothing arrived".to_owned())
}

#[tokio::test]
async fn px_05_px_06_px_07_of_two_hundred_headers_those_on_the_list_reach_the_mcp_server() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let session = begin(&flow, &good).await?;
    let odd = odd_names();
    assert!(odd.len() > 200, "{}", odd.len());
    for http in [flow.house.http.another(), Http::http2()] {
        for (sent, some) in
            kinds(&session).iter().flat_map(|sent| odd.chunks(LINES).map(move |some| (sent, some)))
        {
            let call = arrived(&flow, &http, &good, sent, some).await?;
            let mut expected: BTreeSet<&str> =
                ALWAYS.into_iter().chain(sent.arrives.iter().copied()).collect();
            // The position in a stream belongs to the list of GET, within a session.
            if sent.method == Method::GET && some.iter().any(|name| name == "last-event-id") {
                expected.insert("last-event-id");
            }
            let names: BTreeSet<&str> = call.headers.keys().map(http::HeaderName::as_str).collect();
            assert_eq!(names, expected, "{} {}", sent.method, String::from_utf8_lossy(&sent.body));
            for name in names {
                assert_eq!(call.headers.get_all(name).iter().count(), 1, "{name}");
                assert!(name == "last-event-id" || !call.header(name).contains(VALUE), "{:?}", call.headers);
            }
            assert_eq!(call.body, sent.body, "the bytes that were judged");
            assert_ne!(call.header("mcp-session-id"), session);
        }
    }
    flow.close().await
}

fn events() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(b"data: {}\n\n"));
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    answer
}

/// What an MCP server could want to tell a browser, a cache or a client of somebody else's.
fn odd_answer_names() -> Vec<String> {
    let known = "accept-ch accept-patch accept-ranges access-control-allow-credentials access-control-allow-headers \
        access-control-allow-methods access-control-allow-origin access-control-expose-headers access-control-max-age age \
        allow alt-svc authentication-info cache-control cdn-cache-control clear-site-data content-digest \
        content-disposition content-language content-location content-range content-security-policy \
        content-security-policy-report-only critical-ch cross-origin-embedder-policy cross-origin-opener-policy \
        cross-origin-resource-policy date deprecation digest dpop-nonce etag expect-ct expires host-header last-modified \
        link location mcp-protocol-version mcp-session-id nel no-vary-search origin-agent-cluster permissions-policy \
        pragma proxy-authenticate proxy-authentication-info public-key-pins referrer-policy refresh report-to \
        reporting-endpoints retry-after sekisho-identity server server-timing service-worker-allowed set-cookie \
        set-cookie2 sourcemap speculation-rules strict-transport-security sunset surrogate-control timing-allow-origin \
        tk vary via want-content-digest warning www-authenticate x-accel-buffering x-accel-redirect x-content-type-options \
        x-dns-prefetch-control x-download-options x-frame-options x-permitted-cross-domain-policies x-powered-by \
        x-request-id x-robots-tag x-sendfile x-ua-compatible x-xss-protection";
    known.split_whitespace().map(str::to_owned).chain((0..120).map(|n| format!("x-odd-{n}"))).collect()
}

fn odd_answer(
    status: u16,
    media: &'static str,
    body: &'static str,
    names: &[String],
) -> Result<Response<Bytes>, String> {
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    for name in names {
        let name: http::HeaderName = name.parse().map_err(|_| "not a header name")?;
        answer.headers_mut().insert(name, http::HeaderValue::from_static(VALUE));
    }
    answer.headers_mut().append("set-cookie", http::HeaderValue::from_static("c4n4ry=1; Path=/"));
    if !media.is_empty() {
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static(media));
    }
    Ok(answer)
}

/// What the client gets of it: what every answer of ours has, and what the body needs.
fn expected(media: &str, status: u16) -> BTreeSet<&'static str> {
    let mut all: BTreeSet<&str> = [
        "cache-control",
        "content-length",
        "content-security-policy",
        "date",
        "vary",
        "x-content-type-options",
        "x-request-id",
    ]
    .into();
    // An error in words that are for nobody is told in ours, which are JSON.
    if !media.is_empty() || status >= 400 {
        all.insert("content-type");
    }
    // Read on its way for lists, a stream has no length beforehand.
    if media == "text/event-stream" {
        all.insert("x-accel-buffering");
        all.remove("content-length");
    }
    if status == 405 {
        all.insert("allow");
    }
    all
}

fn call_odd(flow: &Flow, tokens: &Tokens) -> Result<http::Request<http_body_util::Full<Bytes>>, String> {
    flow.house.call_request("notes", &tokens.access, "tools/call", json!({"name": "odd", "arguments": {}}))
}

fn is_clean(answer: &Answer, what: &str) {
    for (name, value) in &answer.headers {
        assert!(!String::from_utf8_lossy(value.as_bytes()).contains(VALUE), "{what}: {name}: {value:?}");
        assert!(name == "vary" || answer.headers.get_all(name).iter().count() == 1, "{what}: {name}");
    }
    assert!(!answer.text().contains(VALUE), "{what}: {}", answer.text());
}

/// Status, media type and body of answers whose status and own body may pass.
const ANSWERS: [(u16, &str, &str); 10] = [
    (200, "application/json", "{}"),
    (200, "text/event-stream", "data: {}\n\n"),
    (201, "application/json", "{}"),
    (400, "application/json", "{}"),
    (404, "application/json", "{}"),
    (405, "text/html", "<script>c4n4ry</script>"),
    (418, "text/plain", "c4n4ry"),
    (429, "", ""),
    (500, "application/json", "{}"),
    (503, "text/html", "c4n4ry"),
];

/// Those that are refused altogether: a request is answered by a message (requirements RS-066).
const REFUSED: [(u16, &str); 9] = [
    (202, ""),
    (204, ""),
    (206, "application/json"),
    (302, "application/json"),
    (401, "application/json"),
    (403, "application/json"),
    (407, ""),
    (200, "text/html"),
    (200, ""),
];

#[tokio::test]
async fn of_two_hundred_headers_of_an_answer_none_reaches_the_client_in_the_mcp_server_s_words() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let odd = odd_answer_names();
    assert!(odd.len() > 200, "{}", odd.len());
    for http in [flow.house.http.another(), Http::http2()] {
        for some in odd.chunks(LINES) {
            for (status, media, body) in ANSWERS {
                flow.house.mcp.answer_next(odd_answer(status, media, body, some)?);
                let answer = http.send(call_odd(&flow, &tokens)?).await?;
                assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
                is_clean(&answer, &format!("{status} {media}"));
                let mut seen: BTreeSet<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
                // Each version says by its own means where a body ends.
                seen.remove("transfer-encoding");
                if answer.body.is_empty() {
                    seen.insert("content-length");
                }
                assert_eq!(seen, expected(media, status), "{status} {media}");
            }
            for (status, media) in REFUSED {
                flow.house.mcp.answer_next(odd_answer(status, media, "c4n4ry", some)?);
                let answer = http.send(call_odd(&flow, &tokens)?).await?;
                assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{status}: {}", answer.text());
                is_clean(&answer, &format!("{status} {media}"));
                assert!(!answer.headers.contains_key("www-authenticate"), "{:?}", answer.headers);
            }
        }
    }
    flow.house.close().await
}

#[tokio::test]
async fn a_word_of_when_to_come_again_passes_as_seconds_and_in_no_other_form() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    for (said, passes) in [
        ("0", true),
        ("99999", true),
        ("1000000000", false),
        ("Wed, 21 Oct 2026 07:28:00 GMT", false),
        ("-1", false),
        ("1.5", false),
        ("1, 2", false),
        ("+5", false),
        ("", false),
    ] {
        let mut answer = odd_answer(429, "application/json", "{}", &[])?;
        answer.headers_mut().insert("retry-after", said.parse().map_err(|_| "not a header value")?);
        flow.house.mcp.answer_next(answer);
        let answer = flow.house.http.send(call_odd(&flow, &tokens)?).await?;
        assert_eq!(answer.headers.get("retry-after").is_some(), passes, "{said}: {:?}", answer.headers);
    }
    flow.close().await
}
