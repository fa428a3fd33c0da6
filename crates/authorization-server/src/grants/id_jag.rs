//! The JWT bearer grant with an ID-JAG (RFC 7523, section 2.1; draft-ietf-oauth-identity-assertion-authz-grant, section 4.4;
//! MCP enterprise-managed authorization): the organisation's identity provider says that a person may use a client at an MCP
//! server, and no browser is asked.
//!
//! An ID-JAG is told by its `typ`; a JWT of any other type buys nothing, and what is refused uses nothing up. One that is
//! taken is used up, with the event, in the same write. Must never issue a refresh token: whoever wants another token asks the
//! identity provider again, which is how a person who left stops (section 4.4.3).

mod person;

use std::time::Duration;

use protocol::jose::claims::Confirmation;
use protocol::jose::dpop::Thumbprint;
use protocol::jose::{Expect, JoseError, UnverifiedJwt};
use protocol::oauth::identity_assertion::IdentityAssertionGrantClaims as Claims;
use protocol::oauth::{ClientId, ErrorCode, ResourceUri, Scope, TokenResponse, TokenType};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{AuditKind, Once, Outcome, ReplayKind, Stand, StandOutcome, UserRecord};
use thiserror::Error;
use upstream::key_sets::KeySetError;

use super::PersonRefusal;
use crate::access_token::Validity;
use crate::client_authentication::AuthenticatedClient;
use crate::clients::{Client, ClientStanding};
use crate::pages::Caller;
use crate::settings::{ServerEntry, Settings};
use crate::token::TokenError;
use crate::trusted_issuers::TrustedIssuer;
use crate::{AuthorizationServer, capabilities, proof};

/// How long an assertion may be good for, from now. Identity providers make them for five minutes.
const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
/// How far the identity provider's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(30);
/// No honest id of an assertion, and no honest subject, is longer.
const LONGEST_ID: usize = 255;

/// Why an ID-JAG buys nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdJagRefusal {
    /// Several people have the address by which one would be found.
    #[error("several people have the address of the assertion")]
    AddressAmbiguous,
    /// The client needs the approval of an administrator, or may not be used with the MCP server.
    #[error("the client: {0}")]
    Client(ClientStanding),
    /// It says that somebody acts for the person, or narrows what may be done, in a way that is not kept here.
    #[error("the assertion has a constraint that cannot be kept")]
    Constrained,
    /// It is for somebody else, or for others too.
    #[error("the assertion is not for this issuer alone")]
    Audience,
    /// Its issuer may not speak of this client.
    #[error("the issuer may not speak of this client")]
    ClientNotAllowed,
    /// It is over.
    #[error("the assertion is over")]
    Expired,
    /// It has no id of its own, or no subject.
    #[error("the assertion does not name itself or its subject")]
    IdMissing,
    /// Its issuer is none that is trusted.
    #[error("the issuer of the assertion is not trusted")]
    IssuerUntrusted,
    /// The form, the type, the algorithm, the key or the signature is wrong.
    #[error("{0}")]
    Jose(#[from] JoseError),
    /// The keys of its issuer cannot be had.
    #[error("the keys of the issuer cannot be had")]
    KeysMissing,
    /// It would be good for more than an hour.
    #[error("the assertion lives too long")]
    LivesTooLong,
    /// It is no JWT.
    #[error("the assertion is no jwt")]
    Malformed,
    /// It is not good yet.
    #[error("the assertion is not good yet")]
    NotYet,
    /// It is for another client.
    #[error("the assertion is for another client")]
    OfAnotherClient,
    /// It is bound to another key than the one that is proved (section 4.4 of the draft; RFC 9449, section 6.1).
    #[error("the assertion is bound to another key")]
    OfAnotherKey,
    /// The person may not.
    #[error("{0}")]
    Person(PersonRefusal),
    /// The person is not known here.
    #[error("the person never signed in here")]
    PersonUnknown,
    /// It is bound to a key, or the MCP server demands one, and none is proved.
    #[error("no key is proved")]
    ProofMissing,
    /// A public client: whoever finds an assertion could use it.
    #[error("the client is public")]
    PublicClient,
    /// It was used before.
    #[error("the assertion was used before")]
    Replayed,
    /// `resource` of the assertion is none of ours, or of the request is not that of the assertion.
    #[error("the resource is not one that the assertion is for")]
    ResourceMismatch,
    /// Neither the assertion nor the request says which MCP server is meant.
    #[error("no resource is named")]
    ResourceMissing,
    /// It is older than the last restore of the record: whether it was used is not known.
    #[error("the assertion is older than the record")]
    Restored,
    /// `scope` of the request cannot be read, or nothing of it may be granted.
    #[error("the scope may not be granted")]
    Scope,
    /// Its issuer has several tenants, and this is not the one that is trusted.
    #[error("the assertion is of another tenant")]
    Tenant,
}

