//! Access tokens: RFC 9068 JWTs for exactly one resource (product.md, P-1).
//!
//! A token never outlives its grant, and is signed before the write that makes it good, so that nothing can fail
//! between the write and the answer.

use std::time::Duration;

use protocol::jose::claims::{AccessTokenClaims, ActorClaims, Confirmation};
use protocol::jose::dpop::Thumbprint;
use protocol::jose::{Algorithm, Expect};
use protocol::oauth::{ClientId, ResourceUri, Scope};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::GrantRecord;

use crate::AuthorizationServer;
use crate::settings::{AccessTokenAlgorithm, Lifetimes, ServerEntry};

/// `typ` of an access token (RFC 9068, section 2.1). No other JWT of ours has it.
pub(crate) const TYP: &str = "at+jwt";
/// What an access token of ours may be signed by; each key is for one of them.
const ALGORITHMS: &[Algorithm] = &[Algorithm::Es256, Algorithm::Rs256];

/// When an access token is issued and when it ends, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

impl Validity {
    /// Of a token issued now; `None` if the grant ends within this second, so that none would be good for anything.
    pub(crate) fn of(grant_expires_at: Timestamp, life: Duration, now: Timestamp) -> Option<Self> {
        let life = life.min(Lifetimes::LONGEST_ACCESS_TOKEN);
        let end = now.plus(life).min(grant_expires_at);
        let (iat, exp) = (now.secs(), end.secs());
        (iat >= 0 && exp > iat).then_some(Self { iat, exp })
    }

    /// `expires_in` of the token response (RFC 6749, section 5.1).
    pub(crate) const fn expires_in(self) -> u64 {
        self.exp.saturating_sub(self.iat).unsigned_abs()
    }
}

/// What a token says of whom it is for, beside the ids in its grant.
#[derive(Debug, Default)]
pub(crate) struct Of<'a> {
    /// Who acts for the person.
    pub(crate) act: Option<ActorClaims>,
    /// The client it is issued to, if it is not the grant's.
    pub(crate) client: Option<&'a ClientId>,
    /// The MCP server it is for, if it is not the grant's.
    pub(crate) server: Option<&'a ServerEntry>,
    /// The key that whoever presents it must hold (RFC 9449, section 6), if it is bound to one.
    pub(crate) key: Option<Thumbprint>,
    /// The name of the service account, if it is one and no person.
    pub(crate) service_account: Option<&'a str>,
}

/// The token could not be signed. It says no more: the cause is in the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSigned;

impl AuthorizationServer {
    /// What the MCP server of a grant is called here and now: the grant may be from before the house moved
    /// (product.md, P-23).
    pub(crate) fn resource_of<'a>(&'a self, grant: &'a GrantRecord) -> &'a ResourceUri {
        self.settings.server(&grant.server).map_or(&grant.resource, |server| &server.resource)
    }

    /// The claims of an access token that we signed, whether or not it is over.
    pub(crate) fn read_access_token(&self, text: &str) -> Option<AccessTokenClaims> {
        let expect = Expect { typ: Some(&[TYP]), algorithms: ALGORITHMS };
        self.parts.keys.load().verifying().verify(text, &expect).ok()
    }

    /// Signs an access token of a person's grant.
    pub(crate) fn sign_access_token(
        &self,
        grant: &GrantRecord,
        scope: &Scope,
        validity: Validity,
        key: Option<Thumbprint>,
    ) -> Result<Secret, NotSigned> {
        self.sign_access_token_of(grant, scope, validity, Of { key, ..Of::default() })
    }

    /// Signs an access token of a grant.
    pub(crate) fn sign_access_token_of(
        &self,
        grant: &GrantRecord,
        scope: &Scope,
        validity: Validity,
        of: Of<'_>,
    ) -> Result<Secret, NotSigned> {
        let server = of.server.or_else(|| self.settings.server(&grant.server));
        let by_rs256 = server.is_some_and(|server| server.access_tokens == AccessTokenAlgorithm::Rs256);
        let claims = AccessTokenClaims {
            iss: self.settings.issuer.clone(),
            sub: grant.user.to_string(),
            aud: of
                .server
                .map_or_else(|| self.resource_of(grant), |server| &server.resource)
                .as_str()
                .to_owned(),
            client_id: of.client.unwrap_or(&grant.client_id).as_str().to_owned(),
            grant_id: grant.id.to_string(),
            scope: (!scope.is_empty()).then(|| scope.to_string()),
            iat: validity.iat,
            exp: validity.exp,
            jti: Secret::random("", &*self.parts.entropy).reveal(),
            cnf: of.key.map(|jkt| Confirmation { jkt }),
            service_account: of.service_account.map(str::to_owned),
            act: of.act,
        };
        let keys = self.parts.keys.load();
        let ring = if by_rs256 { keys.signing_rs256.as_ref() } else { Some(&keys.signing) };
        let Some(ring) = ring else {
            tracing::error!("an access token is to be signed by RS256, and the record has no key for it");
            return Err(NotSigned);
        };
        ring.active().sign(TYP, &claims).map(Secret::new).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            NotSigned
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    /// AS-165, AS-166.
    #[test]
    fn a_token_lives_as_long_as_configured_but_never_over_an_hour() {
        let (now, far) = (Timestamp::from_micros(1_000_000_500_000), Timestamp::from_secs(9_000_000));
        let validity = Validity::of(far, TEN_MINUTES, now).unwrap();
        assert_eq!(validity, Validity { iat: 1_000_000, exp: 1_000_600 });
        assert_eq!(validity.expires_in(), 600);
        assert_eq!(Validity::of(far, Duration::from_secs(90_000), now).unwrap().expires_in(), 3600);
    }

    /// TK-39.
    #[test]
    fn a_token_ends_with_its_grant_and_none_is_made_in_its_last_second() {
        let now = Timestamp::from_micros(1_000_000_900_000);
        let ends = |micros| Validity::of(Timestamp::from_micros(micros), TEN_MINUTES, now);
        assert_eq!(ends(1_000_003_200_000).unwrap().expires_in(), 3);
        assert_eq!(ends(1_000_001_000_000).unwrap().expires_in(), 1);
        assert_eq!(ends(1_000_000_999_999), None);
        assert_eq!(ends(0), None);
        assert_eq!(ends(i64::MIN), None);
        assert_eq!(Validity::of(now, Duration::ZERO, now), None);
    }

    #[test]
    fn a_clock_before_1970_makes_no_token_and_no_panic() {
        assert_eq!(Validity::of(Timestamp::from_secs(10), TEN_MINUTES, Timestamp::from_secs(-5)), None);
        assert_eq!(
            Validity::of(Timestamp::from_micros(i64::MAX), TEN_MINUTES, Timestamp::from_micros(i64::MAX)),
            None
        );
    }
}
