//! How we prove by a key who we are at somebody else's token endpoint (RFC 7523, sections 2.2 and 3, as updated by
//! draft-ietf-oauth-rfc7523bis).
//!
//! The key is not here: whoever holds it signs. Each assertion is for one request to one authorization server, and is never kept.

use std::fmt;
use std::sync::Arc;

use protocol::oauth::client_assertion::JWT_BEARER;
use protocol::secret::Secret;

type Sign = dyn Fn(&str, &str) -> Option<Secret> + Send + Sync;

/// By whom, and for whom, client assertions are signed.
#[derive(Clone)]
pub struct ClientKey {
    audience: Option<Arc<str>>,
    sign: Arc<Sign>,
}

impl ClientKey {
    /// By whoever signs a new one with this client id as its issuer and subject, and for this audience.
    #[must_use]
    pub fn new(sign: impl Fn(&str, &str) -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self { audience: None, sign: Arc::new(sign) }
    }

    /// The same, for another audience than the issuer of the authorization server.
    #[must_use]
    pub fn with_audience(self, audience: Option<&str>) -> Self {
        Self { audience: audience.map(Arc::from), ..self }
    }

    /// The parameters of one request to whoever has this issuer identifier (RFC 7523bis: it alone is the audience); none, if nobody can
    /// sign now.
    pub(crate) fn parameters(&self, client_id: &str, issuer: &str) -> Option<[(&'static str, Secret); 2]> {
        let assertion = (self.sign)(client_id, self.audience.as_deref().unwrap_or(issuer))?;
        let kind = Secret::new(JWT_BEARER.to_owned());
        Some([("client_assertion_type", kind), ("client_assertion", assertion)])
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("audience", &self.audience).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7523bis, section 4: the issuer identifier is the audience; another one only where the operator says it.
    #[test]
    fn an_assertion_is_for_the_issuer_unless_another_audience_is_said() {
        let key = ClientKey::new(|client, audience| Some(Secret::new(format!("{client} at {audience}"))));
        let made = |key: &ClientKey| {
            let [(_, kind), (_, assertion)] = key.parameters("us", "https://as.example").unwrap();
            assert!(kind.expose(|kind| kind == JWT_BEARER));
            assertion.expose(str::to_owned)
        };
        assert_eq!(made(&key), "us at https://as.example");
        assert_eq!(made(&key.clone().with_audience(None)), "us at https://as.example");
        assert_eq!(
            made(&key.with_audience(Some("https://as.example/token"))),
            "us at https://as.example/token"
        );
    }
}