impl IdJagRefusal {
    /// What the client is told (RFC 7523, section 3.1; RFC 8707, section 2). Nearly all of it is one code: a client learns
    /// neither which issuers are trusted nor who is known (attacks.md, JA-17).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::KeysMissing => ErrorCode::TemporarilyUnavailable,
            Self::Client(_) | Self::PublicClient => ErrorCode::UnauthorizedClient,
            Self::ResourceMismatch | Self::ResourceMissing => ErrorCode::InvalidTarget,
            Self::Scope => ErrorCode::InvalidScope,
            Self::AddressAmbiguous
            | Self::Audience
            | Self::ClientNotAllowed
            | Self::Constrained
            | Self::Expired
            | Self::IdMissing
            | Self::IssuerUntrusted
            | Self::Jose(_)
            | Self::LivesTooLong
            | Self::Malformed
            | Self::NotYet
            | Self::OfAnotherClient
            | Self::OfAnotherKey
            | Self::Person(_)
            | Self::PersonUnknown
            | Self::ProofMissing
            | Self::Replayed
            | Self::Restored
            | Self::Tenant => ErrorCode::InvalidGrant,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AddressAmbiguous => "id_jag_address_ambiguous",
            Self::Audience => "id_jag_audience",
            Self::Client(standing) => standing.reason(),
            Self::ClientNotAllowed => "id_jag_client_not_allowed",
            Self::Constrained => "id_jag_constrained",
            Self::Expired => "id_jag_expired",
            Self::IdMissing => "id_jag_id_missing",
            Self::IssuerUntrusted => "id_jag_issuer_untrusted",
            Self::Jose(error) => error.reason(),
            Self::KeysMissing => "id_jag_keys_missing",
            Self::LivesTooLong => "id_jag_lives_too_long",
            Self::Malformed => "id_jag_malformed",
            Self::NotYet => "id_jag_not_yet",
            Self::OfAnotherClient => "id_jag_of_another_client",
            Self::OfAnotherKey => "id_jag_of_another_key",
            Self::Person(refusal) => refusal.reason(),
            Self::PersonUnknown => "id_jag_person_unknown",
            Self::ProofMissing => "id_jag_proof_missing",
            Self::PublicClient => "id_jag_public_client",
            Self::Replayed => "id_jag_replayed",
            Self::ResourceMismatch => "id_jag_resource_mismatch",
            Self::ResourceMissing => "id_jag_resource_missing",
            Self::Restored => "id_jag_before_restore",
            Self::Scope => "id_jag_scope",
            Self::Tenant => "id_jag_tenant",
        }
    }
}

/// An ID-JAG and what came with it.
#[derive(Debug)]
pub(crate) struct PresentedAssertion<'a> {
    pub(crate) assertion: Secret,
    /// The key that the client proves to hold.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) resource: &'a [String],
    pub(crate) scope: Option<&'a str>,
}

/// What the claims are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) issuer: &'a TrustedIssuer,
    pub(crate) key: Option<Thumbprint>,
    pub(crate) now: Timestamp,
    pub(crate) resource: &'a [String],
    pub(crate) restored: Option<Timestamp>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) settings: &'a Settings,
}

/// What may be granted, if the person may.
#[derive(Debug)]
pub(crate) struct Grantable<'a> {
    /// The key that the access token is bound to.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) once: Once,
    pub(crate) scope: Scope,
    pub(crate) server: &'a ServerEntry,
}

/// Decides what these claims, which their issuer signed, are worth here and now.
pub(crate) fn decide<'a>(claims: &Claims, expected: &Expected<'a>) -> Result<Grantable<'a>, IdJagRefusal> {
    // As the keys were chosen by what was not verified yet.
    if claims.iss != expected.issuer.issuer {
        return Err(IdJagRefusal::IssuerUntrusted);
    }
    if claims.tenant != expected.issuer.tenant {
        return Err(IdJagRefusal::Tenant);
    }
    if !claims.aud.is_only(&expected.settings.issuer) {
        return Err(IdJagRefusal::Audience);
    }
    if claims.client_id != expected.client.as_str() {
        return Err(IdJagRefusal::OfAnotherClient);
    }
    if !expected.issuer.speaks_of(expected.client) {
        return Err(IdJagRefusal::ClientNotAllowed);
    }
    if claims.act.is_some() || claims.authorization_details.is_some() {
        return Err(IdJagRefusal::Constrained);
    }
    let once = in_time(claims, expected)?;
    let server = target(claims, expected)?;
    let key = bound_to(claims, expected.key, server)?;
    let scope = grantable_scope(claims, expected.scope, server)?;
    Ok(Grantable { key, once, scope, server })
}

