//! RS256 (RFC 7518, section 3.3) with a key that somebody else gave us, to say who we are there. Our own tokens are ES256.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;

use super::JoseError;

/// Signs the claims in compact form (RFC 7515, section 7.1) with this RSA key: a PKCS #8 document, or one of PKCS #1, as GitHub gives
/// it.
///
/// # Errors
/// [`JoseError::Key`] if it is no RSA key, [`JoseError::Claims`] if the claims are no JSON, [`JoseError::Signing`] if the
/// machine failed.
pub fn sign_rs256(key: &[u8], kid: Option<&str>, claims: &impl Serialize) -> Result<String, JoseError> {
    let pair =
        RsaKeyPair::from_pkcs8(key).or_else(|_| RsaKeyPair::from_der(key)).map_err(|_| JoseError::Key)?;
    let mut header = json!({ "typ": "JWT", "alg": "RS256" });
    if let (Some(kid), Some(header)) = (kid, header.as_object_mut()) {
        header.insert("kid".to_owned(), kid.into());
    }
    let claims = serde_json::to_vec(claims).map_err(|_| JoseError::Claims)?;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    let digest = digest(&SHA256, signed.as_bytes());
    pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(|_| JoseError::Signing)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
