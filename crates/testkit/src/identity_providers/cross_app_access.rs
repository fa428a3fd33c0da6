//! What Okta needs for Cross App Access beside an ordinary sign-in: connections of apps, and JWTs with a type of their own.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Desk, text};

/// Leave for our client there to have ID-JAGs for one resource app.
#[derive(Clone, Debug)]
pub struct AppConnection {
    /// The issuer of the resource app's authorization server.
    pub audience: String,
    /// The id that our client has there.
    pub client_id: String,
    /// Its resources.
    pub resources: Vec<String>,
    /// The scopes that may be had there.
    pub scopes: Vec<String>,
}

impl Desk {
    /// A JWT of these claims, with a type of its own.
    pub(super) fn sign_as(&self, typ: &str, key_id: &str, claims: &Value) -> Result<String, String> {
        let der: Pkcs8V1Der<'_> = self.key.as_der().map_err(text)?;
        let pair = RsaKeyPair::from_pkcs8(der.as_ref()).map_err(text)?;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed =
            format!("{}.{}", part(&json!({"alg": "RS256", "typ": typ, "kid": key_id})), part(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(text)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that we signed ourselves.
    pub(super) fn own(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()
    }
}
