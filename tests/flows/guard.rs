//! An MCP server that clients reach without the gateway, guarded by the layer of `sekisho-guard` (docs/verify-tokens-yourself.md):
//! the example of that crate, in this process, against a running house.

#[path = "../../crates/guard/examples/notes/notes.rs"]
mod notes;
mod streams;

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use authorization_server::AccessTokenAlgorithm;
use authorization_server::keys::When;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use protocol::world::{Clock, Timestamp};
use sekisho_guard::{Guard, Settings};
use serde_json::{Value, json};
use store::{KeyPurpose, Revocation, RevocationKind};
use testkit::client::mcp_request;
use testkit::document_host::DocumentHost;
use testkit::house::{Plan, introspection_secret, masters};
use testkit::http::Answer;
use testkit::outcomes::Verdict;
use testkit::world::{TestClock, TestEntropy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::Service;

use crate::steps::{Flow, Tokens};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The MCP server of the example. It ends when it is dropped.
struct InHouse {
    url: String,
    _serving: JoinSet<()>,
}

impl InHouse {
    /// Guards `notes` of the house, and waits until the guard knows enough.
    async fn of(flow: &Flow) -> Result<Self, String> {
        Self::serving(settings(flow)?, notes::guarded).await
    }

    /// The same with other settings, and another service.
    async fn serving<S, B>(settings: Settings, service: impl FnOnce(&Guard) -> S) -> Result<Self, String>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let guard = Guard::new(settings).map_err(|error| error.to_string())?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
        let url = format!("http://{}", listener.local_addr().map_err(|error| error.to_string())?);
        let service = service(&guard);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        let ready = async {
            while !guard.ready() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.map_err(|_| "the guard never heard of the house")?;
        Ok(Self { url, _serving: serving })
    }

    async fn call(&self, flow: &Flow, token: &str, tool: &str) -> Result<Answer, String> {
        let request =
            mcp_request(&format!("{}/notes/mcp", self.url), token, "tools/call", json!({"name": tool}))?;
        flow.house.http.send(request).await
    }

    /// Calls until it is answered with this status.
    async fn answers(&self, flow: &Flow, token: &str, status: u16) -> Result<Answer, String> {
        let asking = async {
            loop {
                let answer = self.call(flow, token, "who_am_i").await?;
                if answer.status == status {
                    return Ok(answer);
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| format!("never answered {status}"))?
    }
}

fn settings(flow: &Flow) -> Result<Settings, String> {
    let (issuer, resource) = (&flow.house.issuer, flow.house.resource("notes"));
    Ok(Settings::new(issuer, &resource, "notes", introspection_secret("notes"))
        .map_err(|error| error.to_string())?
        .read_only_tools(["who_am_i"])
        .clock(Arc::clone(&flow.house.clock) as Arc<_>))
}

fn is(answer: &Answer, status: u16, challenge: &str) -> Verdict {
    let said = answer.header("www-authenticate");
    if answer.status == status && said.contains(challenge) {
        Ok(())
    } else {
        Err(format!("{} {said} {}, not {status} {challenge}", answer.status, answer.text()))
    }
}

#[tokio::test]
async fn an_mcp_server_without_the_gateway_knows_who_calls_and_what_they_may() -> Verdict {
    let mut flow = Flow::new().await?;
    let server = InHouse::of(&flow).await?;
    let document = format!("{}/.well-known/oauth-protected-resource/notes/mcp", server.url);
    let metadata = flow.house.http.get(&document, &[]).await?.json();
    assert_eq!(metadata["resource"], flow.house.resource("notes"));
    assert_eq!(metadata["authorization_servers"], json!([flow.house.issuer]));

    let tokens = flow.tokens().await?;
    let subject = tokens.claims()?["sub"].as_str().unwrap_or_default().to_owned();
    let seen = server.call(&flow, &tokens.access, "who_am_i").await?;
    assert!(seen.status == 200 && seen.text().contains(&subject), "{} {}", seen.status, seen.text());
    assert!(server.call(&flow, &tokens.access, "keep").await?.text().contains("1 kept"));

    let address =
        format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/notes/mcp\"", flow.house.issuer);
    let without = flow.house.http.post(&format!("{}/notes/mcp", server.url), &[], "{}").await?;
    is(&without, 401, &address)?;
    is(
        &server.call(&flow, &format!("{}x", tokens.access), "who_am_i").await?,
        401,
        "error=\"invalid_token\"",
    )?;

    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str()), ("scope", "read")];
    let reads = Tokens::of(&flow.client.token(&refresh).await?)?;
    flow.keep(&reads.access);
    flow.keep(&reads.refresh);
    assert_eq!(server.call(&flow, &reads.access, "who_am_i").await?.status, 200);
    let refused = server.call(&flow, &reads.access, "keep").await?;
    is(&refused, 403, "scope=\"read write\", error=\"insufficient_scope\"")?;
    assert!(
        server.call(&flow, &tokens.access, "keep").await?.text().contains("2 kept"),
        "a refused call did nothing"
    );
    flow.close().await
}

