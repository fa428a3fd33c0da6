//! Why a peer could not be reached, in words for the operator: `sekisho check` and the log.
//!
//! Must never hold what was sent, nor a credential: only what the system, TLS, HTTP and the proxy's status say.

use std::error::Error;
use std::fmt::Write as _;

use crate::dial::ProxyRefused;

/// The last cause, and whether the proxy is it.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    let mut proxy = false;
    let mut step = Some(error);
    while let Some(error) = step {
        proxy |= error.is::<ProxyRefused>();
        last = error;
        step = error.source();
    }
    let mut words = String::new();
    if proxy {
        words.push_str("at the outbound proxy: ");
    }
    // Writing to a String cannot fail.
    let _ = write!(words, "{last}");
    words
}

/// Whether the peer ended the handshake over the certificate that we showed, or did not show: with TLS 1.3 this is heard
/// when the first answer is awaited, and nothing of the request has been looked at (RFC 8446, section 4.4.2.4).
///
/// Known by the words of the TLS library, as it makes them: through HTTP/2 nothing else of the alert comes.
pub(crate) fn refused_us(error: &(dyn Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    let said = cause(error);
    [
        Alert::AccessDenied,
        Alert::BadCertificate,
        Alert::CertificateExpired,
        Alert::CertificateRequired,
        Alert::CertificateRevoked,
        Alert::CertificateUnknown,
        Alert::DecryptError,
        Alert::UnknownCA,
        Alert::UnsupportedCertificate,
    ]
    .into_iter()
    .any(|alert| said.contains(&rustls::Error::AlertReceived(alert).to_string()))
}
