//! How one peer is reached: whom to believe, who we are to it, under which name, over which proxy, in which version of
//! HTTP.

use rustls::pki_types::ServerName;

use crate::proxy::Proxy;
use crate::trust::Trust;

/// Which versions of HTTP a peer is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http2 {
    /// HTTP/2 where TLS negotiates it, else HTTP/1.1 (RFC 9113, section 3.2).
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Off,
    /// HTTP/2 from the first byte, in clear (RFC 9113, section 3.3). A peer that does not speak it is not understood.
    PriorKnowledge,
}

/// The name that a certificate must be for, where it is not the host of the URL. It is asked for as well (SNI; RFC 6066,
/// section 3) unless it is an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServerName(ServerName<'static>);

impl TlsServerName {
    /// Reads a host name or an address.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, TlsServerNameError> {
        ServerName::try_from(text.to_owned()).map(Self).map_err(|_| TlsServerNameError)
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.0.clone()
    }
}

/// It is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tls server name is a host name or an address")]
pub struct TlsServerNameError;

/// The way to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whom to believe, and which certificate to show.
    pub trust: Trust,
    /// The proxy that connections are made through, if any.
    pub proxy: Option<Proxy>,
    /// The name in the certificate, if it is not that of the URL.
    pub tls_server_name: Option<TlsServerName>,
    /// The versions of HTTP.
    pub http2: Http2,
}

impl Route {
    /// Straight there, with everything as the URL says.
    #[must_use]
    pub fn direct(trust: &Trust) -> Self {
        Self { trust: trust.clone(), proxy: None, tls_server_name: None, http2: Http2::default() }
    }
}

impl From<&Trust> for Route {
    fn from(trust: &Trust) -> Self {
        Self::direct(trust)
    }
}
