//! An OpenTelemetry collector under test control: it takes what OTLP over HTTP brings, refuses it, or hangs.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
pub use opentelemetry_proto::tonic::logs::v1::LogRecord;
pub use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What it does with what it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It takes everything.
    #[default]
    Takes,
    /// It answers with this status.
    Refuses(StatusCode),
    /// It refuses what holds such an event, with 400, and more events than that at once, with 413.
    IsFussy(&'static str, usize),
    /// It reads and does not answer, until it does something else.
    Hangs,
}

#[derive(Debug, Default)]
struct State {
    mood: watch::Sender<Mood>,
    logs: Mutex<Vec<LogRecord>>,
    spans: Mutex<Vec<Span>>,
    bytes: Mutex<Vec<u8>>,
    authorizations: Mutex<Vec<String>>,
}

/// The collector; it ends when it is dropped.
#[derive(Debug)]
pub struct FakeCollector {
    /// Where it is, without a path.
    pub url: String,
    state: Arc<State>,
    asked: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeCollector {
    /// Starts on a loopback port that the system chose.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (state, (tell, asked)) = (Arc::new(State::default()), watch::channel(0));
        let (mut tasks, served) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tell) = (Arc::clone(&served), tell.clone());
                connections.spawn(async move {
                    let service =
                        service_fn(move |request| answer(request, Arc::clone(&state), tell.clone()));
                    let connection = auto::Builder::new(TokioExecutor::new());
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok(Self { url, state, asked, _tasks: tasks })
    }

    /// From now on it does this.
    pub fn is_now(&self, mood: Mood) {
        self.state.mood.send_replace(mood);
    }

    /// The logs that it took.
    pub fn logs(&self) -> Vec<LogRecord> {
        lock(&self.state.logs).clone()
    }

    /// The spans that it took.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.state.spans).clone()
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Everything that reached it, taken or not.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.state.bytes).clone()
    }

    /// What it was shown to be let in.
    pub fn authorizations(&self) -> Vec<String> {
        lock(&self.state.authorizations).clone()
    }

    /// Waits until something is so, looking again whenever it was asked.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut asked = self.asked.clone();
        while !is_so(self) {
            if asked.changed().await.is_err() {
                return;
            }
        }
    }
}

/// One attribute as text; empty when it is not there.
#[must_use]
pub fn attribute(of: &[KeyValue], name: &str) -> String {
    let found = of.iter().find(|attribute| attribute.key == name).and_then(|found| found.value.clone());
    match found {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        Some(_) | None => String::new(),
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    asked: watch::Sender<usize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    lock(&state.bytes).extend_from_slice(&bytes);
    if let Some(value) = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        lock(&state.authorizations).push(value.to_owned());
    }
    let mut moods = state.mood.subscribe();
    let mood = *moods.borrow_and_update();
    let is_protobuf = head.headers.get(CONTENT_TYPE).is_some_and(|media| media == "application/x-protobuf");
    let status = match mood {
        Mood::Takes if !is_protobuf => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Mood::Takes => take(head.uri.path(), &bytes, &state),
        Mood::IsFussy(event, most) => {
            let logs = ExportLogsServiceRequest::decode(bytes.clone()).unwrap_or_default().resource_logs;
            let logs = logs.iter().flat_map(|of| &of.scope_logs).flat_map(|of| &of.log_records);
            match (logs.clone().count() > most, logs.clone().any(|log| log.event_name == event)) {
                (true, _) => StatusCode::PAYLOAD_TOO_LARGE,
                (false, true) => StatusCode::BAD_REQUEST,
                (false, false) => take(head.uri.path(), &bytes, &state),
            }
        }
        Mood::Refuses(status) => status,
        Mood::Hangs => {
            asked.send_modify(|count| *count += 1);
            // Until it thinks better of it, or nobody waits any more.
            let _ = moods.changed().await;
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    asked.send_modify(|count| *count += 1);
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("0"));
    }
    Ok(response)
}

fn take(path: &str, bytes: &Bytes, state: &State) -> StatusCode {
    match path {
        "/v1/logs" => match ExportLogsServiceRequest::decode(bytes.clone()) {
            Ok(request) => {
                let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
                lock(&state.logs).extend(scopes.flat_map(|scope| scope.log_records));
                StatusCode::OK
            }
            Err(_) => StatusCode::BAD_REQUEST,
        },
        "/v1/traces" => match ExportTraceServiceRequest::decode(bytes.clone()) {
            Ok(request) => {
                let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
                lock(&state.spans).extend(scopes.flat_map(|scope| scope.spans));
                StatusCode::OK
            }
            Err(_) => StatusCode::BAD_REQUEST,
        },
        _ => StatusCode::NOT_FOUND,
    }
}
