//! Who calls an MCP server behind Sekisho, by the header `sekisho-identity`. With jsonwebtoken and serde.

use std::error::Error;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// Who calls.
#[derive(Debug, Deserialize)]
pub struct Caller {
    /// The person, or the service account: an id that never changes.
    pub sub: String,
    /// Their name, if it is known.
    pub name: Option<String>,
    /// Their groups at the identity provider.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The software.
    pub client_id: String,
    /// What the software may do, separated by spaces.
    pub scope: Option<String>,
    /// The name of the service account, if it is no person.
    pub service_account: Option<String>,
}

/// Who calls. `keys` is the answer of `<issuer>/oauth/jwks`, kept, and fetched again when a key is unknown (at most once a
/// minute); `audience` the `url` of this MCP server in Sekisho's configuration.
///
/// # Errors
/// The assertion is missing something, is over, or is another's: answer 401.
pub fn who(assertion: &str, keys: &JwkSet, issuer: &str, audience: &str) -> Result<Caller, Box<dyn Error>> {
    let header = decode_header(assertion)?;
    if header.typ.as_deref() != Some("sekisho-identity+jwt") {
        return Err("no identity assertion".into());
    }
    let key = header.kid.and_then(|kid| keys.find(&kid)).ok_or("the key is unknown")?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    Ok(decode(assertion, &DecodingKey::from_jwk(key)?, &rules)?.claims)
}
