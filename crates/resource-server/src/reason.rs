//! Every reason for which a call is not answered by the MCP server (house.md, 1.5).
//!
//! Total on purpose: a new reason does not compile until it has a name, a status, a code and a blame.
//! Must never carry input of the client, text of the MCP server, or anything of the access token.

mod blame;
mod sentence;

use std::time::Duration;

use http::StatusCode;
use protocol::jose::dpop::ProofError;
use protocol::mcp::CallRefused;
use protocol::oauth::ErrorCode;
use store::StoreError;
use thiserror::Error;
use upstream::oauth_client::OauthClientError;

use crate::counts::Ending;
use crate::limits::LimitReached;
use crate::signature::SignatureFault;

/// JSON-RPC 2.0, section 5.1: internal error.
const INTERNAL: i64 = -32603;
/// JSON-RPC 2.0, section 5.1: the message is not a request that can be answered.
const INVALID_REQUEST: i64 = -32600;
/// An error of our own, outside what JSON-RPC 2.0, section 5.1, reserves (RS-151, RS-152).
pub(crate) const NOT_CONNECTED: i64 = -31403;
/// MCP 2026-07-28, "Error codes": a header does not fit the body, or holds what it may not hold.
const HEADER_MISMATCH: i64 = -32020;

/// Whose doing it was. Chooses the log level and whether somebody is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client sent what it should not have sent.
    Client,
    /// We cannot do our work.
    House,
    /// The MCP server did not do its part.
    Upstream,
    /// The person may not do what was tried.
    User,
}

/// Which shape of error the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallCode {
    /// A sentence only.
    Bare,
    /// A JSON-RPC error.
    JsonRpc(i64),
    /// An OAuth error (RFC 6750, section 3.1).
    OAuth(ErrorCode),
    /// A result of the tool that says that it failed, for the model to read (MCP server/tools, "Error Handling").
    ToolError,
}

