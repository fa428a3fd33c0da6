//! The MCP server behind everything that is measured: answers each request with the same JSON at once, the tool
//! `stream` with one event and then nothing, and `tools/list` with one tool that only reads, or with a long list where a
//! cursor asks for it.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::policy::TOOLS;

/// About 500 bytes, like the answer of a small tool.
fn answer() -> Bytes {
    let text = "x".repeat(400);
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}}}"#
    ))
}

/// The list of tools, for whoever wants to know which of them only read (MCP server/tools, "Listing Tools").
fn tools(asked: &[u8]) -> Bytes {
    let asked: serde_json::Value = serde_json::from_slice(asked).unwrap_or_default();
    let tool = |name: &str| {
        serde_json::json!({
            "name": name, "description": "Looks for a few words in all that was written down, and gives back where they stand.",
            "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } } },
            "annotations": { "readOnlyHint": true },
        })
    };
    let tools: Vec<serde_json::Value> = match asked["params"]["cursor"].as_str() {
        Some(_) => (0..TOOLS).map(|index| tool(&format!("tool-{index}"))).collect(),
        None => vec![tool("search")],
    };
    let result = serde_json::json!({ "resultType": "complete", "tools": tools });
    Bytes::from(serde_json::json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string())
}

/// One event, and then nothing for ever.
struct OneEvent {
    sent: bool,
}

impl Body for OneEvent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.sent, true) {
            // The connection wakes the task when the other side goes away.
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data: {}\n\n")))))
    }
}

/// Serves until the process is ended.
pub(crate) async fn serve() -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    anstream::println!("http://{address}/mcp");
    let body = answer();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        drop(stream.set_nodelay(true));
        let body = body.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = body.clone();
            async move {
                let streams = request.headers().get("mcp-name").is_some_and(|name| name == "stream");
                let lists = request.headers().get("mcp-method").is_some_and(|name| name == "tools/list");
                let asked = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
                let (body, media) = if streams {
                    (Either::Right(OneEvent { sent: false }), "text/event-stream")
                } else if lists {
                    (Either::Left(Full::new(tools(&asked.unwrap_or_default()))), "application/json")
                } else {
                    (Either::Left(Full::new(body)), "application/json")
                };
                let mut response = Response::new(body);
                let media = http::HeaderValue::from_static(media);
                response.headers_mut().insert(http::header::CONTENT_TYPE, media);
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}
