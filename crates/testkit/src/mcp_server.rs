//! An MCP server under test control. It writes down everything that reaches it.
//!
//! Tools: `echo` (read-only) answers with its arguments; `write` (not read-only) as well; `stream` answers with
//! server-sent events that a test feeds; `silent` never answers; `odd` answers what a test has put ready; `flood` answers
//! without an end, in the media type that its argument `media` names.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

type Body = UnsyncBoxBody<Bytes, Infallible>;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The headers, with `Host`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// One header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The far end of a stream that a test feeds.
#[derive(Debug)]
pub struct OpenStream {
    frames: mpsc::UnboundedSender<Bytes>,
}

impl OpenStream {
    /// Sends bytes down the stream; false when nobody reads it any more.
    pub fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.frames.send(bytes.into()).is_ok()
    }

    /// Waits until the gateway has let go of the stream.
    pub async fn closed(&self) {
        self.frames.closed().await;
    }
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
    odd: Mutex<VecDeque<Response<Bytes>>>,
    lists: Mutex<VecDeque<Response<Bytes>>>,
    list: Mutex<Option<String>>,
    sessions: Mutex<usize>,
    flooded: AtomicUsize,
    dammed: Notify,
    streams: Mutex<VecDeque<OpenStream>>,
    opened: Notify,
    arrived: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeMcpServer {
    /// Its MCP endpoint.
    pub url: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

impl FakeMcpServer {
    /// Starts on a loopback port that the system chose.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { url, state, _tasks: tasks })
    }

    /// Everything that has arrived.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// How many connections were made. Zero means that nobody was even dialled.
    pub fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }

    /// The next call of the tool `odd`, and the next GET, is answered with this.
    pub fn answer_next(&self, answer: Response<Bytes>) {
        lock(&self.state.odd).push_back(answer);
    }

    /// How many bytes the floods have sent so far, as far as somebody took them.
    pub fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    /// Waits until the gateway has let go of a flood.
    pub async fn dammed(&self) {
        self.state.dammed.notified().await;
    }

    /// The next `tools/list` is answered with this.
    pub fn list_next(&self, answer: Response<Bytes>) {
        lock(&self.state.lists).push_back(answer);
    }

    /// Every `tools/list` that nothing else was said for is answered with this, as the answer to what was asked; with `None`
    /// as at the beginning.
    pub fn list_every(&self, tools: Option<&str>) {
        *lock(&self.state.list) = tools.map(str::to_owned);
    }

    /// The next stream that is opened by the tool `stream` or by a GET.
    pub async fn next_stream(&self) -> OpenStream {
        loop {
            let opened = self.state.opened.notified();
            if let Some(stream) = lock(&self.state.streams).pop_front() {
                return stream;
            }
            opened.await;
        }
    }

    /// Waits until `count` requests have arrived in all.
    pub async fn arrived(&self, count: usize) {
        loop {
            let arrived = self.state.arrived.notified();
            if lock(&self.state.received).len() >= count {
                return;
            }
            arrived.await;
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        *lock(&state.connections) += 1;
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    lock(&state.received).push(Received {
        method: parts.method.clone(),
        headers: parts.headers.clone(),
        body,
    });
    state.arrived.notify_waiters();
    if parts.method == Method::GET {
        let odd = lock(&state.odd).pop_front();
        return Ok(odd.map_or_else(|| open_stream(&state), |odd| odd.map(full)));
    }
    if parts.method == Method::DELETE {
        return Ok(status(StatusCode::NO_CONTENT));
    }
    let id = message.get("id").cloned();
    let Some(id) = id.filter(|_| message.get("method").is_some()) else {
        return Ok(status(StatusCode::ACCEPTED));
    };
    match (
        message["method"].as_str().unwrap_or_default(),
        message["params"]["name"].as_str().unwrap_or_default(),
    ) {
        ("tools/call", "stream") | ("subscriptions/listen", _) => Ok(open_stream(&state)),
        ("tools/call", "silent") => std::future::pending().await,
        ("tools/call", "flood") => {
            Ok(flood(&state, message["params"]["arguments"]["media"].as_str().unwrap_or_default()))
        }
        ("tools/call", "odd") => {
            let odd = lock(&state.odd).pop_front();
            Ok(odd.map_or_else(|| status(StatusCode::INTERNAL_SERVER_ERROR), |odd| odd.map(full)))
        }
        ("tools/list", _) => {
            if let Some(list) = lock(&state.lists).pop_front() {
                return Ok(list.map(full));
            }
            Ok(match lock(&state.list).clone() {
                Some(tools) => full_list(&id, &tools),
                None => result(&id, "tools/list", &message),
            })
        }
        ("initialize", _) => Ok(in_session(&state, result(&id, "initialize", &message))),
        (method, _) => Ok(result(&id, method, &message)),
    }
}

/// A session for each `initialize`: the first is `session-of-the-fake-server`, the next ones are numbered.
fn in_session(state: &State, mut response: Response<Body>) -> Response<Body> {
    let mut sessions = lock(&state.sessions);
    *sessions += 1;
    let id = match *sessions {
        1 => "session-of-the-fake-server".to_owned(),
        number => format!("session-of-the-fake-server-{number}"),
    };
    response.headers_mut().extend(id.parse().ok().map(|id| (SESSION, id)));
    response
}

/// The tools as they were written.
fn full_list(id: &Value, tools: &str) -> Response<Body> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{tools}]}}}}"#);
    let mut response = Response::new(full(Bytes::from(body)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn result(id: &Value, method: &str, message: &Value) -> Response<Body> {
    let result = match method {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"},
        }),
        "tools/list" => json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
            {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}},
            {"name": "write", "inputSchema": {"type": "object"}},
        ]}),
        "tools/call" => json!({"resultType": "complete", "content": [
            {"type": "text", "text": message["params"]["arguments"].to_string()},
        ]}),
        _ => json!({"resultType": "complete"}),
    };
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    let mut response = Response::new(full(Bytes::from(body)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn open_stream(state: &State) -> Response<Body> {
    let (frames, receiver) = mpsc::unbounded_channel();
    lock(&state.streams).push_back(OpenStream { frames });
    state.opened.notify_waiters();
    let frames = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes: Bytes| (Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames.boxed())));
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    response
}

/// Told when nobody takes the flood any more.
struct Dam(Arc<State>);

impl Drop for Dam {
    fn drop(&mut self) {
        self.0.dammed.notify_one();
    }
}

/// One line without an end: as JSON it is a string, as an event it is its data.
fn flood(state: &Arc<State>, media: &str) -> Response<Body> {
    let (first, more) = match media {
        "text/event-stream" => (Bytes::from_static(b"data: {\"x\":\""), Bytes::from(vec![b'x'; 16 * 1024])),
        _ => (Bytes::from_static(b"{\"x\":\""), Bytes::from(vec![b'x'; 16 * 1024])),
    };
    let frames = stream::unfold((Dam(Arc::clone(state)), Some(first)), move |(dam, first)| {
        let next = first.unwrap_or_else(|| more.clone());
        dam.0.flooded.fetch_add(next.len(), Ordering::SeqCst);
        std::future::ready(Some((Ok::<_, Infallible>(Frame::data(next)), (dam, None))))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames.boxed())));
    response.headers_mut().extend(HeaderValue::from_str(media).ok().map(|media| (CONTENT_TYPE, media)));
    response
}

fn full(bytes: Bytes) -> Body {
    BodyExt::boxed_unsync(Full::new(bytes))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}