/// Why a call was not answered by the MCP server.
#[derive(Debug, Error)]
pub enum CallReason {
    /// The person connected an account, and its provider or the MCP server takes no more what it gave.
    #[error("the person's connection is dead")]
    ConnectionDead,
    /// The person connected no account, and the MCP server wants one.
    #[error("the person has not connected an account")]
    ConnectionMissing,
    /// The person connected an account, and allowed less there than the call needs.
    #[error("the person's connection has too little scope for the call")]
    ConnectionTooNarrow,
    /// The person's credential cannot be had at the moment.
    #[error("the credential of the person's connection cannot be had")]
    ConnectionUnavailable,
    /// `Accept` does not allow what MCP answers with.
    #[error("`Accept` does not allow the media types of mcp")]
    AcceptUnusable,
    /// The arguments are not what the input schema of the tool allows.
    #[error("the arguments are not what the input schema allows")]
    ArgumentsRefused,
    /// There is no schema against which the arguments could be checked.
    #[error("there is no input schema to check the arguments against")]
    ArgumentsUnchecked,
    /// The identity assertion could not be signed.
    #[error("the identity assertion could not be signed")]
    AssertionUnsigned,
    /// There is no room for the audit event: the record does not take events.
    #[error("the audit is not being written")]
    AuditUnavailable,
    /// More than one access token, or more than one header (RFC 6750, section 2).
    #[error("more than one authorization header or token")]
    AuthorizationRepeated,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimedOut,
    /// The body is larger than a message may be.
    #[error("the body is larger than a message may be")]
    BodyTooLarge,
    /// The client broke off in the middle of its body.
    #[error("the body broke off")]
    BodyUnreadable,
    /// The circuit breaker of the MCP server is open, for so long.
    #[error("the circuit of the mcp server is open")]
    CircuitOpen(Duration),
    /// The body is not declared as JSON in UTF-8.
    #[error("the body is not declared as json in utf-8")]
    ContentTypeUnsupported,
    /// The credential that the MCP server wants cannot be obtained.
    #[error("the credential for the mcp server cannot be obtained: {0}")]
    Credential(OauthClientError),
    /// A header that mirrors the body holds characters that no header may hold.
    #[error("an mcp header holds characters that it may not hold")]
    HeaderRefused,
    /// What may be used of the MCP server is used up.
    #[error("{0}")]
    LimitReached(LimitReached),
    /// The list that the MCP server answers with is larger than one that can be judged.
    #[error("the mcp server's list is larger than one that can be judged")]
    ListTooLarge,
    /// The list that the MCP server answers with cannot be read, or can be read in two ways.
    #[error("the mcp server's list cannot be read in one way")]
    ListUnreadable,
    /// The message is not one that MCP allows.
    #[error("the message was refused: {}", .0.reason)]
    MessageRefused(Box<CallRefused>),
    /// The MCP endpoint does not know the method.
    #[error("the mcp endpoint does not know the http method")]
    MethodNotAllowed,
    /// As many calls of the person are in progress as may be.
    #[error("as many calls of the person are in progress as may be")]
    PersonCallsExhausted,
    /// A header does not mirror the argument that the tool has it mirror.
    #[error("a header does not mirror the argument that it should mirror")]
    ParameterMismatch,
    /// The policy does not admit the person.
    #[error("the policy does not admit the person")]
    PersonNotAllowed,
    /// The person was stopped.
    #[error("the person was stopped")]
    PersonStopped,
    /// As many streams of the person are open as may be.
    #[error("as many streams of the person are open as may be")]
    PersonStreamsExhausted,
    /// The record does not know the person.
    #[error("the record does not know the person")]
    PersonUnknown,
    /// The proof of possession does not hold.
    #[error("{0}")]
    ProofInvalid(ProofError),
    /// The access token is bound to a key, and none is proved.
    #[error("the access token is bound to a key, and no proof was sent")]
    ProofMissing,
    /// The proof holds no nonce of ours, or an old one.
    #[error("the proof holds no nonce that is good")]
    ProofNonceNeeded,
    /// There is more than one proof.
    #[error("there is more than one proof")]
    ProofRepeated,
    /// The proof was used before.
    #[error("the proof was used before")]
    ProofReplayed,
    /// Our knowledge of revocations, or of the keys, is too old.
    #[error("revocations or keys have not been read for too long")]
    RevocationsStale,
    /// The access token has too little scope for the call.
    #[error("the access token has too little scope for the call")]
    ScopeInsufficient,
    /// There is no such MCP server.
    #[error("there is no such mcp server")]
    ServerUnknown,
    /// A session that is to be ended must be named.
    #[error("the request names no session")]
    SessionMissing,
    /// The session is not one of this person, client and MCP server.
    #[error("the session is not one of this person, client and mcp server")]
    SessionUnknown,
    /// The call is not signed as it must be.
    #[error("{0}")]
    Signature(#[from] SignatureFault),
    /// The record does not answer.
    #[error("the record does not answer")]
    StoreUnavailable(#[from] StoreError),
    /// As many streams are open as may be.
    #[error("as many streams are open as may be")]
    StreamsExhausted,
    /// The MCP server says something else of the tool than what was accepted, and that waits.
    #[error("the tool says something else of itself than what was accepted")]
    ToolChanged,
    /// No definition of the tool was ever accepted, or there is no such tool.
    #[error("no definition of the tool was ever accepted")]
    ToolNotAccepted,
    /// A token that is bound to a key was sent as one that is not (RFC 9449, section 7.2).
    #[error("the access token is bound to a key and came without a proof")]
    TokenBound,
    /// The access token is over.
    #[error("the access token is over")]
    TokenExpired,
    /// Signature, type or claims of the access token are not right.
    #[error("signature, type or claims of the access token are not right")]
    TokenInvalid,
    /// There is a `Bearer` header without a token in it.
    #[error("there is no well-formed token in the header")]
    TokenMalformed,
    /// No access token was sent.
    #[error("no access token was sent")]
    TokenMissing,
    /// The access token is from a time that has not come.
    #[error("the access token is from a time that has not come")]
    TokenNotYetIssued,
    /// The access token names another issuer.
    #[error("the access token names another issuer")]
    TokenOfAnotherIssuer,
    /// The access token is for another resource.
    #[error("the access token is for another resource")]
    TokenOfAnotherResource,
    /// Access was withdrawn.
    #[error("access was withdrawn")]
    TokenRevoked,
    /// A token that is bound to no key, where one must be.
    #[error("the access token is bound to no key")]
    TokenUnbound,
    /// An access token that was never verified here, from an address that presented too many bad ones.
    #[error("too many access tokens of this address were refused to verify one more")]
    TokensRefused,
    /// The MCP server broke the connection before it answered.
    #[error("the mcp server broke the connection before it answered")]
    UpstreamBroken,
    /// The MCP server's answer is compressed although it was told not to.
    #[error("the mcp server's answer has a content coding")]
    UpstreamEncoded,
    /// The MCP server's answer is not what HTTP or MCP allow.
    #[error("the mcp server's answer is malformed")]
    UpstreamMalformed,
    /// The MCP server's answer has a media type that MCP does not know.
    #[error("the mcp server's answer has another media type")]
    UpstreamMediaType,
    /// The MCP server answered with a redirect.
    #[error("the mcp server redirects")]
    UpstreamRedirected,
    /// The MCP server did not accept us: 401 or 403.
    #[error("the mcp server did not accept the gateway")]
    UpstreamRefused,
    /// The MCP server did not answer in time.
    #[error("the mcp server did not answer in time")]
    UpstreamTimedOut,
    /// The MCP server cannot be reached.
    #[error("the mcp server cannot be reached")]
    UpstreamUnreachable,
    /// `MCP-Protocol-Version` names no version that we know.
    #[error("the protocol version is not known")]
    VersionUnsupported,
}

impl CallReason {
    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each reason")]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AcceptUnusable => "accept_unusable",
            Self::ArgumentsRefused => "arguments_refused",
            Self::ArgumentsUnchecked => "arguments_unchecked",
            Self::AssertionUnsigned => "assertion_unsigned",
            Self::AuditUnavailable => "audit_unavailable",
            Self::AuthorizationRepeated => "authorization_repeated",
            Self::BodyTimedOut => "body_timed_out",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyUnreadable => "body_unreadable",
            Self::CircuitOpen(_) => "circuit_open",
            Self::ConnectionDead => "connection_dead",
            Self::ConnectionMissing => "connection_missing",
            Self::ConnectionTooNarrow => "connection_too_narrow",
            Self::ConnectionUnavailable => "connection_unavailable",
            Self::ContentTypeUnsupported => "content_type_unsupported",
            Self::Credential(error) => error.reason(),
            Self::HeaderRefused => "header_refused",
            Self::LimitReached(reached) => reached.exhausted.reason(),
            Self::ListTooLarge => "list_too_large",
            Self::ListUnreadable => "list_unreadable",
            Self::MessageRefused(refused) => refused.reason,
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ParameterMismatch => "parameter_mismatch",
            Self::PersonCallsExhausted => "person_calls_exhausted",
            Self::PersonNotAllowed => "person_not_allowed",
            Self::PersonStopped => "person_stopped",
            Self::PersonStreamsExhausted => "person_streams_exhausted",
            Self::PersonUnknown => "person_unknown",
            Self::ProofInvalid(error) => error.reason(),
            Self::ProofMissing => "proof_missing",
            Self::ProofNonceNeeded => "proof_nonce_needed",
            Self::ProofRepeated => "proof_repeated",
            Self::ProofReplayed => "proof_replayed",
            Self::RevocationsStale => "revocations_stale",
            Self::ScopeInsufficient => "scope_insufficient",
            Self::ServerUnknown => "server_unknown",
            Self::SessionMissing => "session_missing",
            Self::SessionUnknown => "session_unknown",
            Self::Signature(fault) => fault.reason(),
            Self::StoreUnavailable(_) => "store_unavailable",
            Self::StreamsExhausted => "streams_exhausted",
            Self::ToolChanged => "tool_changed",
            Self::ToolNotAccepted => "tool_not_accepted",
            Self::TokenBound => "token_bound",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid => "token_invalid",
            Self::TokenMalformed => "token_malformed",
            Self::TokenMissing => "token_missing",
            Self::TokenNotYetIssued => "token_not_yet_issued",
            Self::TokenOfAnotherIssuer => "token_of_another_issuer",
            Self::TokenOfAnotherResource => "token_of_another_resource",
            Self::TokenRevoked => "token_revoked",
            Self::TokenUnbound => "token_unbound",
            Self::TokensRefused => "tokens_refused",
            Self::UpstreamBroken => "upstream_broken",
            Self::UpstreamEncoded => "upstream_encoded",
            Self::UpstreamMalformed => "upstream_malformed",
            Self::UpstreamMediaType => "upstream_media_type",
            Self::UpstreamRedirected => "upstream_redirected",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamTimedOut => "upstream_timed_out",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::VersionUnsupported => "version_unsupported",
        }
    }

