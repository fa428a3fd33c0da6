//! The JWT bearer grant with the JWT of a workload (RFC 7523, section 2.1; SEP-1933, workload identity federation): a platform
//! says which program asks, and no secret is kept anywhere.
//!
//! Whose workload it is, a rule of one service account says, and only one's: two make it ambiguous, and nobody gets in. No
//! client is registered for it and none need authenticate; one that does must be of that service account (requirements.md,
//! AS-215). Must never issue a refresh token, and never take an ID-JAG: rules about workloads bind no client (AS-212).

use std::time::Duration;

use protocol::jose::{Expect, JoseError, UnverifiedJwt};
use protocol::oauth::{
    ClientId, ErrorCode, Form, GrantType, Parameter, TokenRequest, TokenRequestError, TokenResponse,
    WorkloadClaims,
};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{AuditKind, Once, Outcome, ReplayKind};
use thiserror::Error;
use upstream::key_sets::KeySetError;

use super::PersonRefusal;
use super::client_credentials::{self, Machine, Stood};
use super::target::TargetRefusal;
use crate::pages::Caller;
use crate::settings::{ServiceAccount, Settings};
use crate::token::{TokenError, TokenHeaders};
use crate::workloads::WorkloadIssuer;
use crate::{AuthorizationServer, capabilities, keep_service_account};

/// How far the platform's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(30);
/// No honest id of a JWT, and no honest subject, is longer.
const LONGEST_ID: usize = 1024;

/// Why the JWT of a workload buys nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WorkloadRefusal {
    /// The service account is stopped, or may not use the MCP server.
    #[error("the service account: {0}")]
    Account(PersonRefusal),
    /// Rules of several service accounts admit it.
    #[error("several service accounts have a rule for the workload")]
    Ambiguous,
    /// It is for somebody else, or for others too.
    #[error("the assertion is not for this issuer alone")]
    Audience,
    /// The request names a client, and it is none of the service account.
    #[error("the client is none of the service account")]
    Client,
    /// It is bound to a key, and none is proven here.
    #[error("the assertion has a constraint that cannot be kept")]
    Constrained,
    /// It is over.
    #[error("the assertion is over")]
    Expired,
    /// It has no id to be used once by, or no subject.
    #[error("the assertion does not name itself or its subject")]
    IdMissing,
    /// Its issuer is none that is believed about workloads.
    #[error("the issuer of the assertion is not trusted for workloads")]
    IssuerUntrusted,
    /// The form, the type, the algorithm, the key or the signature is wrong.
    #[error("{0}")]
    Jose(#[from] JoseError),
    /// The keys of its issuer cannot be had.
    #[error("the keys of the issuer cannot be had")]
    KeysMissing,
    /// It would be good for longer than is accepted of its issuer.
    #[error("the assertion lives too long")]
    LivesTooLong,
    /// It is no JWT that says who issued it.
    #[error("the assertion is no jwt")]
    Malformed,
    /// No service account has a rule for it.
    #[error("no service account has a rule for the workload")]
    NoRule,
    /// It is not good yet.
    #[error("the assertion is not good yet")]
    NotYet,
    /// It was used before.
    #[error("the assertion was used before")]
    Replayed,
    /// It is older than the last restore of the record: whether it was used is not known.
    #[error("the assertion is older than the record")]
    Restored,
    /// The MCP server takes tokens only that are bound to a key, and none is proved (RFC 9449).
    #[error("the workload proves no key, and the MCP server demands one")]
    ProofMissing,
    /// What is asked for is not there.
    #[error("{0}")]
    Target(#[from] TargetRefusal),
}

impl WorkloadRefusal {
    /// What the client is told (RFC 7523, section 3.1). Everything about the JWT is one code, also that its issuer's keys cannot
    /// be had: anybody may ask here, and learns neither which issuers are believed nor which rules there are (docs/workloads.md).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Account(PersonRefusal::NotAdmitted | PersonRefusal::ServerGone) => ErrorCode::InvalidTarget,
            Self::Account(PersonRefusal::ClientOutside | PersonRefusal::Disabled) => {
                ErrorCode::UnauthorizedClient
            }
            Self::ProofMissing => ErrorCode::InvalidDpopProof,
            Self::Target(refusal) => refusal.code(),
            Self::Ambiguous
            | Self::Audience
            | Self::Client
            | Self::Constrained
            | Self::Expired
            | Self::IdMissing
            | Self::IssuerUntrusted
            | Self::Jose(_)
            | Self::KeysMissing
            | Self::LivesTooLong
            | Self::Malformed
            | Self::NoRule
            | Self::NotYet
            | Self::Replayed
            | Self::Restored => ErrorCode::InvalidGrant,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Account(refusal) => refusal.reason(),
            Self::Ambiguous => "workload_ambiguous",
            Self::Audience => "workload_audience",
            Self::Client => "workload_client",
            Self::Constrained => "workload_constrained",
            Self::Expired => "workload_expired",
            Self::IdMissing => "workload_id_missing",
            Self::IssuerUntrusted => "workload_issuer_untrusted",
            Self::Jose(error) => error.reason(),
            Self::KeysMissing => "workload_keys_missing",
            Self::LivesTooLong => "workload_lives_too_long",
            Self::Malformed => "workload_malformed",
            Self::NoRule => "workload_no_rule",
            Self::NotYet => "workload_not_yet",
            Self::Replayed => "workload_replayed",
            Self::Restored => "workload_before_restore",
            Self::ProofMissing => "proof_missing",
            Self::Target(refusal) => refusal.reason(),
        }
    }
}

