//! `[mcp_server.id_jag]`: where an ID-JAG about a person buys a token of the MCP server's (enterprise-managed authorization).

use protocol::oauth::TokenEndpointAuthMethod;

use super::exchange::{client_secret, method};
use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// With `credential = "id_jag"`: an ID-JAG about the person, from their identity provider or from Sekisho itself, is presented to the
    /// MCP server's authorization server, and calls carry the access token that it gives (MCP extension
    /// `io.modelcontextprotocol/enterprise-managed-authorization`; docs/who-is-calling.md). It is held in memory until shortly before it ends. The secret
    /// of the client comes from `client_secret_file`, …`_env` or …`_command`.
    IdJagSettings = "[mcp_server.id_jag]" {
        /// The issuer of the MCP server's authorization server, byte for byte.
        authorization_server: String = required, "a URL", parse::issuer;
        /// Who gives the ID-JAGs: the `id` of an `[[identity_provider]]` with `recheck = true`, which has to know Sekisho's client at the
        /// authorization server. Left out: Sekisho, which the authorization server has to trust as it would an identity provider.
        identity_provider: Option<String> = optional, "an id", parse::text;
        /// The token endpoint, if the metadata does not lead to it. Only without `identity_provider`.
        token_endpoint: Option<String> = optional, "a URL", parse::issuer;
        /// Its revocation endpoint (RFC 7009), where what is held of a person who is stopped is taken back. Left out: that of its metadata,
        /// if there is one. Only without `identity_provider`.
        revocation_endpoint: Option<String> = optional, "a URL", parse::issuer;
        /// The client that was registered at the authorization server for Sekisho.
        client_id: String = required, "an id", parse::text;
        /// How the client authenticates (RFC 6749, section 2.3.1; RFC 7523, section 2.2). `private_key_jwt`: by the key that signs access
        /// tokens, which is published at `/oauth/jwks` of Sekisho's; then there is no secret. Left out: as the metadata says, or
        /// else in the header.
        client_authentication: Option<TokenEndpointAuthMethod> = optional, "\"client_secret_basic\", \"client_secret_post\" or \"private_key_jwt\"", method;
        /// `aud` of what it proves itself by with `private_key_jwt`, for an authorization server that wants another than its
        /// issuer, such as its token endpoint.
        assertion_audience: Option<String> = optional, "a URL", parse::issuer;
        /// What is asked for. Left out: what the authorization server gives by itself.
        scopes: Vec<String> = "[]", "a list of scopes", parse::texts;
        /// The resource identifier of the MCP server, if it is not its `url`.
        resource: Option<String> = optional, "a URL", parse::text;
        /// Whether an ID-JAG of Sekisho's own tells the person's e-mail address, for an authorization server that finds people by it.
        tell_address: bool = "false", "true or false", parse::boolean;
        /// Whether calls of a service account that acts for the person (docs/machines.md) are given a token of the person's too. Of an
        /// identity provider it is asked as if the person called; an ID-JAG of Sekisho's own says who acts (`act`), of which the
        /// authorization server may take no notice. Otherwise such calls are refused.
        for_agents: bool = "false", "true or false", parse::boolean;
    }
}

/// `[mcp_server.id_jag]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct IdJagConfig {
    /// Its settings.
    pub settings: IdJagSettings,
    /// The secret of the client, unless it has Sekisho's key.
    pub client_secret: Option<SecretSource>,
}

impl IdJagConfig {
    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = IdJagSettings::read(&mut section);
        let method = settings.as_ref().and_then(|settings| settings.client_authentication);
        let client_secret = client_secret(&mut section, method);
        let theirs = settings.as_ref().is_some_and(|settings| settings.identity_provider.is_some());
        let mut fits = true;
        for key in ["revocation_endpoint", "tell_address", "token_endpoint"] {
            if theirs && section.has(key) {
                section.mistake(
                    key,
                    "is of use only where Sekisho gives the ID-JAGs",
                    "no identity_provider",
                );
                fits = false;
            }
        }
        section.finish();
        let whole = Self { settings: settings?, client_secret: client_secret? };
        Some(whole).filter(|_| fits)
    }
}
