//! Whether calls of an MCP server are signed by their clients.

use thiserror::Error;

/// Whether calls of an MCP server are signed by their clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SignatureMode {
    /// Signatures are not looked at.
    #[default]
    Off,
    /// A signature that is there must hold.
    Optional,
    /// Every call is signed, by a key that its access token or its session is bound to.
    Required,
}

/// The text is none of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is none of the three")]
pub struct SignatureModeError;

impl SignatureMode {
    /// Reads the name of a mode.
    ///
    /// # Errors
    /// [`SignatureModeError`] if there is none of that name.
    pub fn parse(text: &str) -> Result<Self, SignatureModeError> {
        match text {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(SignatureModeError),
        }
    }
}
