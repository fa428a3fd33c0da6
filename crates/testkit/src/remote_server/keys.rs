//! A client that proves by a key who it is (RFC 7523, section 3): every rule of it is kept here, so that nothing may be left out.

use std::collections::HashSet;

use protocol::jose::VerifyingKeys;
use protocol::oauth::TokenEndpointAuthMethod;
use protocol::oauth::client_assertion::{ClientAssertion, JWT_BEARER, client_keys};
use serde_json::Value;

use super::{CLIENT_ID, CLIENT_SECRET, RemoteServer};

/// No assertion may live longer, in seconds.
const LONGEST: i64 = 300;

/// The keys of our client, and what it has shown.
#[derive(Debug)]
pub(super) struct ClientKeys {
    audience: String,
    keys: VerifyingKeys,
    taken: HashSet<String>,
}

impl ClientKeys {
    /// Whether this is an assertion of this client, good now and never seen before.
    pub(super) fn take(&mut self, client_id: &str, (kind, text): (&str, &str), now: i64) -> bool {
        let assertion = ClientAssertion::parse(text).ok().filter(|_| kind == JWT_BEARER);
        let Some(claims) = assertion.and_then(|assertion| assertion.verify(&self.keys).ok()) else {
            return false;
        };
        let lives =
            claims.exp > now && claims.exp - now <= LONGEST && claims.iat.is_some_and(|iat| iat <= now);
        claims.iss == client_id
            && claims.sub == client_id
            && claims.aud.is_only(&self.audience)
            && lives
            && claims.jti.is_some_and(|jti| self.taken.insert(jti))
    }
}

impl RemoteServer {
    /// The secret of our client, for a file.
    #[must_use]
    pub const fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// The private key of the app, in PEM.
    ///
    /// # Errors
    /// If it knows no app.
    pub fn app_key(&self) -> Result<String, String> {
        self.desk.app_key.as_ref().ok_or("it knows no app")?.pem()
    }

    /// From now on our client proves who it is by one of these keys, and by nothing else.
    ///
    /// # Errors
    /// If they are none.
    pub fn know_by_keys(&self, jwks: &Value) -> Result<(), String> {
        let keys = client_keys(jwks).ok_or("no keys of a client")?;
        let keys = ClientKeys { audience: self.issuer().to_owned(), keys, taken: HashSet::new() };
        self.change(|held| {
            held.client_keys = Some(keys);
            if let Some(client) = held.clients.get_mut(CLIENT_ID) {
                client.method = TokenEndpointAuthMethod::PrivateKeyJwt;
                client.secret = None;
            }
        });
        Ok(())
    }
}
