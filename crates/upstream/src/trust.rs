//! Which certificates are believed: the platform's roots, and the operator's own.
//!
//! One crypto provider (aws-lc-rs), handed over explicitly, so that nothing depends on what the process installed.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// Whom the clients of this room believe over TLS. Made once: reading the platform's roots takes milliseconds.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The platform's roots and those in the operator's PEM files (their contents).
    ///
    /// Where the platform has none (a bare container), Mozilla's set as compiled in takes their place.
    ///
    /// # Errors
    /// If a PEM file holds no certificate, or one that cannot be a root.
    pub fn new(extra_pem: &[Vec<u8>]) -> Result<Self, TrustError> {
        let mut extra = Vec::new();
        for pem in extra_pem {
            let before = extra.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                extra.push(certificate.map_err(|_| TrustError::Certificate)?);
            }
            if extra.len() == before {
                return Err(TrustError::Certificate);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = verifier(extra, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?
            .dangerous() // rustls' name for any verifier that is not its own; both of ours check everything
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Nobody: for a peer that is reached over plain http, which asks for no certificate. Costs nothing.
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults.
    pub fn nobody() -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// The TLS settings that follow from it.
    pub(crate) fn config(&self) -> ClientConfig {
        (*self.0).clone()
    }
}

fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in &extra {
        roots.add(certificate.clone()).map_err(|_| TrustError::Certificate)?;
    }
    match Verifier::new_with_extra_roots(extra, Arc::clone(provider)) {
        Ok(platform) => Ok(Arc::new(platform)),
        Err(error) => {
            tracing::warn!(%error, "the platform has no root certificates; using the compiled-in set");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|_| TrustError::Certificate)?;
            Ok(built)
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// Why there is nobody to believe.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A PEM file of the operator's holds no usable root certificate.
    #[error("a file of extra certificates holds none that can be a root")]
    Certificate,
    /// The TLS library refused its own defaults.
    #[error("tls cannot be set up")]
    Tls(#[source] rustls::Error),
}
