//! TLS to the server, which proves who it is: to one authority if one is named, otherwise to the system's.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::engine::OpenError;

pub(super) fn verifying(ca: Option<&Path>) -> Result<ClientConfig, OpenError> {
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
