//! TLS at the doors (RFC 8446, RFC 5246): which certificate is shown, and its exchange while connections are open.
//!
//! Reads no file and asks no authority: certificates are handed in. Keys are in no message and no `Debug`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use protocol::secret::Secret;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};

/// The protocol of a certificate authority that looks for its proof (RFC 8737, section 6.2).
const ACME_TLS_1: &[u8] = b"acme-tls/1";

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The PEM text holds none, or one that cannot be read.
    #[error("holds no certificate that can be read")]
    Certificate,
    /// The PEM text holds no private key of a kind that can sign.
    #[error("holds no private key that can be used")]
    Key,
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Setup,
}

/// A certificate with its chain and its key.
#[derive(Clone, Debug)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Reads a chain, the server's own certificate first, and its key, both in PEM.
    ///
    /// # Errors
    /// If one of them cannot be read, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &Secret) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| TlsError::Certificate)?;
        let key = key.expose(|text| PrivateKeyDer::from_pem_slice(text.as_bytes()));
        let first = chain.first().ok_or(TlsError::Certificate)?;
        ParsedCertificate::try_from(first).map_err(|_| TlsError::Certificate)?;
        let identity = Self::of(chain, key.map_err(|_| TlsError::Key)?)?;
        identity.0.keys_match().map_err(|_| TlsError::Mismatch)?;
        Ok(identity)
    }

    /// What is shown to a certificate authority: a certificate in DER and its key in PKCS #8. It holds a critical
    /// extension that is for the authority alone (RFC 8737, section 3), so nobody else could read it, we included.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub fn proof(certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::try_from(key).map_err(|_| TlsError::Key)?;
        Self::of(vec![CertificateDer::from(certificate)], key)
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let key = provider().key_provider.load_private_key(key).map_err(|_| TlsError::Key)?;
        Ok(Self(Arc::new(CertifiedKey::new(chain, key))))
    }

    /// The server's own certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.0.cert.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// Whether it is for this host.
    #[must_use]
    pub fn is_for_host(&self, host: &str) -> bool {
        ServerName::try_from(host).is_ok_and(|name| self.is_for(&name))
    }

    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let certificate = self.0.cert.first().map(ParsedCertificate::try_from);
        certificate.is_some_and(|parsed| parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok()))
    }

    fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.0.key.choose_scheme(schemes).is_some()
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The certificates of one listener. They may be exchanged at any time; connections that are open keep theirs.
#[derive(Default)]
pub struct Certificates {
    usual: ArcSwap<Vec<Identity>>,
    proofs: ArcSwap<HashMap<String, Identity>>,
}

impl Certificates {
    /// Shows these from now on. The first is shown to whoever asks for no name, or for one that none has.
    pub fn replace(&self, identities: Vec<Identity>) {
        self.usual.store(Arc::new(identities));
    }

    /// Shows these, by host name, to a certificate authority that looks for its proof, and to nobody else.
    pub fn prove(&self, proofs: HashMap<String, Identity>) {
        self.proofs.store(Arc::new(proofs));
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Identity> {
        let usual = self.usual.load();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| {
            let mut of_that_name = usual.iter().filter(|identity| identity.is_for(&name));
            of_that_name.find(|identity| identity.suits(schemes))
        });
        named.or_else(|| usual.iter().find(|identity| identity.suits(schemes))).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_authority = hello.alpn().is_some_and(|mut asked| asked.any(|asked| asked == ACME_TLS_1));
        if is_authority {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.proofs.load().get(&name).map(|proof| Arc::clone(&proof.0));
        }
        self.choose(hello.server_name(), hello.signature_schemes()).map(|identity| identity.0)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("count", &self.usual.load().len()).finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 with these certificates.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Offers HTTP/2 and HTTP/1.1 (RFC 7301).
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = [&b"h2"[..], b"http/1.1", ACME_TLS_1].map(<[u8]>::to_vec).to_vec();
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// What was agreed on for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreed {
    Http1,
    Http2,
    /// A certificate authority, which has seen all it came for.
    Nothing,
}

impl Agreed {
    pub(crate) fn of(alpn: Option<&[u8]>) -> Self {
        match alpn {
            Some(b"h2") => Self::Http2,
            Some(ACME_TLS_1) => Self::Nothing,
            Some(_) | None => Self::Http1,
        }
    }
}
