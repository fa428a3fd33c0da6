//! `private_key_jwt`: an assertion signed by the client's own key (RFC 7523, sections 2.2 and 3, as updated by
//! draft-ietf-oauth-rfc7523bis; OpenID Connect Core, section 9).
//!
//! It is for this issuer and nobody else: one that was made for another authorization server, or that a lying one had made
//! for ours, must not work here (RFC 7523bis, section 5). It lives for minutes and is used once, on all nodes.

use std::time::Duration;

use protocol::jose::JoseError;
use protocol::oauth::{ClientAssertion, ClientAssertionClaims, ClientId, ErrorCode, HttpsUrl};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{ReplayKind, StoreError};
use thiserror::Error;
use upstream::key_sets::{KeySetError, KeySets, KeySource};

use crate::AuthorizationServer;
use crate::clients::{Client, ClientKeys};

/// How long an assertion may be good for, from now. It is made for one request.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);
/// How far the client's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Why an assertion is not believed. The client learns `invalid_client`; the log learns this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AssertionRefusal {
    /// It was made for somebody else, or for others too (RFC 7523bis, section 4).
    #[error("the assertion is not for this issuer alone")]
    Audience,
    /// It is over.
    #[error("the assertion is over")]
    Expired,
    /// It has no id of its own by which it could be used once.
    #[error("the assertion has no `jti`")]
    IdMissing,
    /// `iss` and `sub` are not the client (RFC 7523, section 3).
    #[error("the assertion is not the client's own")]
    Issuer,
    /// The form, the type, the algorithm, the key or the signature is wrong.
    #[error("{0}")]
    Jose(#[from] JoseError),
    /// The keys at the client's configured `jwks_uri` cannot be had.
    #[error("the keys of the client cannot be had now")]
    KeysAway,
    /// The client has no keys here.
    #[error("the client has no keys here")]
    KeysMissing,
    /// The keys that its document names cannot be fetched, or are none.
    #[error("the keys of the client cannot be had")]
    KeysUnreachable,
    /// It would be good for more than five minutes.
    #[error("the assertion lives too long")]
    LivesTooLong,
    /// It is not good yet.
    #[error("the assertion is not good yet")]
    NotYet,
    /// It was used before.
    #[error("the assertion was used before")]
    Replayed,
    /// It is older than the last restore of the record: whether it was used is not known.
    #[error("the assertion is older than the record")]
    Restored,
}

impl AssertionRefusal {
    /// What the client is told (RFC 7523, section 3.2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            // The client did nothing wrong, and must not take itself for unknown: it may try again.
            Self::KeysAway => ErrorCode::TemporarilyUnavailable,
            Self::Audience
            | Self::Expired
            | Self::IdMissing
            | Self::Issuer
            | Self::Jose(_)
            | Self::KeysMissing
            | Self::KeysUnreachable
            | Self::LivesTooLong
            | Self::NotYet
            | Self::Replayed
            | Self::Restored => ErrorCode::InvalidClient,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Audience => "client_assertion_audience",
            Self::Expired => "client_assertion_expired",
            Self::IdMissing => "client_assertion_id_missing",
            Self::Issuer => "client_assertion_issuer",
            Self::Jose(_) => "client_assertion_not_signed",
            Self::KeysAway => "client_keys_away",
            Self::KeysMissing => "client_keys_missing",
            Self::KeysUnreachable => "client_keys_unreachable",
            Self::LivesTooLong => "client_assertion_lives_too_long",
            Self::NotYet => "client_assertion_not_yet",
            Self::Replayed => "client_assertion_replayed",
            Self::Restored => "client_assertion_before_restore",
        }
    }
}

/// Why it is refused, or what kept us from knowing.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(AssertionRefusal),
    Store(StoreError),
}