#[tokio::test]
async fn an_mcp_server_without_the_gateway_takes_no_token_for_another() -> Verdict {
    let mut flow = Flow::new().await?;
    let server = InHouse::of(&flow).await?;
    (flow.login, flow.server) = ("chika", "ledger");
    let tokens = flow.tokens().await?;
    flow.calls(&tokens.access).await?;
    is(&server.call(&flow, &tokens.access, "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    flow.house.advance(Duration::from_secs(3600)).await?;
    flow.close().await
}

#[tokio::test]
async fn an_mcp_server_without_the_gateway_hears_what_was_withdrawn_and_fails_closed() -> Verdict {
    let mut flow = Flow::new().await?;
    let server = InHouse::of(&flow).await?;
    let (first, second) = (flow.tokens().await?, flow.tokens().await?);
    assert_eq!(server.call(&flow, &first.access, "who_am_i").await?.status, 200);
    let client_id = flow.client.client_id.clone();
    flow.revoke(&[("token", &first.refresh), ("client_id", &client_id)]).await?;
    is(&server.answers(&flow, &first.access, 401).await?, 401, "error=\"invalid_token\"")?;
    let (http, clock) = (flow.house.http.clone(), Arc::clone(&flow.house.clock));
    let call = || {
        mcp_request(
            &format!("{}/notes/mcp", server.url),
            &second.access,
            "tools/call",
            json!({"name": "who_am_i"}),
        )
    };
    let before = http.send(call()?).await?;
    flow.close().await?;
    clock.advance(Duration::from_secs(6));
    let after = http.send(call()?).await?;
    assert_eq!((after.status.as_u16(), after.header("retry-after")), (503, "1"), "{}", before.status);
    Ok(())
}

/// The clock of the house, which counts how often it was asked for the time of day.
#[derive(Debug)]
struct Asked(Arc<TestClock>, AtomicUsize);

impl Clock for Asked {
    fn now(&self) -> Timestamp {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

impl Asked {
    /// Waits until the feed was read at the time that it is: for each reading the clock is asked before.
    async fn readings(&self) -> Verdict {
        let seen = self.1.load(Ordering::SeqCst);
        let reading = async {
            while self.1.load(Ordering::SeqCst) < seen + 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.map_err(|_| "the feed is not read".to_owned())
    }
}

/// F-13: what was withdrawn is told once, so that a time of day that jumps, and is set right, must not have it forgotten; nor does a
/// time that is set back revive a token that is over.
#[tokio::test]
async fn f_13_without_the_gateway_a_clock_that_jumps_forgets_nothing_and_revives_nothing() -> Verdict {
    const DAY: i64 = 86_400;
    let mut flow = Flow::new().await?;
    let clock = Arc::new(Asked(Arc::clone(&flow.house.clock), AtomicUsize::new(0)));
    let settings = settings(&flow)?.clock(Arc::clone(&clock) as _);
    let server = InHouse::serving(settings, notes::guarded).await?;
    let (dead, living) = (flow.tokens().await?, flow.tokens().await?);
    let client_id = flow.client.client_id.clone();
    flow.revoke(&[("token", &dead.refresh), ("client_id", &client_id)]).await?;
    server.answers(&flow, &dead.access, 401).await?;
    flow.house.clock.jump(DAY);
    clock.readings().await?;
    flow.house.clock.jump(-DAY);
    clock.readings().await?;
    assert_eq!(server.call(&flow, &living.access, "who_am_i").await?.status, 200, "as if nothing had been");
    is(&server.call(&flow, &dead.access, "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    // Longer than it lives, and then set back to where it lived.
    flow.house.advance(Duration::from_secs(15 * 60)).await?;
    clock.readings().await?;
    is(&server.answers(&flow, &living.access, 401).await?, 401, "error=\"invalid_token\"")?;
    flow.house.clock.jump(-20 * 60);
    is(&server.call(&flow, &living.access, "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    flow.close().await
}

/// P-2: the feed is read to its last page, and the largest page is read, before anybody is let in.
#[tokio::test]
async fn an_mcp_server_without_the_gateway_hears_all_that_was_withdrawn_however_much_it_is() -> Verdict {
    let mut flow = Flow::new().await?;
    let (dead, living) = (flow.tokens().await?, flow.tokens().await?);
    let now = flow.house.clock.now();
    for number in 0..1_100 {
        // The longest ids of clients are 2 KiB.
        let id = format!("dcr_{number:0>2000}");
        let (kind, expires_at) = (RevocationKind::Client, now.plus(Duration::from_secs(3_600)));
        flow.house.resource_server.revocations().apply(&Revocation { kind, id, not_before: now, expires_at });
    }
    let client_id = flow.client.client_id.clone();
    flow.revoke(&[("token", &dead.refresh), ("client_id", &client_id)]).await?;
    let server = InHouse::of(&flow).await?;
    is(&server.call(&flow, &dead.access, "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    assert_eq!(server.call(&flow, &living.access, "who_am_i").await?.status, 200);
    flow.close().await
}

/// AS-170; product.md, P-1: for MCP servers whose library knows nothing else.
#[tokio::test]
async fn access_tokens_by_rs256_are_taken_by_the_gateway_and_without_it() -> Verdict {
    let mut plan = Plan { access_tokens: AccessTokenAlgorithm::Rs256, ..Plan::default() };
    plan.keys.rs256 = true;
    let mut flow = Flow::with(plan).await?;
    let server = InHouse::of(&flow).await?;
    let tokens = flow.tokens().await?;
    let header = tokens.access.split('.').next().unwrap_or_default();
    let header: Value = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|error| error.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))?;
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("at+jwt")));
    let keys = flow.house.http.get(&format!("{}/oauth/jwks", flow.house.issuer), &[]).await?.json();
    let keys = keys["keys"].as_array().cloned().unwrap_or_default();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).ok_or("its key is not published")?;
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
    flow.calls(&tokens.access).await?;
    assert_eq!(server.call(&flow, &tokens.access, "who_am_i").await?.status, 200);
    // The other algorithm of the same key is another one.
    let other =
        URL_SAFE_NO_PAD.encode(json!({"alg": "PS256", "typ": "at+jwt", "kid": header["kid"]}).to_string());
    let rest = tokens.access.split_once('.').ok_or("no JWT")?.1;
    is(&server.call(&flow, &format!("{other}.{rest}"), "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    flow.close().await
}

/// A key that the guard has never heard of is looked for when the first token by it comes.
#[tokio::test]
async fn an_mcp_server_without_the_gateway_takes_tokens_of_a_key_that_was_made_while_it_ran() -> Verdict {
    let mut flow = Flow::new().await?;
    let server = InHouse::of(&flow).await?;
    let old = flow.tokens().await?;
    assert_eq!(server.call(&flow, &old.access, "who_am_i").await?.status, 200);
    let (masters, chance) = (masters(&Plan::default())?, TestEntropy::seeded(78));
    let lead = Duration::from_secs(120);
    let change = flow.house.change_keys(&masters, &chance);
    change.rotate(KeyPurpose::Signing, When::AfterLead(lead)).await.map_err(|error| error.to_string())?;
    flow.house.advance(lead + Duration::from_secs(1)).await?;
    flow.house.read().await?;
    let new = Tokens::of(&flow.client.refresh(&old.refresh).await?)?;
    flow.keep(&new.access);
    flow.keep(&new.refresh);
    let kid = |token: &str| token.split('.').next().map(str::to_owned);
    assert_ne!(kid(&new.access), kid(&old.access), "another key signs");
    // The clock made a leap, and the guard hears of withdrawals anew first.
    server.answers(&flow, &new.access, 200).await?;
    assert_eq!(
        server.call(&flow, &old.access, "who_am_i").await?.status,
        200,
        "the former key is still published"
    );
    // A stranger's key is none, and costs the house nothing more.
    let forged = format!(
        "{}.{}",
        "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InN0cmFuZ2VyIn0",
        new.access.split_once('.').ok_or("no token")?.1
    );
    is(&server.call(&flow, &forged, "who_am_i").await?, 401, "error=\"invalid_token\"")?;
    flow.close().await
}

#[tokio::test]
async fn an_mcp_server_without_the_gateway_reads_no_message_that_is_larger_than_any() -> Verdict {
    const LARGEST: usize = 4 << 20;
    let mut flow = Flow::new().await?;
    let server = InHouse::of(&flow).await?;
    let tokens = flow.tokens().await?;
    let keep = |padding: usize| {
        let params = json!({"name": "keep", "arguments": {"padding": "x".repeat(padding)}});
        mcp_request(&format!("{}/notes/mcp", server.url), &tokens.access, "tools/call", params)
    };
    let around = usize::try_from(keep(0)?.body().size_hint().lower()).map_err(|error| error.to_string())?;
    let answer = flow.house.http.send(keep(LARGEST - around + 1)?).await?;
    assert_eq!(answer.status, 413, "one byte too much: {}", answer.text());
    let answer = flow.house.http.send(keep(LARGEST - around)?).await?;
    assert!(answer.status == 200 && answer.text().contains("1 kept"), "{} {}", answer.status, answer.text());
    flow.close().await
}

/// TLS outward: an issuer whose certificate nobody vouches for is nobody, whatever it would say.
#[tokio::test]
async fn a_guard_does_not_hear_an_issuer_that_shows_somebodys_own_certificate() -> Verdict {
    let host = DocumentHost::start().await?;
    let issuer = host.url_at("localhost", "");
    let settings =
        Settings::new(&issuer, &format!("{issuer}/notes/mcp"), "notes", introspection_secret("notes"))
            .map_err(|error| error.to_string())?;
    let guard = Guard::new(settings).map_err(|error| error.to_string())?;
    let tried = async {
        while host.connections() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.map_err(|_| "it never tried again")?;
    assert!(!guard.ready());
    assert_eq!(host.requests(), Vec::<String>::new(), "nothing was asked, and no secret was shown");
    Ok(())
}
