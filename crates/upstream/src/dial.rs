//! How a connection is made: name, TCP, proxy, TLS, within one deadline. Both planes dial through here and nowhere else.
//!
//! Only addresses that the operator configured, or that a configured provider's own document names, are dialled.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower::Service;

use crate::line::Line;
use crate::proxy::Proxy;
use crate::route::{Http2, Route};

/// A dead peer's connection is noticed after this long without traffic.
const KEEPALIVE: Duration = Duration::from_secs(60);

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Making<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Dials `http` and `https`, HTTP/2 where TLS negotiates it.
#[derive(Clone)]
pub(crate) struct Dial {
    inner: HttpsConnector<Lines>,
    deadline: Duration,
}

impl Dial {
    pub(crate) fn new(route: &Route, deadline: Duration) -> Self {
        let builder = HttpsConnectorBuilder::new().with_tls_config(route.trust.config()).https_or_http();
        let builder = match &route.tls_server_name {
            Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name.name())),
            None => builder,
        };
        let lines = Lines::new(route.proxy.as_ref(), deadline);
        let inner = match route.http2 {
            Http2::Auto => builder.enable_all_versions().wrap_connector(lines),
            Http2::Off => builder.enable_http1().wrap_connector(lines),
            Http2::PriorKnowledge => builder.enable_http2().wrap_connector(lines),
        };
        Self { inner, deadline }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Service<Uri> for Dial {
    type Response = MaybeHttpsStream<Line>;
    type Error = BoxError;
    type Future = Making<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let deadline = self.deadline;
        Box::pin(async move {
            match tokio::time::timeout(deadline, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// A proxy, and how tunnels through it are made.
#[derive(Clone)]
pub(crate) struct Through {
    proxy: Proxy,
    tunnel: Tunnel<HttpsConnector<HttpConnector>>,
}

impl Through {
    /// `deadline` is for the connection to the proxy.
    pub(crate) fn new(proxy: &Proxy, deadline: Duration) -> Self {
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(proxy.trust().config())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(deadline));
        let tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        let tunnel = match proxy.authorization() {
            Some(authorization) => tunnel.with_auth(authorization.clone()),
            None => tunnel,
        };
        Self { proxy: proxy.clone(), tunnel }
    }

    /// Whether connections to this peer are made through the proxy.
    pub(crate) fn leads_to(&self, peer: &Uri) -> bool {
        self.proxy.leads_to(peer)
    }

    pub(crate) fn tunnel(&self) -> Tunnel<HttpsConnector<HttpConnector>> {
        self.tunnel.clone()
    }
}

fn tcp(deadline: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(deadline));
    tcp
}

/// Lines to peers: straight there, or through a proxy.
#[derive(Clone)]
struct Lines {
    tcp: HttpConnector,
    proxy: Option<Through>,
}

impl Lines {
    fn new(proxy: Option<&Proxy>, deadline: Duration) -> Self {
        Self { tcp: tcp(deadline), proxy: proxy.map(|proxy| Through::new(proxy, deadline)) }
    }
}

impl Service<Uri> for Lines {
    type Response = Line;
    type Error = BoxError;
    type Future = Making<Line>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(through) = &mut self.proxy {
            ready!(through.tunnel.poll_ready(context))?;
        }
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match &mut self.proxy {
            Some(through) if through.leads_to(&uri) => {
                let Some(peer) = with_port(uri) else {
                    return Box::pin(async { Err(io::Error::from(io::ErrorKind::InvalidInput).into()) });
                };
                let connecting = through.tunnel.call(peer);
                Box::pin(async move {
                    let stream = connecting.await.map_err(|error| ProxyRefused(error.into()))?;
                    Ok(Line::Tunnel(Box::new(stream)))
                })
            }
            Some(_) | None => {
                let connecting = self.tcp.call(uri);
                Box::pin(async move { Ok(Line::Direct(connecting.await?)) })
            }
        }
    }
}

/// The proxy did not let us through, or cannot be reached itself.
#[derive(Debug, thiserror::Error)]
#[error("the outbound proxy")]
pub(crate) struct ProxyRefused(#[source] pub(crate) BoxError);

/// A tunnel leads to a port (RFC 9112, section 3.2.3); without one in the URI, to that of the scheme.
pub(crate) fn with_port(uri: Uri) -> Option<Uri> {
    if uri.port_u16().is_some() {
        return Some(uri);
    }
    let port = if uri.scheme() == Some(&http::uri::Scheme::HTTP) { 80 } else { 443 };
    let authority = format!("{}:{port}", uri.host()?);
    let mut parts = uri.into_parts();
    parts.authority = Some(authority.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn a_tunnel_is_asked_for_with_the_port_of_the_scheme() {
        for (uri, authority) in [
            ("http://a.example/x", "a.example:80"),
            ("https://a.example/x", "a.example:443"),
            ("http://a.example:8080/", "a.example:8080"),
            ("https://[2001:db8::1]/", "[2001:db8::1]:443"),
        ] {
            let made = with_port(uri.parse().unwrap()).unwrap();
            assert_eq!(made.authority().unwrap().as_str(), authority);
        }
    }
}
