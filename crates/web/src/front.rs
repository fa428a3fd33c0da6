//! The front doors as one thing: the roles, the settings, and the way of a request from its first byte to its answer.
//!
//! Decides nothing but whether a request is for us at all. The MCP endpoints are told apart here, before the router,
//! because most requests are theirs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use authorization_server::{AuthorizationServer, Browser, Caller};
use axum::Router;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, Request, Response};
use ipnet::IpNet;
use protocol::world::{Clock, Entropy};
use resource_server::ResourceServer;
use store::Store;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::body::Body;
use crate::cookies::Cookies;
use crate::health::Readiness;
use crate::layers::address::{self, ForwardedHeader};
use crate::layers::framing;
use crate::layers::host::Names;
use crate::layers::limits::{KnownNetworks, Limiter, Rates};
use crate::layers::origin::{Origin, OriginList, WELL_KNOWN_WEB_CLIENTS};
use crate::layers::request_id::{self, RequestId, RequestIds};
use crate::layers::security_headers::{HSTS, NOSNIFF};
use crate::listener::{Peer, Serves, Visitors};
use crate::mcp;
use crate::metrics::Metrics;
use crate::public_url::PublicUrl;
use crate::text::Language;
use crate::{respond, router, routes};

/// An MCP server as the first page lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedServer {
    /// Its name in URLs.
    pub name: String,
    /// The name people are shown.
    pub title: String,
    /// Its URL.
    pub url: String,
}

/// Time for the whole body of a form or registration to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// What the front doors are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time for the whole body of a form or registration to arrive.
    pub body_timeout: Duration,
    /// Origins of web pages that may call us from a script (product.md, P-22).
    pub browser_origins: Vec<String>,
    /// Which header the trusted proxies write.
    pub forwarded_header: ForwardedHeader,
    /// Networks that are one caller each, with budgets of their own.
    pub networks: KnownNetworks,
    /// Where people's pages are, if they have an origin of their own.
    pub pages_url: Option<PublicUrl>,
    /// The issuer.
    pub public_url: PublicUrl,
    /// How often an address may ask.
    pub rates: Rates,
    /// The MCP servers, for the first page.
    pub servers: Vec<ListedServer>,
    /// Whose word about the caller's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Our version, for the metrics.
    pub version: &'static str,
}

impl Settings {
    /// The defaults for this issuer.
    #[must_use]
    pub fn new(public_url: PublicUrl) -> Self {
        Self {
            body_timeout: BODY_TIMEOUT,
            browser_origins: WELL_KNOWN_WEB_CLIENTS.map(str::to_owned).to_vec(),
            forwarded_header: ForwardedHeader::default(),
            networks: KnownNetworks::default(),
            pages_url: None,
            public_url,
            rates: Rates::default(),
            servers: Vec::new(),
            trusted_proxies: Vec::new(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The origin of people's pages.
    pub(crate) fn pages(&self) -> &PublicUrl {
        self.pages_url.as_ref().unwrap_or(&self.public_url)
    }
}

/// What the front doors open to.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who may get which token.
    pub authorization_server: Arc<AuthorizationServer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// The MCP servers behind us.
    pub resource_server: Arc<ResourceServer>,
    /// The record: asked whether it answers, and nothing else.
    pub store: Arc<dyn Store>,
}

/// The front doors.
pub struct Front {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) cookies: Cookies,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) origins: OriginList,
    pub(crate) proofs: Arc<ArcSwap<HashMap<String, String>>>,
    pub(crate) readiness: Arc<Readiness>,
    request_ids: Arc<RequestIds>,
    router: Router,
}

