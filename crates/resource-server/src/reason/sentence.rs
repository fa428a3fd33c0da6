//! What a client is told of a refusal: fixed text, no detail of ours.

use http::StatusCode;

use super::{Blame, CallCode, CallReason, INTERNAL};
use crate::signature::SignatureFault;

const TOOL_CHANGED: &str = "The MCP server behind the gateway has changed what it says of this tool. Nothing was done. The tool \
    can be called again when an administrator of the gateway has accepted the change.";

const ARGUMENTS_UNCHECKED: &str = "The gateway is to check the arguments of this tool and cannot. Nothing was done. Ask for the list of \
    tools and try again; if it stays so, the administrator of the gateway has to look at what the tool says of itself.";

const PARAMETER_MISMATCH: &str = "Header mismatch: each Mcp-Param header that the tool asks for must be there if its argument is, and say the same. Ask for \
    the list of tools and try again.";

impl CallReason {
    /// The sentence that the client is told: fixed text, no detail of ours.
    pub(crate) const fn sentence(&self) -> &'static str {
        if let Self::LimitReached(reached) = self {
            return reached.exhausted.sentence();
        }
        if matches!(self, Self::Signature(_)) {
            return SignatureFault::SENTENCE;
        }
        match self.code() {
            CallCode::JsonRpc(INTERNAL) if matches!(self, Self::CircuitOpen(_)) => {
                "The MCP server behind the gateway is out of order at the moment. Try again later."
            }
            CallCode::JsonRpc(INTERNAL) if matches!(self, Self::Credential(_)) => {
                "The gateway cannot get the credential that the MCP server wants. Nothing was done."
            }
            CallCode::OAuth(code) => code.sentence(),
            CallCode::JsonRpc(INTERNAL) if matches!(self, Self::ListTooLarge) => crate::lists::TOO_LARGE,
            CallCode::JsonRpc(INTERNAL) if matches!(self, Self::ListUnreadable) => crate::lists::UNREADABLE,
            CallCode::JsonRpc(INTERNAL) => match self.blame() {
                Blame::Upstream => "The MCP server behind the gateway did not answer as it should.",
                Blame::User => "Too much is open in the name of this person. End something or wait.",
                Blame::House | Blame::Client => "The gateway cannot serve the call at the moment.",
            },
            CallCode::ToolError if matches!(self, Self::ToolChanged) => TOOL_CHANGED,
            CallCode::ToolError if matches!(self, Self::ArgumentsUnchecked) => ARGUMENTS_UNCHECKED,
            CallCode::ToolError => "The arguments are not what the tool takes.",
            CallCode::JsonRpc(_) if matches!(self, Self::ParameterMismatch) => PARAMETER_MISMATCH,
            CallCode::Bare | CallCode::JsonRpc(_) => self.sentence_of_refusal(),
        }
    }

    const fn sentence_of_refusal(&self) -> &'static str {
        match self.status() {
            StatusCode::UNAUTHORIZED => "An access token is needed.",
            StatusCode::FORBIDDEN if matches!(self, Self::ConnectionTooNarrow) => {
                "The person has to allow more at the account that is connected."
            }
            StatusCode::FORBIDDEN => "The person has to connect an account first.",
            StatusCode::METHOD_NOT_ALLOWED => "The MCP endpoint does not know this HTTP method.",
            StatusCode::NOT_ACCEPTABLE => "The client must accept application/json and text/event-stream.",
            StatusCode::NOT_FOUND => match self.code() {
                CallCode::Bare => "There is no such MCP server.",
                CallCode::JsonRpc(_) | CallCode::OAuth(_) | CallCode::ToolError => {
                    "The session is not known."
                }
            },
            StatusCode::PAYLOAD_TOO_LARGE => "The message is too large.",
            StatusCode::REQUEST_TIMEOUT => "The message did not arrive in time.",
            StatusCode::TOO_MANY_REQUESTS => {
                "Too many access tokens from this address were refused. Wait a little."
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "The message must be application/json.",
            _ => "The request is not a valid MCP request.",
        }
    }
}
