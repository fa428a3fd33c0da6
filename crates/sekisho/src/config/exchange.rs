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
        /// The client that was registered there for Sekisho.
        client_id: String = required, "an id", parse::text;
        /// How the client authenticates (RFC 6749, section 2.3.1). Left out: as the metadata says, or else in the header.
        client_authentication: Option<TokenEndpointAuthMethod> = optional, "\"client_secret_basic\" or \"client_secret_post\"", method;
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
    /// The secret of the client.
    pub client_secret: SecretSource,
}

impl ExchangeConfig {
    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = ExchangeSettings::read(&mut section);
        let client_secret = SecretSource::read(&mut section, "client_secret", true);
        section.finish();
        Some(Self { settings: settings?, client_secret: client_secret?? })
    }
}

pub(super) fn method(value: &DeValue<'_>) -> Result<TokenEndpointAuthMethod, String> {
    match parse::text(value)?.as_str() {
        "client_secret_basic" => Ok(TokenEndpointAuthMethod::ClientSecretBasic),
        "client_secret_post" => Ok(TokenEndpointAuthMethod::ClientSecretPost),
        _ => Err("is neither of the two".to_owned()),
    }
}

fn resource(value: &DeValue<'_>) -> Result<String, String> {
    let written = parse::text(value)?;
    if written == "off" {
        return Ok(written);
    }
    parse::http_url(value).map(|_| written)
}
