//! What is known of an MCP server's authorization server before it is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::oauth::{Scope, TokenEndpointAuthMethod};
use protocol::secret::Secret;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use super::ways::usable;
use crate::client_key::ClientKey;

/// What kind of authorization server it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Atlassian's accounts: OAuth 2.0 (3LO).
    Atlassian,
    /// GitHub's accounts: an OAuth App, or a GitHub App in the name of a person.
    Github,
    /// Google's accounts.
    Google,
    /// That of an MCP server, found by the MCP authorization specification.
    #[default]
    Mcp,
}

/// In which ways it may come to know us (MCP 2026-07-28, client registration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Pre-registered if there is a `client_id`, else by our metadata document if it takes that, else dynamically (CL-015).
    #[default]
    Any,
    /// By our client ID metadata document alone.
    MetadataDocument,
    /// By RFC 7591 alone.
    Dynamic,
    /// By `client_id` alone.
    PreRegistered,
}

/// The client that the operator registered there by hand.
pub struct PreRegistered {
    /// Its id.
    pub client_id: String,
    /// Its secret; a client without one is public.
    pub client_secret: Option<Arc<Secret>>,
    /// By which key it proves who it is, in place of a secret.
    pub key: Option<ClientKey>,
    /// How it authenticates, if the metadata does not decide: the secret in the header, or in the body.
    pub method: Option<TokenEndpointAuthMethod>,
}

/// One connection: an MCP server, its authorization server, and who we are there.
#[derive(Debug)]
pub struct OauthClientSettings {
    /// The name of the MCP server here.
    pub server: String,
    /// Its URL, as the gateway calls it.
    pub url: String,
    /// Its resource identifier (RFC 8707), if its own metadata names another than its URL and that is meant.
    pub resource: Option<String>,
    /// What kind of authorization server it has.
    pub kind: Kind,
    /// The issuer, if the operator names it; for the accounts of a company's own GitHub, its address.
    pub authorization_server: Option<String>,
    /// The token endpoint, if the operator names it: then nobody is asked who authorizes.
    pub token_endpoint: Option<String>,
    /// The revocation endpoint, if the operator names it: otherwise the metadata does.
    pub revocation_endpoint: Option<String>,
    /// The client that was registered by hand.
    pub client: Option<PreRegistered>,
    /// In which ways it may come to know us.
    pub registration: Registration,
    /// What is asked for; empty to ask for what the MCP server says that it needs.
    pub scope: Scope,
    /// Whether PKCE is taken for granted where the metadata does not speak of it.
    pub assume_pkce: bool,
    /// Our redirect URI: one for each connection, so that no two authorization servers share one (CL-047).
    pub redirect_uri: String,
    /// The URL of our client ID metadata document for it.
    pub document_url: String,
    /// The same under the other names of this house, where it is read too: what was given to them goes on (product.md, P-23).
    pub other_document_urls: Vec<String>,
    /// Our name, as it is shown to people there.
    pub client_name: String,
    /// For each request.
    pub deadline: Duration,
}

/// The settings cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OauthClientSettingsError {
    /// The client id is empty, or there is a method that its secret does not fit.
    #[error("`client_id` is not empty, and a client that authenticates has a `client_secret_file`, or a key")]
    Client,
    /// An account needs a client that was registered by hand.
    #[error("connections of this kind need `client_id` and `client_secret_file`")]
    ClientMissing,
    /// The issuer is no URL that is protected.
    #[error("`authorization_server` is https (http only on loopback), without query and fragment")]
    Issuer,
    /// The redirect URI or the document's URL is none (CL-014).
    #[error("our own address is https (http only on loopback)")]
    OurAddress,
    /// The URL of the MCP server or the resource is none.
    #[error("the url of the mcp server, and `resource`, are absolute http or https urls without fragment")]
    Resource,
    /// A secret without the issuer that it was made for.
    #[error("a `client_secret_file` belongs to one issuer: name it by `authorization_server`")]
    SecretForWhom,
    /// The token endpoint is no URL that is protected.
    #[error("`token_endpoint` and `revocation_endpoint` are https (http only on loopback), without fragment")]
    TokenEndpoint,
}

