//! The authorization code grant (OAuth 2.1, section 4.1.3).
//!
//! A code buys one grant at most: the condition stands in the record's own statement, not here. A failed attempt does
//! not use the code up, but there are three at most (attacks.md, D-2). A second redemption is always refused; it ends
//! the token family only if client and verifier are right and it comes late (D-3), so that whoever merely saw a code
//! can log nobody out.

use std::time::Duration;

use protocol::id::{Grant, Id, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{
    ClientId, CodeVerifier, DpopMode, ErrorCode, GrantType, Scope, TokenResponse, TokenType, refresh_token,
};
use protocol::secret::{Hash, Secret};
use protocol::world::{Timestamp, between_nodes};
use store::{
    AuditKind, AuthorizationRecord, AuthorizationState, EndGrant, GrantRecord, Outcome, Redeem,
    RedeemOutcome, StoreError,
};
use thiserror::Error;

use super::PersonRefusal;
use crate::AuthorizationServer;
use crate::access_token::Validity;
use crate::client_authentication::AuthenticatedClient;
use crate::pages::Caller;
use crate::proof;
use crate::token::TokenError;

/// How often a code may be tried with something wrong beside it (attacks.md, D-2).
pub(crate) const MOST_ATTEMPTS: u32 = 3;
/// A second redemption within this time is a lost answer or an impatient client, not a theft (attacks.md, D-3).
pub(crate) const REPLAY_TOLERANCE: Duration = between_nodes(Duration::from_secs(10));

/// Why a code buys nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodeRefusal {
    /// It came too late.
    #[error("the code has expired")]
    Expired,
    /// It is bound to a key that the client does not prove (RFC 9449, section 10).
    #[error("the code is bound to a key that the client does not prove")]
    KeyMismatch,
    /// It was issued to another client.
    #[error("the code was issued to another client")]
    OfAnotherClient,
    /// The person may not any more.
    #[error("{0}")]
    Person(PersonRefusal),
    /// The MCP server takes tokens only that are bound to a key.
    #[error("the client proves no key, and the MCP server demands one")]
    ProofMissing,
    /// `redirect_uri` is not the one of the authorization request (RFC 6749, section 4.1.3).
    #[error("`redirect_uri` is not the one of the authorization request")]
    RedirectUriMismatch,
    /// It was redeemed before. `ends` names the grant if this ends its token family.
    #[error("the code was redeemed before")]
    Replayed {
        /// The grant that ends.
        ends: Option<Id<Grant>>,
    },
    /// `resource` is not what was granted.
    #[error("`resource` is not the one that was granted")]
    ResourceMismatch,
    /// It was tried too often.
    #[error("the code was tried too often")]
    TooManyAttempts,
    /// There is no such code.
    #[error("there is no such code")]
    Unknown,
    /// `code_verifier` does not answer the challenge.
    #[error("`code_verifier` does not answer the challenge")]
    VerifierMismatch,
    /// `code_verifier` is missing: a downgrade (RFC 9700, section 2.1.1).
    #[error("`code_verifier` is missing")]
    VerifierMissing,
}

