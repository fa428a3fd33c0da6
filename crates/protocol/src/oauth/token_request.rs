//! The token request: RFC 6749, sections 4.1.3 and 6, RFC 7636 4.5, RFC 8707 2.2. One variant per grant type,
//! with that grant's parameters only.
//!
//! The client is read apart from it, by [`ClientAuthentication`](super::ClientAuthentication).

use thiserror::Error;

use super::{ErrorCode, Form, GrantType, Parameter};
use crate::secret::Secret;

/// A token request.
#[derive(Debug)]
pub enum TokenRequest {
    /// RFC 6749, section 4.1.3.
    AuthorizationCode {
        /// The code.
        code: Secret,
        /// Raw; OAuth 2.1 clients do not send it (section 10.2).
        redirect_uri: Option<String>,
        /// RFC 7636, section 4.5; raw.
        code_verifier: Option<Secret>,
        /// RFC 8707, section 2.2; raw.
        resource: Vec<String>,
    },
    /// RFC 6749, section 4.4.2.
    ClientCredentials {
        /// Raw.
        scope: Option<String>,
        /// RFC 8707, section 2.2; raw.
        resource: Vec<String>,
    },
    /// RFC 7523, section 2.1.
    JwtBearer {
        /// The assertion.
        assertion: Secret,
        /// Raw.
        scope: Option<String>,
        /// RFC 8707, section 2.2; raw.
        resource: Vec<String>,
    },
    /// RFC 8628, section 3.4.
    DeviceCode {
        /// The device code.
        device_code: Secret,
    },
    /// RFC 6749, section 6.
    RefreshToken {
        /// The refresh token.
        refresh_token: Secret,
        /// Raw.
        scope: Option<String>,
        /// RFC 8707, section 2.2; raw.
        resource: Vec<String>,
    },
    /// RFC 8693, section 2.1.
    TokenExchange(TokenExchangeRequest),
}

/// RFC 8693, section 2.1; all but the tokens raw.
#[derive(Debug)]
pub struct TokenExchangeRequest {
    /// The token of whoever is acted for.
    pub subject_token: Secret,
    /// What it is.
    pub subject_token_type: String,
    /// The token of whoever acts.
    pub actor_token: Option<Secret>,
    /// What is asked for.
    pub requested_token_type: Option<String>,
    /// Where it is to be used, as a resource.
    pub resource: Vec<String>,
    /// The same by another name.
    pub audience: Vec<String>,
    /// What it is to be good for.
    pub scope: Option<String>,
}

/// Why a form is not a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenRequestError {
    /// `assertion` is missing.
    #[error("`assertion` is missing")]
    AssertionMissing,
    /// `actor_token` without `actor_token_type`, or the reverse (RFC 8693, section 2.1).
    #[error("`actor_token` and `actor_token_type` do not come together")]
    ActorTokenHalf,
    /// `code` is missing.
    #[error("`code` is missing")]
    CodeMissing,
    /// `device_code` is missing.
    #[error("`device_code` is missing")]
    DeviceCodeMissing,
    /// `grant_type` is missing.
    #[error("`grant_type` is missing")]
    GrantTypeMissing,
    /// `refresh_token` is missing.
    #[error("`refresh_token` is missing")]
    RefreshTokenMissing,
    /// A parameter other than `resource` came more than once.
    #[error("a parameter is repeated")]
    Repeated,
    /// `subject_token` or `subject_token_type` is missing.
    #[error("`subject_token` or `subject_token_type` is missing")]
    SubjectTokenMissing,
    /// A grant type that is not served here.
    #[error("the grant type is not supported")]
    UnsupportedGrantType,
}

