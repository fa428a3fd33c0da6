//! Whose doing it is that a call is not answered.

use upstream::oauth_client::OauthClientError;

use super::{Blame, CallReason};

impl CallReason {
    /// Whose doing it was.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each reason")]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::AssertionUnsigned
            | Self::AuditUnavailable
            | Self::RevocationsStale
            | Self::StoreUnavailable(_)
            | Self::StreamsExhausted => Blame::House,
            Self::LimitReached(_)
            | Self::ConnectionDead
            | Self::ConnectionMissing
            | Self::ConnectionTooNarrow
            | Self::Credential(OauthClientError::Rejected(_))
            | Self::PersonCallsExhausted
            | Self::PersonNotAllowed
            | Self::PersonStopped
            | Self::PersonStreamsExhausted
            | Self::PersonUnknown
            | Self::ScopeInsufficient
            | Self::ToolNotAccepted => Blame::User,
            Self::ArgumentsUnchecked
            | Self::CircuitOpen(_)
            | Self::ConnectionUnavailable
            | Self::Credential(
                OauthClientError::Malformed(_)
                | OauthClientError::Obstacle(_)
                | OauthClientError::Unreachable(_),
            )
            | Self::ListTooLarge
            | Self::ListUnreadable
            | Self::ToolChanged
            | Self::UpstreamBroken
            | Self::UpstreamEncoded
            | Self::UpstreamMalformed
            | Self::UpstreamMediaType
            | Self::UpstreamRedirected
            | Self::UpstreamRefused
            | Self::UpstreamTimedOut
            | Self::UpstreamUnreachable => Blame::Upstream,
            Self::AcceptUnusable
            | Self::ArgumentsRefused
            | Self::AuthorizationRepeated
            | Self::BodyTimedOut
            | Self::BodyTooLarge
            | Self::BodyUnreadable
            | Self::ContentTypeUnsupported
            | Self::HeaderRefused
            | Self::MessageRefused(_)
            | Self::MethodNotAllowed
            | Self::ParameterMismatch
            | Self::ProofInvalid(_)
            | Self::ProofMissing
            | Self::ProofNonceNeeded
            | Self::ProofRepeated
            | Self::ProofReplayed
            | Self::ServerUnknown
            | Self::SessionMissing
            | Self::SessionUnknown
            | Self::Signature(_)
            | Self::TokenBound
            | Self::TokenExpired
            | Self::TokenInvalid
            | Self::TokenMalformed
            | Self::TokenMissing
            | Self::TokenNotYetIssued
            | Self::TokenOfAnotherIssuer
            | Self::TokenOfAnotherResource
            | Self::TokenRevoked
            | Self::TokenUnbound
            | Self::TokensRefused
            | Self::VersionUnsupported => Blame::Client,
        }
    }
}
