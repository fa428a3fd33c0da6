//! Calls that are signed by their client (RFC 9421, RFC 9530; docs/message-signatures.md): the base is put together by hand here,
//! so that two readers of the standard have to agree.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use protocol::message_signature::SignatureMode;
use protocol::oauth::DpopRules;
use protocol::secret::Hash;
use protocol::world::Clock as _;
use resource_server::OtherIssuer;
use serde_json::{Value, json};
use store::KeysRecord as _;
use testkit::dpop::{DpopKey, ath, claims};
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::outcomes::Verdict;
use testkit::world::TestClock;

use super::machines::machine;
use crate::steps::{Flow, Tokens};

async fn flow(mode: SignatureMode) -> Result<Flow, String> {
    Flow::with(Plan { message_signatures: mode, ..Plan::default() }).await
}

/// One message of an older client, in a session if there is one.
fn message(
    flow: &Flow,
    tokens: &Tokens,
    body: &Value,
    session: Option<&HeaderValue>,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = flow.house.resource("notes").parse().unwrap();
    let headers = request.headers_mut();
    for (name, value) in [
        ("authorization", format!("Bearer {}", tokens.access)),
        ("content-type", "application/json".to_owned()),
        ("accept", "application/json, text/event-stream".to_owned()),
        ("mcp-protocol-version", "2025-11-25".to_owned()),
    ] {
        headers.insert(name, HeaderValue::try_from(value).unwrap());
    }
    headers.extend(session.map(|session| (http::HeaderName::from_static("mcp-session-id"), session.clone())));
    request
}

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "signer", "version": "1"},
    }})
}

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

/// A client that signs.
struct Signer<'a> {
    flow: &'a Flow,
    key: DpopKey,
    nonces: std::cell::Cell<u32>,
}

impl<'a> Signer<'a> {
    fn new(flow: &'a Flow) -> Result<Self, String> {
        Ok(Self { flow, key: DpopKey::new()?, nonces: std::cell::Cell::new(0) })
    }

    /// Adds the fields that sign a request with this body (RFC 9421, sections 2.5 and 3.1).
    fn sign(&self, request: &mut Request<Full<Bytes>>, body: &str) -> Verdict {
        let target = request.uri().to_string();
        self.sign_for(&target, request, body)
    }

    /// The same by a client that believes itself under this address.
    fn sign_for(&self, target: &str, request: &mut Request<Full<Bytes>>, body: &str) -> Verdict {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Hash::of(body.as_bytes()).as_bytes()));
        let directory = json!({"keys": [self.key.jwk()]}).to_string();
        let agent = "data:application/http-message-signatures-directory+json;base64,";
        let method = request.method().to_string();
        let headers = request.headers_mut();
        headers.insert("content-digest", HeaderValue::try_from(digest).unwrap());
        headers.insert(
            "signature-agent",
            HeaderValue::try_from(format!("{agent}{}", STANDARD.encode(directory))).unwrap(),
        );
        let mut lines = vec![format!("\"@method\": {method}"), format!("\"@target-uri\": {target}")];
        let mut covered = vec!["\"@method\"".to_owned(), "\"@target-uri\"".to_owned()];
        for name in ["content-digest", "mcp-protocol-version", "mcp-session-id"] {
            if let Some(value) = headers.get(name) {
                lines.push(format!("\"{name}\": {}", value.to_str().unwrap()));
                covered.push(format!("\"{name}\""));
            }
        }
        self.nonces.set(self.nonces.get() + 1);
        let (key, now) = (self.key.thumbprint(), self.flow.house.clock.now().secs());
        let nonce = format!("nonce-of-the-test-{}", self.nonces.get());
        let list =
            format!("({});created={now};nonce=\"{nonce}\";keyid=\"{key}\";tag=\"{key}\"", covered.join(" "));
        lines.push(format!("\"@signature-params\": {list}"));
        let signature = STANDARD.encode(self.key.sign_text(&lines.join("\n"))?);
        headers.insert("signature-input", HeaderValue::try_from(format!("sig1={list}")).unwrap());
        headers.insert("signature", HeaderValue::try_from(format!("sig1=:{signature}:")).unwrap());
        Ok(())
    }

    async fn send(
        &self,
        tokens: &Tokens,
        body: &Value,
        session: Option<&HeaderValue>,
    ) -> Result<Answer, String> {
        let mut request = message(self.flow, tokens, body, session);
        self.sign(&mut request, &body.to_string())?;
        self.flow.house.http.send(request).await
    }

    /// Begins a session.
    async fn begin(&self, tokens: &Tokens) -> Result<HeaderValue, String> {
        let answer = self.send(tokens, &initialize(), None).await?;
        let session = answer.headers.get("mcp-session-id").cloned().filter(|_| answer.status == 200);
        session.ok_or_else(|| format!("no session: {} {}", answer.status, answer.text()))
    }
}

