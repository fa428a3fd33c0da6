//! Token exchange at an MCP server's own authorization server (RFC 8693): what the person has elsewhere, for a token there.

use protocol::oauth::Scope;
use protocol::secret::Secret;

use super::OauthClient;
use super::error::OauthClientError;
use super::revocation::Revocated;
use super::settings::OauthClientSettingsError;
use super::token::{Asked, Tokens, ask};

/// `issued_token_type` of an access token (RFC 8693, section 3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What is exchanged (RFC 8693, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectTokenType {
    /// An access token of an issuer that the authorization server believes.
    AccessToken,
    /// An ID token of such a one.
    IdToken,
    /// A JWT: our own identity assertion.
    Jwt,
}

impl SubjectTokenType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => ACCESS_TOKEN,
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// For what, beside the scope (RFC 8693, section 2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `audience`: the name by which the authorization server knows the MCP server.
    pub audience: Option<String>,
    /// Whether `resource` is left out, for one that does not take it.
    pub without_resource: bool,
}

impl OauthClient {
    /// Exchanges a token about the person for one for the MCP server. A refresh token that comes with it is kept by nobody: the
    /// subject token is what the next one is asked with.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn exchange(
        &self,
        subject: &Secret,
        kind: SubjectTokenType,
        target: &Target,
        scope: Option<&Scope>,
    ) -> Result<Tokens, OauthClientError> {
        let server = self.server().await?;
        let client = self.known(&server).await?;
        let scope = self.wanted(&server, scope, false);
        let text = scope.to_string();
        let mut fields = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token_type", kind.as_str()),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        let resource = server.resource.as_deref().filter(|_| !target.without_resource);
        fields.extend(resource.map(|resource| ("resource", resource)));
        fields.extend(target.audience.as_deref().map(|audience| ("audience", audience)));
        if !text.is_empty() {
            fields.push(("scope", text.as_str()));
        }
        let asked = Asked { fields, secrets: vec![("subject_token", subject)] };
        let tokens = ask(&self.reach, &server, &client, &asked, &scope).await;
        let tokens = self.judged(&server, &client, tokens).await?;
        Ok(Tokens { refresh_token: None, ..tokens })
    }
}

/// Where our own assertions about people are exchanged for access tokens for one MCP server.
#[derive(Debug)]
pub struct TokenExchange {
    client: OauthClient,
    issuer: String,
    target: Target,
}

impl TokenExchange {
    /// By this client, whose authorization server the operator has named: an assertion is for it alone.
    ///
    /// # Errors
    /// [`OauthClientSettingsError`] without `authorization_server`.
    pub fn new(client: OauthClient, target: Target) -> Result<Self, OauthClientSettingsError> {
        let issuer = client.settings.authorization_server.clone();
        let issuer = issuer.ok_or(OauthClientSettingsError::SecretForWhom)?;
        Ok(Self { client, issuer, target })
    }

    /// Whom an assertion has to be for.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether somebody answers at the token endpoint, in words for the operator. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        let endpoint = self.client.reached().await?;
        Ok(format!("somebody answers at {endpoint}, where assertions about people are exchanged"))
    }

    /// Takes an access token back (RFC 7009).
    ///
    /// # Errors
    /// [`OauthClientError`]; only a passing one is worth another try.
    pub async fn take_back(&self, access_token: &Secret) -> Result<Revocated, OauthClientError> {
        self.client.take_back(access_token).await
    }

    /// An access token for the person whom the assertion is about.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn obtain(&self, assertion: &Secret) -> Result<Tokens, OauthClientError> {
        self.client.exchange(assertion, SubjectTokenType::Jwt, &self.target, None).await
    }
}
