//! Sockets that are listened on, each with what it is for.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{Certificates, Listener, Tls};

use super::certificates::CertificateFiles;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::listeners::{ListenerConfig, TlsConfig};

/// All doors, and the certificates that are shown at them.
#[derive(Debug)]
pub struct Doors {
    /// What is listened on.
    pub listeners: Vec<Listener>,
    /// Certificates from files.
    pub files: Vec<Arc<CertificateFiles>>,
    /// What is shown where the certificate comes from an authority.
    pub acme: Vec<Arc<Certificates>>,
}

impl Doors {
    /// `sockets` are those of `listen`, which serve everybody; those of `[[listener]]` are opened here.
    pub async fn open(config: &Config, sockets: Vec<TcpListener>) -> Result<Self, Failure> {
        let listeners = sockets.into_iter().map(Listener::from).collect();
        let mut doors = Self { listeners, files: Vec::new(), acme: Vec::new() };
        for listener in &config.listeners {
            doors.add(listener).await?;
        }
        Ok(doors)
    }

    async fn add(&mut self, config: &ListenerConfig) -> Result<(), Failure> {
        let tls = config.tls.as_ref().map(|tls| self.tls(tls)).transpose()?;
        let settings = &config.settings;
        for socket in bind(&[settings.address]).await? {
            self.listeners.push(Listener {
                socket,
                serves: settings.serves,
                tls: tls.clone(),
                proxy_protocol: settings.proxy_protocol,
                h2c: settings.h2c,
            });
        }
        Ok(())
    }

    fn tls(&mut self, config: &TlsConfig) -> Result<Tls, Failure> {
        let shown = Arc::new(Certificates::default());
        match config {
            TlsConfig::Acme => self.acme.push(Arc::clone(&shown)),
            TlsConfig::Files(pairs) => self.files.push(CertificateFiles::open(pairs, &shown)?),
        }
        Tls::new(shown).map_err(|error| Failure::Wiring(error.to_string()))
    }

    /// Keeps the certificates fresh until `stop`.
    pub fn watch(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        for files in &self.files {
            tasks.spawn(Arc::clone(files).watch(stop.clone()));
        }
    }
}

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
