//! The way out to URLs that strangers choose: client ID metadata documents, and the URLs inside them
//! (draft-ietf-oauth-client-id-metadata-document-02, sections 5, 8.6 and 8.7).
//!
//! `https` alone; the usual port, unless the operator named host and port; status 200 alone, so that no redirect is
//! followed; never compressed, so that what is counted is what is read; one deadline for everything; every address judged
//! when it is dialled ([`address`]); a new connection each time, so that none outlives the judgement; budgets
//! ([`budget`]). Nothing of ours goes out: no cookie, no credential, no header of a caller. Why there is no document is for
//! the log; whoever named the URL must not learn from it what is behind our walls.

mod address;
mod budget;
mod line;
mod resolver;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use protocol::oauth::HttpsUrl;
use protocol::world::Clock;

pub use resolver::{Nowhere, Resolver, SystemResolver};

use crate::cause::cause;
use crate::egress::{Egress, FetchError, Limits, collect};
use crate::proxy::Proxy;
use crate::trust::Trust;
use budget::Budget;
use line::GuardedLines;

/// For everything: name, connection, head and the last byte of the body (attacks.md, CM-10).
pub const DEADLINE: Duration = Duration::from_secs(8);
/// Largest head of an answer.
const HEAD: usize = 16 * 1024;

/// Why nothing was fetched. For the log: to whoever named the URL they are all the same (attacks.md, CM-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// The host leads to an address that is not on the Internet, and was not named in the configuration.
    #[error("the host leads to an address that strangers may not name")]
    Address,
    /// The host, its network, or all of them together were asked too often.
    #[error("too many documents are fetched from there, or in all")]
    Busy,
    /// The answer is compressed although nothing compressed was asked for.
    #[error("the answer is compressed")]
    Compressed,
    /// Another port than 443, and not named in the configuration.
    #[error("the port is not the usual one, and not named")]
    Port,
    /// Another status than 200: a redirect, an error, or no whole document.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The deadline passed.
    #[error("no complete answer in time")]
    TimedOut,
    /// The answer's body is over the limit.
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, or it broke, or what came was not HTTP over TLS.
    #[error("the host cannot be reached")]
    Unreachable,
    /// No URL that may be fetched.
    #[error("the url may not be fetched")]
    Url,
}

/// How strangers' URLs are fetched.
#[derive(Clone, Debug)]
pub struct GuardedSettings {
    /// Hosts that may lead inside and use a port of their own: `host`, or `host:port`, in lower case.
    pub private_hosts: Vec<String>,
    /// The proxy that connections are made through, if any. It is asked for the address that was judged here.
    pub proxy: Option<Proxy>,
    /// Whether the proxy is asked for names instead: then it resolves and judges them, and not this machine.
    pub proxy_resolves: bool,
    /// Where names lead.
    pub resolver: Arc<dyn Resolver>,
    /// Whom to believe.
    pub trust: Trust,
}

impl GuardedSettings {
    /// Straight there, only to the Internet, by the system's names.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            private_hosts: Vec::new(),
            proxy: None,
            proxy_resolves: false,
            resolver: Arc::new(SystemResolver),
            trust,
        }
    }
}

/// A document, as its host gave it.
#[derive(Debug)]
pub struct Fetched {
    /// The head.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

type GuardedClient = Client<HttpsConnector<GuardedLines>, Full<Bytes>>;

/// Fetches from strangers' URLs. One for the whole process, or the budgets are worth less.
#[derive(Clone)]
pub struct GuardedFetcher {
    budget: Arc<Budget>,
    client: GuardedClient,
    /// For those whom an operator's peer named: judged as everybody, counted by nobody.
    peers: GuardedClient,
    private_hosts: Arc<[String]>,
}

impl GuardedFetcher {
    /// A fetcher. Dials nothing.
    #[must_use]
    pub fn new(settings: &GuardedSettings, clock: Arc<dyn Clock>) -> Self {
        let budget = Budget::new(clock);
        let client = client_of(settings, Some(Arc::clone(&budget)));
        let peers = client_of(settings, None);
        Self { budget, client, peers, private_hosts: settings.private_hosts.clone().into() }
    }

    /// Fetches one document of at most so many bytes. `accept` names its media types.
    ///
    /// # Errors
    /// [`NotFetched`] for anything but a whole document with status 200.
    pub async fn get(
        &self,
        url: &HttpsUrl,
        accept: &'static str,
        max_body: usize,
    ) -> Result<Fetched, NotFetched> {
        let limits = Limits { total: DEADLINE, max_body };
        let fetched = self.get_within(url, HeaderValue::from_static(accept), limits).await;
        if let Err(why) = fetched {
            tracing::info!(host = url.host_and_port(), %why, "a document that a client named was not fetched");
        }
        fetched
    }