impl CodeRefusal {
    /// What the client is told (RFC 6749, section 5.2; RFC 8707, section 2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Expired
            | Self::KeyMismatch
            | Self::OfAnotherClient
            | Self::Person(_)
            | Self::RedirectUriMismatch
            | Self::Replayed { .. }
            | Self::TooManyAttempts
            | Self::Unknown
            | Self::VerifierMismatch
            | Self::VerifierMissing => ErrorCode::InvalidGrant,
            Self::ProofMissing => ErrorCode::InvalidDpopProof,
            Self::ResourceMismatch => ErrorCode::InvalidTarget,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Expired => "code_expired",
            Self::KeyMismatch => "code_of_another_key",
            Self::OfAnotherClient => "code_of_another_client",
            Self::Person(refusal) => refusal.reason(),
            Self::ProofMissing => "proof_missing",
            Self::RedirectUriMismatch => "redirect_uri_mismatch",
            Self::Replayed { .. } => "code_replayed",
            Self::ResourceMismatch => "resource_mismatch",
            Self::TooManyAttempts => "code_too_many_attempts",
            Self::Unknown => "code_unknown",
            Self::VerifierMismatch => "verifier_mismatch",
            Self::VerifierMissing => "verifier_missing",
        }
    }

    /// Whether the attempt counts against the code.
    const fn is_attempt(self) -> bool {
        match self {
            Self::KeyMismatch
            | Self::OfAnotherClient
            | Self::RedirectUriMismatch
            | Self::ResourceMismatch
            | Self::VerifierMismatch
            | Self::VerifierMissing => true,
            Self::Expired
            | Self::Person(_)
            | Self::ProofMissing
            | Self::Replayed { .. }
            | Self::TooManyAttempts
            | Self::Unknown => false,
        }
    }
}

/// What a client presents with a code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) client_id: &'a ClientId,
    pub(crate) code_verifier: Option<&'a Secret>,
    /// The key that the client proves to hold.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) now: Timestamp,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) resource: &'a [String],
}

/// A code that may be redeemed: what was consented to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Redeemable<'a> {
    pub(crate) grant_expires_at: Option<Timestamp>,
    pub(crate) scope: &'a Scope,
    pub(crate) shown: &'a Hash,
    pub(crate) user: Id<User>,
}

/// Decides what an attempt at a code is worth.
pub(crate) fn decide<'a>(
    found: Option<&'a AuthorizationRecord>,
    attempt: &Attempt<'_>,
) -> Result<Redeemable<'a>, CodeRefusal> {
    let record = found.ok_or(CodeRefusal::Unknown)?;
    match &record.state {
        AuthorizationState::Consented {
            user,
            scope,
            code_expires_at,
            shown,
            grant_expires_at,
            attempts,
            ..
        } => {
            decide_first(record, attempt, *attempts, *code_expires_at)?;
            Ok(Redeemable { grant_expires_at: *grant_expires_at, scope, shown, user: *user })
        }
        AuthorizationState::Redeemed { grant, redeemed_at, .. } => {
            let genuine = record.client_id == *attempt.client_id && answers(record, attempt).is_ok();
            let late = attempt.now.since(*redeemed_at) > REPLAY_TOLERANCE;
            Err(CodeRefusal::Replayed { ends: (genuine && late).then_some(*grant) })
        }
        // A row that never had a code cannot be found by one.
        AuthorizationState::Denied | AuthorizationState::Pending | AuthorizationState::UpstreamLeg(_) => {
            Err(CodeRefusal::Unknown)
        }
    }
}

fn decide_first(
    record: &AuthorizationRecord,
    attempt: &Attempt<'_>,
    attempts: u32,
    expires_at: Timestamp,
) -> Result<(), CodeRefusal> {
    if attempts >= MOST_ATTEMPTS {
        return Err(CodeRefusal::TooManyAttempts);
    }
    if expires_at <= attempt.now {
        return Err(CodeRefusal::Expired);
    }
    if record.client_id != *attempt.client_id {
        return Err(CodeRefusal::OfAnotherClient);
    }
    // OAuth 2.1 dropped the parameter; if it comes, RFC 6749's rule holds, port included (attacks.md, AZ-08).
    if attempt.redirect_uri.is_some_and(|uri| uri != record.request.redirect_uri) {
        return Err(CodeRefusal::RedirectUriMismatch);
    }
    answers(record, attempt)?;
    if record.request.dpop_key.is_some() && record.request.dpop_key != attempt.key {
        return Err(CodeRefusal::KeyMismatch);
    }
    if !super::asks_only_for(&record.request.resource, attempt.resource) {
        return Err(CodeRefusal::ResourceMismatch);
    }
    Ok(())
}

