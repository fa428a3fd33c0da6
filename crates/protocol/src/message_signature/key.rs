//! Where the key of a signature is: in the request itself, in `Signature-Agent` as a directory of keys in a `data:` URL.
//!
//! A key is known by its thumbprint, so whoever sends it cannot pass another one off. A directory at an address is never
//! fetched: a request must not make the gateway ask somebody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

use super::base;
use crate::jose::ProofKey;
use crate::jose::dpop::Thumbprint;

const SIGNATURE_AGENT: &str = "signature-agent";
const DIRECTORY: &str = "data:application/http-message-signatures-directory+json;base64,";
/// A handful of keys.
const LONGEST: usize = 8 * 1024;
const MOST: usize = 8;

/// The key with this thumbprint in the directory that the request carries.
pub(super) fn find(headers: &HeaderMap, thumbprint: &Thumbprint) -> Option<ProofKey> {
    let text = base::field(headers, SIGNATURE_AGENT).filter(|text| text.len() <= LONGEST)?;
    // A structured field in the drafts of the header, a bare URL in SEP-2752.
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&text);
    let directory = STANDARD.decode(text.strip_prefix(DIRECTORY)?).ok()?;
    let directory: Value = serde_json::from_slice(&directory).ok()?;
    let keys = directory.get("keys")?.as_array()?;
    keys.iter().take(MOST).filter_map(ProofKey::of_jwk).find(|key| key.thumbprint() == thumbprint)
}
