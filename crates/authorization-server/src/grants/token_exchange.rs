//! Token exchange (RFC 8693): a service account that acts for a person gets a token of less for the person's.
//!
//! It never widens anything: the scope is within that of the presented token and of the rule, the target is one that the
//! operator wrote down, and the person must be admitted there. It lives no longer than the presented token, so that no chain
//! of exchanges outlives the first. It stands on the person's grant and on one of the service account's own: whatever ends
//! either ends it. The actor is the authenticated client; nobody else is taken for it, and a stolen token is worth nothing
//! to whoever is no such client (section 5).

use protocol::jose::claims::{AccessTokenClaims, ActorClaims};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ErrorCode, Scope, TokenExchangeRequest, TokenResponse, TokenType};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::{AuditKind, GrantRecord, Outcome, Stand, StandOutcome, UserRecord};
use thiserror::Error;

use super::PersonRefusal;
use super::client_credentials::{self, ClientCredentialsRefusal};
use super::target::{self, TargetRefusal};
use crate::access_token::{Of, Validity};
use crate::clients::{Client, ClientStanding, ResolveError};
use crate::pages::Caller;
use crate::settings::{MayAct, ServerEntry, ServiceAccount, Settings};
use crate::token::TokenError;
use crate::{AuthenticatedClient, AuthorizationServer, keep_service_account, proof};

/// RFC 8693, section 3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How many act one for the other, at most: an agent, and one that the agent asks.
const DEEPEST: usize = 2;

/// Why an exchange is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExchangeRefusal {
    /// The service account is stopped.
    #[error("the service account is stopped")]
    AccountStopped,
    /// The client is no machine.
    #[error("{0}")]
    Client(#[from] ClientCredentialsRefusal),
    /// The client needs the approval of an administrator, or may not be used with the target.
    #[error("the client: {0}")]
    ClientStanding(ClientStanding),
    /// So many act for each other already, or this one does.
    #[error("the chain of actors is too long, or this one is in it")]
    Depth,
    /// The person may not use the target.
    #[error("the person: {0}")]
    Person(PersonRefusal),
    /// The target takes tokens only that are bound to a key, and none is proved (RFC 9449).
    #[error("the client proves no key, and the MCP server demands one")]
    ProofMissing,
    /// No rule allows it: not from this token's MCP server, not to this one, or not for this person.
    #[error("no rule allows this exchange")]
    RuleMissing,
    /// The presented token is not an access token of ours for a person, or is over, or is ended.
    #[error("the subject token is not good")]
    SubjectToken,
    /// What is asked for is not there.
    #[error("{0}")]
    Target(#[from] TargetRefusal),
    /// Another type of token than access tokens is presented or asked for, or an actor token.
    #[error("the type of token is not supported")]
    TokenType,
}

impl ExchangeRefusal {
    /// What the client is told (RFC 8693, section 2.2.2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::AccountStopped | Self::ClientStanding(_) => ErrorCode::UnauthorizedClient,
            Self::Client(refusal) => refusal.code(),
            Self::Depth | Self::SubjectToken | Self::TokenType => ErrorCode::InvalidRequest,
            Self::Person(_) | Self::RuleMissing => ErrorCode::InvalidTarget,
            Self::ProofMissing => ErrorCode::InvalidDpopProof,
            Self::Target(refusal) => refusal.code(),
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AccountStopped => "service_account_stopped",
            Self::Client(refusal) => refusal.reason(),
            Self::ClientStanding(standing) => standing.reason(),
            Self::Depth => "actor_depth",
            Self::Person(refusal) => refusal.reason(),
            Self::ProofMissing => "proof_missing",
            Self::RuleMissing => "may_not_act",
            Self::SubjectToken => "subject_token",
            Self::Target(refusal) => refusal.reason(),
            Self::TokenType => "token_type_unsupported",
        }
    }
}

/// What a presented token stands on, as the record has it.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The claims, verified.
    pub(crate) claims: AccessTokenClaims,
    /// The grant of the person.
    pub(crate) grant: GrantRecord,
    /// The person.
    pub(crate) user: UserRecord,
    /// What it holds.
    pub(crate) scope: Scope,
}

/// What an exchange gives.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// The key of the service account's client that the token is bound to.
    pub(crate) key: Option<Thumbprint>,
    pub(crate) scope: Scope,
    pub(crate) server: &'a ServerEntry,
    pub(crate) validity: Validity,
}

