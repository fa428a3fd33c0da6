//! The client credentials grant (OAuth 2.1, section 4.2; MCP extension `io.modelcontextprotocol/oauth-client-credentials`):
//! a machine that acts for itself, as the service account that the operator bound it to.
//!
//! Only for clients that prove who they are and that the operator knows; which account is meant is never said by the
//! request. No refresh token (RFC 6749, section 4.4.3): the credentials are at hand.

use protocol::id::{Grant, Id, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ClientId, ErrorCode, Scope, TokenResponse, TokenType};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{AuditKind, GrantRecord, Once, Outcome, Stand, StandOutcome, UserRecord};
use thiserror::Error;

use super::PersonRefusal;
use super::target::{self, TargetRefusal};
use crate::access_token::{Of, Validity};
use crate::clients::Client;
use crate::pages::Caller;
use crate::proof;
use crate::settings::{ServerEntry, ServiceAccount, Settings};
use crate::token::TokenError;
use crate::{AuthenticatedClient, AuthorizationServer, keep_service_account};

/// Why a machine gets no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientCredentialsRefusal {
    /// The service account is stopped, or may not use the MCP server.
    #[error("the service account: {0}")]
    Account(PersonRefusal),
    /// The client acts as no service account.
    #[error("the client acts as no service account")]
    NoServiceAccount,
    /// The MCP server takes tokens only that are bound to a key, and none is proved (RFC 9449).
    #[error("the client proves no key, and the MCP server demands one")]
    ProofMissing,
    /// The client has nothing to prove who it is with (OAuth 2.1, section 4.2).
    #[error("the client is public")]
    PublicClient,
    /// What is asked for is not there.
    #[error("{0}")]
    Target(#[from] TargetRefusal),
}

impl ClientCredentialsRefusal {
    /// What the client is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            // It is the one that the client may not have.
            Self::Account(PersonRefusal::NotAdmitted | PersonRefusal::ServerGone) => ErrorCode::InvalidTarget,
            Self::Account(PersonRefusal::ClientOutside | PersonRefusal::Disabled)
            | Self::NoServiceAccount
            | Self::PublicClient => ErrorCode::UnauthorizedClient,
            Self::ProofMissing => ErrorCode::InvalidDpopProof,
            Self::Target(refusal) => refusal.code(),
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Account(refusal) => refusal.reason(),
            Self::NoServiceAccount => "no_service_account",
            Self::ProofMissing => "proof_missing",
            Self::PublicClient => "public_client",
            Self::Target(refusal) => refusal.reason(),
        }
    }
}

/// As which service account the client acts.
pub(crate) fn account<'a>(
    client: &Client,
    settings: &'a Settings,
) -> Result<&'a ServiceAccount, ClientCredentialsRefusal> {
    if !client.is_confidential() {
        return Err(ClientCredentialsRefusal::PublicClient);
    }
    settings.service_account_of(client.id()).ok_or(ClientCredentialsRefusal::NoServiceAccount)
}

/// What a machine gets.
#[derive(Debug)]
pub(crate) struct Entitled<'a> {
    /// The key that the token is bound to.
    key: Option<Thumbprint>,
    scope: Scope,
    server: &'a ServerEntry,
}

/// A machine that is let in.
pub(crate) struct Machine<'a> {
    /// Through which client.
    pub(crate) client_id: &'a ClientId,
    /// What its event says of how.
    pub(crate) details: Vec<(&'static str, String)>,
    /// What is used up by it.
    pub(crate) once: Option<Once>,
    /// The row of its service account.
    pub(crate) user: &'a UserRecord,
}

/// What became of it.
pub(crate) enum Stood {
    /// It was stopped meanwhile.
    Barred,
    /// It has a token.
    Token(TokenResponse),
    /// What may be used once was used before.
    Used,
}

/// Decides what the service account gets of what is asked for.
pub(crate) fn decide<'a>(
    user: &UserRecord,
    settings: &'a Settings,
    (resource, scope): (&[String], Option<&str>),
    proven: Option<Thumbprint>,
) -> Result<Entitled<'a>, ClientCredentialsRefusal> {
    use ClientCredentialsRefusal::Account;
    let server = target::server(resource, settings)?;
    super::admit(Some(user), Some(server)).map_err(Account)?;
    let name = user.service_account().ok_or(ClientCredentialsRefusal::NoServiceAccount)?;
    let most = server.scope_of_account(name).ok_or(Account(PersonRefusal::NotAdmitted))?;
    // A machine asks for what the challenge of the MCP server names, and that is the same for everybody: it is given what
    // of it the account may have, and told so (RFC 6749, section 3.3). What nobody could have is refused.
    let asked = target::scope(scope, &server.known_scope(), &server.default_scope())?;
    let scope = asked.intersection(&most);
    if scope.is_empty() {
        return Err(TargetRefusal::ScopeNone.into());
    }
    let key = proof::binding(server.dpop, proven).ok_or(ClientCredentialsRefusal::ProofMissing)?;
    Ok(Entitled { key, scope, server })
}

