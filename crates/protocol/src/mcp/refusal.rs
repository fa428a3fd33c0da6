//! Why a body with its headers is not a call: the reason, its JSON-RPC code and its sentence.
//!
//! All of them are answered with HTTP 400. The sentences are fixed: nothing of the request is told back, but
//! its id and the version it asked for.

use serde_json::json;

use super::{JsonRpcError, ProtocolVersion, RequestId};

/// The code for a body that is no JSON (JSON-RPC 2.0, section 5.1).
const PARSE_ERROR: i64 = -32700;
/// The code for JSON that is no message.
const INVALID_REQUEST: i64 = -32600;
/// The code for params that lack what they need.
const INVALID_PARAMS: i64 = -32602;
/// Headers and body differ (MCP 2026-07-28).
const HEADER_MISMATCH: i64 = -32020;
/// A version that is not served (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

/// The reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Ambiguous,
    Batch,
    CapabilitiesMissing,
    DuplicateKey,
    IdInvalid,
    MetaInvalid,
    MetaVersionMissing,
    MethodHeader,
    MethodInvalid,
    NameHeader,
    NameInvalid,
    NotAMessage,
    NotJson,
    OddKey,
    ParamsInvalid,
    ResponseUnexpected,
    TooManyKeys,
    VersionHeader,
    VersionUnknown,
    VersionUnsupported,
}

impl Refusal {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::NotJson => PARSE_ERROR,
            Self::Ambiguous
            | Self::Batch
            | Self::DuplicateKey
            | Self::IdInvalid
            | Self::MethodInvalid
            | Self::NotAMessage
            | Self::OddKey
            | Self::ParamsInvalid
            | Self::ResponseUnexpected
            | Self::TooManyKeys
            | Self::VersionUnknown => INVALID_REQUEST,
            Self::CapabilitiesMissing | Self::MetaInvalid | Self::MetaVersionMissing | Self::NameInvalid => {
                INVALID_PARAMS
            }
            Self::MethodHeader | Self::NameHeader | Self::VersionHeader => HEADER_MISMATCH,
            Self::VersionUnsupported => UNSUPPORTED_VERSION,
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Batch => "batch",
            Self::CapabilitiesMissing => "capabilities_missing",
            Self::DuplicateKey => "duplicate_key",
            Self::IdInvalid => "id_invalid",
            Self::MetaInvalid => "meta_invalid",
            Self::MetaVersionMissing => "meta_version_missing",
            Self::MethodHeader => "method_header",
            Self::MethodInvalid => "method_invalid",
            Self::NameHeader => "name_header",
            Self::NameInvalid => "name_invalid",
            Self::NotAMessage => "not_a_message",
            Self::NotJson => "not_json",
            Self::OddKey => "odd_key",
            Self::ParamsInvalid => "params_invalid",
            Self::ResponseUnexpected => "response_unexpected",
            Self::TooManyKeys => "too_many_keys",
            Self::VersionHeader => "version_header",
            Self::VersionUnknown => "version_unknown",
            Self::VersionUnsupported => "version_unsupported",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Ambiguous => "Invalid request: a message is either a request or a response",
            Self::Batch => "Invalid request: batches are not accepted",
            Self::CapabilitiesMissing => {
                "Invalid params: _meta lacks io.modelcontextprotocol/clientCapabilities"
            }
            Self::DuplicateKey => "Invalid request: a key stands twice",
            Self::IdInvalid => "Invalid request: an id is a string or an integer",
            Self::MetaInvalid => "Invalid params: _meta is malformed",
            Self::MetaVersionMissing => "Invalid params: _meta lacks io.modelcontextprotocol/protocolVersion",
            Self::MethodHeader => "Header mismatch: Mcp-Method must be the method of the body",
            Self::MethodInvalid => "Invalid request: method is malformed",
            Self::NameHeader => "Header mismatch: Mcp-Name must be the name in the body",
            Self::NameInvalid => "Invalid params: the name of what is called is missing or malformed",
            Self::NotAMessage => "Invalid request: not a JSON-RPC 2.0 message",
            Self::NotJson => "Parse error: the body is not JSON",
            Self::OddKey => "Invalid request: a key differs from a known one only in its spelling",
            Self::ParamsInvalid => "Invalid request: params is not an object",
            Self::ResponseUnexpected => "Invalid request: this version has no responses from clients",
            Self::TooManyKeys => "Invalid request: too many keys",
            Self::VersionHeader => "Header mismatch: MCP-Protocol-Version must be the version of the body",
            Self::VersionUnknown => "Invalid request: unknown MCP-Protocol-Version",
            Self::VersionUnsupported => "Unsupported protocol version",
        }
    }
}

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRefused {
    /// The JSON-RPC code: -32700, -32600, -32602, -32020 or -32022.
    pub code: i64,
    /// The reason, for logs, metrics and audit.
    pub reason: &'static str,
    /// The id to answer under, if the body was read far enough.
    pub id: Option<RequestId>,
    message: &'static str,
    requested: Option<String>,
}

impl CallRefused {
    pub(super) const fn new(refusal: Refusal, id: Option<RequestId>) -> Self {
        Self {
            code: refusal.code(),
            reason: refusal.reason(),
            id,
            message: refusal.sentence(),
            requested: None,
        }
    }

    /// Of an unsupported version: which one was asked for.
    pub(super) fn asking_for(self, version: &str) -> Self {
        Self { requested: Some(version.chars().take(32).collect()), ..self }
    }

    /// The error to answer with, with HTTP 400.
    #[must_use]
    pub fn to_error(&self) -> JsonRpcError {
        let data = self.requested.as_ref().map(|requested| {
            let supported = ProtocolVersion::SERVED.map(ProtocolVersion::as_str);
            json!({ "supported": supported, "requested": requested })
        });
        JsonRpcError { id: self.id.clone(), code: self.code, message: self.message, data }
    }
}

impl std::fmt::Display for CallRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "call refused: {}", self.reason)
    }
}

impl std::error::Error for CallRefused {}