/// Decides what the service account gets for a person's token.
pub(crate) fn decide<'a>(
    account: &ServiceAccount,
    subject: &Subject,
    (request, proven): (&TokenExchangeRequest, Option<Thumbprint>),
    (settings, now): (&'a Settings, Timestamp),
) -> Result<Exchange<'a>, ExchangeRefusal> {
    let actors = subject.claims.act.iter().flat_map(ActorClaims::chain);
    if actors.clone().count() >= DEEPEST || actors.into_iter().any(|actor| actor.name == account.name) {
        return Err(ExchangeRefusal::Depth);
    }
    let from = settings
        .servers
        .iter()
        .find(|server| server.resource.as_str() == subject.claims.aud)
        .ok_or(ExchangeRefusal::SubjectToken)?;
    let server = wanted(request, from, settings)?;
    let rule = account.may_act.iter().find(|rule| allows(rule, (from, server), &subject.user));
    let rule = rule.ok_or(ExchangeRefusal::RuleMissing)?;
    super::admit(Some(&subject.user), Some(server)).map_err(ExchangeRefusal::Person)?;
    let known = subject.scope.intersection(&server.known_scope());
    let most = rule.scope.as_ref().map_or_else(|| known.clone(), |most| most.intersection(&known));
    let scope = target::scope(request.scope.as_deref(), &most, &most)?;
    let key = proof::binding(server.dpop, proven).ok_or(ExchangeRefusal::ProofMissing)?;
    // Of whichever ends first: the presented token, the grant, a token of today.
    let ends = subject.grant.expires_at.min(Timestamp::from_secs(subject.claims.exp));
    let validity = Validity::of(ends, settings.lifetimes.access_token, now);
    Ok(Exchange { key, scope, server, validity: validity.ok_or(ExchangeRefusal::SubjectToken)? })
}

/// The one target: by default the MCP server that the presented token is for. `audience` names it as `resource` does.
fn wanted<'a>(
    request: &TokenExchangeRequest,
    from: &'a ServerEntry,
    settings: &'a Settings,
) -> Result<&'a ServerEntry, TargetRefusal> {
    let named: Vec<String> = request.resource.iter().chain(&request.audience).cloned().collect();
    if named.is_empty() { Ok(from) } else { target::server(&named, settings) }
}

fn allows(rule: &MayAct, (from, to): (&ServerEntry, &ServerEntry), person: &UserRecord) -> bool {
    let is_meant = |groups: &Vec<String>| person.groups.iter().any(|group| groups.contains(group));
    rule.from == from.name && rule.to.contains(&to.name) && rule.groups.as_ref().is_none_or(is_meant)
}

impl AuthorizationServer {
    /// Exchanges a person's token for one of the service account that acts for them.
    pub(crate) async fn exchange_token(
        &self,
        client: &AuthenticatedClient,
        request: &TokenExchangeRequest,
        (caller, key): (&Caller, Option<Thumbprint>),
    ) -> Result<TokenResponse, TokenError> {
        let now = self.parts.clock.now();
        let (client, mut subject) = (client.client(), None);
        match self.exchange(client, (request, key), &mut subject, (caller, now)).await {
            Err(TokenError::Exchange(refusal)) => {
                let mut audit = self.event(AuditKind::TokenRefused, Outcome::Refused, now);
                audit.reference.clone_from(&caller.told);
                audit.reason = Some(refusal.reason());
                audit.client_id = Some(client.id().as_str().to_owned());
                audit.user = subject.as_ref().map(|subject| subject.user.id);
                audit.grant = subject.as_ref().map(|subject| subject.grant.id);
                audit.subject = Some(self.subject(None, Some(caller.address.to_string())));
                audit.detail.insert("grant_type", "token_exchange".to_owned());
                self.append_refusal(audit).await;
                Err(refusal.into())
            }
            answer => answer,
        }
    }