impl TokenRequest {
    /// Reads the body of a token request.
    ///
    /// # Errors
    /// [`TokenRequestError`] for a repeated parameter, an unknown grant type, or a grant without its proof.
    pub fn parse(form: &Form) -> Result<Self, TokenRequestError> {
        // "Request and response parameters MUST NOT be included more than once." (RFC 6749, section 3.2)
        if form.repeats_any_but(&["audience", "resource"]) {
            return Err(TokenRequestError::Repeated);
        }
        let text = |name: &str| form.get(name).map(str::to_owned).once();
        let secret = |name: &str| text(name).map(Secret::new);
        let Parameter::Once(grant_type) = form.get("grant_type") else {
            return Err(TokenRequestError::GrantTypeMissing);
        };
        let resource = form.all("resource").into_iter().map(str::to_owned).collect();
        match GrantType::parse(grant_type).ok_or(TokenRequestError::UnsupportedGrantType)? {
            GrantType::AuthorizationCode => Ok(Self::AuthorizationCode {
                code: secret("code").ok_or(TokenRequestError::CodeMissing)?,
                redirect_uri: text("redirect_uri"),
                code_verifier: secret("code_verifier"),
                resource,
            }),
            GrantType::ClientCredentials => Ok(Self::ClientCredentials { scope: text("scope"), resource }),
            GrantType::DeviceCode => Ok(Self::DeviceCode {
                device_code: secret("device_code").ok_or(TokenRequestError::DeviceCodeMissing)?,
            }),
            GrantType::JwtBearer => Ok(Self::JwtBearer {
                assertion: secret("assertion").ok_or(TokenRequestError::AssertionMissing)?,
                scope: text("scope"),
                resource,
            }),
            GrantType::RefreshToken => Ok(Self::RefreshToken {
                refresh_token: secret("refresh_token").ok_or(TokenRequestError::RefreshTokenMissing)?,
                scope: text("scope"),
                resource,
            }),
            GrantType::TokenExchange => Self::token_exchange(form, resource),
        }
    }

    fn token_exchange(form: &Form, resource: Vec<String>) -> Result<Self, TokenRequestError> {
        let text = |name: &str| form.get(name).map(str::to_owned).once();
        let (actor_token, actor_token_type) = (text("actor_token"), text("actor_token_type"));
        if actor_token.is_some() != actor_token_type.is_some() {
            return Err(TokenRequestError::ActorTokenHalf);
        }
        let subject = text("subject_token").zip(text("subject_token_type"));
        let (subject_token, subject_token_type) = subject.ok_or(TokenRequestError::SubjectTokenMissing)?;
        Ok(Self::TokenExchange(TokenExchangeRequest {
            subject_token: Secret::new(subject_token),
            subject_token_type,
            actor_token: actor_token.map(Secret::new),
            requested_token_type: text("requested_token_type"),
            resource,
            audience: form.all("audience").into_iter().map(str::to_owned).collect(),
            scope: text("scope"),
        }))
    }

    /// The grant type.
    #[must_use]
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::AuthorizationCode { .. } => GrantType::AuthorizationCode,
            Self::ClientCredentials { .. } => GrantType::ClientCredentials,
            Self::DeviceCode { .. } => GrantType::DeviceCode,
            Self::JwtBearer { .. } => GrantType::JwtBearer,
            Self::RefreshToken { .. } => GrantType::RefreshToken,
            Self::TokenExchange(_) => GrantType::TokenExchange,
        }
    }
}

impl TokenRequestError {
    /// What the client is told (RFC 6749, section 5.2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::ActorTokenHalf
            | Self::SubjectTokenMissing
            | Self::AssertionMissing
            | Self::CodeMissing
            | Self::DeviceCodeMissing
            | Self::GrantTypeMissing
            | Self::RefreshTokenMissing
            | Self::Repeated => ErrorCode::InvalidRequest,
            Self::UnsupportedGrantType => ErrorCode::UnsupportedGrantType,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenRequest, TokenRequestError> {
        TokenRequest::parse(&Form::parse(text.as_bytes()).unwrap())
    }