    async fn get_within(
        &self,
        url: &HttpsUrl,
        accept: HeaderValue,
        limits: Limits,
    ) -> Result<Fetched, NotFetched> {
        if url.port() != HttpsUrl::PORT && !line::is_named(&self.private_hosts, url.host(), url.port()) {
            return Err(NotFetched::Port);
        }
        let _leave = self.budget.leave(&url.host_and_port()).ok_or(NotFetched::Busy)?;
        let request = Request::get(url.as_str())
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(USER_AGENT, HeaderValue::from_static("Sekisho"))
            .body(Full::default())
            .map_err(|_| NotFetched::Url)?;
        let exchange = async {
            let response = exchange(&self.client, request, limits.max_body, Some(StatusCode::OK)).await?;
            let (head, body) = response.into_parts();
            Ok(Fetched { headers: head.headers, body })
        };
        tokio::time::timeout(limits.total.min(DEADLINE), exchange).await.unwrap_or(Err(NotFetched::TimedOut))
    }

    /// Asks a host that a peer of the operator's named, with whatever is in the request: the address is judged, any status is
    /// an answer. What it costs is bounded by whoever is let ask, not by a budget for strangers.
    ///
    /// # Errors
    /// [`NotFetched`] if there is no answer, or may be none.
    pub(crate) async fn ask(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, NotFetched> {
        let url = HttpsUrl::parse(&request.uri().to_string()).map_err(|_| NotFetched::Url)?;
        if url.port() != HttpsUrl::PORT && !line::is_named(&self.private_hosts, url.host(), url.port()) {
            return Err(NotFetched::Port);
        }
        let mut request = request.map(Full::new);
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let exchange = exchange(&self.peers, request, limits.max_body, None);
        let answer = tokio::time::timeout(limits.total, exchange).await.unwrap_or(Err(NotFetched::TimedOut));
        if let Err(why) = &answer {
            tracing::info!(host = url.host_and_port(), %why, "a host that an mcp server named was not asked");
        }
        answer
    }
}

fn client_of(settings: &GuardedSettings, budget: Option<Arc<Budget>>) -> GuardedClient {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(settings.trust.config())
        .https_only()
        .enable_http1()
        .wrap_connector(GuardedLines::new(settings, budget));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        // None is kept: the next fetch judges the address anew.
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false)
        .http1_max_buf_size(HEAD)
        .build(connector)
}

async fn exchange(
    client: &GuardedClient,
    request: Request<Full<Bytes>>,
    max_body: usize,
    only: Option<StatusCode>,
) -> Result<Response<Bytes>, NotFetched> {
    let response = client.request(request).await.map_err(|error| {
        tracing::debug!(cause = cause(&error), "a host that a stranger named does not answer");
        reason(&error)
    })?;
    let (head, body) = response.into_parts();
    if only.is_some_and(|only| head.status != only) {
        return Err(NotFetched::Status(head.status.as_u16()));
    }
    let plain = head.headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding == "identity");
    if !plain {
        return Err(NotFetched::Compressed);
    }
    let body = collect(body, max_body).await.map_err(|error| match error {
        FetchError::TooLarge => NotFetched::TooLarge,
        FetchError::TimedOut => NotFetched::TimedOut,
        FetchError::Unreachable => NotFetched::Unreachable,
    })?;
    Ok(Response::from_parts(head, body))
}

/// The guard's own refusal, wherever it stands among the causes.
fn reason(error: &(dyn std::error::Error + 'static)) -> NotFetched {
    let mut step = Some(error);
    while let Some(error) = step {
        if let Some(refused) = error.downcast_ref::<NotFetched>() {
            return *refused;
        }
        step = error.source();
    }
    NotFetched::Unreachable
}

/// For what fetches through an [`Egress`] and is handed a stranger's URL: `GET` alone, nothing of the request but its URL
/// and `Accept`, and anything but status 200 is no answer.
impl Egress for GuardedFetcher {
    fn fetch(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            if request.method() != Method::GET {
                return Err(FetchError::Unreachable);
            }
            let url = HttpsUrl::parse(&request.uri().to_string()).map_err(|_| FetchError::Unreachable)?;
            let accept = request.headers().get(ACCEPT).cloned();
            let accept = accept.unwrap_or_else(|| HeaderValue::from_static("*/*"));
            match self.get_within(&url, accept, limits).await {
                Ok(fetched) => {
                    let mut response = Response::new(fetched.body);
                    *response.headers_mut() = fetched.headers;
                    Ok(response)
                }
                Err(why) => {
                    tracing::info!(host = url.host_and_port(), %why, "a url that a client named was not fetched");
                    Err(match why {
                        NotFetched::TooLarge => FetchError::TooLarge,
                        NotFetched::TimedOut => FetchError::TimedOut,
                        NotFetched::Address
                        | NotFetched::Busy
                        | NotFetched::Compressed
                        | NotFetched::Port
                        | NotFetched::Status(_)
                        | NotFetched::Unreachable
                        | NotFetched::Url => FetchError::Unreachable,
                    })
                }
            }
        })
    }
}

impl fmt::Debug for GuardedFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedFetcher").field("private_hosts", &self.private_hosts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
