//! The control plane's way out: small documents, fetched whole, within a deadline and a size.
//!
//! Never follows a redirect, never reads a proxy from the environment, never decompresses (so what was counted is
//! what arrived). It dials what it is told: only URLs that the operator configured, or that a configured identity
//! provider's discovery document names, may be handed to it.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::header::ACCEPT_ENCODING;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::cause::cause;
use crate::dial::Dial;
use crate::route::Route;

/// No document's host may take longer than this to be connected to, whatever the deadline of the whole.
const CONNECT: Duration = Duration::from_secs(5);
/// Providers are asked rarely: a few idle connections, for a short while.
const IDLE_CONNECTIONS: usize = 2;
/// Shorter than the five seconds after which common HTTP servers close an idle connection: a request sent into a
/// connection that is being closed may not be repeated, and a sign-in would be lost with it.
const IDLE: Duration = Duration::from_secs(4);
/// Largest head of an answer over HTTP/1.1.
const HEAD: usize = 64 * 1024;

/// How much of a peer is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For everything: name, connection, head and the last byte of the body.
    pub total: Duration,
    /// Bytes of body.
    pub max_body: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The answer's body is over the limit.
    #[error("the answer is too large")]
    TooLarge,
    /// The deadline passed.
    #[error("no complete answer in time")]
    TimedOut,
    /// No connection, or it broke, or what came was not HTTP.
    #[error("the host cannot be reached")]
    Unreachable,
}

/// Fetches one document. Any status is an answer, redirects among them.
pub trait Egress: Send + Sync + fmt::Debug {
    /// Sends the request, whose URI is absolute, and collects the answer.
    ///
    /// # Errors
    /// If there is no complete answer within the limits.
    fn fetch(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>>;
}

/// The one [`Egress`] that opens sockets.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<Dial, Full<Bytes>>,
}

impl Fetcher {
    /// A fetcher that goes this way, or that believes these certificates and goes straight.
    #[must_use]
    pub fn new(route: impl Into<Route>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEAD)
            .build(Dial::new(&route.into(), CONNECT));
        Self { client }
    }

    /// Fetches as [`Egress::fetch`] does, and says in words for the operator why there is no answer.
    ///
    /// # Errors
    /// If there is no complete answer within the limits.
    pub async fn examine(&self, request: Request<Bytes>, limits: Limits) -> Result<Response<Bytes>, String> {
        match tokio::time::timeout(limits.total, self.exchange(request, limits.max_body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err((error, Some(why)))) => Err(format!("{error}: {why}")),
            Ok(Err((error, None))) => Err(error.to_string()),
            Err(_) => Err(FetchError::TimedOut.to_string()),
        }
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, (FetchError, Option<String>)> {
        let mut request = request.map(Full::new);
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        #[cfg(feature = "failpoints")]
        crate::failpoint::passed("before_upstream_call");
        let response = self.client.request(request).await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "no answer");
            (FetchError::Unreachable, Some(cause(&error)))
        })?;
        let (head, body) = response.into_parts();
        let body = collect(body, max_body).await.map_err(|error| (error, None))?;
        #[cfg(feature = "failpoints")]
        crate::failpoint::passed("after_upstream_call");
        Ok(Response::from_parts(head, body))
    }
}

impl Egress for Fetcher {
    fn fetch(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            match tokio::time::timeout(limits.total, self.exchange(request, limits.max_body)).await {
                Ok(answer) => answer.map_err(|(error, _)| error),
                Err(_) => Err(FetchError::TimedOut),
            }
        })
    }
}

pub(crate) async fn collect(mut body: Incoming, max_body: usize) -> Result<Bytes, FetchError> {
    // A length that is announced is judged before a byte of it is read.
    if body.size_hint().lower() > u64::try_from(max_body).unwrap_or(u64::MAX) {
        return Err(FetchError::TooLarge);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "the answer broke off");
            FetchError::Unreachable
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > max_body.saturating_sub(whole.len()) {
            return Err(FetchError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
