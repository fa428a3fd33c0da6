//! The MCP endpoint (attacks.md, 1.9): tokens in the wrong place, spoofed identities, smuggling, other paths, browsers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::house::Plan;
use testkit::http::{Answer, Http, request};
use testkit::mcp_server::FakeMcpServer;
use testkit::outcomes::{Verdict, harmless, rs401, rs401_bare};
use testkit::raw;

use crate::steps::{Flow, Tokens, while_trying};

/// A call of the tool `echo` as 2026-07-28 has it.
pub(super) fn echo(said: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "echo", "arguments": {"said": said},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}},
    }})
}

pub(super) const HEADERS: [(&str, &str); 4] = [
    ("accept", "application/json, text/event-stream"),
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "tools/call"),
    ("mcp-name", "echo"),
];

/// Calls with these headers beside the usual ones.
pub(super) async fn call(flow: &Flow, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let headers = [&HEADERS, headers].concat();
    flow.house.http.post_json(&flow.house.resource("notes"), &headers, &echo("hello")).await
}

pub(super) fn bearer(tokens: &Tokens) -> String {
    format!("Bearer {}", tokens.access)
}

pub(super) fn claims(assertion: &str) -> Result<Value, String> {
    let part = assertion.split('.').nth(1).ok_or("no assertion")?;
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[tokio::test]
async fn px_01_without_one_well_formed_token_nobody_is_called() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    rs401_bare(&call(&flow, &[]).await?)?;
    for other in ["Basic x", "Digest x", "DPoPx abc", "bearerx abc", &tokens.access] {
        rs401_bare(&call(&flow, &[("authorization", other)]).await?).map_err(while_trying(other))?;
    }
    let spaced = format!("Bearer {} x", tokens.access);
    let flipped = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    let upper = good.to_ascii_uppercase();
    let long = format!("Bearer {}", "a".repeat(9000));
    for malformed in [
        "Bearer",
        "Bearer ",
        "Bearer    ",
        "Bearer a b",
        "Bearer \u{fc}",
        "Bearer abc",
        &spaced,
        &flipped,
        &upper,
        &long,
    ] {
        rs401(&call(&flow, &[("authorization", malformed)]).await?).map_err(while_trying(malformed))?;
    }
    let listed = format!("{good}, {good}");
    for two in [
        vec![("authorization", good.as_str()), ("authorization", good.as_str())],
        vec![("authorization", listed.as_str())],
    ] {
        assert_eq!(call(&flow, &two).await?.status, StatusCode::BAD_REQUEST, "{two:?}");
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    // The scheme has no case.
    let answer = call(&flow, &[("authorization", &good.replace("Bearer", "bEARER"))]).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    flow.close().await
}

#[tokio::test]
async fn px_02_a_token_anywhere_else_is_not_looked_at() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let url = format!("{}?access_token={}", flow.house.resource("notes"), tokens.access);
    rs401_bare(&flow.house.http.post_json(&url, &HEADERS, &echo("x")).await?)?;
    let form = [("access_token", tokens.access.as_str())];
    rs401_bare(&flow.house.http.post_form(&flow.house.resource("notes"), &HEADERS, &form).await?)?;
    for cookie in
        [format!("access_token={}", tokens.access), format!("Authorization=Bearer {}", tokens.access)]
    {
        rs401_bare(&call(&flow, &[("cookie", &cookie)]).await?)?;
    }
    for name in ["x-access-token", "proxy-authorization", "x-authorization", "x-forwarded-access-token"] {
        rs401_bare(&call(&flow, &[(name, &bearer(&tokens))]).await?).map_err(while_trying(name))?;
    }
    // RS-026: one that is carried twice, the second time where logs keep it.
    let good = bearer(&tokens);
    let twice = [HEADERS.as_slice(), &[("authorization", good.as_str())]].concat();
    let answer = flow.house.http.post_json(&url, &twice, &echo("x")).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(answer.header("www-authenticate").contains(r#"error="invalid_request""#), "{answer:?}");
    // Somebody who is signed in in this browser is nobody here.
    let issuer = url::Url::parse(&flow.house.issuer).map_err(|error| error.to_string())?;
    rs401_bare(&call(&flow, &[("cookie", &flow.browser.cookie_header(&issuer))]).await?)?;
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn px_04_a_genuine_token_of_somebody_else_is_none() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.tokens().await?;
    for foreign in [
        "gho_16C7e42F292c6912E7710c838347Ae178B4a",
        "ya29.a0AfB_byC-example",
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLm1pY3Jvc29mdG9ubGluZS5jb20vIn0.c2ln",
        "skr_AAAA",
    ] {
        rs401(&call(&flow, &[("authorization", &format!("Bearer {foreign}"))]).await?)
            .map_err(while_trying(foreign))?;
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn px_05_px_06_px_07_the_mcp_server_gets_our_word_of_who_calls_and_nobody_else_s() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let spoofed = [
        ("cookie", "session=of-the-client"),
        ("dpop", "proof"),
        ("mcp-session-id", "of-the-client"),
        ("sekisho-identity", "forged"),
        ("Sekisho-Identity", "forged"),
        ("sekisho_identity", "forged"),
        ("x-forwarded-user", "root"),
        ("x_forwarded_user", "root"),
        ("x-mcp-user", "root"),
        ("x-vault-token", "root"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("proxy-authorization", "Basic x"),
        ("x-api-key", "root"),
        ("te", "trailers"),
        ("via", "1.1 evil"),
        // Nor may what is hop-by-hop take away what we add.
        ("connection", "close, Authorization, sekisho-identity, content-type, x-forwarded-user"),
    ];
    let answer = call(&flow, &[&[("authorization", good.as_str())], spoofed.as_slice()].concat()).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let call = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
    let names: Vec<&str> = call.headers.keys().map(http::HeaderName::as_str).collect();
    let known = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "sekisho-identity",
    ];
    for name in &names {
        assert!(known.contains(name), "{name} went through: {names:?}");
    }
    for (name, _) in &call.headers {
        assert_eq!(call.headers.get_all(name).iter().count(), 1, "{name}");
    }
    let told = claims(call.header("sekisho-identity"))?;
    assert_eq!(told["sub"], tokens.claims()?["sub"]);
    assert_eq!(told["aud"], flow.house.mcp.url.as_str());
    assert_eq!(call.header("content-type"), "application/json");
    flow.close().await
}

/// Requests that two parsers may read as different ones; each carries a second call that nobody may see alone.
fn smuggled(host: &str, good: &str, body: &str) -> Vec<(&'static str, String)> {
    let head = |more: &str| {
        let usual: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: {good}\r\nContent-Type: application/json\r\n{usual}{more}\r\n"
        )
    };
    let length = body.len();
    let chunk = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let second = head(&format!("Content-Length: {length}\r\n")) + body;
    vec![
        (
            "both lengths",
            head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")) + &chunk + &second,
        ),
        (
            "a chunked body that ends early",
            head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"))
                + "0\r\n\r\n"
                + &second,
        ),
        ("two lengths", head(&format!("Content-Length: {length}\r\nContent-Length: 5\r\n")) + body + &second),
        ("a list of lengths", head(&format!("Content-Length: {length}, 5\r\n")) + body + &second),
        ("a signed length", head(&format!("Content-Length: +{length}\r\n")) + body + &second),
        ("another coding", head("Transfer-Encoding: xchunked\r\n") + &chunk + &second),
        ("a coding with a blank", head("Transfer-Encoding : chunked\r\n") + &chunk + &second),
        ("a folded coding", head("Transfer-Encoding:\r\n chunked\r\n") + &chunk + &second),
        ("two codings", head("Transfer-Encoding: chunked, identity\r\n") + &chunk + &second),
        (
            "a chunk size that overflows",
            head("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\n" + body + &second,
        ),
        (
            "a chunk size with a sign",
            head("Transfer-Encoding: chunked\r\n") + &format!("+{length:x}\r\n{body}\r\n0\r\n\r\n") + &second,
        ),
        ("a bare line feed in the head", head("X-A: b\nX-C: d\r\nContent-Length: 5\r\n") + body + &second),
        ("NUL in a value", head(&format!("X-A: b\0\r\nContent-Length: {length}\r\n")) + body),
        ("two hosts", head(&format!("Host: evil.example\r\nContent-Length: {length}\r\n")) + body),
        ("a host in the target", second.replace("POST /notes", "POST http://evil.example/notes")),
    ]
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_not_two_requests() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (host, address) = (flow.house.host(), flow.house.address());
    for (what, bytes) in smuggled(&host, &bearer(&tokens), &echo("smuggled").to_string()) {
        let before = flow.house.mcp.received().len();
        // Whoever closes without a word refused as well.
        if let Ok(answer) = raw::send(&address, bytes.as_bytes()).await {
            harmless(&answer, &[&tokens.access]).map_err(while_trying(what))?;
        }
        let seen = flow.house.mcp.received().len() - before;
        assert!(seen <= 1, "{what}: the MCP server saw {seen}");
    }
    flow.close().await
}

#[tokio::test]
async fn px_10_another_spelling_of_the_path_is_another_path() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    for path in [
        "/notes/mcp/",
        "//notes/mcp",
        "/notes//mcp",
        "/Notes/mcp",
        "/notes/MCP",
        "/notes/mcp;x=1",
        "/notes;x/mcp",
        "/n%6ftes/mcp",
        "/notes%2fmcp",
        "/ledger/..%2fnotes/mcp",
        "/x/../notes/mcp",
        "/./notes/mcp",
        "/%2e/notes/mcp",
        "/notes/mcp%00",
        "/notes/mcp/..",
        "/%252e/notes/mcp",
        "/mcp/notes",
        "/notes",
        "/notes/mcp/extra",
        "/notes\\mcp",
        "/nobody/mcp",
        "/oauth/mcp",
    ] {
        let usual: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let body = echo("x").to_string();
        let host = flow.house.host();
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {good}\r\nContent-Type: application/json\r\n{usual}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw::send(&flow.house.address(), bytes.as_bytes()).await.map_err(while_trying(path))?;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.status);
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    // A query changes nothing of where it goes.
    let url = format!("{}?server=ledger", flow.house.resource("notes"));
    let answer = flow
        .house
        .http
        .post_json(&url, &[&HEADERS, [("authorization", good.as_str())].as_slice()].concat(), &echo("x"))
        .await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    flow.close().await
}

/// AS-241.
#[tokio::test]
async fn px_11_what_an_untrusted_peer_says_of_the_request_is_not_read() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let ledger = flow.house.resource("ledger");
    let said = [
        ("authorization", bearer(&tokens)),
        ("x-forwarded-for", "203.0.113.7".to_owned()),
        ("forwarded", "for=203.0.113.7;host=evil.example;proto=https".to_owned()),
        ("x-real-ip", "203.0.113.7".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
        ("x-forwarded-uri", "/ledger/mcp".to_owned()),
        ("x-original-url", "/ledger/mcp".to_owned()),
        ("x-rewrite-url", ledger),
        ("x-http-method-override", "DELETE".to_owned()),
    ];
    let said: Vec<(&str, &str)> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = call(&flow, &said).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let calls = house.audit(store::AuditKind::Call).await?;
    let [event] = calls.as_slice() else { return Err(format!("one call is expected: {calls:?}")) };
    assert_eq!((event.address.as_deref(), event.server.as_deref()), (Some("127.0.0.1"), Some("notes")));
    // Where nobody is asked for a token the challenge names our own URL, whatever the request says.
    let bare = house.http.post_json(&house.resource("notes"), &said[1..], &echo("x")).await?;
    rs401_bare(&bare)?;
    assert!(!bare.header("www-authenticate").contains("evil"), "{}", bare.header("www-authenticate"));
    house.close().await
}

/// What we cannot read we cannot judge: no other coding is asked for, and one that comes all the same is not passed on.
#[tokio::test]
async fn px_19_an_answer_in_a_coding_that_was_not_asked_for_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let coded = |codings: &[&'static str]| {
        let mut answer = Response::new(Bytes::from_static(b"{\"c4n4ry\":1}"));
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        for coding in codings {
            answer.headers_mut().append("content-encoding", http::HeaderValue::from_static(coding));
        }
        answer
    };
    let own = json!({"name": "odd", "arguments": {}});
    for codings in
        [&["gzip"][..], &["br"], &["zstd"], &["GZIP"], &[""], &["identity, gzip"], &["identity", "br"]]
    {
        for (method, params) in [("tools/list", json!({})), ("tools/call", own.clone())] {
            if method == "tools/list" {
                flow.house.mcp.list_next(coded(codings));
            } else {
                flow.house.mcp.answer_next(coded(codings));
            }
            let answer = flow.house.call("notes", &tokens.access, method, params).await?;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{codings:?} {method}: {}", answer.text());
            assert!(!answer.text().contains("c4n4ry"), "{}", answer.text());
            let seen = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
            assert_eq!(seen.header("accept-encoding"), "identity");
        }
    }
    flow.calls(&tokens.access).await?;
    flow.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn px_22_se_14_answers_and_identities_of_two_people_do_not_mix() -> Verdict {
    let mut flow = Flow::new().await?;
    let alice = flow.tokens().await?;
    flow.browser = flow.house.browser();
    flow.login = "bob";
    let bob = flow.tokens().await?;
    let who =
        [(alice.claims()?["sub"].clone(), bearer(&alice)), (bob.claims()?["sub"].clone(), bearer(&bob))];
    // All of it over one connection, twenty at a time, each under the same JSON-RPC id.
    let http = Http::http2();
    for round in 0..25 {
        let calls = (0..20).map(|n| {
            let (sub, token) = &who[n % 2];
            let canary = format!("canary {sub} {round} {n}");
            let headers = [HEADERS.as_slice(), &[("authorization", token.as_str())]].concat();
            let body = echo(&canary);
            let (http, resource) = (&http, flow.house.resource("notes"));
            async move { http.post_json(&resource, &headers, &body).await.map(|answer| (canary, answer)) }
        });
        for answered in futures_util::future::join_all(calls).await {
            let (canary, answer) = answered?;
            assert!(answer.text().contains(&canary.replace('"', "\\\\\\\"")), "{canary}: {}", answer.text());
        }
    }
    // What arrived says of itself who sent it: the same as the assertion beside it.
    let received = flow.house.mcp.received();
    // What the gateway asked on its own is no call of theirs.
    let calls: Vec<_> = received.iter().filter(|call| call.json()["method"] == "tools/call").collect();
    assert_eq!(calls.len(), 500);
    for call in calls {
        let sub = claims(call.header("sekisho-identity"))?["sub"].to_string();
        let said = call.json()["params"]["arguments"]["said"].as_str().unwrap_or_default().to_owned();
        assert!(said.starts_with(&format!("canary {sub} ")), "{said} was sent as {sub}");
    }
    flow.house.close().await
}

#[tokio::test]
async fn px_26_a_redirect_of_the_mcp_server_is_not_followed() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let elsewhere = FakeMcpServer::start().await.map_err(|error| error.to_string())?;
    for status in [301, 302, 303, 307, 308] {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
        answer.headers_mut().insert("location", elsewhere.url.parse().map_err(|_| "not a header")?);
        flow.house.mcp.answer_next(answer);
        let odd = json!({"name": "odd", "arguments": {}});
        let answer = flow.house.call("notes", &tokens.access, "tools/call", odd).await?;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{status}: {}", answer.text());
        assert!(answer.headers.get("location").is_none());
    }
    assert_eq!(elsewhere.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn px_31_another_origin_or_host_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let own = flow.house.issuer.clone();
    let dotted = format!("{own}.");
    for origin in [
        "https://evil.example",
        "null",
        "",
        "https://claude.ai.",
        "https://CLAUDE.ai",
        "https://x@claude.ai",
        &dotted,
    ] {
        let answer = call(&flow, &[("authorization", &good), ("origin", origin)]).await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
        assert!(answer.headers.get("access-control-allow-origin").is_none(), "{origin}");
    }
    let two = [("authorization", good.as_str()), ("origin", own.as_str()), ("origin", own.as_str())];
    assert_eq!(call(&flow, &two).await?.status, StatusCode::FORBIDDEN);
    let port = flow.house.issuer.rsplit(':').next().unwrap_or_default().to_owned();
    for host in [
        "evil.example",
        "localhost",
        "127.0.0.1",
        &format!("127.0.0.1:{port}"),
        &format!("evil@localhost:{port}"),
        &format!("localhost.:{port}"),
    ] {
        let answer = call(&flow, &[("authorization", &good), ("host", host)]).await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{host}");
    }
    // The same in HTTP/2, where the host stands in `:authority`.
    let http = Http::http2();
    let headers = [&HEADERS, [("authorization", good.as_str())].as_slice()].concat();
    let elsewhere = format!("http://127.0.0.1:{port}/notes/mcp");
    assert_eq!(http.post_json(&elsewhere, &headers, &echo("x")).await?.status, StatusCode::FORBIDDEN);
    let both = [headers.as_slice(), &[("host", "evil.example")]].concat();
    assert_eq!(
        http.post_json(&flow.house.resource("notes"), &both, &echo("x")).await?.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(flow.house.mcp.connections(), 0);
    assert_eq!(
        http.post_json(&flow.house.resource("notes"), &headers, &echo("x")).await?.status,
        StatusCode::OK
    );
    for origin in [own.as_str(), "https://claude.ai"] {
        let answer = call(&flow, &[("authorization", &good), ("origin", origin)]).await?;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, origin));
    }
    flow.close().await
}

#[tokio::test]
async fn px_32_a_preflight_comes_before_authentication_and_a_401_can_be_read() -> Verdict {
    let flow = Flow::new().await?;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,mcp-protocol-version"),
        ];
        let asked = request(Method::OPTIONS, &flow.house.resource("notes"), &headers, Bytes::new())?;
        flow.house.http.send(asked).await
    };
    let answer = preflight("https://claude.ai").await?;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::NO_CONTENT, "https://claude.ai")
    );
    assert!(answer.header("access-control-allow-headers").to_ascii_lowercase().contains("authorization"));
    assert!(answer.headers.get("access-control-allow-credentials").is_none());
    let refused = preflight("https://evil.example").await?;
    assert!(refused.headers.get("access-control-allow-origin").is_none(), "{:?}", refused.headers);
    let bare = call(&flow, &[("origin", "https://claude.ai")]).await?;
    rs401_bare(&bare)?;
    assert_eq!(bare.header("access-control-allow-origin"), "https://claude.ai");
    assert!(bare.header("access-control-expose-headers").to_ascii_lowercase().contains("www-authenticate"));
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn px_33_a_message_over_the_cap_is_refused_on_both_paths_and_one_at_the_cap_is_not() -> Verdict {
    const CAP: usize = 20_000;
    let mut flow = Flow::with(Plan { message_bytes: CAP, ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let of = |length: usize| {
        let empty = echo("").to_string().len();
        echo(&"x".repeat(length - empty)).to_string()
    };
    let send = async |body: String| {
        let headers =
            [&HEADERS, [("authorization", good.as_str()), ("content-type", "application/json")].as_slice()]
                .concat();
        flow.house.http.post(&flow.house.resource("notes"), &headers, body).await
    };
    let chunked = |body: &str| {
        let usual: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = flow.house.host();
        let mut bytes = format!(
            "POST /notes/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: {good}\r\nContent-Type: application/json\r\n{usual}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        for part in body.as_bytes().chunks(3000) {
            bytes.push_str(&format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)));
        }
        bytes + "0\r\n\r\n"
    };
    let over = send(of(CAP + 1)).await?;
    assert_eq!(over.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", over.text());
    assert_eq!(over.json()["jsonrpc"], "2.0", "{}", over.text());
    let address = flow.house.address();
    assert_eq!(
        raw::send(&address, chunked(&of(CAP + 1)).as_bytes()).await?.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        raw::send(&address, chunked(&of(CAP * 100)).as_bytes()).await?.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let http2 = async |body: String| {
        let headers =
            [&HEADERS, [("authorization", good.as_str()), ("content-type", "application/json")].as_slice()]
                .concat();
        Http::http2().post(&flow.house.resource("notes"), &headers, body).await
    };
    assert_eq!(http2(of(CAP + 1)).await?.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(flow.house.mcp.connections(), 0);
    assert_eq!(http2(of(CAP)).await?.status, StatusCode::OK);
    assert_eq!(send(of(CAP)).await?.status, StatusCode::OK);
    assert_eq!(raw::send(&address, chunked(&of(CAP)).as_bytes()).await?.status, StatusCode::OK);
    flow.close().await
}

#[tokio::test]
async fn px_37_a_position_in_a_trace_goes_on_only_if_it_is_one() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let good = bearer(&tokens);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = format!("{trace}{}", "0".repeat(60_000));
    for (sent, goes_on) in [
        (trace, true),
        ("00-0-0-00", false),
        ("nonsense", false),
        (&long, false),
        (&trace.to_ascii_uppercase(), false),
    ] {
        let headers = [
            ("authorization", good.as_str()),
            ("traceparent", sent),
            ("baggage", "secret=1"),
            ("tracestate", "a=b"),
        ];
        let answer = call(&flow, &headers).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let call = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
        assert_eq!(call.header("traceparent") == sent, goes_on, "{:?}", call.headers);
        assert!(
            !call.headers.contains_key("baggage") && !call.headers.contains_key("tracestate"),
            "{:?}",
            call.headers
        );
    }
    flow.close().await
}

#[tokio::test]
async fn a_call_without_the_scope_is_told_which_it_needs_and_nothing_reaches_the_mcp_server() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let narrow =
        [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str()), ("scope", "read")];
    let narrow = Tokens::of(&flow.client.token(&narrow).await?)?;
    let writing = json!({"name": "write", "arguments": {"secret": "c4n4ry"}});
    let refused = flow.house.call("notes", &narrow.access, "tools/call", writing).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"")
            && challenge.contains("scope=\"")
            && challenge.contains("write"),
        "{challenge}"
    );
    harmless(&refused, &["c4n4ry"])?;
    let seen = flow.house.mcp.received();
    assert!(seen.iter().all(|call| !call.json().to_string().contains("c4n4ry")), "{seen:?}");
    assert_eq!(flow.house.echo("notes", &narrow.access).await?.status, StatusCode::OK);
    flow.house.close().await
}
