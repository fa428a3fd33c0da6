//! Why no access token was had by an identity assertion: at whom, and whose fault it is. Nothing of it is a peer's text.

use thiserror::Error;

/// Where it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At the authorization server of the MCP server.
    AuthorizationServer,
    /// At the identity provider.
    IdentityProvider,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Trouble {
    /// It says that we are not the client that we say, or may not use this grant.
    #[error("the client is refused")]
    ClientRefused,
    /// Its metadata is no description of it, or says that it does not do this.
    #[error("the metadata cannot be used")]
    Metadata,
    /// The answer is none that this request could have: another type of token, for somebody else, for too much.
    #[error("the answer is not what was asked for")]
    OtherAnswer,
    /// It refuses the request for a reason of its own.
    #[error("the request is refused")]
    Refused,
    /// The scope may not be had.
    #[error("the scope is refused")]
    ScopeRefused,
    /// The person has to log in at the identity provider again: what it gave is over, or not enough.
    #[error("the person has to log in again")]
    SignInNeeded,
    /// The resource, or the authorization server, is none that it knows, or none for this person.
    #[error("the target is refused")]
    TargetRefused,
    /// There is no answer, or it says that it cannot now.
    #[error("it cannot be reached")]
    Unreachable,
}

/// No access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}: {trouble}", match .step {
    Step::AuthorizationServer => "the authorization server of the MCP server",
    Step::IdentityProvider => "the identity provider",
})]
pub struct IdentityAssertionError {
    /// Where it ended.
    pub step: Step,
    /// Why.
    pub trouble: Trouble,
}

impl IdentityAssertionError {
    /// The reason in snake case, for log, metric label and audit; where it ended is told beside it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self.trouble {
            Trouble::ClientRefused => "assertion_client_refused",
            Trouble::Metadata => "assertion_metadata",
            Trouble::OtherAnswer => "assertion_other_answer",
            Trouble::Refused => "assertion_refused",
            Trouble::ScopeRefused => "assertion_scope_refused",
            Trouble::SignInNeeded => "assertion_sign_in_needed",
            Trouble::TargetRefused => "assertion_target_refused",
            Trouble::Unreachable => "assertion_unreachable",
        }
    }

    /// Whether trying again later may help, with nothing changed.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self.trouble, Trouble::Unreachable)
    }
}
