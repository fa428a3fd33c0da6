//! What a challenge says at each MCP server (RFC 6750, section 3; RFC 9728, section 5.1; MCP authorization).
//!
//! The form is `protocol::oauth::BearerChallenge`; here is the content. The two that every client meets are made
//! once. Must never carry anything that a client sent.

use http::HeaderValue;
use protocol::jose::dpop::ALGS;
use protocol::oauth::{BearerChallenge, DpopMode, ErrorCode, Scope};

use crate::bearer::Scheme;
use crate::reason::{CallCode, CallReason};

/// The challenges of one MCP server.
#[derive(Debug)]
pub(crate) struct Challenges {
    resource_metadata: String,
    scope: Scope,
    dpop: DpopMode,
    bare: HeaderValue,
    /// The scheme `DPoP`, named without an error.
    bare_dpop: HeaderValue,
    invalid_token: HeaderValue,
}

impl Challenges {
    pub(crate) fn new(resource_metadata: String, scope: Scope, dpop: DpopMode) -> Self {
        let value = |error, scheme| header(&resource_metadata, Some(&scope), error, scheme);
        let (bare, bare_dpop) = (value(None, Scheme::Bearer), value(None, Scheme::Dpop));
        let invalid_token = value(Some(ErrorCode::InvalidToken), Scheme::Bearer);
        Self { resource_metadata, scope, dpop, bare, bare_dpop, invalid_token }
    }

    /// The challenge that goes with a reason, by the scheme that was tried (RFC 9449, section 7.2); `held` are the scopes of
    /// the token, `needed` those of the call.
    pub(crate) fn for_reason(
        &self,
        reason: &CallReason,
        scheme: Scheme,
        (held, needed): (Option<&Scope>, Option<&Scope>),
    ) -> Option<HeaderValue> {
        // Where no other is taken, this is the scheme whatever was tried.
        let scheme = if self.dpop == DpopMode::Required { Scheme::Dpop } else { scheme };
        let header = |scope: Option<&Scope>, error| header(&self.resource_metadata, scope, error, scheme);
        match (reason, reason.code()) {
            (CallReason::TokenMissing, _) => Some(match scheme {
                Scheme::Bearer => self.bare.clone(),
                Scheme::Dpop => self.bare_dpop.clone(),
            }),
            // No scope and no error would help this person; but RFC 6750, section 3, wants a challenge whenever the
            // token does not open the door.
            (CallReason::PersonNotAllowed | CallReason::ToolNotAccepted, _) => Some(header(None, None)),
            // RFC 9110, section 15.5.2; what is missing is told in `Accept-Signature`.
            (CallReason::Signature(_), _) => Some(header(None, None)),
            (CallReason::ScopeInsufficient, _) => {
                // What the call needs and what the token has already: clients of 2025-11-25 ask for exactly what
                // the challenge names, and would lose the rest (requirements RS-042 to RS-044).
                let needed = needed.unwrap_or(&self.scope);
                let all = held.map_or_else(|| needed.clone(), |held| held.union(needed));
                Some(header(Some(&all), Some(ErrorCode::InsufficientScope)))
            }
            (_, CallCode::OAuth(ErrorCode::InvalidToken)) if scheme == Scheme::Bearer => {
                Some(self.invalid_token.clone())
            }
            (_, CallCode::OAuth(code)) => Some(header(Some(&self.scope), Some(code))),
            (_, CallCode::Bare | CallCode::JsonRpc(_) | CallCode::ToolError) => None,
        }
    }

    /// The challenge of the other scheme beside it, without an error: "one challenge for each scheme" (requirements
    /// RS-022).
    pub(crate) fn beside(&self, reason: &CallReason) -> Option<HeaderValue> {
        let other = match self.dpop {
            DpopMode::Off | DpopMode::Required => matches!(reason, CallReason::TokenBound),
            DpopMode::Optional => matches!(reason, CallReason::TokenBound | CallReason::TokenMissing),
        };
        (other && self.dpop != DpopMode::Required).then(|| self.bare_dpop.clone())
    }
}

fn header(
    resource_metadata: &str,
    scope: Option<&Scope>,
    error: Option<ErrorCode>,
    scheme: Scheme,
) -> HeaderValue {
    let resource_metadata = resource_metadata.to_owned();
    let algs = match scheme {
        Scheme::Bearer => None,
        Scheme::Dpop => Some(ALGS),
    };
    BearerChallenge { resource_metadata, scope: scope.cloned(), error, algs }.header_value()
}

#[cfg(test)]
mod tests;
