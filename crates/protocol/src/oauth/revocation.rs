//! The revocation request: RFC 7009, section 2.1.
//!
//! The hint only says where to look first; a wrong one hides nothing.

use thiserror::Error;

use super::{ErrorCode, Form, Parameter};
use crate::secret::Secret;

/// A revocation request.
#[derive(Debug)]
pub struct RevocationRequest {
    /// The token to revoke, of whatever type.
    pub token: Secret,
    /// Where to look first. A value that is not known counts as none.
    pub hint: Option<TokenTypeHint>,
}

/// A registered `token_type_hint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenTypeHint {
    /// `access_token`.
    AccessToken,
    /// `refresh_token`.
    RefreshToken,
}

/// Why a form is not a revocation request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RevocationRequestError {
    /// A parameter came more than once.
    #[error("a parameter is repeated")]
    Repeated,
    /// `token` is missing.
    #[error("`token` is missing")]
    TokenMissing,
}

impl RevocationRequest {
    /// Reads the body of a revocation request.
    ///
    /// # Errors
    /// [`RevocationRequestError`] if the token is missing or a parameter repeated.
    pub fn parse(form: &Form) -> Result<Self, RevocationRequestError> {
        if form.repeats_any_but(&[]) {
            return Err(RevocationRequestError::Repeated);
        }
        let Parameter::Once(token) = form.get("token") else {
            return Err(RevocationRequestError::TokenMissing);
        };
        let hint = match form.get("token_type_hint") {
            Parameter::Once("access_token") => Some(TokenTypeHint::AccessToken),
            Parameter::Once("refresh_token") => Some(TokenTypeHint::RefreshToken),
            Parameter::Once(_) | Parameter::Absent | Parameter::Repeated => None,
        };
        Ok(Self { token: Secret::new(token.to_owned()), hint })
    }
}

impl RevocationRequestError {
    /// What the client is told (RFC 7009, section 2.2.1).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Repeated | Self::TokenMissing => ErrorCode::InvalidRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RevocationRequest, RevocationRequestError> {
        RevocationRequest::parse(&Form::parse(text.as_bytes()).unwrap())
    }

    /// RFC 7009, section 2.1.
    #[test]
    fn the_example_of_the_standard_is_read() {
        let request = parse("token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token").unwrap();
        assert_eq!(request.hint, Some(TokenTypeHint::RefreshToken));
        assert_eq!(request.token.reveal(), "45ghiukldjahdnhzdauz");
    }

    #[test]
    fn an_unknown_hint_counts_as_none() {
        assert_eq!(parse("token=a&token_type_hint=id_token").unwrap().hint, None);
        assert_eq!(
            parse("token=a&token_type_hint=access_token").unwrap().hint,
            Some(TokenTypeHint::AccessToken)
        );
    }

    #[test]
    fn a_token_is_named_once() {
        assert_eq!(parse("token=").unwrap_err(), RevocationRequestError::TokenMissing);
        assert_eq!(parse("token=a&token=a").unwrap_err(), RevocationRequestError::Repeated);
        assert_eq!(parse("").unwrap_err().code(), ErrorCode::InvalidRequest);
    }
}
