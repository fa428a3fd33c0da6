//! The refresh token grant (OAuth 2.1, section 4.3; product.md, P-3).
//!
//! One row for each grant holds the current generation. The current token rotates; the one before is answered with the
//! same successor while that is unused and young; any older or later repeat ends the family. A generation above the
//! row's means that the record was set back: refused, and nobody is called a thief.
//! Client and mark are verified before any of this may act: a guessed or foreign token changes nothing.

use std::time::Duration;

use protocol::id::{Grant, Id};
use protocol::jose::dpop::Thumbprint;
use protocol::keys::{KeyRing, MacKey};
use protocol::oauth::{
    ClientId, DpopMode, ErrorCode, RefreshToken, ResourceUri, Scope, TokenResponse, TokenType, refresh_token,
};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::{AuditKind, EndGrant, GrantRecord, Outcome, Rotate, RotateOutcome, StoreError};
use thiserror::Error;

use super::PersonRefusal;
use crate::access_token::Validity;
use crate::client_authentication::AuthenticatedClient;
use crate::pages::Caller;
use crate::settings::ServerEntry;
use crate::token::TokenError;
use crate::{AuthorizationServer, capabilities, proof};

/// Why a refresh token buys nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RefreshRefusal {
    /// The grant was ended.
    #[error("the grant has been revoked")]
    Ended,
    /// The grant is too old, or was not used for too long.
    #[error("the grant has expired")]
    Expired,
    /// The mark is not ours, or not for this client.
    #[error("the refresh token is not of this client")]
    Foreign,
    /// It is no refresh token at all.
    #[error("the refresh token is malformed")]
    Malformed,
    /// It is bound to another key than the one that is proved (RFC 9449, section 5).
    #[error("the refresh token is bound to another key")]
    OtherKey,
    /// The person may not any more.
    #[error("{0}")]
    Person(PersonRefusal),
    /// It is bound to a key, or the MCP server demands one, and none is proved.
    #[error("no key is proved")]
    ProofMissing,
    /// The grant was ended because the record was restored from a backup.
    #[error("the record was restored from a backup; the person has to sign in again")]
    Restored,
    /// `resource` is not what was granted.
    #[error("`resource` is not the one that was granted")]
    ResourceMismatch,
    /// It was used before, and not just now: the token family ends (OAuth 2.1, section 4.3.1).
    #[error("the refresh token was used before")]
    Reused,
    /// `scope` asks for more than was granted (RFC 6749, section 6).
    #[error("`scope` is more than was granted")]
    ScopeExceeds,
    /// `scope` breaks the grammar.
    #[error("`scope` is malformed")]
    ScopeMalformed,
    /// It is from the future: the record was set back to an earlier state.
    #[error("the refresh token is newer than the record")]
    SetBack,
    /// The client was told just now to ask for more scope, and refreshes a token that is good for long: it would be told the
    /// same again, and again (product.md, P-12).
    #[error("a refreshed token has no more scope: authorize again")]
    StepUp,
    /// The identity provider says that the person is gone: all that was theirs has ended.
    #[error("the identity provider says that the person is gone")]
    GoneAtProvider,
    /// There is no such grant.
    #[error("there is no such grant")]
    Unknown,
}

impl RefreshRefusal {
    /// What the client is told (RFC 6749, section 5.2; RFC 8707, section 2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Ended
            | Self::Expired
            | Self::Foreign
            | Self::GoneAtProvider
            | Self::Malformed
            | Self::OtherKey
            | Self::Person(_)
            | Self::Restored
            | Self::Reused
            | Self::SetBack
            | Self::StepUp
            | Self::Unknown => ErrorCode::InvalidGrant,
            Self::ProofMissing => ErrorCode::InvalidDpopProof,
            Self::ResourceMismatch => ErrorCode::InvalidTarget,
            Self::ScopeExceeds | Self::ScopeMalformed => ErrorCode::InvalidScope,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ended => "grant_ended",
            Self::Expired => "grant_expired",
            Self::Foreign => "refresh_token_foreign",
            Self::GoneAtProvider => "gone_at_provider",
            Self::Malformed => "refresh_token_malformed",
            Self::OtherKey => "refresh_token_of_another_key",
            Self::Person(refusal) => refusal.reason(),
            Self::ProofMissing => "proof_missing",
            Self::ResourceMismatch => "resource_mismatch",
            Self::Restored => "record_restored",
            Self::Reused => "refresh_token_reused",
            Self::ScopeExceeds => "scope_exceeds",
            Self::ScopeMalformed => "scope_malformed",
            Self::SetBack => "refresh_token_set_back",
            Self::StepUp => "step_up_by_refresh",
            Self::Unknown => "grant_unknown",
        }
    }
}