    async fn exchange(
        &self,
        client: &Client,
        (request, key): (&TokenExchangeRequest, Option<Thumbprint>),
        found: &mut Option<Subject>,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<TokenResponse, TokenError> {
        let account = client_credentials::account(client, &self.settings).map_err(ExchangeRefusal::Client)?;
        let is_access_token = |kind: &str| kind == ACCESS_TOKEN;
        if !is_access_token(&request.subject_token_type)
            || request.requested_token_type.as_deref().is_some_and(|kind| !is_access_token(kind))
            || request.actor_token.is_some()
        {
            return Err(ExchangeRefusal::TokenType.into());
        }
        let subject = self.subject_of(&request.subject_token, now).await?;
        let subject: &Subject = found.insert(subject.ok_or(ExchangeRefusal::SubjectToken)?);
        let parts = &self.parts;
        let actor = keep_service_account(account, &*parts.store, &*parts.entropy, now).await?;
        if actor.disabled_at.is_some() {
            return Err(ExchangeRefusal::AccountStopped.into());
        }
        let exchange = decide(account, subject, (request, key), (&self.settings, now))?;
        let asked = ("token_exchange", caller, now);
        self.may_ask_without_browser(client, exchange.server, asked)
            .await?
            .map_err(ExchangeRefusal::ClientStanding)?;
        // First the person's grant, while it is alive; whatever ends it from now on names it to every node.
        let until = Timestamp::from_secs(exchange.validity.exp);
        if !parts.store.lend_grant(subject.grant.id, until, now).await? {
            return Err(ExchangeRefusal::SubjectToken.into());
        }
        let own = self.stand_for(client, &actor, (subject, &exchange), (caller, now)).await?;
        let own = own.ok_or(ExchangeRefusal::AccountStopped)?;
        let act = ActorClaims {
            sub: actor.id.to_string(),
            name: account.name.clone(),
            client_id: client.id().as_str().to_owned(),
            grant_id: own.id.to_string(),
            act: subject.claims.act.clone().map(Box::new),
        };
        let of = Of {
            act: Some(act),
            client: Some(client.id()),
            key: exchange.key,
            server: Some(exchange.server),
            service_account: None,
        };
        let access_token =
            self.sign_access_token_of(&subject.grant, &exchange.scope, exchange.validity, of)?;
        Ok(TokenResponse {
            access_token,
            expires_in: exchange.validity.expires_in(),
            issued_token_type: Some(ACCESS_TOKEN),
            refresh_token: None,
            scope: exchange.scope,
            token_type: TokenType::of(exchange.key.as_ref()),
        })
    }

    /// What a presented token stands on, if it is a living access token of ours for a person.
    async fn subject_of(&self, token: &Secret, now: Timestamp) -> Result<Option<Subject>, TokenError> {
        let Some(claims) = token.expose(|text| self.verified(text, now)) else { return Ok(None) };
        // A machine is nobody to act for; and a token that is bound to a key would be bound to nothing here.
        if claims.service_account.is_some() || claims.cnf.is_some() {
            return Ok(None);
        }
        let (store, act) = (&self.parts.store, claims.act.clone());
        let (Ok(grant), Ok(scope)) =
            (claims.grant_id.parse(), Scope::parse(claims.scope.as_deref().unwrap_or_default()))
        else {
            return Ok(None);
        };
        let Some(grant) = store.find_grant(grant).await?.filter(|grant| is_alive(grant, now)) else {
            return Ok(None);
        };
        // Whoever acts in it must still be allowed to.
        for actor in act.iter().flat_map(ActorClaims::chain) {
            let Ok(id) = actor.grant_id.parse() else { return Ok(None) };
            if !store.find_grant(id).await?.is_some_and(|grant| is_alive(&grant, now)) {
                return Ok(None);
            }
        }
        match self.resolve_consented(&grant.client_id).await {
            Ok(_) => {}
            Err(ResolveError::Store(error)) => return Err(error.into()),
            Err(
                ResolveError::Blocked
                | ResolveError::Busy
                | ResolveError::HostRefused
                | ResolveError::NoDocument
                | ResolveError::Unknown
                | ResolveError::Weaker,
            ) => return Ok(None),
        }
        let user = store.find_user(grant.user).await?.filter(|user| user.disabled_at.is_none());
        let user = user.filter(|user| user.id.to_string() == claims.sub);
        Ok(user.map(|user| Subject { claims, grant, user, scope }))
    }

    /// The claims of an access token of ours that is not over.
    fn verified(&self, text: &str, now: Timestamp) -> Option<AccessTokenClaims> {
        let claims = self.read_access_token(text)?;
        let lives = claims.iss == self.settings.issuer && now < Timestamp::from_secs(claims.exp);
        lives.then_some(claims)
    }

    /// The service account's own grant at the target: what ends it ends the token.
    async fn stand_for(
        &self,
        client: &Client,
        actor: &UserRecord,
        (subject, exchange): (&Subject, &Exchange<'_>),
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Option<GrantRecord>, TokenError> {
        let grant = self.standing_grant(client.id(), actor.id, (exchange.server, &exchange.scope), now);
        let mut audit = self.event(AuditKind::TokenIssued, Outcome::Ok, now);
        (audit.user, audit.client_id) = (Some(subject.user.id), Some(client.id().as_str().to_owned()));
        audit.server = Some(exchange.server.name.clone());
        audit.subject = Some(self.subject(Some(&subject.user), Some(caller.address.to_string())));
        audit.detail.insert("grant_type", "token_exchange".to_owned());
        audit.detail.insert("actor", actor.subject.clone());
        audit.detail.insert("actor_id", actor.id.to_string());
        audit.detail.insert("of_client", subject.grant.client_id.as_str().to_owned());
        audit.detail.insert("of_grant", subject.grant.id.to_string());
        audit.detail.insert("scope", exchange.scope.to_string());
        match self.parts.store.stand(Stand { grant, once: None, audit }).await? {
            StandOutcome::Standing(grant) => Ok(Some(*grant)),
            StandOutcome::Barred | StandOutcome::Used => Ok(None),
        }
    }
}

fn is_alive(grant: &GrantRecord, now: Timestamp) -> bool {
    grant.revoked_at.is_none() && now < grant.expires_at
}

#[cfg(test)]
mod tests;
