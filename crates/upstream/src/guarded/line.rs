//! One connection to a host that a stranger named: the name is resolved once, every address it leads to is judged, and one
//! of those very addresses is dialled. Nothing else in this crate may dial for a stranger.
//!
//! A proxy is asked for the address that was judged, not for the name, unless the operator says that the proxy judges.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use protocol::oauth::HttpsUrl;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

use super::address::{Reach, reach};
use super::budget::Budget;
use super::resolver::Resolver;
use super::{GuardedSettings, NotFetched};
use crate::dial::{BoxError, ProxyRefused, Through, with_port};
use crate::line::Line;

/// One address among several may be silent.
const ONE_ADDRESS: Duration = Duration::from_secs(2);
/// How many of a name's addresses are tried.
const ADDRESSES: usize = 4;

/// Makes guarded connections.
#[derive(Clone)]
pub(super) struct GuardedLines(Arc<Guard>);

struct Guard {
    /// Of strangers; what an operator's peer names costs no more than whoever is let ask.
    budget: Option<Arc<Budget>>,
    private_hosts: Vec<String>,
    proxy: Option<Through>,
    proxy_resolves: bool,
    resolver: Arc<dyn Resolver>,
}

impl GuardedLines {
    pub(super) fn new(settings: &GuardedSettings, budget: Option<Arc<Budget>>) -> Self {
        Self(Arc::new(Guard {
            budget,
            private_hosts: settings.private_hosts.clone(),
            proxy: settings.proxy.as_ref().map(|proxy| Through::new(proxy, ONE_ADDRESS)),
            proxy_resolves: settings.proxy_resolves,
            resolver: Arc::clone(&settings.resolver),
        }))
    }
}

impl Service<Uri> for GuardedLines {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = Arc::clone(&self.0);
        Box::pin(async move { guard.connect(&uri).await })
    }
}

impl Guard {
    async fn connect(&self, uri: &Uri) -> Result<Line, BoxError> {
        let host = uri.host().ok_or(NotFetched::Url)?;
        let port = uri.port_u16().unwrap_or(HttpsUrl::PORT);
        let through = self.proxy.as_ref().filter(|through| through.leads_to(uri));
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if let (Some(through), true, Err(_)) = (through, self.proxy_resolves, &literal) {
            let peer = with_port(uri.clone()).ok_or(NotFetched::Url)?;
            return tunnel(through, peer).await;
        }
        let found = match literal {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await?,
        };
        let inside = is_named(&self.private_hosts, host, port);
        let mut last: BoxError = io::Error::from(io::ErrorKind::NotFound).into();
        for address in judged(found, inside)? {
            if self.budget.as_ref().is_some_and(|budget| !budget.may_dial(address)) {
                return Err(NotFetched::Busy.into());
            }
            let peer = peer_uri(address, port)?;
            // What is near, or exempt, is so by its address as well: there it would be the proxy's own.
            let line = match through.filter(|through| through.leads_to(&peer)) {
                Some(through) => tunnel(through, peer).await,
                None => dial(SocketAddr::new(address, port)).await,
            };
            match line {
                Ok(line) => return Ok(line),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// All of them, or none: a name of which one address is public and another is not was made to lead astray. Both families
/// come early, because one of them may lead nowhere.
fn judged(found: Vec<IpAddr>, inside: bool) -> Result<Vec<IpAddr>, NotFetched> {
    let allowed = |address: &IpAddr| match reach(*address) {
        Reach::Global => true,
        Reach::Inside => inside,
        Reach::Never => false,
    };
    if !found.iter().all(allowed) {
        return Err(NotFetched::Address);
    }
    let first = found.first().copied();
    let other = found.iter().find(|address| first.is_some_and(|first| first.is_ipv4() != address.is_ipv4()));
    let mut order: Vec<IpAddr> = first.into_iter().chain(other.copied()).collect();
    for address in &found {
        if !order.contains(address) {
            order.push(*address);
        }
    }
    order.truncate(ADDRESSES);
    Ok(order)
}

/// Whether the operator named this host: with its port, or without one for the usual.
pub(super) fn is_named(private_hosts: &[String], host: &str, port: u16) -> bool {
    let host = host.to_ascii_lowercase();
    let named = if port == HttpsUrl::PORT { host } else { format!("{host}:{port}") };
    private_hosts.contains(&named)
}

async fn dial(address: SocketAddr) -> Result<Line, BoxError> {
    let connecting = tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(Line::Direct(TokioIo::new(stream)))
}

fn peer_uri(address: IpAddr, port: u16) -> Result<Uri, BoxError> {
    Ok(format!("https://{}", SocketAddr::new(address, port)).parse()?)
}

async fn tunnel(through: &Through, peer: Uri) -> Result<Line, BoxError> {
    let stream = through.tunnel().oneshot(peer).await.map_err(|error| ProxyRefused(error.into()))?;
    Ok(Line::Tunnel(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn one_address_that_may_not_be_dialled_spoils_all() {
        assert!(judged(addresses(&["8.8.8.8", "2606:4700::1"]), false).is_ok());
        for bad in ["10.0.0.1", "::1", "169.254.169.254", "64:ff9b::7f00:1"] {
            assert_eq!(judged(addresses(&["8.8.8.8", bad]), false), Err(NotFetched::Address), "{bad}");
        }
        assert!(judged(addresses(&["10.0.0.1", "127.0.0.1"]), true).is_ok());
        assert_eq!(judged(addresses(&["169.254.169.254"]), true), Err(NotFetched::Address));
    }

    #[test]
    fn both_families_are_tried_early() {
        let found = addresses(&["2606:4700::1", "2606:4700::2", "2606:4700::3", "2606:4700::4", "8.8.8.8"]);
        let order = judged(found, false).unwrap();
        assert_eq!(order, addresses(&["2606:4700::1", "8.8.8.8", "2606:4700::2", "2606:4700::3"]));
        assert!(judged(Vec::new(), false).unwrap().is_empty());
    }

    #[test]
    fn a_host_is_named_with_its_port() {
        let named = ["clients.corp.example".to_owned(), "dev.corp.example:8443".to_owned()];
        assert!(is_named(&named, "Clients.corp.example", 443));
        assert!(is_named(&named, "dev.corp.example", 8443));
        for (host, port) in
            [("clients.corp.example", 22), ("dev.corp.example", 443), ("a.clients.corp.example", 443)]
        {
            assert!(!is_named(&named, host, port), "{host}:{port}");
        }
    }
}