/// What a client presents, and by which rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) client_id: &'a ClientId,
    /// Whether the MCP server's tokens are bound to keys.
    pub(crate) dpop: DpopMode,
    /// The key that the client proves to hold.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) keys: &'a KeyRing<MacKey>,
    pub(crate) now: Timestamp,
    /// How long a repeat is answered.
    pub(crate) repeat: Duration,
    pub(crate) resource: &'a [String],
    /// What the granted resource is called now, if the house moved since (product.md, P-23).
    pub(crate) resource_now: Option<&'a ResourceUri>,
    pub(crate) scope: Option<&'a str>,
    /// How long ago a token can have been made that is good for long; nothing if nobody was told just now to ask for more
    /// scope.
    pub(crate) steps_up: Option<Duration>,
    pub(crate) token: &'a RefreshToken,
}

/// What a refresh does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// The key that the new access token is bound to.
    pub(crate) key: Option<Thumbprint>,
    /// The scope of the new access token. The refresh token keeps the whole (OAuth 2.1, section 4.3.1).
    pub(crate) scope: Scope,
    /// Whether the generation moves.
    pub(crate) step: Step,
}

/// Whether the generation moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A repeat: the same successor once more.
    Repeat,
    /// The current token: on to the next generation.
    Rotate,
}

/// Decides what a refresh token is worth.
pub(crate) fn decide(found: Option<&GrantRecord>, attempt: &Attempt<'_>) -> Result<Refresh, RefreshRefusal> {
    let grant = found.ok_or(RefreshRefusal::Unknown)?;
    if grant.client_id != *attempt.client_id
        || !attempt.token.verify(attempt.keys, &grant.seed, attempt.client_id)
    {
        return Err(RefreshRefusal::Foreign);
    }
    // Before anything may act: who does not hold the key ends no family by using an old token of it. (Revoking needs no key:
    // decision 19.)
    let key = bound_to(grant, attempt)?;
    if grant.revoked_at.is_some() {
        return Err(RefreshRefusal::Ended);
    }
    if grant.idle_expires_at <= attempt.now || grant.expires_at <= attempt.now {
        return Err(RefreshRefusal::Expired);
    }
    let step = step(grant, attempt)?;
    let names = [Some(&grant.resource), attempt.resource_now];
    if !names.into_iter().flatten().any(|name| super::asks_only_for(name, attempt.resource)) {
        return Err(RefreshRefusal::ResourceMismatch);
    }
    let is_fresh = |within: Duration| attempt.now.since(grant.rotated_at) < within;
    if step == Step::Rotate && attempt.steps_up.is_some_and(is_fresh) {
        return Err(RefreshRefusal::StepUp);
    }
    Ok(Refresh { key, scope: narrowed(&grant.scope, attempt.scope)?, step })
}

/// The key that the new access token is bound to. What is bound stays bound, whatever the MCP server asks for now.
fn bound_to(grant: &GrantRecord, attempt: &Attempt<'_>) -> Result<Option<Thumbprint>, RefreshRefusal> {
    match (grant.dpop_key, attempt.key) {
        (Some(bound), Some(proven)) if bound == proven => Ok(Some(bound)),
        (Some(_), Some(_)) => Err(RefreshRefusal::OtherKey),
        (Some(_), None) => Err(RefreshRefusal::ProofMissing),
        (None, proven) => proof::binding(attempt.dpop, proven).ok_or(RefreshRefusal::ProofMissing),
    }
}

fn step(grant: &GrantRecord, attempt: &Attempt<'_>) -> Result<Step, RefreshRefusal> {
    let presented = attempt.token.generation;
    if presented == grant.generation {
        return Ok(Step::Rotate);
    }
    if presented > grant.generation {
        return Err(RefreshRefusal::SetBack);
    }
    // The successor is unused exactly as long as the row has not moved past it.
    let is_last = presented.checked_add(1) == Some(grant.generation);
    let is_young = !attempt.repeat.is_zero() && attempt.now.since(grant.rotated_at) <= attempt.repeat;
    if is_last && is_young { Ok(Step::Repeat) } else { Err(RefreshRefusal::Reused) }
}