impl Front {
    /// Builds them. Listens to nothing yet: see [`crate::serve()`].
    #[must_use]
    pub fn new(settings: Settings, parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            cookies: Cookies::new(settings.pages()),
            limiter: Arc::new(Limiter::new(settings.rates, settings.networks.clone())),
            metrics: Arc::new(Metrics::new(
                settings.version,
                parts.resource_server.counting(),
                &parts.authorization_server,
            )),
            origins: OriginList::new(&settings.public_url, &settings.browser_origins),
            proofs: Arc::default(),
            readiness: Arc::default(),
            request_ids: Arc::new(RequestIds::new(parts.entropy.as_ref())),
            router: router::router(),
            settings,
            parts,
        })
    }

    /// The front doors with other settings and roles: what was counted stays counted, and what an address has used up
    /// of its budgets stays used up unless the rates are others.
    #[must_use]
    pub fn with(&self, settings: Settings, parts: Parts) -> Arc<Self> {
        let limiter = if self.limiter.goes_by(&settings.rates, &settings.networks) {
            Arc::clone(&self.limiter)
        } else {
            Arc::new(Limiter::new(settings.rates, settings.networks.clone()))
        };
        Arc::new(Self {
            cookies: Cookies::new(settings.pages()),
            limiter,
            metrics: Arc::clone(&self.metrics),
            origins: OriginList::new(&settings.public_url, &settings.browser_origins),
            proofs: Arc::clone(&self.proofs),
            readiness: Arc::clone(&self.readiness),
            request_ids: Arc::clone(&self.request_ids),
            router: self.router.clone(),
            settings,
            parts,
        })
    }

    /// Answers one request of a peer.
    pub async fn answer<B>(self: &Arc<Self>, peer: SocketAddr, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        match Arc::clone(self).answer_at(Serves::ALL, peer.into(), request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The same at a listener that is for some only: whatever is for others is not there. It is what a connection waits for,
    /// with nothing around it: it would be moved once more.
    pub(crate) async fn answer_at<B>(
        self: Arc<Self>,
        serves: Serves,
        peer: Peer,
        request: Request<B>,
    ) -> Result<Response<Body>, Infallible>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let id = self.request_ids.next();
        // A span costs more than some of the checks of a call, and a call's one line in the log carries the id itself.
        let span = match routes::mcp_server(request.uri().path()) {
            Some(_) => tracing::debug_span!("request", %id),
            None => tracing::info_span!("request", %id),
        };
        let is_head = request.method() == Method::HEAD;
        let mut response = self.admit((id, serves), peer, request).instrument(span).await;
        if is_head {
            // RFC 9110, section 9.3.2: the length is said, and the content left out. Over HTTP/2 nobody else does that.
            let body = std::mem::take(response.body_mut());
            if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
            }
        }
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.header_value());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if self.settings.public_url.is_https() {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        Ok(response)
    }

    async fn admit<B>(
        self: &Arc<Self>,
        (id, serves): (RequestId, Serves),
        peer: Peer,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let trusted = if peer.may_forward { self.settings.trusted_proxies.as_slice() } else { &[] };
        let (peer, header) = (peer.address.ip(), self.settings.forwarded_header);
        let mut visit = Visit {
            address: address::caller(peer, &parts.headers, trusted, header),
            front: Arc::clone(self),
            id,
            language: Language::default(),
            names: Names::of(&parts, &self.settings.public_url, self.settings.pages_url.as_ref()),
            origin: self.origins.judge(&parts.headers),
            serves,
        };
        if !framing::is_plain(&parts.headers) {
            return respond::misframed(&visit);
        }
        // A clone of a URI shares its bytes.
        let uri = parts.uri.clone();
        if let Some(server) = routes::mcp_server(uri.path())
            && serves.includes(Visitors::Machines)
        {
            return mcp::call(&visit, server, Request::from_parts(parts, body)).await;
        }
        visit.language = Language::of(&parts.headers);
        let mut request = Request::from_parts(parts, axum::body::Body::new(body));
        request.extensions_mut().insert(Arc::new(visit));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(Body::page),
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One request's company on its way: who asks, in which request, and the front doors.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) address: IpAddr,
    pub(crate) front: Arc<Front>,
    pub(crate) id: RequestId,
    pub(crate) language: Language,
    /// Which of our hosts the request names.
    pub(crate) names: Names,
    pub(crate) origin: Origin,
    /// What the listener serves.
    pub(crate) serves: Serves,
}

impl Visit {
    /// As the roles know the caller.
    pub(crate) const fn caller(&self) -> Caller {
        Caller { address: self.address, told: None }
    }

    /// As the roles know the browser.
    pub(crate) fn browser(&self, headers: &HeaderMap) -> Browser {
        self.front.cookies.browser(headers)
    }

    /// The authorization server.
    pub(crate) fn authorization_server(&self) -> &AuthorizationServer {
        &self.front.parts.authorization_server
    }
}
