//! Introspection (RFC 7662): an in-house MCP server asks whether an access token opens it, now.
//!
//! Answered by the same checks as a call, from memory: signature, type, time, issuer, this very server as the audience,
//! revocations, the person and the policy. Whatever is not right is `{"active":false}` and nothing else; what cannot be
//! known at this moment is an error, never an answer. A refresh token opens no MCP server, so it is not active here.

use policy::{Decision, Question};
use protocol::oauth::{ActiveToken, Form, IntrospectionRequest, IntrospectionResponse, Scope};

use crate::asking::AskError;
use crate::assertion::chained;
use crate::caller::Caller;
use crate::mcp_server::McpServer;
use crate::people::Person;
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::verdicts::Access;

impl ResourceServer {
    /// Answers one introspection request: the `Authorization` headers and the form.
    ///
    /// # Errors
    /// [`AskError`] if no MCP server of ours asks, no token is named, or nothing can be known at the moment.
    pub async fn introspect(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: Caller<'_>,
    ) -> Result<IntrospectionResponse, AskError> {
        let server = self.asking_server(authorization, form)?;
        let request = IntrospectionRequest::parse(form)?;
        if !server.is_low_risk() && !self.ready() {
            return Err(AskError::Stale);
        }
        // Who presents a secret of ours is no suspect: how many tokens it asks about is bounded at the door.
        let caller = Caller::at(caller.address);
        let verified = request
            .token
            .expose(|token| self.parts.bearer.verify(token.as_bytes(), server.identities(), &caller));
        let verdict = match verified {
            Ok(verdict) => verdict,
            // It may be of a key that was made since we last heard of keys: then it is we who cannot tell.
            Err(CallReason::TokenInvalid) if !self.held_keys.are_fresh() => return Err(AskError::Stale),
            Err(_) => return Ok(IntrospectionResponse::Inactive),
        };
        if self.revocations.is_dead(&verdict.access) {
            return Ok(IntrospectionResponse::Inactive);
        }
        match self.parts.people.find_live(verdict.access.user).await {
            Ok(person) if is_admitted(&person, server) => Ok(active(&verdict.access, &person, server)),
            Err(CallReason::StoreUnavailable(error)) => Err(error.into()),
            Ok(_) | Err(_) => Ok(IntrospectionResponse::Inactive),
        }
    }
}

fn is_admitted(person: &Person, server: &McpServer) -> bool {
    let question = Question::MayConnect { person: person.asking(), server: &server.settings().rules };
    match policy::decide(&question) {
        Decision::Allow { .. } => true,
        Decision::Deny { .. } | Decision::NeedScope { .. } => false,
    }
}

/// What of the token's scope counts: of a service account what its entry says now, as at a call (`policy`).
fn scope(access: &Access, person: &Person, server: &McpServer) -> Scope {
    let account = person.service_account.as_deref();
    let admitted = account.and_then(|name| server.settings().rules.admitted_account(name));
    let most = admitted.and_then(|admitted| admitted.scope.as_ref());
    most.map_or_else(|| access.scope.clone(), |most| most.intersection(&access.scope))
}

fn active(access: &Access, person: &Person, server: &McpServer) -> IntrospectionResponse {
    IntrospectionResponse::Active(Box::new(ActiveToken {
        iss: access.issuer.clone(),
        aud: access.resource.clone(),
        sub: access.user.to_string(),
        client_id: access.client.as_str().to_owned(),
        grant_id: access.grant.to_string(),
        scope: scope(access, person, server),
        iat: access.issued_at.secs(),
        exp: access.expires_at.secs(),
        key: access.bound_to,
        username: person.name.clone(),
        groups: person.groups.clone(),
        service_account: person.service_account.clone(),
        act: chained(&access.actors),
    }))
}

#[cfg(test)]
mod tests;
