//! Token exchange at an MCP server's own authorization server (RFC 8693): what the person has elsewhere, for a token there.

use protocol::oauth::Scope;
use protocol::secret::Secret;

use super::OauthClient;
use super::error::OauthClientError;
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
        fields.extend(server.resource.as_deref().map(|resource| ("resource", resource)));
        if !text.is_empty() {
            fields.push(("scope", text.as_str()));
        }
        let asked = Asked { fields, secrets: vec![("subject_token", subject)] };
        let tokens = ask(&self.reach, &server, &client, &asked, &scope).await;
        let tokens = self.judged(&server, &client, tokens).await?;
        Ok(Tokens { refresh_token: None, ..tokens })
    }
}