    /// The status (MCP authorization, "Error Handling"; RFC 9110, section 15).
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each reason")]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::AuthorizationRepeated
            | Self::BodyUnreadable
            | Self::HeaderRefused
            | Self::MessageRefused(_)
            | Self::ParameterMismatch
            | Self::SessionMissing
            | Self::VersionUnsupported => StatusCode::BAD_REQUEST,
            Self::PersonStopped
            | Self::PersonUnknown
            | Self::ProofInvalid(_)
            | Self::ProofMissing
            | Self::ProofNonceNeeded
            | Self::ProofRepeated
            | Self::ProofReplayed
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
            | Self::TokenUnbound => StatusCode::UNAUTHORIZED,
            Self::ConnectionDead
            | Self::ConnectionMissing
            | Self::ConnectionTooNarrow
            | Self::Credential(OauthClientError::Rejected(_))
            | Self::PersonNotAllowed
            | Self::ScopeInsufficient
            | Self::ToolNotAccepted => StatusCode::FORBIDDEN,
            Self::ServerUnknown | Self::SessionUnknown => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AcceptUnusable => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentTypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::AssertionUnsigned => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Credential(OauthClientError::Malformed(_) | OauthClientError::Obstacle(_))
            | Self::ListTooLarge
            | Self::ListUnreadable
            | Self::UpstreamBroken
            | Self::UpstreamEncoded
            | Self::UpstreamMalformed
            | Self::UpstreamMediaType
            | Self::UpstreamRedirected
            | Self::UpstreamRefused
            | Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::AuditUnavailable
            | Self::CircuitOpen(_)
            | Self::ConnectionUnavailable
            | Self::Credential(OauthClientError::Unreachable(_))
            | Self::RevocationsStale
            | Self::StoreUnavailable(_)
            | Self::StreamsExhausted => StatusCode::SERVICE_UNAVAILABLE,
            Self::LimitReached(_)
            | Self::PersonCallsExhausted
            | Self::PersonStreamsExhausted
            | Self::TokensRefused => StatusCode::TOO_MANY_REQUESTS,
            // The call is answered, by a result that says that it failed.
            Self::ArgumentsRefused | Self::ArgumentsUnchecked | Self::ToolChanged => StatusCode::OK,
            Self::UpstreamTimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the access token itself was no good, so that whoever presents many of them can be stopped. A token that
    /// was right and then withdrawn is known, and one that is over is not verified: neither costs anything.
    #[must_use]
    pub fn is_of_a_bad_token(&self) -> bool {
        matches!(self, Self::TokenInvalid | Self::TokenMalformed | Self::TokenNotYetIssued)
    }

