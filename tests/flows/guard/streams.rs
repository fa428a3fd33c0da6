//! SE-10 without the gateway: an answer that is open ends with what it was let through by, as at the gateway.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use sekisho_guard::Settings;
use testkit::house::Plan;
use testkit::http::request;
use testkit::outcomes::Verdict;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::Layer as _;

use super::{InHouse, PATIENCE, settings};
use crate::steps::{Flow, Tokens};

type Feed = UnboundedSender<Bytes>;

/// An MCP server whose answers are streams that its owner feeds.
struct Streaming {
    server: InHouse,
    opened: UnboundedReceiver<Feed>,
}

/// A stream from both ends.
struct Open {
    client: Response<Incoming>,
    server: Feed,
}

impl Streaming {
    async fn with(settings: Settings) -> Result<Self, String> {
        let (asked, opened) = unbounded_channel();
        let service = tower::service_fn(move |_| {
            let (feed, events) = unbounded_channel::<Bytes>();
            let _ = asked.send(feed);
            let frames = stream::unfold(events, async |mut events| {
                let frame = Frame::data(events.recv().await?);
                Some((Ok::<_, Infallible>(frame), events))
            });
            let answer = Response::builder().header("content-type", "text/event-stream");
            ready(Ok::<_, Infallible>(
                answer.body(StreamBody::new(Box::pin(frames))).unwrap_or_else(|_| unreachable!()),
            ))
        });
        let server = InHouse::serving(settings, |guard| guard.layer().layer(service)).await?;
        Ok(Self { server, opened })
    }

    async fn open(&mut self, flow: &Flow, tokens: &Tokens) -> Result<Open, String> {
        let bearer = format!("Bearer {}", tokens.access);
        let headers = [("authorization", bearer.as_str()), ("accept", "text/event-stream")];
        let url = format!("{}/notes/mcp", self.server.url);
        let asked = request(http::Method::GET, &url, &headers, Bytes::new())?;
        let client = flow.house.http.stream(asked).await?;
        if client.status() != 200 {
            return Err(format!("no stream: {}", client.status()));
        }
        let server = self.opened.recv().await.ok_or("nobody asked the MCP server")?;
        Ok(Open { client, server })
    }
}

impl Open {
    /// An event comes through.
    async fn passes(&mut self) -> Verdict {
        self.server.send(Bytes::from_static(b"data: still here\n\n")).map_err(|_| "nobody reads")?;
        let frame = tokio::time::timeout(PATIENCE, self.client.frame()).await.map_err(|_| "no event")?;
        let frame = frame.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
        match frame.into_data() {
            Ok(data) if data.as_ref() == b"data: still here\n\n" => Ok(()),
            other => Err(format!("another event: {other:?}")),
        }
    }

    /// Both ends are told that it is over.
    async fn ends(mut self) -> Verdict {
        let rest = tokio::time::timeout(PATIENCE, self.client.frame()).await.map_err(|_| "it goes on")?;
        if let Some(more) = rest {
            return Err(format!("more came: {more:?}"));
        }
        tokio::time::timeout(PATIENCE, self.server.closed())
            .await
            .map_err(|_| "the MCP server is not told".into())
    }
}

#[tokio::test]
async fn se_10_without_the_gateway_a_stream_ends_when_its_grant_is_revoked_and_the_others_stay() -> Verdict {
    let mut flow = Flow::new().await?;
    let mut streaming = Streaming::with(settings(&flow)?).await?;
    let (tokens, others) = (flow.tokens().await?, flow.tokens().await?);
    let mut mine = streaming.open(&flow, &tokens).await?;
    let mut another = streaming.open(&flow, &others).await?;
    mine.passes().await?;
    another.passes().await?;
    let client_id = flow.client.client_id.clone();
    flow.revoke(&[("token", &tokens.refresh), ("client_id", &client_id)]).await?;
    mine.ends().await?;
    another.passes().await?;
    drop(another);
    flow.close().await
}

#[tokio::test]
async fn se_10_without_the_gateway_a_stream_ends_with_its_token_and_the_grace() -> Verdict {
    let lifetimes =
        authorization_server::Lifetimes { access_token: Duration::from_secs(3), ..Default::default() };
    let mut flow = Flow::with(Plan { lifetimes, ..Plan::default() }).await?;
    let mut strict = Streaming::with(settings(&flow)?.stream_grace(Duration::ZERO)).await?;
    let mut lenient = Streaming::with(settings(&flow)?).await?;
    let tokens = flow.tokens().await?;
    let mut ended = strict.open(&flow, &tokens).await?;
    let mut kept = lenient.open(&flow, &tokens).await?;
    ended.passes().await?;
    kept.passes().await?;
    // Not so long that nobody would know what was withdrawn.
    flow.house.advance(Duration::from_secs(4)).await?;
    ended.ends().await?;
    kept.passes().await?;
    drop(kept);
    flow.close().await
}

#[tokio::test]
async fn se_10_without_the_gateway_a_stream_ends_when_sekisho_is_silent_for_longer_than_t() -> Verdict {
    let mut flow = Flow::new().await?;
    let mut streaming = Streaming::with(settings(&flow)?).await?;
    let tokens = flow.tokens().await?;
    let mut open = streaming.open(&flow, &tokens).await?;
    open.passes().await?;
    let clock = std::sync::Arc::clone(&flow.house.clock);
    flow.close().await?;
    open.passes().await?;
    clock.advance(Duration::from_secs(6));
    open.ends().await
}
