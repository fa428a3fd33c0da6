//! Who calls: what the tools of the MCP server read from the request's extensions.

use protocol::jose::claims::AccessTokenClaims;
use protocol::oauth::Scope;

/// Whoever calls, verified. It stands in the extensions of the HTTP request; rmcp hands tools the request's `Parts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    claims: AccessTokenClaims,
    scope: Scope,
}

impl Caller {
    /// `None` if the scope is none.
    pub(crate) fn of(claims: AccessTokenClaims) -> Option<Self> {
        let scope = Scope::parse(claims.scope.as_deref().unwrap_or_default()).ok()?;
        Some(Self { claims, scope })
    }

    /// The person, by an id that never changes; the service account, if [`Caller::service_account`] is one.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// The software by which they call.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.claims.client_id
    }

    /// The name of the service account, if it is one and no person.
    #[must_use]
    pub fn service_account(&self) -> Option<&str> {
        self.claims.service_account.as_deref()
    }

    /// The name of whoever acts for the subject now (RFC 8693, section 4.1).
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.claims.act.as_ref().map(|actor| actor.name.as_str())
    }

    /// Whether the token has this scope.
    #[must_use]
    pub fn may(&self, scope: &str) -> bool {
        self.scope.contains(scope)
    }

    pub(crate) const fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    pub(crate) const fn scope(&self) -> &Scope {
        &self.scope
    }
}