/// What the claims are held against.
#[derive(Debug, Clone, Copy)]
struct Expected<'a> {
    issuer: &'a WorkloadIssuer,
    now: Timestamp,
    restored: Option<Timestamp>,
    settings: &'a Settings,
}

/// Decides whether these claims, which their issuer signed, are good here and now, and as which service account the workload
/// acts. What is to be used up, if anything.
fn decide<'a>(
    claims: &WorkloadClaims,
    expected: &Expected<'a>,
) -> Result<(&'a ServiceAccount, Option<Once>), WorkloadRefusal> {
    // As the keys were chosen by what was not verified yet.
    if claims.iss != expected.issuer.issuer {
        return Err(WorkloadRefusal::IssuerUntrusted);
    }
    // RFC 7523bis, section 4: the issuer or, for a grant, the token endpoint; and nobody beside it.
    let ours = &expected.settings.issuer;
    if !claims.aud.is_only(ours) && !claims.aud.is_only(&format!("{ours}/oauth/token")) {
        return Err(WorkloadRefusal::Audience);
    }
    if claims.cnf.is_some() {
        return Err(WorkloadRefusal::Constrained);
    }
    let expires_at = in_time(claims, expected)?;
    let once = once(claims, expected, expires_at)?;
    Ok((account(claims, expected.settings)?, once))
}

/// When nobody takes it any more.
fn in_time(claims: &WorkloadClaims, expected: &Expected<'_>) -> Result<Timestamp, WorkloadRefusal> {
    let (now, exp) = (expected.now, Timestamp::from_secs(claims.exp));
    let expires_at = exp.plus(TOLERANCE);
    if expires_at <= now {
        return Err(WorkloadRefusal::Expired);
    }
    if exp > now.plus(expected.issuer.longest_life + TOLERANCE) {
        return Err(WorkloadRefusal::LivesTooLong);
    }
    let starts = Timestamp::from_secs(claims.nbf.unwrap_or(claims.iat).max(claims.iat));
    if starts > now.plus(TOLERANCE) {
        return Err(WorkloadRefusal::NotYet);
    }
    Ok(expires_at)
}

fn once(
    claims: &WorkloadClaims,
    expected: &Expected<'_>,
    expires_at: Timestamp,
) -> Result<Option<Once>, WorkloadRefusal> {
    let is_named = |text: &str| !text.is_empty() && text.len() <= LONGEST_ID;
    if !is_named(&claims.sub) || claims.sub.chars().any(char::is_control) {
        return Err(WorkloadRefusal::IdMissing);
    }
    if expected.issuer.reuse {
        return Ok(None);
    }
    let jti = claims.jti.as_deref().filter(|jti| is_named(jti)).ok_or(WorkloadRefusal::IdMissing)?;
    // Whether it was used before the restore, nobody knows (see `store::Replays`).
    if expected.restored.is_some_and(|restored| Timestamp::from_secs(claims.iat) <= restored) {
        return Err(WorkloadRefusal::Restored);
    }
    // An issuer is a URL without a line feed, so no two pairs have one hash.
    let hash = Hash::of(format!("{}\n{jti}", claims.iss).as_bytes());
    Ok(Some(Once { kind: ReplayKind::AuthorizationGrant, hash, expires_at }))
}