/// Who consented, if somebody did.
const fn person_of(record: &AuthorizationRecord) -> Option<Id<User>> {
    match &record.state {
        AuthorizationState::Consented { user, .. } | AuthorizationState::Redeemed { user, .. } => Some(*user),
        AuthorizationState::Denied | AuthorizationState::Pending | AuthorizationState::UpstreamLeg(_) => None,
    }
}

fn answers(record: &AuthorizationRecord, attempt: &Attempt<'_>) -> Result<(), CodeRefusal> {
    let presented = attempt.code_verifier.ok_or(CodeRefusal::VerifierMissing)?;
    let verifier = presented.expose(CodeVerifier::parse).map_err(|_| CodeRefusal::VerifierMismatch)?;
    let answered = record.request.code_challenge.is_answered_by(&verifier);
    if answered { Ok(()) } else { Err(CodeRefusal::VerifierMismatch) }
}

/// A code and what came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresentedCode<'a> {
    pub(crate) code: &'a Secret,
    pub(crate) code_verifier: Option<&'a Secret>,
    /// The key that the client proves to hold.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) resource: &'a [String],
}

impl AuthorizationServer {
    /// Exchanges a code for tokens.
    pub(crate) async fn exchange_code(
        &self,
        client: &AuthenticatedClient,
        presented: PresentedCode<'_>,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        let code_hash = presented.code.hash();
        let now = self.parts.clock.now();
        let attempt = Attempt {
            client_id: client.client().id(),
            code_verifier: presented.code_verifier,
            key: presented.key,
            now,
            redirect_uri: presented.redirect_uri,
            resource: presented.resource,
        };
        let found = self.parts.store.find_by_code(code_hash).await.map_err(|error| match error {
            error @ StoreError::Corrupt { .. } => TokenError::CodeCorrupt(error),
            error @ StoreError::Unavailable(_) => error.into(),
        })?;
        let answer = match decide(found.as_ref(), &attempt) {
            Ok(redeemable) => match &found {
                Some(record) => {
                    self.redeem((client, presented.key), record, redeemable, (caller, code_hash, now)).await
                }
                None => Err(CodeRefusal::Unknown.into()),
            },
            Err(refusal) => Err(refusal.into()),
        };
        let Err(TokenError::Code(refusal)) = answer else { return answer };
        self.refusal_of_code(found.as_ref(), refusal, caller, now).await?;
        Err(refusal.into())
    }

    pub(super) async fn redeem(
        &self,
        (client, proven): (&AuthenticatedClient, Option<Thumbprint>),
        record: &AuthorizationRecord,
        redeemable: Redeemable<'_>,
        (caller, code_hash, now): (&Caller, Hash, Timestamp),
    ) -> Result<TokenResponse, TokenError> {
        let user = self.parts.store.find_user(redeemable.user).await?;
        let server = self.settings.server(&record.request.server);
        super::admit(user.as_ref(), server).map_err(CodeRefusal::Person)?;
        self.is_let_in(client.client(), server).map_err(CodeRefusal::Person)?;
        // Whoever asked for a code that is bound to a key gets a token that is.
        let mode = server.map_or(DpopMode::Optional, |server| server.dpop);
        let key = match record.request.dpop_key {
            Some(key) => Some(key),
            None => proof::binding(mode, proven).ok_or(CodeRefusal::ProofMissing)?,
        };
        let may_refresh = client.client().may_use(GrantType::RefreshToken);
        // RFC 9449, section 5: the refresh tokens of a confidential client are bound by its authentication.
        let dpop_key = key.filter(|_| !client.client().is_confidential());
        let grant = GrantRecord { dpop_key, ..self.new_grant(record, redeemable, may_refresh, now) };
        let life = self.settings.lifetimes.access_token;
        let validity = Validity::of(grant.expires_at, life, now).ok_or(CodeRefusal::Expired)?;
        let access_token = self.sign_access_token(&grant, redeemable.scope, validity, key)?;
        let refresh_token = may_refresh.then(|| self.mint_refresh_token(&grant));
        let mut audit = self.event_of(record, AuditKind::TokenIssued, Outcome::Ok, now);
        (audit.user, audit.grant) = (Some(grant.user), Some(grant.id));
        // Who holds the code now may be elsewhere than the browser that it went through.
        audit.subject = Some(self.subject(None, Some(caller.address.to_string())));
        let max_attempts = MOST_ATTEMPTS;
        let made = (grant.id, grant.user);
        let redeem = Redeem { authorization: record.id, code_hash, grant, max_attempts, audit };
        match self.parts.store.redeem(redeem, now).await? {
            RedeemOutcome::Redeemed => {
                self.sign_in_issued(record, made, caller, now);
                Ok(TokenResponse {
                    access_token,
                    expires_in: validity.expires_in(),
                    issued_token_type: None,
                    refresh_token,
                    scope: redeemable.scope.clone(),
                    token_type: TokenType::of(key.as_ref()),
                })
            }
            // Somebody else was faster, just now: this is the second redemption, and early.
            RedeemOutcome::Lost => Err(CodeRefusal::Replayed { ends: None }.into()),
        }
    }

