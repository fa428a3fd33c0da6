//! The answer to a registration: RFC 7591, section 3.2.1.
//!
//! The metadata as registered, including defaults and substitutions. The secret is shown here once; a public
//! client has no member for it, not an empty one.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{ClientId, ClientMetadata};
use crate::secret::Secret;
use crate::world::Timestamp;

/// A client that was registered.
#[derive(Debug)]
pub struct RegistrationResponse {
    /// Its identifier.
    pub client_id: ClientId,
    /// When it was registered.
    pub client_id_issued_at: Timestamp,
    /// Its secret, if it is to have one. It does not expire.
    pub client_secret: Option<Secret>,
    /// What was registered.
    pub metadata: ClientMetadata,
}

impl Serialize for RegistrationResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("client_id", &self.client_id)?;
        json.serialize_entry("client_id_issued_at", &self.client_id_issued_at.secs())?;
        if let Some(secret) = &self.client_secret {
            secret.expose(|secret| json.serialize_entry("client_secret", secret))?;
            // "REQUIRED if "client_secret" is issued. [...] 0 if it will not expire."
            json.serialize_entry("client_secret_expires_at", &0)?;
        }
        self.metadata.serialize_members(&mut json)?;
        json.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::RedirectPolicy;

    fn response(secret: Option<&str>) -> serde_json::Value {
        let body = br#"{"redirect_uris": ["https://client.example.org/callback"], "client_name": "My Example Client"}"#;
        let response = RegistrationResponse {
            client_id: ClientId::parse("s6BhdRkqt3").unwrap(),
            client_id_issued_at: Timestamp::from_secs(2_893_256_800),
            client_secret: secret.map(|secret| Secret::new(secret.to_owned())),
            metadata: ClientMetadata::parse_registration(body, &RedirectPolicy::default()).unwrap(),
        };
        serde_json::to_value(response).unwrap()
    }

    /// RFC 7591, section 3.2.1, as far as its members are used here.
    ///
    /// AS-084.
    #[test]
    fn the_answer_holds_what_was_registered_and_the_defaults() {
        assert_eq!(
            response(Some("cf136dc3c1fc93f31185e5885805d")),
            serde_json::json!({
                "client_id": "s6BhdRkqt3",
                "client_id_issued_at": 2_893_256_800_u64,
                "client_secret": "cf136dc3c1fc93f31185e5885805d",
                "client_secret_expires_at": 0,
                "redirect_uris": ["https://client.example.org/callback"],
                "client_name": "My Example Client",
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "client_secret_basic",
            })
        );
    }

    /// RG-20.
    #[test]
    fn a_client_without_a_secret_has_no_member_for_one() {
        let response = response(None);
        assert!(response.get("client_secret").is_none());
        assert!(response.get("client_secret_expires_at").is_none());
    }
}
