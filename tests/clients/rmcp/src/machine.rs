//! Without a browser: as a machine (`io.modelcontextprotocol/oauth-client-credentials`), and by what the organisation's identity
//! provider says (`io.modelcontextprotocol/enterprise-managed-authorization`).
//!
//! `CLIENT_ID` and `CLIENT_SECRET` or `PRIVATE_KEY` say who it is at the authorization server; with `ID_TOKEN`, `IDP_CLIENT_ID`
//! and `IDP_CLIENT_SECRET` it exchanges that token at `IDP` for an ID-JAG, and the ID-JAG for an access token.

use oauth2::{ClientSecret, TokenResponse as _};
use rmcp::transport::auth::enterprise::{
    EmaAuthorizationServer, EmaClientAuthentication, EmaExchangeRequest,
};
use rmcp::transport::auth::{
    AuthorizationManager, AuthorizationMetadata, ClientCredentialsConfig, JwtSigningAlgorithm,
    default_oauth_http_client,
};

use crate::Failure;

/// What came of it.
pub(crate) struct Machine {
    /// The client, as the authorization server knows it.
    pub(crate) client_id: String,
    /// What it was given.
    pub(crate) scope: Option<String>,
    /// Whether a refresh token came with it.
    pub(crate) refresh_token: bool,
    /// The bearer.
    pub(crate) access_token: String,
}

/// Whether this run is to be one without a browser.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("CLIENT_ID").is_some()
}

fn given(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

/// From the 401 to a token.
pub(crate) async fn authorize(url: &str) -> Result<Machine, Failure> {
    let mut manager = AuthorizationManager::new(url).await?;
    let found = manager.resolve_metadata().await?.metadata;
    if std::env::var_os("ID_TOKEN").is_some() {
        enterprise(url, &found).await
    } else {
        manager.set_metadata(found);
        credentials(url, manager).await
    }
}

async fn credentials(url: &str, mut manager: AuthorizationManager) -> Result<Machine, Failure> {
    let client_id = given("CLIENT_ID")?;
    // Whoever uses the SDK chooses the scopes; this asks for what the metadata of the MCP server names.
    let scopes = manager.select_scopes(None, &["read", "write"]);
    let resource = Some(url.to_owned());
    let config = match std::env::var("PRIVATE_KEY") {
        Ok(key) => ClientCredentialsConfig::PrivateKeyJwt {
            client_id: client_id.clone(),
            signing_key: key.into_bytes(),
            signing_algorithm: JwtSigningAlgorithm::ES256,
            token_endpoint_audience: None,
            scopes,
            resource,
        },
        Err(_) => ClientCredentialsConfig::ClientSecret {
            client_id: client_id.clone(),
            client_secret: given("CLIENT_SECRET")?,
            scopes,
            resource,
        },
    };
    manager.validate_client_credentials_metadata(&config)?;
    manager.configure_client_credentials(&config)?;
    let tokens = manager.exchange_client_credentials(&config).await?;
    let words: Option<Vec<String>> =
        tokens.scopes().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect());
    Ok(Machine {
        client_id,
        scope: words.map(|words| words.join(" ")),
        refresh_token: tokens.refresh_token().is_some(),
        access_token: tokens.access_token().secret().clone(),
    })
}

async fn enterprise(url: &str, found: &AuthorizationMetadata) -> Result<Machine, Failure> {
    let (idp, client_id, id_token) = (given("IDP")?, given("CLIENT_ID")?, given("ID_TOKEN")?);
    let idp_metadata = AuthorizationManager::new(&idp).await?.resolve_metadata().await?.metadata;
    let issuer = found.issuer.clone().ok_or("the authorization server does not name itself")?;
    let secret = |name: &str| given(name).map(ClientSecret::new);
    let idp = EmaAuthorizationServer::new(idp, idp_metadata.token_endpoint, given("IDP_CLIENT_ID")?)
        .with_client_authentication(EmaClientAuthentication::ClientSecretPost(secret("IDP_CLIENT_SECRET")?));
    let ours = EmaAuthorizationServer::new(issuer, found.token_endpoint.clone(), client_id.clone())
        .with_client_authentication(EmaClientAuthentication::ClientSecretBasic(secret("CLIENT_SECRET")?));
    let http = default_oauth_http_client()?;
    let request = EmaExchangeRequest::new_with_id_token(idp, ours, url, &id_token);
    let token = request.with_scopes(["read"]).exchange(&http, &http).await?;
    let mut scopes: Vec<String> = token.scopes.into_iter().collect();
    scopes.sort();
    Ok(Machine {
        client_id,
        scope: Some(scopes.join(" ")),
        // The SDK refuses an answer with one.
        refresh_token: false,
        access_token: token.access_token.secret().clone(),
    })
}