    /// RFC 6749, section 4.1.3.
    #[test]
    fn a_code_is_read() {
        let request = parse(
            "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb",
        );
        let Ok(TokenRequest::AuthorizationCode { code, redirect_uri, code_verifier, resource }) = request
        else {
            panic!("{request:?}");
        };
        assert_eq!(code.reveal(), "SplxlOBeZQQYbYS6WxSbIA");
        assert_eq!(redirect_uri.as_deref(), Some("https://client.example.com/cb"));
        assert!(code_verifier.is_none() && resource.is_empty());
    }

    /// RFC 6749, section 6.
    #[test]
    fn a_refresh_token_is_read() {
        let request =
            parse("grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA&resource=a&resource=b");
        let Ok(TokenRequest::RefreshToken { refresh_token, scope, resource }) = request else {
            panic!("{request:?}");
        };
        assert_eq!(refresh_token.reveal(), "tGzv3JOkF0XG5Qx2TlKWIA");
        assert!(scope.is_none());
        assert_eq!(resource, ["a", "b"]);
    }

    /// RFC 6749, section 4.4.2: the client is all there is.
    #[test]
    fn client_credentials_need_nothing_more() {
        let request = parse("grant_type=client_credentials&scope=read&resource=a");
        let Ok(TokenRequest::ClientCredentials { scope, resource }) = request else { panic!("{request:?}") };
        assert_eq!((scope.as_deref(), resource.as_slice()), (Some("read"), ["a".to_owned()].as_slice()));
        assert!(parse("grant_type=client_credentials").is_ok());
    }

    /// AS-207, RFC 8693, section 2.3.
    #[test]
    fn an_exchange_is_read() {
        let text = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&resource=a&audience=b&audience=c\
            &subject_token=hunter2&subject_token_type=urn:ietf:params:oauth:token-type:access_token";
        let Ok(TokenRequest::TokenExchange(request)) = parse(text) else { panic!("{:?}", parse(text)) };
        assert_eq!((request.resource.len(), request.audience.len()), (1, 2));
        assert!(!format!("{request:?}").contains("hunter2"));
        for (more, reason) in [
            ("&actor_token=x", TokenRequestError::ActorTokenHalf),
            ("&actor_token_type=x", TokenRequestError::ActorTokenHalf),
            ("&scope=a&scope=b", TokenRequestError::Repeated),
        ] {
            assert_eq!(parse(&format!("{text}{more}")).unwrap_err(), reason, "{more}");
        }
        let half = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=x";
        assert_eq!(parse(half).unwrap_err(), TokenRequestError::SubjectTokenMissing);
    }

    /// AS-116.
    #[test]
    fn each_flaw_has_its_reason_and_its_code() {
        use ErrorCode::{InvalidRequest, UnsupportedGrantType};
        for (text, reason, code) in [
            ("", TokenRequestError::GrantTypeMissing, InvalidRequest),
            ("grant_type=", TokenRequestError::GrantTypeMissing, InvalidRequest),
            ("grant_type=authorization_code", TokenRequestError::CodeMissing, InvalidRequest),
            ("grant_type=authorization_code&code=", TokenRequestError::CodeMissing, InvalidRequest),
            (
                "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=a",
                TokenRequestError::DeviceCodeMissing,
                InvalidRequest,
            ),
            ("grant_type=refresh_token&code=a", TokenRequestError::RefreshTokenMissing, InvalidRequest),
            (
                "grant_type=refresh_token&refresh_token=a&client_id=b&client_id=b",
                TokenRequestError::Repeated,
                InvalidRequest,
            ),
            ("grant_type=password&username=a", TokenRequestError::UnsupportedGrantType, UnsupportedGrantType),
            (
                "grant_type=Authorization_Code&code=a",
                TokenRequestError::UnsupportedGrantType,
                UnsupportedGrantType,
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error, error.code()), (reason, code), "{text}");
        }
    }

    #[test]
    fn no_secret_is_in_the_debug_text() {
        let request = parse("grant_type=authorization_code&code=hunter2&code_verifier=hunter2").unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
