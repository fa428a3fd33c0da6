//! The ways outward: whom we believe over TLS, and which proxy leads there.

use std::path::PathBuf;
use std::sync::OnceLock;

use protocol::secret::Secret;
use upstream::proxy::{Proxy, ProxySettings};
use upstream::route::Route;
use upstream::trust::{Trust, TrustError};

use crate::commands::Failure;
use crate::config::mcp_servers::McpServer;
use crate::config::outbound_proxy::OutboundProxyConfig;
use crate::config::{Config, secrets};

/// Whom we believe over TLS. The roots of the system are read once, and only if somebody is reached by https:
/// reading them takes longer than all the rest of a start.
#[derive(Debug, Default)]
pub struct Trusts {
    system: OnceLock<Trust>,
}

impl Trusts {
    /// For a peer at this URL, with the operator's own authorities if a file is named.
    pub fn of(&self, config: &Config, url: &str, ca_file: Option<&str>) -> Result<Trust, Failure> {
        if url.starts_with("http://") {
            return Trust::nobody().map_err(|error| Failure::Wiring(error.to_string()));
        }
        if let Some(file) = ca_file {
            let path = config.folder.join(file);
            let what = format!("cannot read the certificate authorities in `{}`", path.display());
            let pem = std::fs::read(&path).map_err(Failure::io(what))?;
            return Trust::new(&[pem])
                .map_err(|error| Failure::Wiring(format!("`{}`: {error}", path.display())));
        }
        if let Some(system) = self.system.get() {
            return Ok(system.clone());
        }
        let system = Trust::new(&[]).map_err(|error| Failure::Wiring(error.to_string()))?;
        Ok(self.system.get_or_init(|| system).clone())
    }

    /// The way to a peer at this URL, through the proxy of `[outbound_proxy]` if there is one.
    pub fn route(&self, config: &Config, url: &str, ca_file: Option<&str>) -> Result<Route, Failure> {
        let trust = self.of(config, url, ca_file)?;
        Ok(Route { proxy: self.proxy(config)?, ..Route::direct(&trust) })
    }

    /// The proxy of `[outbound_proxy]`.
    pub fn proxy(&self, config: &Config) -> Result<Option<Proxy>, Failure> {
        config.outbound_proxy.as_ref().map(|proxy| self.one_proxy(config, proxy)).transpose()
    }

    /// One proxy. Dials nothing.
    pub fn one_proxy(&self, config: &Config, proxy: &OutboundProxyConfig) -> Result<Proxy, Failure> {
        let url = proxy.settings.url.to_string();
        let trust = self.of(config, &url, proxy.settings.ca_file.as_deref())?;
        let password =
            proxy.password.as_ref().map(|source| source.load("the password at the outbound proxy"));
        let settings = ProxySettings {
            url,
            credentials: proxy.settings.username.clone().zip(password.transpose()?),
            no_proxy: proxy.settings.no_proxy.clone(),
        };
        Proxy::new(&settings, &trust).map_err(|error| Failure::Wiring(error.to_string()))
    }
}

/// The files of the client certificate for an MCP server, if there is one: certificate and key.
pub fn client_certificate_files(config: &Config, server: &McpServer) -> Option<(PathBuf, PathBuf)> {
    let path = |file: &String| config.folder.join(file);
    server.client_certificate_file.as_ref().map(path).zip(server.client_key_file.as_ref().map(path))
}

/// The same trust, with the client certificate for an MCP server if there is one.
pub fn with_client_certificate(config: &Config, server: &McpServer, trust: Trust) -> Result<Trust, Failure> {
    let Some((certificate, key)) = client_certificate_files(config, server) else { return Ok(trust) };
    let what = format!("cannot read the client certificate `{}`", certificate.display());
    let chain = std::fs::read(&certificate).map_err(Failure::io(what))?;
    let key_text = Secret::new(secrets::read_private(&key, "the key of a client certificate")?);
    trust.with_client_certificate(&chain, &key_text).map_err(|error: TrustError| {
        Failure::Wiring(format!("`{}` with the key `{}`: {error}", certificate.display(), key.display()))
    })
}