async fn unsigned(
    flow: &Flow,
    tokens: &Tokens,
    body: &Value,
    session: Option<&HeaderValue>,
) -> Result<Answer, String> {
    flow.house.http.send(message(flow, tokens, body, session)).await
}

/// 401 that says what to sign, and a JSON-RPC error that answers the call.
fn unsigned401(answer: &Answer) -> Verdict {
    let has = |headers: &HeaderMap, name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    let told = has(&answer.headers, "accept-signature") && has(&answer.headers, "www-authenticate");
    if answer.status == 401 && told && answer.json()["id"] == 1 && answer.json()["error"]["code"] == -32600 {
        return Ok(());
    }
    Err(format!("{} {:?} {}", answer.status, answer.headers, answer.text()))
}

#[tokio::test]
async fn where_calls_must_be_signed_a_session_is_of_the_key_that_began_it() -> Verdict {
    let mut flow = flow(SignatureMode::Required).await?;
    let tokens = flow.tokens().await?;
    {
        let (mine, another) = (Signer::new(&flow)?, Signer::new(&flow)?);
        unsigned401(&unsigned(&flow, &tokens, &initialize(), None).await?)?;
        let session = mine.begin(&tokens).await?;
        assert_eq!(mine.send(&tokens, &ping(), Some(&session)).await?.status, 200);
        // Whoever has token and session but not the key has nothing.
        unsigned401(&unsigned(&flow, &tokens, &ping(), Some(&session)).await?)?;
        assert_eq!(another.send(&tokens, &ping(), Some(&session)).await?.status, 404);
        // And a key of one's own alone, outside of a session, binds nothing.
        unsigned401(&mine.send(&tokens, &ping(), None).await?)?;
        assert_eq!(mine.send(&tokens, &ping(), Some(&session)).await?.status, 200);
        let arrived = flow.house.mcp.received();
        assert_eq!(arrived.len(), 3, "nothing else reached the MCP server");
        for header in ["signature", "signature-input", "signature-agent", "content-digest"] {
            assert!(arrived.iter().all(|call| call.header(header).is_empty()), "{header} went further");
        }
    }
    flow.close().await
}