impl OauthClientSettings {
    pub(super) fn verify(&self) -> Result<(), OauthClientSettingsError> {
        use OauthClientSettingsError as Wrong;
        let absolute = |text: &str| {
            Url::parse(text).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none()
            })
        };
        if !absolute(&self.url) || !self.resource.as_deref().is_none_or(absolute) {
            return Err(Wrong::Resource);
        }
        let issuer = |text: &str| usable(text, false).is_some_and(|url| url.query().is_none());
        if !self.authorization_server.as_deref().is_none_or(issuer) {
            return Err(Wrong::Issuer);
        }
        let endpoints = [&self.token_endpoint, &self.revocation_endpoint];
        if endpoints.into_iter().flatten().any(|text| usable(text, false).is_none()) {
            return Err(Wrong::TokenEndpoint);
        }
        let addresses = [&self.redirect_uri, &self.document_url].into_iter().chain(&self.other_document_urls);
        if addresses.into_iter().any(|address| usable(address, false).is_none()) {
            return Err(Wrong::OurAddress);
        }
        match &self.client {
            Some(client) if !client.is_whole() => Err(Wrong::Client),
            // A secret is shown to nobody but whom it was made for, whatever the MCP server's metadata says (CL-026).
            Some(client)
                if self.kind == Kind::Mcp
                    && (client.client_secret.is_some() || client.key.is_some())
                    && self.authorization_server.is_none() =>
            {
                Err(Wrong::SecretForWhom)
            }
            None if self.kind != Kind::Mcp => Err(Wrong::ClientMissing),
            None if self.registration == Registration::PreRegistered => Err(Wrong::ClientMissing),
            Some(_) | None => Ok(()),
        }
    }

    /// The identifier that we expect the MCP server to have.
    pub(super) fn expected_resource(&self) -> &str {
        self.resource.as_deref().unwrap_or(&self.url)
    }
}

impl PreRegistered {
    fn is_whole(&self) -> bool {
        use TokenEndpointAuthMethod as Method;
        let method = match (self.method, &self.client_secret, &self.key) {
            (None | Some(Method::None), None, None) | (Some(Method::PrivateKeyJwt), None, Some(_)) => true,
            (None | Some(Method::ClientSecretBasic | Method::ClientSecretPost), Some(secret), None) => {
                !secret.is_empty()
            }
            (None | Some(_), _, _) => false,
        };
        method && !self.client_id.is_empty()
    }
}

impl fmt::Debug for PreRegistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreRegistered").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::oauth_client) fn settings(kind: Kind) -> OauthClientSettings {
        OauthClientSettings {
            server: "notes".to_owned(),
            url: "https://mcp.example/mcp".to_owned(),
            resource: None,
            kind,
            authorization_server: None,
            token_endpoint: None,
            revocation_endpoint: None,
            client: None,
            registration: Registration::Any,
            scope: Scope::default(),
            assume_pkce: false,
            redirect_uri: "https://sekisho.example/connect/notes/callback".to_owned(),
            document_url: "https://sekisho.example/connect/notes/client.json".to_owned(),
            other_document_urls: Vec::new(),
            client_name: "Sekisho".to_owned(),
            deadline: Duration::from_secs(10),
        }
    }

    fn client(secret: Option<&str>, method: Option<TokenEndpointAuthMethod>) -> Option<PreRegistered> {
        let client_secret = secret.map(|secret| Arc::new(Secret::new(secret.to_owned())));
        Some(PreRegistered { client_id: "us".to_owned(), client_secret, key: None, method })
    }

    /// CL-014.
    #[test]
    fn what_cannot_work_is_said_before_anybody_is_asked() {
        use OauthClientSettingsError as Wrong;
        use TokenEndpointAuthMethod as Method;
        let good = || settings(Kind::Mcp);
        assert_eq!(good().verify(), Ok(()));
        let at = |url: &str| OauthClientSettings { url: url.to_owned(), ..good() }.verify();
        for bad in ["", "mcp.example", "ftp://mcp.example/", "https://mcp.example/#"] {
            assert_eq!(at(bad), Err(Wrong::Resource), "{bad}");
        }
        for bad in ["http://as.example", "https://as.example?x", "https://u@as.example", "as"] {
            let settings = OauthClientSettings { authorization_server: Some(bad.to_owned()), ..good() };
            assert_eq!(settings.verify(), Err(Wrong::Issuer), "{bad}");
        }
        for bad in ["http://as.example/token", "https://as.example/token#", "token"] {
            let settings = OauthClientSettings { token_endpoint: Some(bad.to_owned()), ..good() };
            assert_eq!(settings.verify(), Err(Wrong::TokenEndpoint), "{bad}");
        }
        let settings = OauthClientSettings { redirect_uri: "http://sekisho.example/c".to_owned(), ..good() };
        assert_eq!(settings.verify(), Err(Wrong::OurAddress));
        for (kind, client, wrong) in [
            (Kind::Github, None, Some(Wrong::ClientMissing)),
            (Kind::Github, client(Some("s"), None), None),
            (Kind::Mcp, client(Some(""), None), Some(Wrong::Client)),
            (Kind::Mcp, client(None, Some(Method::ClientSecretBasic)), Some(Wrong::Client)),
            (Kind::Mcp, client(Some("s"), Some(Method::PrivateKeyJwt)), Some(Wrong::Client)),
            (Kind::Mcp, client(Some("s"), None), Some(Wrong::SecretForWhom)),
            (Kind::Mcp, client(None, None), None),
        ] {
            let settings = OauthClientSettings { kind, client, ..good() };
            assert_eq!(settings.verify().err(), wrong);
        }
    }
}