/// `scope` may ask for less, never for more; and it is refused, not narrowed (attacks.md, D-8). What clients add out of
/// habit was dropped at the authorization endpoint, and is dropped here too (product.md, P-3).
fn narrowed(granted: &Scope, requested: Option<&str>) -> Result<Scope, RefreshRefusal> {
    let Some(text) = requested else { return Ok(granted.clone()) };
    let asked = Scope::parse(text).map_err(|_| RefreshRefusal::ScopeMalformed)?;
    let is_habit = |token: &str| capabilities::IGNORED_SCOPES.contains(&token) && !granted.contains(token);
    let requested: Scope = asked.iter().filter(|token| !is_habit(token.as_str())).cloned().collect();
    if requested.is_empty() {
        return Ok(granted.clone());
    }
    if requested.is_subset(granted) { Ok(requested) } else { Err(RefreshRefusal::ScopeExceeds) }
}

/// A refresh token and what came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresentedRefreshToken<'a> {
    /// The key that the client proves to hold.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) refresh_token: &'a Secret,
    pub(crate) resource: &'a [String],
    pub(crate) scope: Option<&'a str>,
}

impl AuthorizationServer {
    /// Exchanges a refresh token for its successor and a fresh access token.
    pub(crate) async fn exchange_refresh_token(
        &self,
        client: &AuthenticatedClient,
        presented: PresentedRefreshToken<'_>,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        let token = presented.refresh_token.expose(refresh_token::parse).ok_or(RefreshRefusal::Malformed)?;
        // Whoever loses the race for a rotation looks again, and is then the repeat of what has just happened.
        for _ in 0..2 {
            let found = self.parts.store.find_grant(token.grant).await?;
            let now = self.parts.clock.now();
            let server = found.as_ref().and_then(|grant| self.settings.server(&grant.server));
            let keys = self.parts.keys.load_full();
            let attempt = Attempt {
                client_id: client.client().id(),
                dpop: server.map_or(DpopMode::Optional, |server| server.dpop),
                key: presented.key,
                keys: &keys.refresh_tokens,
                now,
                repeat: server.map_or(Duration::ZERO, |server| server.refresh_repeat),
                resource: presented.resource,
                resource_now: server.map(|server| &server.resource),
                scope: presented.scope,
                steps_up: self.steps_up(token.grant, now),
                token: &token,
            };
            let answer = match (decide(found.as_ref(), &attempt), found.as_ref()) {
                (Ok(refresh), Some(grant)) => match self.is_let_in(client.client(), server) {
                    Ok(()) => self.refresh(grant, server, refresh, (caller, now)).await,
                    Err(refusal) => Err(RefreshRefusal::Person(refusal).into()),
                },
                (Ok(_), None) => Err(RefreshRefusal::Unknown.into()),
                (Err(refusal), _) => Err(refusal.into()),
            };
            match answer {
                Ok(Some(response)) => return Ok(response),
                Ok(None) => {}
                Err(TokenError::Refresh(refusal)) => {
                    let refusal = self.why_ended(found.as_ref(), refusal).await?;
                    self.refusal_of_refresh(found.as_ref(), refusal, caller, now).await?;
                    return Err(refusal.into());
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::unavailable("a refresh lost its race twice").into())
    }

    /// A client that was told that its scope is too small and refreshes at once does not know that it has to authorize again.
    /// It is told by the one answer that every client knows, once: `invalid_grant` has it begin anew, by the scope of the
    /// challenge, while the grant and its refresh token stay as they are.
    fn steps_up(&self, grant: Id<Grant>, now: Timestamp) -> Option<Duration> {
        let is_stepping = self.parts.timeline.is_stepping(grant, now);
        is_stepping.then(|| self.settings.lifetimes.access_token / 2)
    }

    /// Signs, then writes, then answers. `None` if somebody else rotated first.
    async fn refresh(
        &self,
        grant: &GrantRecord,
        server: Option<&ServerEntry>,
        refresh: Refresh,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Option<TokenResponse>, TokenError> {
        if !self.is_still_there(grant.user, caller, now).await? {
            return Err(RefreshRefusal::GoneAtProvider.into());
        }
        let user = self.parts.store.find_user(grant.user).await?;
        super::admit(user.as_ref(), server).map_err(RefreshRefusal::Person)?;
        let lifetimes = &self.settings.lifetimes;
        let validity =
            Validity::of(grant.expires_at, lifetimes.access_token, now).ok_or(RefreshRefusal::Expired)?;
        let access_token = self.sign_access_token(grant, &refresh.scope, validity, refresh.key)?;
        let address = caller.address.to_string();
        let successor = match refresh.step {
            Step::Repeat => {
                let event = (AuditKind::RefreshRepeated, Outcome::Ok);
                self.parts.store.append_audit(vec![self.event_of_grant(grant, event, &address, now)]).await?;
                grant.clone()
            }
            Step::Rotate => {
                let generation = grant.generation.checked_add(1).ok_or(RefreshRefusal::Expired)?;
                let rotate = Rotate {
                    grant: grant.id,
                    from_generation: grant.generation,
                    now,
                    idle_expires_at: now.plus(lifetimes.grant_idle).min(grant.expires_at),
                    audit: self.event_of_grant(
                        grant,
                        (AuditKind::TokenRefreshed, Outcome::Ok),
                        &address,
                        now,
                    ),
                };
                match self.parts.store.rotate(rotate).await? {
                    RotateOutcome::Lost => return Ok(None),
                    RotateOutcome::Rotated => {
                        self.parts.timeline.refreshed(grant.id, now);
                        self.parts.timeline.narrowed(grant.id, refresh.scope != grant.scope);
                        GrantRecord { generation, ..grant.clone() }
                    }
                }
            }
        };
        Ok(Some(TokenResponse {
            access_token,
            expires_in: validity.expires_in(),
            issued_token_type: None,
            refresh_token: Some(self.mint_refresh_token(&successor)),
            scope: refresh.scope,
            token_type: TokenType::of(refresh.key.as_ref()),
        }))
    }

    /// A grant that ended at the very moment of a restore was ended by it: nobody did anything wrong.
    async fn why_ended(
        &self,
        found: Option<&GrantRecord>,
        refusal: RefreshRefusal,
    ) -> Result<RefreshRefusal, TokenError> {
        let ended = found.and_then(|grant| grant.revoked_at).filter(|_| refusal == RefreshRefusal::Ended);
        let Some(ended) = ended else { return Ok(refusal) };
        let restored = self.parts.store.last_restore().await? == Some(ended);
        Ok(if restored { RefreshRefusal::Restored } else { refusal })
    }

    /// Ends the family, or only writes the event, as the refusal demands.
    async fn refusal_of_refresh(
        &self,
        found: Option<&GrantRecord>,
        refusal: RefreshRefusal,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        let kind = match refusal {
            RefreshRefusal::Reused => AuditKind::RefreshReused,
            RefreshRefusal::Restored | RefreshRefusal::SetBack => AuditKind::RefreshSetBack,
            RefreshRefusal::OtherKey
            | RefreshRefusal::Person(_)
            | RefreshRefusal::ProofMissing
            | RefreshRefusal::ResourceMismatch
            | RefreshRefusal::ScopeExceeds
            | RefreshRefusal::ScopeMalformed
            | RefreshRefusal::StepUp => AuditKind::TokenRefused,
            // Nobody we know; or a grant whose end was written down when it came.
            RefreshRefusal::Ended
            | RefreshRefusal::Expired
            | RefreshRefusal::Foreign
            | RefreshRefusal::GoneAtProvider
            | RefreshRefusal::Malformed
            | RefreshRefusal::Unknown => return Ok(()),
        };
        let Some(grant) = found else { return Ok(()) };
        if refusal == RefreshRefusal::StepUp {
            self.parts.timeline.stepped(grant.id);
        }
        let address = caller.address.to_string();
        let mut audit = self.event_of_grant(grant, (kind, Outcome::Refused), &address, now);
        audit.reason = Some(refusal.reason());
        audit.reference.clone_from(&caller.told);
        if refusal == RefreshRefusal::Reused {
            let end = EndGrant { grant: grant.id, revocation: super::revocation_of(grant.id, now), audit };
            self.parts.store.end_grant(end, now).await?;
        } else if kind == AuditKind::RefreshSetBack {
            // Somebody must hear of it: the answer waits until it is written.
            self.parts.store.append_audit(vec![audit]).await?;
        } else {
            self.append_refusal(audit).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
