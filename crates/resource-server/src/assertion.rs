//! The signed identity assertion that an MCP server is sent instead of the client's token (product.md, P-14).
//!
//! A short JWT whose only audience is that MCP server. It is kept with the verdict of the access token and used
//! again while enough of its life is left, so that signing is not on the way of every call. Must never be given to
//! a client, or to another MCP server than the one it names.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use protocol::id::Id;
use protocol::jose::claims::{ActorClaims, IdentityAssertionClaims};
use protocol::keys::Keys;
use protocol::oauth::identity_assertion::{IdentityAssertionGrantClaims, IssuedGrantClaims};
use protocol::secret::Secret;
use protocol::world::{Clock, Entropy};
use serde_json::json;
use upstream::client_key::ClientKey;
use upstream::oauth_client::Addressed;

use crate::audit::Who;
use crate::people::Person;
use crate::reason::CallReason;
use crate::verdicts::Actor;

/// The header in which an MCP server finds the assertion.
pub const HEADER: &str = "sekisho-identity";
/// The `typ` of the assertion: it can be taken for no other kind of token (RFC 8725, section 3.11).
pub const TYP: &str = "sekisho-identity+jwt";

/// The `typ` of a client assertion (draft-ietf-oauth-rfc7523bis, section 4).
const CLIENT_TYP: &str = "client-authentication+jwt";

const LIFE: Duration = Duration::from_secs(120);
/// What must be left of its life when it is sent.
const LEFT: Duration = Duration::from_secs(30);

/// An assertion that was made before.
#[derive(Debug)]
pub(crate) struct Assertion {
    value: HeaderValue,
    audience: String,
    person: Arc<Person>,
    until: Duration,
}

impl Assertion {
    /// The audience may have become another one since: an MCP server can be moved while tokens for it live.
    fn serves(&self, who: &Who, now: Duration) -> bool {
        let person = &who.person;
        now < self.until
            && self.audience == who.server.settings().assertion_audience
            && (Arc::ptr_eq(&self.person, person) || self.person.is_described_as(person))
    }
}

/// By the key that signs access tokens, and is published, we prove at other authorization servers that we are their client: no secret is
/// kept for that, and the key rotates as it does. `typ` tells such an assertion from all else that the key signs (RFC 7523, section 3).
#[must_use]
pub fn client_key(
    keys: &Arc<ArcSwap<Keys>>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> ClientKey {
    let (keys, clock, entropy) = (Arc::clone(keys), Arc::clone(clock), Arc::clone(entropy));
    ClientKey::new(move |client_id, audience| {
        let now = clock.now();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": Id::<()>::mint(now, &*entropy).to_string(),
            "iat": now.secs(),
            "exp": now.plus(LIFE).secs(),
        });
        keys.load().signing.active().sign(CLIENT_TYP, &claims).ok().map(Secret::new)
    })
}

/// Makes assertions.
#[derive(Debug)]
pub(crate) struct Assertions {
    issuer: String,
    keys: Arc<ArcSwap<Keys>>,
    clock: Arc<dyn Clock>,
}

impl Assertions {
    pub(crate) const fn new(issuer: String, keys: Arc<ArcSwap<Keys>>, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, keys, clock }
    }

    /// The header value for a call.
    pub(crate) fn value(&self, who: &Who) -> Result<HeaderValue, CallReason> {
        let now = self.clock.monotonic();
        if let Some(known) = &*who.verdict.assertion.load()
            && known.serves(who, now)
        {
            return Ok(known.value.clone());
        }
        let token = self.sign(who, &who.server.settings().assertion_audience)?;
        let mut value = HeaderValue::try_from(token).map_err(|_| CallReason::AssertionUnsigned)?;
        value.set_sensitive(true);
        let until = now.saturating_add(LIFE - LEFT);
        let audience = who.server.settings().assertion_audience.clone();
        let made = Assertion { value: value.clone(), audience, person: Arc::clone(&who.person), until };
        who.verdict.assertion.store(Some(Arc::new(made)));
        Ok(value)
    }

    /// The same for somebody else: the authorization server of an MCP server, which exchanges it (RFC 8693).
    pub(crate) fn about(&self, who: &Who, audience: &str) -> Result<Secret, CallReason> {
        self.sign(who, audience).map(Secret::new)
    }

    /// An ID-JAG of our own about the caller (draft-ietf-oauth-identity-assertion-authz-grant, section 3.1). `with_address`: the
    /// authorization server finds people by their address.
    pub(crate) fn id_jag(
        &self,
        who: &Who,
        to: &Addressed,
        (jti, with_address): (String, bool),
    ) -> Result<Secret, CallReason> {
        let now = self.clock.now();
        let claims = IssuedGrantClaims {
            iss: self.issuer.clone(),
            sub: who.verdict.access.user.to_string(),
            aud: to.issuer.clone(),
            client_id: to.client_id.clone(),
            jti,
            iat: now.secs(),
            exp: now.plus(LIFE).secs(),
            resource: to.resource.clone(),
            scope: (!to.scope.is_empty()).then(|| to.scope.to_string()),
            email: who.person.email.clone().filter(|_| with_address),
            act: chained(&who.verdict.access.actors),
        };
        let keys = self.keys.load();
        let signed = keys.signing.active().sign(IdentityAssertionGrantClaims::TYPE, &claims);
        signed.map(Secret::new).map_err(|_| CallReason::AssertionUnsigned)
    }

    fn sign(&self, who: &Who, audience: &str) -> Result<String, CallReason> {
        let access = &who.verdict.access;
        let now = self.clock.now();
        let claims = IdentityAssertionClaims {
            iss: self.issuer.clone(),
            aud: audience.to_owned(),
            sub: access.user.to_string(),
            iat: now.secs(),
            exp: now.plus(LIFE).secs(),
            client_id: access.client.as_str().to_owned(),
            grant_id: access.grant.to_string(),
            scope: (!access.scope.is_empty()).then(|| access.scope.to_string()),
            groups: who.person.groups.clone(),
            name: who.person.name.clone(),
            email: who.person.email.clone(),
            service_account: who.person.service_account.clone(),
            act: chained(&access.actors),
        };
        let keys = self.keys.load();
        keys.signing.active().sign(TYP, &claims).map_err(|_| CallReason::AssertionUnsigned)
    }
}

/// Who acts, as the MCP server is told: nobody looks grants up there.
pub(crate) fn chained(actors: &[Actor]) -> Option<ActorClaims> {
    actors
        .iter()
        .rev()
        .fold(None, |before, actor| Some(ActorClaims { act: before.map(Box::new), ..actor.claims.clone() }))
}