impl AuthorizationServer {
    /// Gives a machine a token of its own.
    pub(crate) async fn client_credentials(
        &self,
        client: &AuthenticatedClient,
        (resource, scope): (&[String], Option<&str>),
        (caller, key): (&Caller, Option<Thumbprint>),
    ) -> Result<TokenResponse, TokenError> {
        let client = client.client();
        let account = account(client, &self.settings)?;
        let parts = &self.parts;
        // Before the write: a stop that comes after it finds a token that is old enough.
        let now = parts.clock.now();
        let user = keep_service_account(account, &*parts.store, &*parts.entropy, now).await?;
        let refused = match decide(&user, &self.settings, (resource, scope), key) {
            Ok(entitled) => {
                let details = vec![("grant_type", "client_credentials".to_owned())];
                let machine = Machine { client_id: client.id(), details, once: None, user: &user };
                match self.stand_as(machine, &entitled, (caller, now)).await? {
                    Stood::Token(response) => return Ok(response),
                    Stood::Barred | Stood::Used => ClientCredentialsRefusal::Account(PersonRefusal::Disabled),
                }
            }
            Err(refusal) => refusal,
        };
        let mut audit = self.event(AuditKind::TokenRefused, Outcome::Refused, now);
        audit.reference.clone_from(&caller.told);
        audit.reason = Some(refused.reason());
        (audit.user, audit.client_id) = (Some(user.id), Some(client.id().as_str().to_owned()));
        audit.subject = Some(self.subject(Some(&user), Some(caller.address.to_string())));
        audit.detail.insert("grant_type", "client_credentials".to_owned());
        self.append_refusal(audit).await;
        Err(refused.into())
    }

    /// The token of a machine, on the grant that it stands on.
    pub(super) async fn stand_as(
        &self,
        machine: Machine<'_>,
        entitled: &Entitled<'_>,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Stood, TokenError> {
        let Machine { client_id, details, once, user } = machine;
        let grant = self.standing_grant(client_id, user.id, (entitled.server, &entitled.scope), now);
        let mut audit = self.event(AuditKind::TokenIssued, Outcome::Ok, now);
        (audit.user, audit.client_id) = (Some(user.id), Some(client_id.as_str().to_owned()));
        audit.server = Some(entitled.server.name.clone());
        audit.subject = Some(self.subject(Some(user), Some(caller.address.to_string())));
        audit.detail.extend(details);
        let grant = match self.parts.store.stand(Stand { grant, once, audit }).await? {
            StandOutcome::Standing(grant) => *grant,
            StandOutcome::Barred => return Ok(Stood::Barred),
            StandOutcome::Used => return Ok(Stood::Used),
        };
        let life = self.settings.lifetimes.access_token;
        let validity = Validity::of(grant.expires_at, life, now).ok_or(TokenError::Signing)?;
        let of = Of { key: entitled.key, service_account: user.service_account(), ..Of::default() };
        let access_token = self.sign_access_token_of(&grant, &entitled.scope, validity, of)?;
        let scope = entitled.scope.clone();
        Ok(Stood::Token(TokenResponse {
            access_token,
            expires_in: validity.expires_in(),
            issued_token_type: None,
            refresh_token: None,
            scope,
            token_type: TokenType::of(entitled.key.as_ref()),
        }))
    }

    /// The grant that a machine stands on, as it is to be if there is none.
    pub(super) fn standing_grant(
        &self,
        client_id: &ClientId,
        user: Id<User>,
        (server, scope): (&ServerEntry, &Scope),
        now: Timestamp,
    ) -> GrantRecord {
        let lifetimes = &self.settings.lifetimes;
        let id: Id<Grant> = Id::mint(now, &*self.parts.entropy);
        let mut seed = [0; 16];
        self.parts.entropy.fill(&mut seed);
        GrantRecord {
            id,
            user,
            client_id: client_id.clone(),
            resource: server.resource.clone(),
            server: server.name.clone(),
            scope: scope.clone(),
            authorization: Id::from_bytes(*id.as_bytes()),
            seed,
            generation: 0,
            rotated_at: now,
            created_at: now,
            last_used_at: now,
            idle_expires_at: now.plus(lifetimes.grant_idle),
            expires_at: now.plus(lifetimes.grant),
            shown: Hash::of(b""),
            dpop_key: None,
            revoked_at: None,
        }
    }
}

#[cfg(test)]
mod tests;