    fn new_grant(
        &self,
        record: &AuthorizationRecord,
        redeemable: Redeemable<'_>,
        may_refresh: bool,
        now: Timestamp,
    ) -> GrantRecord {
        let lifetimes = &self.settings.lifetimes;
        // Without a refresh token the grant is its one access token.
        let life = if may_refresh { lifetimes.grant } else { lifetimes.access_token };
        let longest = now.plus(life);
        // The person may have allowed it for less.
        let expires_at = redeemable.grant_expires_at.map_or(longest, |until| until.min(longest));
        let mut seed = [0; 16];
        self.parts.entropy.fill(&mut seed);
        GrantRecord {
            id: Id::mint(now, &*self.parts.entropy),
            user: redeemable.user,
            client_id: record.client_id.clone(),
            resource: record.request.resource.clone(),
            server: record.request.server.clone(),
            scope: redeemable.scope.clone(),
            authorization: record.id,
            seed,
            generation: 0,
            rotated_at: now,
            created_at: now,
            last_used_at: now,
            idle_expires_at: now.plus(lifetimes.grant_idle).min(expires_at),
            expires_at,
            shown: *redeemable.shown,
            revoked_at: None,
            dpop_key: None,
        }
    }

    /// The refresh token of a grant's current generation. The same generation gives the same token.
    pub(crate) fn mint_refresh_token(&self, grant: &GrantRecord) -> Secret {
        let keys = self.parts.keys.load();
        let key = keys.refresh_tokens.active();
        refresh_token::mint(key, grant.id, grant.generation, &grant.seed, &grant.client_id)
    }

    /// Counts the attempt, ends the family, or only writes the event, as the refusal demands.
    async fn refusal_of_code(
        &self,
        found: Option<&AuthorizationRecord>,
        refusal: CodeRefusal,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        // Whoever presents a code that never was is nobody we know.
        let Some(record) = found else { return Ok(()) };
        let replayed = matches!(refusal, CodeRefusal::Replayed { .. });
        let kind = if replayed { AuditKind::CodeReplayed } else { AuditKind::TokenRefused };
        let mut audit = self.event_of(record, kind, Outcome::Refused, now);
        audit.reason = Some(refusal.reason());
        audit.user = person_of(record);
        audit.subject = Some(self.subject(None, Some(caller.address.to_string())));
        if refusal.is_attempt() {
            self.parts.store.count_attempt(record.id).await?;
        }
        let CodeRefusal::Replayed { ends: Some(grant) } = refusal else {
            self.append_refusal(audit).await;
            return Ok(());
        };
        audit.grant = Some(grant);
        let end = EndGrant { grant, revocation: super::revocation_of(grant, now), audit };
        self.parts.store.end_grant(end, now).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
