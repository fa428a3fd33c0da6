//! How connections are made: limits on every wait, and TLS that verifies whom it talks to.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use protocol::secret::Secret;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;
use crate::engine::OpenError;

/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one unit of work may take in all, so that a cut cable is not a request that hangs.
const WORK_LIMIT: Duration = Duration::from_secs(15);

/// What every connection is told first. The level of isolation is what the SQL was written for, whatever the
/// server's default is; the limits end what nobody waits for any more.
const FIRST: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15s'";

/// The pool, and whether its connections are encrypted.
pub(super) fn pool(url: &Secret, size: usize, ca: Option<&Path>) -> Result<(Pool, bool), OpenError> {
    // No more than the error's own words: what caused it may quote a piece of the URL, and so of the password.
    let parsed = url.expose(|url| url.parse::<Config>());
    let mut config = parsed.map_err(|error| OpenError::Setting(format!("the database URL: {error}")))?;
    config.application_name("sekisho");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    config.keepalives_idle(Duration::from_secs(30));
    let tls = ca.is_some() || config.get_ssl_mode() == SslMode::Require;
    config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if tls {
        Manager::from_config(config, MakeRustlsConnect::new(verifying(ca)?), manager)
    } else {
        Manager::from_config(config, tokio_postgres::NoTls, manager)
    };
    let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
    let pool = Pool::builder(manager)
        .max_size(size.max(1))
        .runtime(Runtime::Tokio1)
        .timeouts(timeouts)
        .post_create(Hook::async_fn(|connection, _| {
            Box::pin(async move { connection.batch_execute(FIRST).await.map_err(HookError::Backend) })
        }))
        .build();
    Ok((pool.map_err(StoreError::unavailable)?, tls))
}

/// TLS in which the server proves who it is: to one authority if one is named, otherwise to the system's.
fn verifying(ca: Option<&Path>) -> Result<ClientConfig, OpenError> {
    let refused = |error: &dyn std::fmt::Display| OpenError::Setting(format!("TLS to the database: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    let Some(ca) = ca else {
        let verifier = builder.with_platform_verifier().map_err(|error| refused(&error))?;
        return Ok(verifier.with_no_client_auth());
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        OpenError::Setting(format!("`{}` is no certificate in PEM: {error}", ca.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        return Err(unreadable(&"it is empty"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Gives up on work that takes too long. What it was doing is dropped, and with it its connection.
pub(super) async fn limited<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(WORK_LIMIT, work)
        .await
        .map_err(|_| StoreError::unavailable("no answer within 15 seconds"))
}
