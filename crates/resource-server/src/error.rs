//! A call that the MCP server did not answer, and what its client is told. The shapes are put together here, the
//! answer itself where all answers are.
//!
//! Must never say more than the fixed sentence of its reason.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use protocol::mcp::{JsonRpcError, RequestId};
use protocol::message_signature::ACCEPT_SIGNATURE;
use thiserror::Error;

use crate::reason::{Blame, CallCode, CallReason};

/// JSON-RPC 2.0, section 5.1.
const INVALID_PARAMS: i64 = -32602;

/// A call that the MCP server did not answer: the reason, and what is needed to tell its client.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct CallError {
    reason: CallReason,
    id: Option<RequestId>,
    challenge: Option<HeaderValue>,
    beside: Option<Box<Beside>>,
}

/// How a result of a tool says that it failed.
#[derive(Debug, Default)]
pub(crate) struct ToolAnswer {
    /// Whether the client is one of 2026-07-28.
    pub(crate) modern: bool,
    /// What is said in the place of the sentence of the reason: what arguments the tool takes, in words of its definition.
    pub(crate) text: Option<String>,
    /// Before MCP 2025-11-25 arguments that are not allowed are an error of the protocol.
    pub(crate) as_error: bool,
}

/// What few errors have: what is said of proofs of possession beside the challenge (RFC 9449), and an answer of MCP's own in
/// place of an error of HTTP.
#[derive(Debug, Default)]
struct Beside {
    /// What a result of a tool says, and how.
    answer: ToolAnswer,
    challenge: Option<HeaderValue>,
    nonce: Option<HeaderValue>,
    said: Option<Bytes>,
}

impl CallError {
    pub(crate) const fn new(
        reason: CallReason,
        id: Option<RequestId>,
        challenge: Option<HeaderValue>,
    ) -> Self {
        Self { reason, id, challenge, beside: None }
    }

    /// The same, told by an answer of MCP's own.
    pub(crate) fn saying(mut self, body: Bytes) -> Self {
        self.beside.get_or_insert_default().said = Some(body);
        self
    }

    /// The same, answered in this way where it is a result of a tool.
    pub(crate) fn answering(mut self, answer: ToolAnswer) -> Self {
        if self.code() == CallCode::ToolError {
            self.beside.get_or_insert_default().answer = answer;
        }
        self
    }

    /// The same, with the challenge of another scheme beside its own.
    pub(crate) fn beside(mut self, challenge: Option<HeaderValue>) -> Self {
        if challenge.is_some() {
            self.beside.get_or_insert_default().challenge = challenge;
        }
        self
    }

    /// The same, with the nonce for the next proof.
    pub(crate) fn with_nonce(mut self, nonce: Option<HeaderValue>) -> Self {
        if nonce.is_some() {
            self.beside.get_or_insert_default().nonce = nonce;
        }
        self
    }

    /// The reason itself, with its source for the log.
    #[must_use]
    pub const fn cause(&self) -> &CallReason {
        &self.reason
    }

    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason.reason()
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match (self.said(), self.reason.code()) {
            (Some(_), _) => StatusCode::OK,
            // A notification has no result: what is not taken is an error of HTTP (MCP transports, "Sending Messages to the
            // Server").
            (None, CallCode::ToolError) if self.id.is_none() => StatusCode::BAD_REQUEST,
            (None, _) => self.reason.status(),
        }
    }

    fn said(&self) -> Option<&Bytes> {
        self.beside.as_ref()?.said.as_ref()
    }

    /// The shape and the code.
    #[must_use]
    pub const fn code(&self) -> CallCode {
        self.reason.code()
    }

    /// Whose doing it was.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.reason.blame()
    }

    /// The value of `WWW-Authenticate`, where there must be one (RFC 6750, section 3).
    #[must_use]
    pub const fn challenge(&self) -> Option<&HeaderValue> {
        self.challenge.as_ref()
    }

    /// The value of a second `WWW-Authenticate`, where more than one scheme is taken.
    #[must_use]
    pub fn second_challenge(&self) -> Option<&HeaderValue> {
        self.beside.as_ref()?.challenge.as_ref()
    }

    /// The value of `DPoP-Nonce`, where a proof was sent and must hold one (RFC 9449, section 9).
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<&HeaderValue> {
        self.beside.as_ref()?.nonce.as_ref()
    }

    /// The value of `Allow`, where there must be one (RFC 9110, section 15.5.6).
    #[must_use]
    pub const fn allow(&self) -> Option<HeaderValue> {
        match self.reason.status() {
            StatusCode::METHOD_NOT_ALLOWED => Some(HeaderValue::from_static("POST")),
            _ => None,
        }
    }

    /// The value of `Accept-Signature`, where a signature is missing or does not hold (RFC 9421, section 5.1).
    #[must_use]
    pub const fn accept_signature(&self) -> Option<HeaderValue> {
        if matches!(self.reason, CallReason::Signature(_)) {
            return Some(HeaderValue::from_static(ACCEPT_SIGNATURE));
        }
        None
    }

    /// When to try again, where it makes sense (RFC 9110, section 10.2.3).
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let CallReason::CircuitOpen(wait) = self.reason {
            return Some(wait);
        }
        if let CallReason::LimitReached(reached) = self.reason {
            return Some(reached.retry_after);
        }
        match self.reason.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(Duration::from_secs(2)),
            _ => None,
        }
    }

    /// The body, always `application/json`.
    #[must_use]
    pub fn body(&self) -> Bytes {
        if let Some(said) = self.said() {
            return said.clone();
        }
        let sentence = self.reason.sentence();
        match (&self.reason, self.reason.code()) {
            (CallReason::MessageRefused(refused), _) => refused.to_error().to_body(),
            (_, CallCode::JsonRpc(code)) => {
                JsonRpcError { id: self.id.clone(), code, message: sentence, data: None }.to_body()
            }
            (_, CallCode::OAuth(code)) => {
                json(&serde_json::json!({ "error": code.as_str(), "error_description": sentence }))
            }
            (_, CallCode::ToolError) => {
                let answer = self.beside.as_ref().map(|beside| &beside.answer);
                tool_error(self.id.as_ref(), answer.unwrap_or(&ToolAnswer::default()), sentence)
            }
            (_, CallCode::Bare) => json(&serde_json::json!({ "message": sentence })),
        }
    }
}

/// A result by which a tool says that it failed (MCP server/tools, "Error Handling"). MCP 2026-07-28, "Results", wants to be
/// told that it is all of it.
fn tool_error(id: Option<&RequestId>, answer: &ToolAnswer, sentence: &str) -> Bytes {
    let text = serde_json::Value::from(answer.text.as_deref().unwrap_or(sentence));
    // As it was written.
    let as_error = answer.as_error || id.is_none();
    let id = id.map_or(String::new(), |id| format!(r#""id":{},"#, id.as_json()));
    let answered = if as_error {
        format!(r#""error":{{"code":{INVALID_PARAMS},"message":{text}}}"#)
    } else {
        let complete = if answer.modern { r#""resultType":"complete","# } else { "" };
        format!(r#""result":{{{complete}"content":[{{"type":"text","text":{text}}}],"isError":true}}"#)
    };
    Bytes::from(format!(r#"{{"jsonrpc":"2.0",{id}{answered}}}"#))
}

fn json(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

#[cfg(test)]
mod tests;
