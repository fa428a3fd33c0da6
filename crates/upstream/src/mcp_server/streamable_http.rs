//! One MCP server over Streamable HTTP (MCP 2026-07-28, transports): a request goes in, the answer streams out untouched.
//!
//! Back-pressure is the connection's own: what the caller does not read is not read from the socket. Dropping the
//! future or the answer's body ends the exchange at the MCP server too. Never follows a redirect (PX-26), and never
//! sends a request twice unless it is certain that no byte of it was sent.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use crate::cause::{cause, refused_us};
use crate::dial::Dial;
use crate::proxy::Proxy;
use crate::route::{Http2, Route};

/// Shorter than the five seconds after which common HTTP servers close an idle connection: a request sent into a
/// connection that is being closed may not be repeated, so it is lost.
const IDLE: Duration = Duration::from_secs(4);
/// An HTTP/2 peer that does not answer a ping within as much again is gone, and its streams with it.
const PING: Duration = Duration::from_secs(20);
/// Largest head of an answer over HTTP/1.1, and the most that is read ahead of the caller.
const BUFFER: usize = 64 * 1024;

/// Where an MCP server is and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServerSettings {
    /// Its MCP endpoint, `http` or `https`, without userinfo and fragment.
    pub url: String,
    /// For name, TCP and TLS.
    pub connect_timeout: Duration,
    /// From the call to the last byte of the answer's head, a new connection included.
    pub first_byte_timeout: Duration,
}

/// The setting is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the url of an mcp server is an absolute http or https url without userinfo and fragment")]
pub struct McpServerUrlError;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpstreamError {
    /// The connection broke before an answer came: the MCP server may have done what was asked.
    #[error("the mcp server closed the connection before it answered")]
    Broken,
    /// What came back is not HTTP.
    #[error("the mcp server's answer is not http")]
    Malformed,
    /// No answer in time: the MCP server may still be at work.
    #[error("the mcp server did not answer in time")]
    TimedOut,
    /// No connection: the MCP server has not heard of the call.
    #[error("the mcp server cannot be reached")]
    Unreachable,
}

impl UpstreamError {
    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Broken => "upstream_broken",
            Self::Malformed => "upstream_malformed",
            Self::TimedOut => "upstream_timed_out",
            Self::Unreachable => "upstream_unreachable",
        }
    }
}

/// The connections to one MCP server.
#[derive(Clone)]
pub struct McpServerClient {
    client: Client<Dial, Full<Bytes>>,
    uri: Uri,
    settings: McpServerSettings,
    route: Route,
}

impl McpServerClient {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If the URL is not one of an MCP endpoint.
    pub fn new(settings: &McpServerSettings, route: impl Into<Route>) -> Result<Self, McpServerUrlError> {
        let route = route.into();
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            // Only what a pooled connection hands back because it closed before the first byte was written.
            .retry_canceled_requests(true)
            .http1_max_buf_size(BUFFER)
            .http2_keep_alive_interval(PING)
            .http2_only(route.http2 == Http2::PriorKnowledge)
            .build(Dial::new(&route, settings.connect_timeout));
        Ok(Self { client, uri: endpoint(&settings.url)?, settings: settings.clone(), route })
    }

    /// Whether the other was made from the same: the settings, and the contents of all certificates and keys.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        self.settings == other.settings && self.route == other.route
    }

    /// The proxy that connections are made through, if there is one on the way to this MCP server.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.route.proxy.as_ref().filter(|proxy| proxy.leads_to(&self.uri))
    }

    /// Sends a call to the MCP endpoint, whatever URI and `Host` the request names, and answers when the head of
    /// the answer is there. Every status is an answer, redirects among them.
    ///
    /// All other headers go out as they are, `Accept-Encoding` included: the caller has chosen them one by one.
    ///
    /// # Errors
    /// If no head of an answer came in time.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, UpstreamError> {
        self.exchange(request).await.map_err(|(error, _)| error)
    }

    /// The same; with an error comes what the connection died of, in words for the operator.
    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (UpstreamError, Option<String>)> {
        *request.uri_mut() = self.uri.clone();
        // The version is negotiated per connection; the caller's own says nothing about it.
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(HOST);
        #[cfg(feature = "failpoints")]
        crate::failpoint::passed("before_upstream_call");
        let answer =
            tokio::time::timeout(self.settings.first_byte_timeout, self.client.request(request)).await;
        #[cfg(feature = "failpoints")]
        crate::failpoint::passed("after_upstream_call");
        match answer {
            Ok(answer) => answer.map_err(|error| (judge(&error), Some(cause(&error)))),
            Err(_) => Err((UpstreamError::TimedOut, None)),
        }
    }

    /// Tries the MCP server out for `sekisho check`: what it answers to a caller without credentials.
    ///
    /// # Errors
    /// If it does not answer at all, with the reason in words; a status of 400 and above is an answer.
    pub async fn check(&self) -> Result<String, String> {
        const PING_CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let post = self.probe(Method::POST, Bytes::from_static(PING_CALL)).await?;
        let get = self.probe(Method::GET, Bytes::new()).await?;
        let meaning = match post {
            401 | 403 => "it asks for a credential",
            200 | 202 | 400 | 406 => "it speaks",
            300..=399 => "it redirects, which is never followed: configure the url it names",
            404 | 405 => "is this its mcp endpoint?",
            _ => "it does not look well",
        };
        Ok(format!("answers {post} to POST and {get} to GET without a credential: {meaning}"))
    }

    async fn probe(&self, method: Method, body: Bytes) -> Result<u16, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.exchange(request).await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err((error, Some(why))) => Err(format!("{error}: {why}")),
            Err((error, None)) => Err(error.to_string()),
        }
    }
}

impl fmt::Debug for McpServerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServerClient").field("uri", &self.uri).finish_non_exhaustive()
    }
}

fn endpoint(text: &str) -> Result<Uri, McpServerUrlError> {
    let url = Url::parse(text).map_err(|_| McpServerUrlError)?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(McpServerUrlError);
    }
    // The parsed form: ASCII host, escapes done, path never empty.
    Uri::try_from(String::from(url)).map_err(|_| McpServerUrlError)
}

fn judge(error: &hyper_util::client::legacy::Error) -> UpstreamError {
    tracing::debug!(error = error as &dyn Error, "no answer from the mcp server");
    if error.is_connect() || refused_us(error) {
        return UpstreamError::Unreachable;
    }
    match error.source().and_then(|source| source.downcast_ref::<hyper::Error>()) {
        Some(cause) if cause.is_parse() => UpstreamError::Malformed,
        Some(_) | None => UpstreamError::Broken,
    }
}
