//! The token endpoint (RFC 6749, section 3.2): who asks, then which grant. The grants do the rest.

mod error;

use protocol::oauth::{Form, GrantType, TokenRequest, TokenRequestError, TokenResponse};

pub use error::TokenError;

use crate::AuthorizationServer;
use crate::grants::authorization_code::PresentedCode;
use crate::grants::id_jag::PresentedAssertion;
use crate::grants::refresh_token::PresentedRefreshToken;
use crate::pages::Caller;

impl AuthorizationServer {
    /// Answers a token request: the `Authorization` headers, the form, and who calls.
    ///
    /// # Errors
    /// [`TokenError`] if the client is not authenticated, or what it presents does not buy a token.
    pub async fn token(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Result<TokenResponse, TokenError> {
        self.rely_on_keys()?;
        if self.presents_workload(form) {
            return self.exchange_workload(authorization, form, caller).await;
        }
        let client = self.authenticate(authorization, form, caller).await?;
        let request = TokenRequest::parse(form)?;
        if request.grant_type() == GrantType::JwtBearer && !self.serves(GrantType::JwtBearer) {
            return Err(TokenRequestError::UnsupportedGrantType.into());
        }
        if !client.client().may_use(request.grant_type()) {
            return Err(TokenError::GrantTypeNotRegistered);
        }
        match request {
            TokenRequest::AuthorizationCode { code, redirect_uri, code_verifier, resource } => {
                let presented = PresentedCode {
                    code: &code,
                    code_verifier: code_verifier.as_ref(),
                    redirect_uri: redirect_uri.as_deref(),
                    resource: &resource,
                };
                self.exchange_code(&client, presented, caller).await
            }
            TokenRequest::ClientCredentials { scope, resource } => {
                self.client_credentials(&client, (&resource, scope.as_deref()), caller).await
            }
            TokenRequest::DeviceCode { device_code } => {
                self.exchange_device_code(&client, &device_code, caller).await
            }
            TokenRequest::JwtBearer { assertion, scope, resource } => {
                let presented =
                    PresentedAssertion { assertion, resource: &resource, scope: scope.as_deref() };
                self.exchange_id_jag(&client, presented, caller).await
            }
            TokenRequest::RefreshToken { refresh_token, scope, resource } => {
                let presented = PresentedRefreshToken {
                    refresh_token: &refresh_token,
                    resource: &resource,
                    scope: scope.as_deref(),
                };
                self.exchange_refresh_token(&client, presented, caller).await
            }
            TokenRequest::TokenExchange(request) => self.exchange_token(&client, &request, caller).await,
        }
    }
}
