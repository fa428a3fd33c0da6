//! A closed loop: so many connections, each sending its next request when the last is answered.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use protocol::world::Timestamp;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

use crate::Outcome;

/// The one place of the bench that reads a clock.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "what is put into a record must fit the real time")]
pub(crate) fn today() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Where requests go, and which host they name.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Address and port.
    pub address: String,
    /// What `Host` says.
    pub authority: String,
}

impl Target {
    /// The host of a URL.
    pub(crate) fn of(url: &str) -> Outcome<Self> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        let authority = format!("{host}:{}", port.unwrap_or_default());
        Ok(Self { address: authority.clone(), authority })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(target: &Target) -> Outcome<Self> {
        let stream = TcpStream::connect(&target.address).await.map_err(|error| error.to_string())?;
        drop(stream.set_nodelay(true));
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { sender, authority: target.authority.clone(), _driver: driver })
    }

    /// Sends one request and reads the answer to its end.
    pub(crate) async fn send(&mut self, template: &Template) -> Outcome<(http::response::Parts, Bytes)> {
        let mut request = Request::builder().method(template.method.clone()).uri(template.path.as_str());
        request = request.header(http::header::HOST, &self.authority);
        for (name, value) in &template.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(template.body.clone())).map_err(|error| error.to_string())?;
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let (parts, body) =
            self.sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((parts, body))
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Headers beside `Host`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What one round saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Latency of every answer in microseconds, sorted.
    pub micros: Vec<f64>,
    /// How long the round took in seconds.
    pub seconds: f64,
}

impl Seen {
    /// Answers in a second.
    pub(crate) fn rate(&self) -> f64 {
        count(self.micros.len()) / self.seconds
    }

    /// A quantile of the latency in microseconds.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        quantile(&self.micros, q)
    }
}

/// The value at a quantile of a sorted list.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "q is between 0 and 1")]
    let index = (count(last) * q).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// A count as a float; counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// Sends the same request over and over on each of `connections`.
pub(crate) async fn repeat(
    target: &Target,
    template: Template,
    connections: usize,
    seconds: f64,
) -> Outcome<Seen> {
    repeat_paced(target, template, connections, seconds, (None, None)).await
}

/// The same, each connection sending at a pace of its own if one is given: late requests are sent at once, so that the
/// rate is kept as long as it can be. Any other answer than a good one, or than the one that is `also` taken, is an error.
pub(crate) async fn repeat_paced(
    target: &Target,
    template: Template,
    connections: usize,
    seconds: f64,
    (pace, also): (Option<Duration>, Option<StatusCode>),
) -> Outcome<Seen> {
    let template = Arc::new(template);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(target).await?);
    }
    let begin = now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for (index, mut connection) in open.into_iter().enumerate() {
        let template = Arc::clone(&template);
        // Spread, so that they do not all send at once.
        let first = begin + pace.unwrap_or_default().mul_f64(count(index) / count(connections));
        tasks.spawn(async move {
            let mut micros = Vec::with_capacity(16_384);
            let mut ticks = pace.map(|pace| tokio::time::interval_at(first.into(), pace));
            loop {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                let sent = now();
                if sent >= end {
                    return Ok::<_, String>(micros);
                }
                let (parts, _) = connection.send(&template).await?;
                if !parts.status.is_success() && also != Some(parts.status) {
                    return Err(format!("answered {}", parts.status));
                }
                micros.push(sent.elapsed().as_secs_f64() * 1e6);
            }
        });
    }
    gather(tasks, begin).await
}

/// Collects what the tasks saw.
pub(crate) async fn gather(mut tasks: JoinSet<Outcome<Vec<f64>>>, begin: Instant) -> Outcome<Seen> {
    let mut seen = Seen::default();
    while let Some(done) = tasks.join_next().await {
        seen.micros.extend(done.map_err(|error| error.to_string())??);
    }
    seen.seconds = begin.elapsed().as_secs_f64();
    seen.micros.sort_by(f64::total_cmp);
    Ok(seen)
}
