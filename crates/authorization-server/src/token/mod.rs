//! The token endpoint (RFC 6749, section 3.2): who asks, then which grant. The grants do the rest.

mod error;

use protocol::oauth::{Form, GrantType, TokenRequest, TokenRequestError, TokenResponse};

pub use error::TokenError;

use crate::AuthorizationServer;
use crate::grants::authorization_code::PresentedCode;
use crate::grants::id_jag::PresentedAssertion;
use crate::grants::refresh_token::PresentedRefreshToken;
use crate::pages::Caller;

/// The headers of a token request that count.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenHeaders<'a> {
    /// Every `Authorization`.
    pub authorization: &'a [&'a str],
    /// Every `DPoP` (RFC 9449, section 4.1).
    pub dpop: &'a [&'a str],
}

/// Where it is, below the issuer: what proofs name.
pub(crate) const PATH: &str = "/oauth/token";

impl AuthorizationServer {
    /// Answers a token request: the headers, the form, and who calls.
    ///
    /// # Errors
    /// [`TokenError`] if the client is not authenticated, or what it presents does not buy a token.
    pub async fn token(
        &self,
        headers: &TokenHeaders<'_>,
        form: &Form,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        self.rely_on_keys()?;
        if self.presents_workload(form) {
            return self.exchange_workload(headers, form, caller).await;
        }
        let client = self.authenticate(headers.authorization, form, caller).await?;
        let request = TokenRequest::parse(form)?;
        if request.grant_type() == GrantType::JwtBearer && !self.serves(GrantType::JwtBearer) {
            return Err(TokenRequestError::UnsupportedGrantType.into());
        }
        if !client.client().may_use(request.grant_type()) {
            return Err(TokenError::GrantTypeNotRegistered);
        }
        let key = self.key_of(Some(client.client()), headers.dpop).await?;
        match request {
            TokenRequest::AuthorizationCode { code, redirect_uri, code_verifier, resource } => {
                let presented = PresentedCode {
                    code: &code,
                    code_verifier: code_verifier.as_ref(),
                    key,
                    redirect_uri: redirect_uri.as_deref(),
                    resource: &resource,
                };
                self.exchange_code(&client, presented, caller).await
            }
            TokenRequest::ClientCredentials { scope, resource } => {
                self.client_credentials(&client, (&resource, scope.as_deref()), (caller, key)).await
            }
            TokenRequest::DeviceCode { device_code } => {
                self.exchange_device_code(&client, &device_code, (caller, key)).await
            }
            TokenRequest::JwtBearer { assertion, scope, resource } => {
                let presented =
                    PresentedAssertion { assertion, key, resource: &resource, scope: scope.as_deref() };
                self.exchange_id_jag(&client, presented, caller).await
            }
            TokenRequest::RefreshToken { refresh_token, scope, resource } => {
                let presented = PresentedRefreshToken {
                    key,
                    refresh_token: &refresh_token,
                    resource: &resource,
                    scope: scope.as_deref(),
                };
                self.exchange_refresh_token(&client, presented, caller).await
            }
            TokenRequest::TokenExchange(request) => {
                self.exchange_token(&client, &request, (caller, key)).await
            }
        }
    }
}