/// The one service account with a rule for it.
fn account<'a>(
    claims: &WorkloadClaims,
    settings: &'a Settings,
) -> Result<&'a ServiceAccount, WorkloadRefusal> {
    let admits = |account: &&ServiceAccount| account.workloads.iter().any(|rule| rule.admits(claims));
    let mut admitting = settings.service_accounts.iter().filter(admits);
    let account = admitting.next().ok_or(WorkloadRefusal::NoRule)?;
    if admitting.next().is_some() { Err(WorkloadRefusal::Ambiguous) } else { Ok(account) }
}

/// Who the request says is the client.
enum Presenter {
    /// Nobody, as the extension has it.
    Nobody,
    /// A client that proved nothing.
    Named(ClientId),
    /// A client that authenticated.
    Proven(ClientId),
}

/// The client that the token is for: that of the service account itself, or one that may act as it.
fn client(presenter: Presenter, account: &ServiceAccount) -> Result<ClientId, WorkloadRefusal> {
    let own = account.own_client();
    match presenter {
        Presenter::Nobody => Ok(own),
        Presenter::Named(named) if named == own => Ok(own),
        Presenter::Proven(proven) if account.clients.contains(&proven) => Ok(proven),
        Presenter::Named(_) | Presenter::Proven(_) => Err(WorkloadRefusal::Client),
    }
}

/// What is known of a workload whose JWT is its issuer's.
struct Seen {
    issuer: String,
    subject: String,
}

/// The request for a token, once it is read.
struct Asked<'a> {
    caller: &'a Caller,
    /// Every `DPoP` header.
    dpop: &'a [&'a str],
    now: Timestamp,
    presenter: Presenter,
    resource: Vec<String>,
    scope: Option<String>,
}

impl AuthorizationServer {
    /// Whether a form presents the JWT of a workload: it is judged before any client, as none need authenticate.
    pub(crate) fn presents_workload(&self, form: &Form) -> bool {
        let is_grant = form.get("grant_type").once().and_then(GrantType::parse) == Some(GrantType::JwtBearer);
        is_grant
            && !self.settings.workload_issuers.is_empty()
            && form.get("assertion").once().is_some_and(WorkloadClaims::may_be_in)
    }

    /// Exchanges the JWT of a workload for an access token of its service account.
    pub(crate) async fn exchange_workload(
        &self,
        headers: &TokenHeaders<'_>,
        form: &Form,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        let TokenRequest::JwtBearer { assertion, scope, resource } = TokenRequest::parse(form)? else {
            return Err(TokenRequestError::UnsupportedGrantType.into());
        };
        let presenter = self.presenter(headers.authorization, form, caller).await?;
        let now = self.parts.clock.now();
        let asked = Asked { caller, dpop: headers.dpop, now, presenter, resource, scope };
        let mut seen = None;
        let assertion = UnverifiedJwt::parse(assertion).ok_or(WorkloadRefusal::Malformed)?;
        let answer = self.judge_workload(&assertion, asked, &mut seen).await;
        // What no trusted issuer signed anybody can send: it is logged, not stored.
        if let (Err(TokenError::Workload(refusal)), Some(seen)) = (&answer, seen) {
            let mut audit = self.event(AuditKind::TokenRefused, Outcome::Refused, now);
            audit.reference.clone_from(&caller.told);
            audit.reason = Some(refusal.reason());
            audit.subject = Some(self.subject(None, Some(caller.address.to_string())));
            audit.detail.extend(details(&seen));
            self.append_refusal(audit).await;
        }
        answer
    }