impl From<AssertionRefusal> for Failure {
    fn from(refusal: AssertionRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an assertion is held against.
struct Expected<'a> {
    client: &'a ClientId,
    issuer: &'a str,
    now: Timestamp,
    restored: Option<Timestamp>,
    /// Another audience that is tolerated of this client (requirements.md, AS-149).
    tolerated: Option<&'a str>,
}

/// What is to be used up: once it is over nobody takes it any more.
#[derive(Debug, PartialEq, Eq)]
struct Once {
    hash: Hash,
    expires_at: Timestamp,
}

/// Decides whether these claims, which the client's key signed, are good here and now.
fn decide(claims: &ClientAssertionClaims, expected: &Expected<'_>) -> Result<Once, AssertionRefusal> {
    let client = expected.client.as_str();
    if claims.iss != client || claims.sub != client {
        return Err(AssertionRefusal::Issuer);
    }
    let is_for = |audience: &str| claims.aud.is_only(audience);
    if !is_for(expected.issuer) && !expected.tolerated.is_some_and(is_for) {
        return Err(AssertionRefusal::Audience);
    }
    let (now, exp) = (expected.now, Timestamp::from_secs(claims.exp));
    let expires_at = exp.plus(TOLERANCE);
    if expires_at <= now {
        return Err(AssertionRefusal::Expired);
    }
    if exp > now.plus(LONGEST_LIFE + TOLERANCE) {
        return Err(AssertionRefusal::LivesTooLong);
    }
    let starts = claims.nbf.max(claims.iat).map(Timestamp::from_secs);
    if starts.is_some_and(|starts| starts > now.plus(TOLERANCE)) {
        return Err(AssertionRefusal::NotYet);
    }
    // Without `iat` it may be as old as it could be (see `store::Replays`).
    let issued_at = claims.iat.map_or_else(|| exp.minus(LONGEST_LIFE), Timestamp::from_secs);
    if expected.restored.is_some_and(|restored| issued_at <= restored) {
        return Err(AssertionRefusal::Restored);
    }
    let jti = claims.jti.as_deref().filter(|jti| !jti.is_empty()).ok_or(AssertionRefusal::IdMissing)?;
    // A client id has no line feed, so no two pairs have one hash.
    Ok(Once { hash: Hash::of(format!("{client}\n{jti}").as_bytes()), expires_at })
}

/// The claims, if a key of this set signed them. Where the keys cannot be had, `away` is why.
async fn verify_by_set(
    keys: &KeySets,
    source: &KeySource,
    assertion: &ClientAssertion,
    away: AssertionRefusal,
) -> Result<ClientAssertionClaims, AssertionRefusal> {
    let token = assertion.expose(str::to_owned);
    let [typed, untyped] = ClientAssertion::EXPECTED;
    let judged = match keys.verify_with_any(source, &token, &typed).await {
        Err(KeySetError::Refused(JoseError::Type)) => keys.verify_with_any(source, &token, &untyped).await,
        judged => judged,
    };
    judged.map_err(|error| match error {
        KeySetError::Refused(error) => AssertionRefusal::Jose(error),
        KeySetError::Malformed | KeySetError::Unreachable => {
            tracing::warn!(%error, "the keys of a client cannot be had");
            away
        }
    })
}

impl AuthorizationServer {
    async fn verify_by_keys_at(
        &self,
        url: &HttpsUrl,
        assertion: &ClientAssertion,
    ) -> Result<ClientAssertionClaims, AssertionRefusal> {
        let (keys, source) = (self.parts.documents.keys(), KeySource::Uri(url.as_str().to_owned()));
        verify_by_set(keys, &source, assertion, AssertionRefusal::KeysUnreachable).await
    }

    /// Believes an assertion of this client, once.
    pub(super) async fn believe_assertion(
        &self,
        client: &Client,
        assertion: &ClientAssertion,
    ) -> Result<(), Failure> {
        let claims = match self.keys_of(client).ok_or(AssertionRefusal::KeysMissing)? {
            ClientKeys::At(url) => self.verify_by_keys_at(&url, assertion).await?,
            ClientKeys::Fetched(keys, source) => {
                verify_by_set(&keys, &source, assertion, AssertionRefusal::KeysAway).await?
            }
            ClientKeys::Held(keys) => assertion.verify(&keys).map_err(AssertionRefusal::from)?,
        };
        let token_endpoint = format!("{}/oauth/token", self.settings.issuer);
        let now = self.parts.clock.now();
        let once = decide(
            &claims,
            &Expected {
                client: client.id(),
                issuer: &self.settings.issuer,
                now,
                restored: self.parts.store.last_restore().await?,
                tolerated: self.tolerates_token_endpoint(client).then_some(token_endpoint.as_str()),
            },
        )?;
        if self.parts.store.use_once(ReplayKind::ClientAssertion, once.hash, once.expires_at, now).await? {
            Ok(())
        } else {
            Err(AssertionRefusal::Replayed.into())
        }
    }
}

#[cfg(test)]
mod tests;
