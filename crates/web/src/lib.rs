//! The front doors: HTTP in, HTML and JSON out. The only room with axum and templates.
//!
//! A request is read here, handed to one method of one role, and answered in one of five shapes. No rule is decided
//! here, nothing is stored, and nothing is fetched.

mod acme;
mod approval;
mod assets;
mod body;
mod connect;
mod consent;
mod cookies;
mod device;
mod form;
mod front;
mod fronts;
mod health;
mod index;
mod layers;
mod listener;
mod login;
mod mcp;
mod metrics;
mod oauth;
mod pages;
mod public_url;
mod reference;
mod respond;
mod router;
mod routes;
mod serve;
mod signals;
mod text;
mod tls;
mod well_known;

use std::sync::Arc;

use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listener::Peer;

pub use body::{Body, BodyError};
pub use front::{Front, ListedServer, Parts, Settings};
pub use fronts::{FormerFront, Fronts};
pub use layers::address::ForwardedHeader;
pub use layers::limits::{KnownNetwork, KnownNetworks, Rate, Rates};
pub use layers::origin::WELL_KNOWN_WEB_CLIENTS;
pub use listener::{Listener, Serves};
pub use public_url::{PublicUrl, PublicUrlError};
pub use reference::{errors_reference, routes_reference};
pub use serve::{ConnectionLimits, Drained, TrustedProxies};
pub use tls::{Certificates, Identity, Tls, TlsError};

/// Readers of what strangers write, alone: for those who try what they do with any bytes.
pub mod readers {
    use std::net::IpAddr;

    use authorization_server::Browser;
    use http::HeaderMap;
    use ipnet::IpNet;

    use crate::{ForwardedHeader, PublicUrl, cookies, layers};

    /// From which address a request comes.
    #[must_use]
    pub fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet], which: ForwardedHeader) -> IpAddr {
        layers::address::caller(peer, headers, trusted, which)
    }

    /// The cookies of a browser.
    #[must_use]
    pub fn cookies(public_url: &PublicUrl, headers: &HeaderMap) -> Browser {
        cookies::Cookies::new(public_url).browser(headers)
    }
}

/// Serves clients and people on these listeners until `shutdown`, then lets answers finish.
pub async fn serve(
    listeners: Vec<Listener>,
    fronts: Arc<Fronts>,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Drained {
    let doors = move |peer: Peer, serves: Serves| fronts::Door { fronts: Arc::clone(&fronts), peer, serves };
    serve::accept_all(listeners, doors, limits, shutdown).await
}

/// Serves `/metrics` and `/healthz` on these listeners until `shutdown`.
pub async fn serve_metrics(
    listeners: Vec<TcpListener>,
    fronts: Arc<Fronts>,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Drained {
    let router = metrics::router(fronts);
    let doors = move |_: Peer, _: Serves| TowerToHyperService::new(router.clone());
    let listeners = listeners.into_iter().map(Listener::from).collect();
    serve::accept_all(listeners, doors, limits, shutdown).await
}
