//! An in-house MCP server that asks us: who it is, and what it is told if it is not who it says (RFC 7662, section 2.1:
//! "the endpoint MUST also require some form of authorization").
//!
//! It shows the secret that the operator gave to it and to nobody else. No client, no person and no access token is ever
//! taken for a server.

use std::sync::Arc;

use protocol::oauth::{ClientAuthentication, ErrorCode, Form, IntrospectionRequestError, PresentedError};
use store::StoreError;
use thiserror::Error;

use crate::mcp_server::McpServer;
use crate::reason::Blame;
use crate::server::ResourceServer;

/// A server that is not answered.
#[derive(Debug, Error)]
pub enum AskError {
    /// A parameter of the feed is repeated or no number.
    #[error("a parameter of the feed is malformed")]
    Malformed,
    /// What it presents cannot be read.
    #[error("{0}")]
    Presented(#[from] PresentedError),
    /// The request cannot be read.
    #[error("the request is malformed: {0}")]
    Request(#[from] IntrospectionRequestError),
    /// Our knowledge of revocations, or of the keys, is too old to answer by.
    #[error("revocations or keys have not been read for too long")]
    Stale,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// There is no such server, it has no secret, or this is not it.
    #[error("no mcp server has this name and secret")]
    Unknown {
        /// Whether it tried `Basic`, so that the 401 names that scheme.
        basic_tried: bool,
    },
}

impl AskError {
    /// What the server is told (RFC 7662, section 2.3).
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed => ErrorCode::InvalidRequest,
            Self::Presented(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::Stale | Self::Store(_) => ErrorCode::TemporarilyUnavailable,
            Self::Unknown { .. } => ErrorCode::InvalidClient,
        }
    }

    /// Whose doing it was.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Malformed | Self::Presented(_) | Self::Request(_) | Self::Unknown { .. } => Blame::Client,
            Self::Stale | Self::Store(_) => Blame::House,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "parameter_malformed",
            Self::Presented(_) => "credentials_malformed",
            Self::Request(error) => match error {
                IntrospectionRequestError::Repeated => "parameter_repeated",
                IntrospectionRequestError::TokenMissing => "token_missing",
            },
            Self::Stale => "revocations_stale",
            Self::Store(_) => "store",
            Self::Unknown { .. } => "server_unknown",
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    #[must_use]
    pub const fn basic_tried(&self) -> bool {
        match self {
            Self::Presented(error) => error.basic_tried(),
            Self::Malformed | Self::Request(_) | Self::Stale | Self::Store(_) => false,
            Self::Unknown { basic_tried } => *basic_tried,
        }
    }
}

impl ResourceServer {
    /// The MCP server that asks, by its name and secret.
    pub(crate) fn asking_server(
        &self,
        authorization: &[&str],
        form: &Form,
    ) -> Result<&Arc<McpServer>, AskError> {
        let presented = ClientAuthentication::parse(authorization, form)?;
        let basic_tried = presented.basic_tried;
        let server = self.servers.get(presented.client_id.as_str());
        let expected = server.and_then(|server| server.settings().introspection_secret);
        // A hash is compared with a hash: the time tells nothing of the secret, and 256 bits are not guessed.
        match (server, expected, presented.secret) {
            (Some(server), Some(expected), Some(secret)) if secret.hash().matches(&expected) => Ok(server),
            (Some(_) | None, Some(_) | None, Some(_) | None) => Err(AskError::Unknown { basic_tried }),
        }
    }
}
