//! Dynamic client registration (RFC 7591), stateless (product.md, P-4): the metadata goes into the id, and the record
//! is not visited, so that a flood of registrations costs nothing but its own answers. The audit has counts of them.
//!
//! Server-owned members of the request (`client_id`, `client_secret`, `trusted` ..) are not read (attacks.md, RG-05).

mod told;

use protocol::oauth::{ClientMetadata, ErrorCode, MetadataError, RegistrationResponse, dynamic_client};
use thiserror::Error;

use crate::blame::Blame;
use crate::clients::Client;
use crate::{AuthorizationServer, capabilities};

pub use told::Registrations;

/// A refused registration.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The metadata cannot be read.
    #[error("the metadata is refused: {0}")]
    Metadata(#[from] MetadataError),
    /// The metadata does not fit into an id (P-4).
    #[error("the metadata is too large")]
    TooLarge,
    /// Well formed, but we could never serve this client.
    #[error("the metadata asks for what is not offered")]
    Unserved,
}

impl RegisterError {
    /// What the client is told (RFC 7591, section 3.2.2).
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Metadata(MetadataError::InvalidRedirectUri(_)) => ErrorCode::InvalidRedirectUri,
            Self::Metadata(MetadataError::InvalidClientMetadata(_)) | Self::TooLarge | Self::Unserved => {
                ErrorCode::InvalidClientMetadata
            }
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Metadata(_) | Self::TooLarge | Self::Unserved => Blame::Client,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Metadata(MetadataError::InvalidRedirectUri(_)) => "redirect_uri_refused",
            Self::Metadata(MetadataError::InvalidClientMetadata(_)) => "metadata_refused",
            Self::TooLarge => "metadata_too_large",
            Self::Unserved => "metadata_unserved",
        }
    }
}

/// Decides what is registered of what was asked.
fn decide(mut metadata: ClientMetadata) -> Result<ClientMetadata, RegisterError> {
    // Which scopes a client may have is decided by person and MCP server each time. A list that the client made for
    // itself would bind it without protecting anybody, so it is not registered (RFC 7591, section 2).
    metadata.scope = None;
    if capabilities::can_serve(&metadata) { Ok(metadata) } else { Err(RegisterError::Unserved) }
}

impl AuthorizationServer {
    /// Registers a client: reads the JSON body, and writes the metadata into the id it answers with.
    ///
    /// # Errors
    /// [`RegisterError`] if the metadata is malformed, too large, or asks for what is not offered.
    pub fn register(&self, body: &[u8]) -> Result<RegistrationResponse, RegisterError> {
        let registered = self.try_register(body);
        match &registered {
            Ok(registered) => self.parts.registrations.count(&registered.metadata.fingerprint()),
            Err(error) => self.parts.registrations.count_refused(error),
        }
        registered
    }

    fn try_register(&self, body: &[u8]) -> Result<RegistrationResponse, RegisterError> {
        let metadata = decide(ClientMetadata::parse_registration(body, &self.settings.redirects)?)?;
        let now = self.parts.clock.now();
        let keys = self.parts.keys.load();
        let id = dynamic_client::mint(keys.client_ids.active(), now, &*self.parts.entropy, &metadata)
            .map_err(|_| RegisterError::TooLarge)?;
        let client = Client::registered(id, metadata);
        let client_secret = self.derived_secret(&client);
        let (client_id, metadata) = client.into_parts();
        Ok(RegistrationResponse { client_id, client_id_issued_at: now, client_secret, metadata })
    }
}

#[cfg(test)]
mod tests;
