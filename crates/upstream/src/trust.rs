//! Which certificates are believed: the platform's roots, and the operator's own; and which one is shown to a peer that
//! asks who comes.
//!
//! One crypto provider (aws-lc-rs), handed over explicitly, so that nothing depends on what the process installed.

use std::fmt;
use std::sync::Arc;

use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use x509_parser::parse_x509_certificate;

/// Whom the clients of this room believe over TLS, and who they say they are. Made once: reading the platform's roots
/// takes milliseconds.
///
/// Two are the same if they were made from the same certificates and keys, wherever these were read from.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    made_from: Hash,
}

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
        Ok(Self { config: Arc::new(config), made_from: hash_of("roots", extra_pem) })
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
        Ok(Self { config: Arc::new(config), made_from: hash_of("nobody", &[]) })
    }

    /// The same, and a certificate for the peer that asks for one (RFC 8446, section 4.3.2): its chain in PEM, its own
    /// first, and its private key in PEM.
    ///
    /// # Errors
    /// If there is no certificate, no key, or the key of another certificate.
    pub fn with_client_certificate(&self, chain_pem: &[u8], key_pem: &Secret) -> Result<Self, TrustError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TrustError::ClientCertificate)?;
        let key = key_pem.expose(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()));
        let key = key.map_err(|_| TrustError::ClientKey)?;
        let provider = self.config.crypto_provider();
        let shown = CertifiedKey::from_der(chain, key, provider).map_err(|error| unfit(&error))?;
        let mut config = self.config();
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        // A session begun without the certificate, or with another one, is not gone on with.
        config.resumption = Resumption::default();
        let parts =
            [self.made_from.as_bytes().to_vec(), chain_pem.to_vec(), key_pem.hash().as_bytes().to_vec()];
        Ok(Self { config: Arc::new(config), made_from: hash_of("client", &parts) })
    }

    /// The TLS settings that follow from it.
    pub(crate) fn config(&self) -> ClientConfig {
        (*self.config).clone()
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.made_from == other.made_from
    }
}

impl Eq for Trust {}

/// Not a match: the library may add to its errors.
fn unfit(error: &rustls::Error) -> TrustError {
    if matches!(error, rustls::Error::InconsistentKeys(_)) {
        TrustError::ClientKeyOfAnother
    } else if matches!(error, rustls::Error::InvalidCertificate(_)) {
        TrustError::ClientCertificate
    } else {
        TrustError::ClientKey
    }
}

/// Of all parts, so that no two lists of parts look the same.
fn hash_of(kind: &str, parts: &[Vec<u8>]) -> Hash {
    let mut whole = kind.as_bytes().to_vec();
    for part in parts {
        whole.extend_from_slice(Hash::of(part).as_bytes());
    }
    Hash::of(&whole)
}

/// From when to when each certificate of a PEM text is valid, as far as they can be read.
#[must_use]
pub fn validities(pem: &[u8]) -> Vec<(Timestamp, Timestamp)> {
    CertificateDer::pem_slice_iter(pem).filter_map(|der| validity_of(&der.ok()?)).collect()
}

fn validity_of(der: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let validity = certificate.validity();
    let at = |time: i64| Timestamp::from_secs(time);
    Some((at(validity.not_before.timestamp()), at(validity.not_after.timestamp())))
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
    /// A file for the client certificate holds none.
    #[error("the client certificate holds no certificate that can be read")]
    ClientCertificate,
    /// Its key cannot be read.
    #[error("the key of the client certificate cannot be read, or is of a kind that is not known")]
    ClientKey,
    /// The key belongs to another certificate.
    #[error("the key of the client certificate is the key of another certificate")]
    ClientKeyOfAnother,
    /// The TLS library refused its own defaults.
    #[error("tls cannot be set up")]
    Tls(#[source] rustls::Error),
}
