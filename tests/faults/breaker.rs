//! F-16: an MCP server that stays away is not asked for ever. After failures in a row calls are refused at once, and it is
//! called again when it is back; nobody's own fault closes it to others.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use resource_server::{BreakerSettings, Circuit};
use serde_json::json;
use store::AuditKind;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::mcp_server::FakeMcpServer;
use testkit::outcomes::Verdict;
use testkit::wire::{Fault, Target, Wire};

use crate::steps::{Flow, Tokens};

const FAILURES: u32 = 6;

/// A house whose MCP server is at the other end of a cable.
struct Scene {
    flow: Flow,
    mcp: FakeMcpServer,
    wire: Wire,
}

impl Scene {
    async fn new() -> Result<Self, String> {
        let mcp = FakeMcpServer::start().await.map_err(|error| error.to_string())?;
        let address = mcp.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        let wire = Wire::to(Target::Tcp(address)).await?;
        let breaker = BreakerSettings {
            failures: FAILURES.try_into().map_err(|_| "zero")?,
            ..BreakerSettings::default()
        };
        let plan = Plan {
            mcp_url: Some(format!("http://127.0.0.1:{}/mcp", wire.port)),
            breaker: Some(breaker),
            first_byte_timeout: Duration::from_millis(300),
            ..Plan::default()
        };
        Ok(Self { flow: Flow::with(plan).await?, mcp, wire })
    }

    /// Tokens of somebody else.
    async fn another(&mut self, login: &'static str) -> Result<Tokens, String> {
        self.flow.login = login;
        self.flow.browser = self.flow.house.browser();
        self.flow.tokens().await
    }

    async fn call(&self, tokens: &Tokens, name: &str) -> Result<Answer, String> {
        let params = json!({"name": name, "arguments": {}});
        self.flow.house.call("notes", &tokens.access, "tools/call", params).await
    }

    fn circuit(&self) -> Circuit {
        let servers = self.flow.house.resource_server.counting().servers();
        let notes = servers.into_iter().find(|server| server.name == "notes");
        notes.map_or(Circuit::Closed, |server| server.circuit)
    }

    /// So many events of the kind, as soon as they are written.
    async fn told(&self, kind: AuditKind, count: usize) -> Verdict {
        let there = async {
            loop {
                let events = self.flow.house.audit(kind).await?;
                if events.len() == count
                    && events.iter().all(|event| event.server.as_deref() == Some("notes"))
                {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), there).await.map_err(|_| "not written down")?
    }
}

#[tokio::test]
async fn f_16_an_mcp_server_that_stays_away_is_refused_at_once_and_called_when_it_is_back() -> Verdict {
    let mut scene = Scene::new().await?;
    let alice = scene.flow.tokens().await?;
    assert_eq!(scene.call(&alice, "echo").await?.status, StatusCode::OK, "the control");
    let bob = scene.another("bob").await?;
    scene.wire.set(Fault::Cut);
    for tokens in [&alice, &bob].into_iter().cycle().take(6) {
        assert_eq!(scene.call(tokens, "echo").await?.status, StatusCode::BAD_GATEWAY);
    }
    let (dialled, called) = (scene.wire.accepted(), scene.mcp.received().len());
    scene.wire.set(Fault::None);
    for name in ["echo", "write"] {
        let answer = scene.call(&alice, name).await?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.headers["retry-after"], "5");
        assert_eq!((&answer.json()["id"], &answer.json()["error"]["code"]), (&json!(1), &json!(-32603)));
    }
    assert_eq!((scene.wire.accepted(), scene.mcp.received().len()), (dialled, called), "nobody dials it");
    scene.told(AuditKind::CircuitOpened, 1).await?;
    scene.flow.house.advance(Duration::from_secs(5)).await?;
    assert_eq!(scene.call(&alice, "echo").await?.status, StatusCode::OK);
    assert_eq!(scene.circuit(), Circuit::Closed);
    scene.told(AuditKind::CircuitClosed, 1).await?;
    scene.flow.close().await
}

/// A status of the MCP server's that is about the request or the credential, an answer that it never began because the client
/// went, and whatever one person's calls do to it.
#[tokio::test]
async fn f_16_no_fault_of_one_client_or_person_closes_an_mcp_server_to_others() -> Verdict {
    let mut scene = Scene::new().await?;
    let alice = scene.flow.tokens().await?;
    for status in [400, 401, 403, 404, 422, 429, 501] {
        for _ in 0..FAILURES {
            let mut odd = Response::new(Bytes::new());
            *odd.status_mut() = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
            scene.mcp.answer_next(odd);
            assert!(!scene.call(&alice, "odd").await?.status.is_success());
        }
    }
    // The tool fails for her, as often as she likes: with 500, and without an answer.
    for name in ["odd", "silent"] {
        for _ in 0..FAILURES {
            assert!(scene.call(&alice, name).await?.status.is_server_error());
        }
    }
    assert_eq!(scene.circuit(), Circuit::Closed);
    let bob = scene.another("bob").await?;
    assert_eq!(scene.call(&bob, "echo").await?.status, StatusCode::OK);
    scene.told(AuditKind::CircuitOpened, 0).await?;
    // Two people for whom it fails are another matter.
    for tokens in [&alice, &bob].into_iter().cycle().take(6) {
        assert_eq!(scene.call(tokens, "odd").await?.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(scene.call(&bob, "echo").await?.status, StatusCode::SERVICE_UNAVAILABLE);
    scene.told(AuditKind::CircuitOpened, 1).await?;
    scene.flow.close().await
}

/// It is well again, but for the calls of one person, who makes them as soon as it is allowed.
#[tokio::test]
async fn f_16_nobody_alone_keeps_an_mcp_server_closed_that_is_back() -> Verdict {
    let mut scene = Scene::new().await?;
    let alice = scene.flow.tokens().await?;
    let bob = scene.another("bob").await?;
    scene.wire.set(Fault::Cut);
    for tokens in [&alice, &bob].into_iter().cycle().take(6) {
        assert_eq!(scene.call(tokens, "echo").await?.status, StatusCode::BAD_GATEWAY);
    }
    scene.wire.set(Fault::None);
    for (pause, expected) in [
        (5, StatusCode::INTERNAL_SERVER_ERROR),
        (10, StatusCode::SERVICE_UNAVAILABLE),
        (5, StatusCode::INTERNAL_SERVER_ERROR),
        (5, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        scene.flow.house.advance(Duration::from_secs(pause)).await?;
        assert_eq!(scene.call(&alice, "odd").await?.status, expected, "after {pause} s");
    }
    assert_eq!(scene.call(&bob, "echo").await?.status, StatusCode::OK, "at once");
    assert_eq!(scene.circuit(), Circuit::Closed);
    scene.flow.close().await
}
