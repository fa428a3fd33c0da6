//! A socket that is listened on, and what it is for: machines, people or the console, in clear or under TLS, with or
//! without a header of the PROXY protocol before everything else.
//!
//! Says which doors a socket opens; never who may pass them.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::tls::Tls;

/// For whom a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visitors {
    /// Anybody on any listener: probes, and the proofs that a certificate authority asks for.
    Anybody,
    /// Clients and MCP servers' callers: metadata, keys, tokens, registration, MCP endpoints.
    Machines,
    /// People's browsers: authorization, login, consent.
    People,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether it may say for whom it comes, if it is a trusted proxy. A balancer that speaks the PROXY protocol and names
    /// nobody may not: it sees no HTTP, so a header is the word of whoever is behind it.
    pub(crate) may_forward: bool,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { address, may_forward: true }
    }
}

/// For whom a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// The administrators' console. No path is of this kind yet.
    pub console: bool,
    /// Clients: metadata, keys, tokens, registration, MCP endpoints.
    pub machines: bool,
    /// People: authorization, login and consent.
    pub people: bool,
}

impl Serves {
    /// Everybody.
    pub const ALL: Self = Self { console: true, machines: true, people: true };
    /// Nobody but probes and certificate authorities.
    pub const NONE: Self = Self { console: false, machines: false, people: false };

    pub(crate) const fn includes(self, visitors: Visitors) -> bool {
        match visitors {
            Visitors::Anybody => true,
            Visitors::Machines => self.machines,
            Visitors::People => self.people,
        }
    }
}

/// A socket that is listened on.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// For whom it is.
    pub serves: Serves,
    /// TLS, unless it is spoken in front of us.
    pub tls: Option<Tls>,
    /// Whether every connection begins with a header of the PROXY protocol, version 2. It is taken from trusted proxies
    /// only; a connection without it, or from anybody else, is closed.
    pub proxy_protocol: bool,
    /// Whether HTTP/2 is spoken without TLS when the peer begins with it (RFC 9113, section 3.3). Under TLS the
    /// negotiation decides.
    pub h2c: bool,
}

impl From<TcpListener> for Listener {
    /// For everybody, in clear, without PROXY protocol.
    fn from(socket: TcpListener) -> Self {
        Self { socket, serves: Serves::ALL, tls: None, proxy_protocol: false, h2c: true }
    }
}