    /// Who asks. Whoever tries to prove it must succeed (RFC 7521, section 4.1).
    async fn presenter(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Result<Presenter, TokenError> {
        let proves = ["client_secret", "client_assertion", "client_assertion_type"]
            .into_iter()
            .any(|name| form.get(name) != Parameter::Absent);
        if proves || !authorization.is_empty() {
            let client = self.authenticate(authorization, form, caller).await?;
            return Ok(Presenter::Proven(client.client().id().clone()));
        }
        let Some(named) = form.get("client_id").once() else { return Ok(Presenter::Nobody) };
        Ok(Presenter::Named(ClientId::parse(named).map_err(|_| WorkloadRefusal::Client)?))
    }

    async fn judge_workload(
        &self,
        assertion: &UnverifiedJwt,
        asked: Asked<'_>,
        seen: &mut Option<Seen>,
    ) -> Result<TokenResponse, TokenError> {
        let issuer = self.settings.workload_issuers.iter().find(|known| known.issuer == assertion.issuer());
        let issuer = issuer.ok_or(WorkloadRefusal::IssuerUntrusted)?;
        let claims = verify(issuer, assertion).await?;
        let known = seen.insert(Seen { issuer: issuer.issuer.clone(), subject: shown(&claims.sub) });
        let restored = self.parts.store.last_restore().await?;
        let expected = Expected { issuer, now: asked.now, restored, settings: &self.settings };
        let (account, once) = decide(&claims, &expected)?;
        let client_id = client(asked.presenter, account)?;
        let key = self.key_of(self.known_client(&client_id).as_ref(), asked.dpop).await?;
        let parts = &self.parts;
        let user = keep_service_account(account, &*parts.store, &*parts.entropy, asked.now).await?;
        let asked_for = (asked.resource.as_slice(), asked.scope.as_deref());
        let entitled =
            client_credentials::decide(&user, &self.settings, asked_for, key).map_err(of_account)?;
        let machine = Machine { client_id: &client_id, details: details(known), once, user: &user };
        match self.stand_as(machine, &entitled, (asked.caller, asked.now)).await? {
            Stood::Barred => Err(WorkloadRefusal::Account(PersonRefusal::Disabled).into()),
            Stood::Token(response) => Ok(response),
            Stood::Used => Err(WorkloadRefusal::Replayed.into()),
        }
    }
}

fn of_account(refusal: client_credentials::ClientCredentialsRefusal) -> WorkloadRefusal {
    use client_credentials::ClientCredentialsRefusal as Refusal;
    match refusal {
        Refusal::Account(refusal) => WorkloadRefusal::Account(refusal),
        Refusal::NoServiceAccount | Refusal::PublicClient => WorkloadRefusal::NoRule,
        Refusal::ProofMissing => WorkloadRefusal::ProofMissing,
        Refusal::Target(refusal) => WorkloadRefusal::Target(refusal),
    }
}

fn details(seen: &Seen) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "workload".to_owned()),
        ("issuer", seen.issuer.clone()),
        ("workload", seen.subject.clone()),
    ]
}

/// A subject as it is written down: an issuer's word, and still no more than a line.
fn shown(subject: &str) -> String {
    subject.chars().filter(|letter| !letter.is_control()).take(LONGEST_ID).collect()
}

async fn verify(
    issuer: &WorkloadIssuer,
    assertion: &UnverifiedJwt,
) -> Result<WorkloadClaims, WorkloadRefusal> {
    let algorithms = capabilities::ASSERTION_ALGORITHMS;
    let plain = issuer.keys.verify(assertion.token(), &Expect { typ: None, algorithms }).await;
    let judged = match plain {
        Err(KeySetError::Refused(JoseError::Type)) => {
            let expect = Expect { typ: Some(WorkloadClaims::OTHER_TYPE), algorithms };
            issuer.keys.verify(assertion.token(), &expect).await
        }
        judged => judged,
    };
    judged.map_err(|error| match error {
        KeySetError::Refused(error) => WorkloadRefusal::Jose(error),
        KeySetError::Malformed | KeySetError::Unreachable => {
            tracing::warn!(%error, issuer = issuer.issuer, "the keys of an issuer of workloads cannot be had");
            WorkloadRefusal::KeysMissing
        }
    })
}

#[cfg(test)]
mod tests;