    /// What the client is told: the shape and the code.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each reason")]
    pub const fn code(&self) -> CallCode {
        match self {
            // RFC 6750, section 3.1: no error code where the request had no authentication at all.
            Self::MethodNotAllowed | Self::ServerUnknown | Self::TokenMissing | Self::TokensRefused => {
                CallCode::Bare
            }
            Self::AuthorizationRepeated => CallCode::OAuth(ErrorCode::InvalidRequest),
            Self::PersonStopped
            | Self::PersonUnknown
            | Self::TokenBound
            | Self::TokenExpired
            | Self::TokenInvalid
            | Self::TokenMalformed
            | Self::TokenNotYetIssued
            | Self::TokenOfAnotherIssuer
            | Self::TokenOfAnotherResource
            | Self::TokenRevoked
            | Self::TokenUnbound => CallCode::OAuth(ErrorCode::InvalidToken),
            Self::ProofInvalid(_) | Self::ProofMissing | Self::ProofRepeated | Self::ProofReplayed => {
                CallCode::OAuth(ErrorCode::InvalidDpopProof)
            }
            Self::ProofNonceNeeded => CallCode::OAuth(ErrorCode::UseDpopNonce),
            // Of a tool that is hidden nobody is to hear that there is one (attacks PX-20).
            Self::Credential(OauthClientError::Rejected(_))
            | Self::PersonNotAllowed
            | Self::ToolNotAccepted => CallCode::OAuth(ErrorCode::AccessDenied),
            Self::ArgumentsRefused | Self::ArgumentsUnchecked | Self::ToolChanged => CallCode::ToolError,
            Self::ScopeInsufficient => CallCode::OAuth(ErrorCode::InsufficientScope),
            Self::ConnectionDead | Self::ConnectionMissing | Self::ConnectionTooNarrow => {
                CallCode::JsonRpc(NOT_CONNECTED)
            }
            Self::HeaderRefused | Self::ParameterMismatch => CallCode::JsonRpc(HEADER_MISMATCH),
            Self::MessageRefused(refused) => CallCode::JsonRpc(refused.code),
            Self::AcceptUnusable
            | Self::BodyTimedOut
            | Self::BodyTooLarge
            | Self::BodyUnreadable
            | Self::ContentTypeUnsupported
            | Self::SessionMissing
            | Self::SessionUnknown
            | Self::Signature(_)
            | Self::VersionUnsupported => CallCode::JsonRpc(INVALID_REQUEST),
            Self::AssertionUnsigned
            | Self::AuditUnavailable
            | Self::CircuitOpen(_)
            | Self::LimitReached(_)
            | Self::ConnectionUnavailable
            | Self::Credential(
                OauthClientError::Malformed(_)
                | OauthClientError::Obstacle(_)
                | OauthClientError::Unreachable(_),
            )
            | Self::ListTooLarge
            | Self::ListUnreadable
            | Self::PersonCallsExhausted
            | Self::PersonStreamsExhausted
            | Self::RevocationsStale
            | Self::StoreUnavailable(_)
            | Self::StreamsExhausted
            | Self::UpstreamBroken
            | Self::UpstreamEncoded
            | Self::UpstreamMalformed
            | Self::UpstreamMediaType
            | Self::UpstreamRedirected
            | Self::UpstreamRefused
            | Self::UpstreamTimedOut
            | Self::UpstreamUnreachable => CallCode::JsonRpc(INTERNAL),
        }
    }

    /// How it is counted.
    pub(crate) const fn ending(&self) -> Ending {
        // Its doing, and yet nothing went there: the call was refused here.
        if matches!(self, Self::ArgumentsUnchecked | Self::ToolChanged) {
            return Ending::Refused;
        }
        match self.blame() {
            Blame::House => Ending::Unavailable,
            Blame::Upstream => Ending::UpstreamFailed,
            Blame::Client | Blame::User => Ending::Refused,
        }
    }
}
