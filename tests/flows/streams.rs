//! Streams: closed at once when access is withdrawn, and in time when the token is over.

use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use store::{AuditEvent, AuditKind, Outcome, Revocation, RevocationKind, Revocations as _};
use testkit::house::Plan;
use testkit::http::request;
use testkit::mcp_server::OpenStream;
use testkit::outcomes::{Verdict, rs401};

use crate::steps::{Flow, Tokens};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stream from both ends.
struct Open {
    client: Response<Incoming>,
    server: OpenStream,
}

impl Open {
    async fn new(flow: &Flow, tokens: &Tokens) -> Result<Self, String> {
        let params = json!({"name": "stream", "arguments": {}});
        let asked = flow.house.call_request(flow.server, &tokens.access, "tools/call", params)?;
        let client = flow.house.http.stream(asked).await?;
        if client.status() != 200 {
            return Err(format!("no stream: {}", client.status()));
        }
        Ok(Self { client, server: flow.house.mcp.next_stream().await })
    }

    /// An event comes through.
    async fn passes(&mut self) -> Verdict {
        assert!(self.server.send("data: {}\n\n"), "nobody reads");
        let frame = tokio::time::timeout(PATIENCE, self.client.frame()).await.map_err(|_| "no event")?;
        let frame = frame.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
        let data = frame.into_data().map_err(|_| "no data")?;
        if data.as_ref() == b"data: {}\n\n" { Ok(()) } else { Err(format!("another event: {data:?}")) }
    }

    /// Both ends are told that it is over.
    async fn ends(mut self) -> Verdict {
        tokio::time::timeout(PATIENCE, self.server.closed())
            .await
            .map_err(|_| "the MCP server's end is open")?;
        let rest = tokio::time::timeout(PATIENCE, self.client.frame())
            .await
            .map_err(|_| "the client's end is open")?;
        if rest.is_none() { Ok(()) } else { Err(format!("more came: {rest:?}")) }
    }
}

#[tokio::test]
async fn se_10_a_stream_ends_at_once_when_its_grant_is_revoked_and_the_others_stay() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let others = flow.tokens().await?;
    let mut mine = Open::new(&flow, &tokens).await?;
    let mut another = Open::new(&flow, &tokens).await?;
    let mut of_another_grant = Open::new(&flow, &others).await?;
    for open in [&mut mine, &mut another, &mut of_another_grant] {
        open.passes().await?;
    }
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    assert_eq!(flow.revoke(&fields).await?.status, 200);
    mine.ends().await?;
    another.ends().await?;
    of_another_grant.passes().await?;
    drop(of_another_grant);
    flow.close().await
}

/// A client that reads nothing cannot keep the MCP server: neither past a revocation nor by going away.
#[tokio::test]
async fn se_10_a_stream_whose_client_reads_nothing_lets_go_of_the_mcp_server() -> Verdict {
    /// More than all buffers between the two together.
    const EVENTS: usize = 64;
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (revoked, left) = (Open::new(&flow, &tokens).await?, Open::new(&flow, &tokens).await?);
    let event = bytes::Bytes::from(format!("data: {{\"z\":\"{}\"}}\n\n", "x".repeat(1024 * 1024)));
    for open in [&revoked, &left] {
        for _ in 0..EVENTS {
            assert!(open.server.send(event.clone()), "nobody reads");
        }
    }
    let closed = |open: OpenStream| async move {
        tokio::time::timeout(PATIENCE, open.closed()).await.map_err(|_| "the MCP server's end is open")
    };
    drop(left.client);
    closed(left.server).await?;
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    assert_eq!(flow.revoke(&fields).await?.status, 200);
    closed(revoked.server).await?;
    // What was on its way may still arrive; most of it was not, and never will.
    let mut body = revoked.client.into_body();
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, body.frame()).await {
        bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    assert!(bytes < EVENTS * event.len() / 2, "{bytes}");
    flow.close().await
}

#[tokio::test]
async fn se_10_a_replay_that_ends_the_family_ends_its_streams() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
    let open = Open::new(&flow, &third).await?;
    testkit::outcomes::tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    open.ends().await?;
    flow.close().await
}

