//! What a challenge says at each MCP server (RFC 6750, section 3; RFC 9728, section 5.1; MCP authorization).
//!
//! The form is `protocol::oauth::BearerChallenge`; here is the content. The two that every client meets are made
//! once. Must never carry anything that a client sent.

use http::HeaderValue;
use protocol::oauth::{BearerChallenge, ErrorCode, Scope};

use crate::reason::{CallCode, CallReason};

/// The challenges of one MCP server.
#[derive(Debug)]
pub(crate) struct Challenges {
    resource_metadata: String,
    scope: Scope,
    bare: HeaderValue,
    invalid_token: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(resource_metadata: String, scope: Scope) -> Self {
        let value = |error| header(&resource_metadata, Some(&scope), error);
        let (bare, invalid_token) = (value(None), value(Some(ErrorCode::InvalidToken)));
        Self { resource_metadata, scope, bare, invalid_token }
    }

    /// The challenge that goes with a reason; `held` are the scopes of the token, `needed` those of the call.
    pub(crate) fn for_reason(
        &self,
        reason: &CallReason,
        held: Option<&Scope>,
        needed: Option<&Scope>,
    ) -> Option<HeaderValue> {
        match (reason, reason.code()) {
            (CallReason::TokenMissing, _) => Some(self.bare.clone()),
            // No scope and no error would help this person; but RFC 6750, section 3, wants a challenge whenever the
            // token does not open the door.
            (CallReason::PersonNotAllowed, _) => Some(header(&self.resource_metadata, None, None)),
            (CallReason::ScopeInsufficient, _) => {
                // What the call needs and what the token has already: clients of 2025-11-25 ask for exactly what
                // the challenge names, and would lose the rest (requirements RS-042 to RS-044).
                let needed = needed.unwrap_or(&self.scope);
                let all = held.map_or_else(|| needed.clone(), |held| held.union(needed));
                Some(header(&self.resource_metadata, Some(&all), Some(ErrorCode::InsufficientScope)))
            }
            (_, CallCode::OAuth(ErrorCode::InvalidToken)) => Some(self.invalid_token.clone()),
            (_, CallCode::OAuth(code)) => {
                Some(header(&self.resource_metadata, Some(&self.scope), Some(code)))
            }
            (_, CallCode::Bare | CallCode::JsonRpc(_)) => None,
        }
    }
}

fn header(resource_metadata: &str, scope: Option<&Scope>, error: Option<ErrorCode>) -> HeaderValue {
    let resource_metadata = resource_metadata.to_owned();
    BearerChallenge { resource_metadata, scope: scope.cloned(), error }.header_value()
}

#[cfg(test)]
mod tests;