/// RFC 9449, section 7: whoever stole a bound token has a key too, and it is another one.
#[tokio::test]
async fn where_the_token_is_bound_to_a_key_the_signature_is_by_that_key() -> Verdict {
    let flow = flow(SignatureMode::Required).await?;
    {
        let (mine, another) = (Signer::new(&flow)?, Signer::new(&flow)?);
        let (house, notes) = (&flow.house, flow.house.resource("notes"));
        let proof = |url: &str, token: Option<&str>| {
            let mut claims = claims("POST", url, house.clock.now().secs());
            if let Some(token) = token {
                claims["ath"] = json!(ath(token));
            }
            mine.key.proof(&claims)
        };
        let runner = machine(house, "runner", "secret-of-the-runner");
        let fields = [("grant_type", "client_credentials"), ("resource", notes.as_str())];
        let at = format!("{}/oauth/token", house.issuer);
        let given = runner.token_with(&[("dpop", &proof(&at, None)?)], &fields).await?.json();
        assert_eq!(given["token_type"], "DPoP");
        let access = given["access_token"].as_str().ok_or("no token")?.to_owned();
        house.remember_secret(&access);
        let tokens = Tokens { access, refresh: String::new() };
        for (signer, status) in [(&another, 401), (&mine, 200)] {
            let mut request = message(&flow, &tokens, &ping(), None);
            let proof = proof(&notes, Some(&tokens.access))?;
            for (name, value) in [("authorization", format!("DPoP {}", tokens.access)), ("dpop", proof)] {
                request.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
            }
            signer.sign(&mut request, &ping().to_string())?;
            let answer = house.http.send(request).await?;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
    flow.close().await
}

#[tokio::test]
async fn a_signature_is_for_one_request_and_its_very_content() -> Verdict {
    let mut flow = flow(SignatureMode::Optional).await?;
    let tokens = flow.tokens().await?;
    {
        let signer = Signer::new(&flow)?;
        let session = signer.begin(&tokens).await?;
        let body = ping();
        let mut good = message(&flow, &tokens, &body, Some(&session));
        signer.sign(&mut good, &body.to_string())?;
        let (head, _) = good.into_parts();
        let with = |headers: &HeaderMap, uri: &str, body: &Value| {
            let mut request = message(&flow, &tokens, body, None);
            *request.headers_mut() = headers.clone();
            *request.uri_mut() = uri.parse().unwrap();
            request
        };
        let here = flow.house.resource("notes");
        let other = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        unsigned401(&flow.house.http.send(with(&head.headers, &here, &other)).await?)?;
        unsigned401(&flow.house.http.send(with(&head.headers, &format!("{here}?x=1"), &body)).await?)?;
        let mut changed = head.headers.clone();
        changed.insert("mcp-protocol-version", HeaderValue::from_static("2025-06-18"));
        unsigned401(&flow.house.http.send(with(&changed, &here, &body)).await?)?;
        let mut less = head.headers.clone();
        less.remove("signature");
        unsigned401(&flow.house.http.send(with(&less, &here, &body)).await?)?;
        assert_eq!(flow.house.http.send(with(&head.headers, &here, &body)).await?.status, 200);
        unsigned401(&flow.house.http.send(with(&head.headers, &here, &body)).await?)?;
        assert_eq!(
            flow.events(store::AuditKind::CallRefused, "signature_replayed").await.map(|all| all.len() <= 1),
            Ok(true)
        );
        // A session that was begun signed is not gone on with unsigned; others may be without.
        assert_eq!(unsigned(&flow, &tokens, &body, Some(&session)).await?.status, 404);
        let plain = unsigned(&flow, &tokens, &initialize(), None).await?;
        let plain = plain.headers.get("mcp-session-id").cloned().ok_or("no session")?;
        assert_eq!(unsigned(&flow, &tokens, &body, Some(&plain)).await?.status, 200);
        assert_eq!(signer.send(&tokens, &body, Some(&plain)).await?.status, 200);
    }
    flow.close().await
}

/// Of what was used before a restore nobody knows any more: where each is good once on all nodes, those from before are good no more.
#[tokio::test]
async fn a_signature_from_before_a_restore_is_not_taken_where_each_is_good_once() -> Verdict {
    let dpop_rules = DpopRules { nonces: false, once_across_nodes: true };
    let plan = Plan { message_signatures: SignatureMode::Optional, dpop_rules, ..Plan::default() };
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    {
        let signer = Signer::new(&flow)?;
        let session = signer.begin(&tokens).await?;
        let signed = || {
            let mut request = message(&flow, &tokens, &ping(), Some(&session));
            signer.sign(&mut request, &ping().to_string()).map(|()| request)
        };
        let (before, restored) = (signed()?, flow.house.clock.now().micros().to_string());
        flow.house.store.put_meta("restored_at", &restored).await.map_err(|error| error.to_string())?;
        // Everything is read again once a minute, and that it was restored with it.
        flow.house.advance(Duration::from_secs(61)).await?;
        unsigned401(&flow.house.http.send(before).await?)?;
        assert_eq!(flow.house.http.send(signed()?).await?.status, 200);
    }
    flow.close().await
}

#[tokio::test]
async fn a_signature_is_from_now() -> Verdict {
    let mut flow = flow(SignatureMode::Optional).await?;
    let tokens = flow.tokens().await?;
    let mut request = message(&flow, &tokens, &ping(), None);
    Signer::new(&flow)?.sign(&mut request, &ping().to_string())?;
    flow.house.advance(std::time::Duration::from_secs(301)).await?;
    unsigned401(&flow.house.http.send(request).await?)?;
    flow.calls(&tokens.access).await?;
    flow.close().await
}

#[tokio::test]
async fn where_nobody_looks_a_signature_is_no_more_than_headers() -> Verdict {
    let mut flow = flow(SignatureMode::Off).await?;
    let tokens = flow.tokens().await?;
    let mut request = message(&flow, &tokens, &ping(), None);
    request.headers_mut().insert("signature", HeaderValue::from_static("nonsense"));
    assert_eq!(flow.house.http.send(request).await?.status, 200);
    flow.close().await
}

/// A client that knows the house under its former address signs for that, as long as tokens of that address are good.
#[tokio::test]
async fn a_signature_for_a_former_address_is_good_until_its_end() -> Verdict {
    const OLD: &str = "https://old.example.com";
    let clock = std::sync::Arc::new(TestClock::default());
    let until = Some(clock.now().plus(Duration::from_secs(60)));
    let other_issuers = vec![OtherIssuer { issuer: OLD.to_owned(), until }];
    let message_signatures = SignatureMode::Optional;
    let mut flow = Flow::with(Plan { message_signatures, other_issuers, clock, ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let signer = Signer::new(&flow)?;
    let body = ping();
    let answered = async |target: &str| {
        let mut request = message(&flow, &tokens, &body, None);
        signer.sign_for(target, &mut request, &body.to_string())?;
        Ok::<_, String>(flow.house.http.send(request).await?.status.as_u16())
    };
    let (old, new) = (format!("{OLD}/notes/mcp"), flow.house.resource("notes"));
    assert_eq!((answered(&old).await?, answered(&new).await?), (200, 200));
    assert_eq!(answered("https://elsewhere.example.com/notes/mcp").await?, 401);
    assert_eq!(answered(&format!("{OLD}/ledger/mcp")).await?, 401, "of another MCP server");
    flow.house.advance(Duration::from_secs(60)).await?;
    assert_eq!((answered(&old).await?, answered(&new).await?), (401, 200));
    flow.close().await
}