#[tokio::test]
async fn se_10_a_stream_ends_when_token_and_grace_are_over() -> Verdict {
    // The clock of the house is a millisecond before the end of the token when the stream begins.
    let mut flow = Flow::with(Plan { stream_grace: Duration::ZERO, ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    flow.house.advance(Duration::from_millis(599_999)).await?;
    let open = Open::new(&flow, &tokens).await?;
    open.ends().await?;
    flow.house.close().await
}

#[tokio::test]
async fn se_10_a_stream_outlives_its_token_by_the_grace() -> Verdict {
    let mut flow = Flow::with(Plan { stream_grace: Duration::from_secs(3600), ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    flow.house.advance(Duration::from_millis(599_999)).await?;
    let mut open = Open::new(&flow, &tokens).await?;
    let mut again = Open::new(&flow, &tokens).await?;
    // The token is over, and no new call is served by it.
    flow.house.advance(Duration::from_secs(1)).await?;
    rs401(&flow.house.echo("notes", &tokens.access).await?)?;
    open.passes().await?;
    again.passes().await?;
    // What was revoked ends within its grace all the same.
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    assert_eq!(flow.revoke(&fields).await?.status, 200);
    open.ends().await?;
    again.ends().await?;
    flow.house.close().await
}

#[tokio::test]
async fn a_stream_of_an_older_client_ends_as_well() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let bearer = format!("Bearer {}", tokens.access);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let asked = request(http::Method::GET, &flow.house.resource("notes"), &headers, bytes::Bytes::new())?;
    let client = flow.house.http.stream(asked).await?;
    assert_eq!(client.status(), 200);
    let open = Open { client, server: flow.house.mcp.next_stream().await };
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.access.as_str())];
    assert_eq!(flow.revoke(&fields).await?.status, 200);
    open.ends().await?;
    flow.close().await
}

/// Ends everything of this kind and id, as an administrator will.
fn stop<'a>(flow: &'a Flow, kind: RevocationKind, id: &'a str) -> BoxFuture<'a, Verdict> {
    Box::pin(async move {
        let now = protocol::world::Clock::now(&*flow.house.clock);
        let entropy = testkit::world::TestEntropy::seeded(4711);
        let audit =
            AuditEvent::new(protocol::id::Id::mint(now, &entropy), now, AuditKind::Stopped, Outcome::Ok);
        let expires_at = now.plus(Duration::from_secs(3600));
        let revocation = Revocation { kind, id: id.to_owned(), not_before: now, expires_at };
        flow.house.store.stop(revocation, audit).await.map_err(|error| error.to_string())?;
        Ok(())
    })
}

#[tokio::test]
async fn stopping_a_person_a_client_a_resource_or_everything_ends_tokens_and_streams() -> Verdict {
    for kind in
        [RevocationKind::User, RevocationKind::Client, RevocationKind::Resource, RevocationKind::Issuer]
    {
        let mut flow = Flow::new().await?;
        let tokens = flow.tokens().await?;
        let unredeemed = flow.code().await?;
        let mut open = Open::new(&flow, &tokens).await?;
        open.passes().await?;
        let id = match kind {
            RevocationKind::User => tokens.claims()?["sub"].as_str().unwrap_or_default().to_owned(),
            RevocationKind::Client => flow.client.client_id.clone(),
            RevocationKind::Resource => flow.house.resource("notes"),
            RevocationKind::Grant | RevocationKind::Issuer => flow.house.issuer.clone(),
        };
        stop(&flow, kind, &id).await?;
        open.ends().await?;
        flow.is_dead(&[&tokens]).await?;
        // A code that was out is dead too; whoever is not blocked may ask again.
        testkit::outcomes::tok400(&flow.redeem(&unredeemed).await?, "invalid_grant")?;
        flow.house.advance(Duration::from_secs(1)).await?;
        let again = flow.tokens().await?;
        flow.calls(&again.access).await?;
        flow.close().await?;
    }
    Ok(())
}
