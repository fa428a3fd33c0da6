//! Introspection: RFC 7662. The request of section 2.1 and the answer of section 2.2.
//!
//! Of a token that is not active nothing is said but that: "the authorization server SHOULD NOT include any additional
//! information about an inactive token, including why the token is inactive."

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{ErrorCode, Form, Parameter, Scope, TokenType};
use crate::jose::claims::{ActorClaims, Confirmation};
use crate::jose::dpop::Thumbprint;
use crate::secret::Secret;

/// An introspection request. A hint is not needed to tell what a token is, and not read.
#[derive(Debug)]
pub struct IntrospectionRequest {
    /// What is asked about.
    pub token: Secret,
}

/// Why a form is not an introspection request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IntrospectionRequestError {
    /// A parameter came more than once.
    #[error("a parameter is repeated")]
    Repeated,
    /// `token` is missing.
    #[error("`token` is missing")]
    TokenMissing,
}

impl IntrospectionRequest {
    /// Reads the body of an introspection request.
    ///
    /// # Errors
    /// [`IntrospectionRequestError`] if the token is missing or a parameter repeated.
    pub fn parse(form: &Form) -> Result<Self, IntrospectionRequestError> {
        if form.repeats_any_but(&[]) {
            return Err(IntrospectionRequestError::Repeated);
        }
        match form.get("token") {
            Parameter::Once(token) => Ok(Self { token: Secret::new(token.to_owned()) }),
            Parameter::Absent | Parameter::Repeated => Err(IntrospectionRequestError::TokenMissing),
        }
    }
}

impl IntrospectionRequestError {
    /// What the asking server is told (RFC 7662, section 2.3).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Repeated | Self::TokenMissing => ErrorCode::InvalidRequest,
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntrospectionResponse {
    /// The token opens the asking server, now.
    Active(Box<ActiveToken>),
    /// It does not. Why is nobody's business.
    Inactive,
}

/// What an active access token means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveToken {
    /// Who issued it.
    pub iss: String,
    /// The one resource it is for, which is the one that asks.
    pub aud: String,
    /// Our own id of the person.
    pub sub: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The grant it stands on.
    pub grant_id: String,
    /// What was granted; empty if nothing was.
    pub scope: Scope,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// The key that whoever presents it must hold, if it is bound to one (RFC 9449, section 6.2).
    pub key: Option<Thumbprint>,
    /// The person's name, if it is known.
    pub username: Option<String>,
    /// The person's groups.
    pub groups: Vec<String>,
    /// The name of the service account, if `sub` is one and no person (RFC 9700, section 4.15).
    pub service_account: Option<String>,
    /// Who acts for `sub`, if somebody does (RFC 8693, section 4.1).
    pub act: Option<ActorClaims>,
}

impl Serialize for IntrospectionResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        match self {
            Self::Active(token) => token.write(&mut json)?,
            Self::Inactive => json.serialize_entry("active", &false)?,
        }
        json.end()
    }
}

impl ActiveToken {
    fn write<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        json.serialize_entry("active", &true)?;
        json.serialize_entry("token_type", TokenType::of(self.key.as_ref()).as_str())?;
        json.serialize_entry("iss", &self.iss)?;
        json.serialize_entry("aud", &self.aud)?;
        json.serialize_entry("sub", &self.sub)?;
        json.serialize_entry("client_id", &self.client_id)?;
        json.serialize_entry("grant_id", &self.grant_id)?;
        if !self.scope.is_empty() {
            json.serialize_entry("scope", &self.scope)?;
        }
        json.serialize_entry("iat", &self.iat)?;
        json.serialize_entry("exp", &self.exp)?;
        if let Some(jkt) = self.key {
            json.serialize_entry("cnf", &Confirmation { jkt })?;
        }
        if let Some(username) = &self.username {
            json.serialize_entry("username", username)?;
        }
        if !self.groups.is_empty() {
            json.serialize_entry("groups", &self.groups)?;
        }
        if let Some(service_account) = &self.service_account {
            json.serialize_entry("service_account", service_account)?;
        }
        if let Some(act) = &self.act {
            json.serialize_entry("act", act)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<IntrospectionRequest, IntrospectionRequestError> {
        IntrospectionRequest::parse(&Form::parse(text.as_bytes()).unwrap())
    }

    /// RFC 7662, section 2.1.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        for text in ["token=mF_9.B5f-4.1JqM&token_type_hint=access_token", "token=mF_9.B5f-4.1JqM"] {
            assert_eq!(parse(text).unwrap().token.reveal(), "mF_9.B5f-4.1JqM");
        }
    }

    #[test]
    fn a_token_is_named_once() {
        assert_eq!(parse("token=").unwrap_err(), IntrospectionRequestError::TokenMissing);
        assert_eq!(parse("token=a&token=a").unwrap_err(), IntrospectionRequestError::Repeated);
        assert_eq!(parse("").unwrap_err().code(), ErrorCode::InvalidRequest);
        assert!(!format!("{:?}", parse("token=hunter2")).contains("hunter2"));
    }

    /// RFC 7662, section 2.2.
    #[test]
    fn of_an_inactive_token_nothing_else_is_said() {
        assert_eq!(serde_json::to_string(&IntrospectionResponse::Inactive).unwrap(), r#"{"active":false}"#);
    }

    #[test]
    fn of_an_active_token_all_is_said_that_is_there() {
        let token = ActiveToken {
            iss: "https://mcp.example.com".to_owned(),
            aud: "https://mcp.example.com/notes/mcp".to_owned(),
            sub: "u".to_owned(),
            client_id: "c".to_owned(),
            grant_id: "g".to_owned(),
            scope: Scope::default(),
            iat: 1,
            exp: 2,
            key: None,
            username: None,
            groups: Vec::new(),
            service_account: None,
            act: None,
        };
        let said = serde_json::to_value(IntrospectionResponse::Active(Box::new(token.clone()))).unwrap();
        assert_eq!(
            said,
            serde_json::json!({
                "active": true, "token_type": "Bearer", "iss": "https://mcp.example.com",
                "aud": "https://mcp.example.com/notes/mcp", "sub": "u", "client_id": "c", "grant_id": "g",
                "iat": 1, "exp": 2,
            })
        );
        let whole = ActiveToken {
            key: Some(Thumbprint::from_bytes([0; 32])),
            scope: Scope::parse("read write").unwrap(),
            username: Some("Alice".to_owned()),
            groups: vec!["staff".to_owned()],
            service_account: None,
            act: None,
            ..token
        };
        let said = serde_json::to_value(IntrospectionResponse::Active(Box::new(whole))).unwrap();
        assert_eq!((&said["scope"], &said["username"]), (&"read write".into(), &"Alice".into()));
        assert_eq!(said["groups"], serde_json::json!(["staff"]));
        // AS-194.
        assert_eq!((&said["token_type"], &said["cnf"]["jkt"]), (&"DPoP".into(), &"A".repeat(43).into()));
    }
}
