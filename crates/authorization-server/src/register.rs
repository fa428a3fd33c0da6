//! Dynamic client registration (RFC 7591), stateless (product.md, P-4): the metadata goes into the id, and the record
//! is not visited, so that a flood of registrations costs nothing but its own answers. The audit has counts of them.
//!
//! Server-owned members of the request (`client_id`, `client_secret`, `trusted` ..) are not read (attacks.md, RG-05).

mod told;

use protocol::oauth::{ClientMetadata, ErrorCode, MetadataError, RegistrationResponse, dynamic_client};
use protocol::secret::Secret;
use store::StoreError;
use thiserror::Error;

use crate::blame::Blame;
use crate::clients::Client;
use crate::settings::Registration;
use crate::{AuthorizationServer, capabilities};

pub use told::Registrations;

/// A refused registration.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Nobody may register here.
    #[error("clients do not register here")]
    Closed,
    /// The initial access token is missing (RFC 7591, section 3).
    #[error("an initial access token is needed")]
    TokenMissing,
    /// It is none, was used up, or is over.
    #[error("the initial access token is not good")]
    TokenRefused,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
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
            Self::Closed => ErrorCode::AccessDenied,
            Self::TokenMissing | Self::TokenRefused => ErrorCode::InvalidToken,
            Self::Store(error) => crate::error::store_code(error),
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
            Self::Store(_) => Blame::House,
            Self::Closed
            | Self::Metadata(_)
            | Self::TokenMissing
            | Self::TokenRefused
            | Self::TooLarge
            | Self::Unserved => Blame::Client,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "registration_closed",
            Self::TokenMissing => "registration_token_missing",
            Self::TokenRefused => "registration_token_refused",
            Self::Store(_) => "store",
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
    /// Registers a client: reads the JSON body, and writes the metadata into the id it answers with. `token` is the bearer
    /// token that came along, if one did.
    ///
    /// # Errors
    /// [`RegisterError`] if the metadata is malformed, too large, or asks for what is not offered, or if not everybody may
    /// register.
    pub async fn register(
        &self,
        body: &[u8],
        token: Option<Secret>,
    ) -> Result<RegistrationResponse, RegisterError> {
        let registered = self.try_register(body, token).await;
        match &registered {
            Ok(registered) => self.parts.registrations.count(&registered.metadata.fingerprint()),
            Err(error) => self.parts.registrations.count_refused(error),
        }
        registered
    }

    async fn try_register(
        &self,
        body: &[u8],
        token: Option<Secret>,
    ) -> Result<RegistrationResponse, RegisterError> {
        let token = match self.settings.registration {
            Registration::Closed => return Err(RegisterError::Closed),
            Registration::InitialAccessToken => Some(token.ok_or(RegisterError::TokenMissing)?),
            // One that is not needed is not looked at.
            Registration::Open => None,
        };
        let metadata = decide(ClientMetadata::parse_registration(body, &self.settings.redirects)?)?;
        let now = self.parts.clock.now();
        // Last of all, so that a mistake in the metadata uses nothing up.
        if let Some(token) = token
            && !self.parts.store.use_registration_token(token.hash(), now).await?
        {
            return Err(RegisterError::TokenRefused);
        }
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
