//! `[mcp_server.exchange]`: where Sekisho's word about a person is exchanged for a token of the MCP server's (RFC 8693).

use protocol::oauth::TokenEndpointAuthMethod;
use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// With `credential = "exchange"`: Sekisho exchanges an assertion about the person, which it signs for this authorization server
    /// alone, for an access token of the MCP server's, and calls carry that (RFC 8693; docs/who-is-calling.md). It is held in
    /// memory until shortly before it ends. The secret of the client comes from `client_secret_file`, …`_env` or …`_command`.
    ExchangeSettings = "[mcp_server.exchange]" {
        /// The issuer of the authorization server: the MCP server's own, or a token service of the organisation. It is the audience of
        /// the assertions, and has to believe what Sekisho signs.
        authorization_server: String = required, "a URL", parse::issuer;
        /// Its token endpoint. Left out: that of its metadata, which the MCP server's metadata leads to.
        token_endpoint: Option<String> = optional, "a URL", parse::issuer;
        /// Its revocation endpoint (RFC 7009), where what is held of a person who is stopped is taken back. Left out: that of its metadata,
        /// if there is one.
        revocation_endpoint: Option<String> = optional, "a URL", parse::issuer;
        /// The client that was registered there for Sekisho.
        client_id: String = required, "an id", parse::text;
        /// How the client authenticates (RFC 6749, section 2.3.1; RFC 7523, section 2.2). `private_key_jwt`: by the key that signs access
        /// tokens, which is published at `/oauth/jwks` of Sekisho's; then there is no secret. Left out: as the metadata says, or
        /// else in the header.
        client_authentication: Option<TokenEndpointAuthMethod> = optional, "\"client_secret_basic\", \"client_secret_post\" or \"private_key_jwt\"", method;
        /// `aud` of what it proves itself by with `private_key_jwt`, for an authorization server that wants another than its
        /// issuer, such as its token endpoint.
        assertion_audience: Option<String> = optional, "a URL", parse::issuer;
        /// What is asked for. Left out: what the MCP server says that it needs, if it is asked.
        scopes: Vec<String> = "[]", "a list of scopes", parse::texts;
        /// `resource` of the request (RFC 8707). Left out: the `url` of the MCP server.
        resource: Option<String> = optional, "a URL, or \"off\" for none", resource;
        /// `audience` of the request, for an authorization server that knows the MCP server by a name of its own.
        audience: Option<String> = optional, "a text", parse::text;
    }
}

/// `[mcp_server.exchange]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeConfig {
    /// Its settings.
    pub settings: ExchangeSettings,
    /// The secret of the client, unless it has Sekisho's key.
    pub client_secret: Option<SecretSource>,
}

impl ExchangeConfig {
    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = ExchangeSettings::read(&mut section);
        let method = settings.as_ref().and_then(|settings| settings.client_authentication);
        let client_secret = client_secret(&mut section, method);
        section.finish();
        Some(Self { settings: settings?, client_secret: client_secret? })
    }
}

pub(super) fn method(value: &DeValue<'_>) -> Result<TokenEndpointAuthMethod, String> {
    match parse::text(value)?.as_str() {
        "client_secret_basic" => Ok(TokenEndpointAuthMethod::ClientSecretBasic),
        "client_secret_post" => Ok(TokenEndpointAuthMethod::ClientSecretPost),
        "private_key_jwt" => Ok(TokenEndpointAuthMethod::PrivateKeyJwt),
        _ => Err("is none of the three".to_owned()),
    }
}

/// The secret of a client that authenticates in this way: there is one, or none with a key.
pub(super) fn client_secret(
    section: &mut Section<'_>,
    method: Option<TokenEndpointAuthMethod>,
) -> Option<Option<SecretSource>> {
    let by_key = method == Some(TokenEndpointAuthMethod::PrivateKeyJwt);
    let secret = SecretSource::read(section, "client_secret", !by_key)?;
    let allowed = "a secret, or client_authentication = \"private_key_jwt\"";
    if by_key && secret.is_some() {
        section.mistake("client_authentication", "has no secret, and one is given", allowed);
        return None;
    }
    if !by_key && section.has("assertion_audience") {
        section.mistake("assertion_audience", "is of use only with private_key_jwt", allowed);
        return None;
    }
    Some(secret)
}

fn resource(value: &DeValue<'_>) -> Result<String, String> {
    let written = parse::text(value)?;
    if written == "off" {
        return Ok(written);
    }
    parse::http_url(value).map(|_| written)
}
