//! Sockets that are listened on.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::commands::Failure;

/// Listens on each address.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener =
            TcpListener::bind(address).await.map_err(Failure::io(format!("cannot listen on {address}")))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The port of a listener.
pub fn port(listener: &TcpListener) -> Result<u16, Failure> {
    listener.local_addr().map(|address| address.port()).map_err(Failure::io("cannot read an address"))
}