/// The key that the access token is bound to: that of the assertion, if it has one, whatever the MCP server asks for (MCP
/// requirements 2.1, check 10: the four cases of key and proof).
fn bound_to(
    claims: &Claims,
    proven: Option<Thumbprint>,
    server: &ServerEntry,
) -> Result<Option<Thumbprint>, IdJagRefusal> {
    let Some(cnf) = &claims.cnf else {
        return proof::binding(server.dpop, proven).ok_or(IdJagRefusal::ProofMissing);
    };
    // Another confirmation than `jkt`, or one beside it, is none that can be kept here.
    let Confirmation { jkt } = Confirmation::read(cnf).ok_or(IdJagRefusal::Constrained)?;
    match proven {
        Some(key) if key == jkt => Ok(Some(jkt)),
        Some(_) => Err(IdJagRefusal::OfAnotherKey),
        None => Err(IdJagRefusal::ProofMissing),
    }
}

fn in_time(claims: &Claims, expected: &Expected<'_>) -> Result<Once, IdJagRefusal> {
    let (now, exp) = (expected.now, Timestamp::from_secs(claims.exp));
    let expires_at = exp.plus(TOLERANCE);
    if expires_at <= now {
        return Err(IdJagRefusal::Expired);
    }
    if exp > now.plus(LONGEST_LIFE) {
        return Err(IdJagRefusal::LivesTooLong);
    }
    let starts = Timestamp::from_secs(claims.nbf.unwrap_or(claims.iat).max(claims.iat));
    if starts > now.plus(TOLERANCE) {
        return Err(IdJagRefusal::NotYet);
    }
    // Whether it was used before the restore, nobody knows (see `store::Replays`).
    if expected.restored.is_some_and(|restored| Timestamp::from_secs(claims.iat) <= restored) {
        return Err(IdJagRefusal::Restored);
    }
    let is_named = |text: &str| !text.is_empty() && text.len() <= LONGEST_ID;
    if !is_named(&claims.jti) || !is_named(&claims.sub) || claims.sub.chars().any(char::is_control) {
        return Err(IdJagRefusal::IdMissing);
    }
    // An issuer is a URL without a line feed, so no two pairs have one hash.
    let hash = Hash::of(format!("{}\n{}", claims.iss, claims.jti).as_bytes());
    Ok(Once { kind: ReplayKind::AuthorizationGrant, hash, expires_at })
}

/// The one MCP server that is meant (RFC 8707, section 2.2): that of the request, which must be one of the assertion.
fn target<'a>(claims: &Claims, expected: &Expected<'a>) -> Result<&'a ServerEntry, IdJagRefusal> {
    let settings = expected.settings;
    let server = |text: &str| ResourceUri::parse(text).ok().and_then(|uri| settings.server_of(&uri));
    let named: Option<Vec<_>> = claims.resource.as_ref().map(|named| named.iter().map(server).collect());
    let asked = match expected.resource {
        [] => None,
        [one] => Some(server(one).ok_or(IdJagRefusal::ResourceMismatch)?),
        _ => return Err(IdJagRefusal::ResourceMismatch),
    };
    match (asked, named) {
        (Some(asked), None) => Ok(asked),
        (Some(asked), Some(named)) => named
            .into_iter()
            .flatten()
            .find(|server| server.name == asked.name)
            .ok_or(IdJagRefusal::ResourceMismatch),
        (None, Some(named)) => match named.as_slice() {
            [Some(one)] => Ok(one),
            [None] => Err(IdJagRefusal::ResourceMismatch),
            _ => Err(IdJagRefusal::ResourceMissing),
        },
        (None, None) => settings
            .default_server
            .as_deref()
            .and_then(|name| settings.server(name))
            .ok_or(IdJagRefusal::ResourceMissing),
    }
}

/// What is asked for, as far as the assertion and the MCP server have it; never more than either.
fn grantable_scope(
    claims: &Claims,
    asked: Option<&str>,
    server: &ServerEntry,
) -> Result<Scope, IdJagRefusal> {
    let known = server.known_scope();
    let named = claims.scope.as_deref().map(Scope::parse).transpose().map_err(|_| IdJagRefusal::Scope)?;
    let asked = asked.map(Scope::parse).transpose().map_err(|_| IdJagRefusal::Scope)?;
    let is_request =
        |scope: &Scope| scope.iter().any(|token| !capabilities::IGNORED_SCOPES.contains(&token.as_str()));
    let wanted = match (&named, asked.filter(is_request)) {
        (_, Some(asked)) => asked,
        (Some(named), None) => named.clone(),
        (None, None) => server.default_scope(),
    };
    let most = named.map_or_else(|| known.clone(), |named| named.intersection(&known));
    let scope = wanted.intersection(&most);
    if scope.is_empty() && !known.is_empty() { Err(IdJagRefusal::Scope) } else { Ok(scope) }
}

impl AuthorizationServer {
    /// Exchanges an ID-JAG for an access token.
    pub(crate) async fn exchange_id_jag(
        &self,
        client: &AuthenticatedClient,
        presented: PresentedAssertion<'_>,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        let now = self.parts.clock.now();
        let mut issuer = None;
        let answer = self.judge_id_jag(client, presented, (caller, now), &mut issuer).await;
        if let Err(TokenError::IdJag(refusal)) = &answer {
            let mut audit = self.event(AuditKind::TokenRefused, Outcome::Refused, now);
            audit.reference.clone_from(&caller.told);
            audit.client_id = Some(client.client().id().as_str().to_owned());
            audit.reason = Some(refusal.reason());
            audit.subject = Some(self.subject(None, Some(caller.address.to_string())));
            audit.detail.insert("grant_type", "id-jag".to_owned());
            // Only what the configuration holds: what the token says is a stranger's.
            if let Some(issuer) = issuer {
                audit.detail.insert("issuer", issuer);
            }
            self.append_refusal(audit).await;
        }
        answer
    }

    async fn judge_id_jag(
        &self,
        client: &AuthenticatedClient,
        presented: PresentedAssertion<'_>,
        (caller, now): (&Caller, Timestamp),
        issuer_name: &mut Option<String>,
    ) -> Result<TokenResponse, TokenError> {
        let client = client.client();
        if !client.is_confidential() {
            return Err(IdJagRefusal::PublicClient.into());
        }
        let assertion = UnverifiedJwt::parse(presented.assertion).ok_or(IdJagRefusal::Malformed)?;
        let issuer = self.settings.trusted_issuers.iter().find(|known| known.issuer == assertion.issuer());
        let issuer = issuer.ok_or(IdJagRefusal::IssuerUntrusted)?;
        *issuer_name = Some(issuer.issuer.clone());
        let claims = verify(issuer, &assertion).await?;
        let expected = Expected {
            client: client.id(),
            issuer,
            key: presented.key,
            now,
            resource: presented.resource,
            restored: self.parts.store.last_restore().await?,
            scope: presented.scope,
            settings: &self.settings,
        };
        let grantable = decide(&claims, &expected)?;
        let asked = ("id-jag", caller, now);
        self.may_ask_without_browser(client, grantable.server, asked).await?.map_err(IdJagRefusal::Client)?;
        let user = self.person((issuer, &claims), &grantable, caller, now).await?;
        self.grant_id_jag((client, &user, issuer), grantable, caller, now).await
    }

    async fn grant_id_jag(
        &self,
        (client, user, issuer): (&Client, &UserRecord, &TrustedIssuer),
        grantable: Grantable<'_>,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        let grant = self.standing_grant(client.id(), user.id, (grantable.server, &grantable.scope), now);
        let life = self.settings.lifetimes.access_token;
        let validity = Validity::of(grant.expires_at, life, now).ok_or(IdJagRefusal::Expired)?;
        let event = (AuditKind::TokenIssued, Outcome::Ok);
        let mut audit = self.event_of_grant(&grant, event, &caller.address.to_string(), now);
        audit.detail.insert("grant_type", "id-jag".to_owned());
        audit.detail.insert("issuer", issuer.issuer.clone());
        let stand = Stand { grant, once: Some(grantable.once), audit };
        match self.parts.store.stand(stand).await? {
            StandOutcome::Barred => Err(IdJagRefusal::Person(PersonRefusal::Disabled).into()),
            StandOutcome::Used => Err(IdJagRefusal::Replayed.into()),
            StandOutcome::Standing(grant) => Ok(TokenResponse {
                access_token: self.sign_access_token(&grant, &grantable.scope, validity, grantable.key)?,
                expires_in: validity.expires_in(),
                issued_token_type: None,
                refresh_token: None,
                scope: grantable.scope,
                token_type: TokenType::of(grantable.key.as_ref()),
            }),
        }
    }
}

async fn verify(issuer: &TrustedIssuer, assertion: &UnverifiedJwt) -> Result<Claims, IdJagRefusal> {
    let expect = Expect { typ: Some(Claims::EXPECTED_TYPE), algorithms: capabilities::ASSERTION_ALGORITHMS };
    issuer.keys.verify(assertion.token(), &expect).await.map_err(|error| match error {
        KeySetError::Refused(error) => IdJagRefusal::Jose(error),
        KeySetError::Malformed | KeySetError::Unreachable => {
            tracing::warn!(%error, issuer = issuer.issuer, "the keys of a trusted issuer cannot be had");
            IdJagRefusal::KeysMissing
        }
    })
}

#[cfg(test)]
mod tests;
