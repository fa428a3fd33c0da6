//! `credential` of `[[mcp_server]]`: what an MCP server is sent to say who asks (product.md, P-14).

use std::time::Duration;

use resource_server::FixedCredential;
use toml::de::DeValue;
use upstream::oauth_client::{Kind, Registration};

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

/// Which form of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialForm {
    /// The identity assertion alone.
    Assertion,
    /// The person's own, of the account that they connected.
    Connection,
    /// What a token endpoint gives for the person.
    Exchange,
    /// The same secret for everybody.
    Fixed,
    /// What the MCP server's authorization server gives for an ID-JAG.
    IdJag,
    /// The short-lived one of an app, for everybody.
    Minted,
    /// Nothing.
    None,
}

settings! {
    /// With `credential = "fixed"`: a secret that every call to the MCP server carries, such as an API key. It comes from
    /// `value_file`, `value_env` or `value_command`, and is read again at a reload.
    FixedSettings = "[mcp_server.fixed]" {
        /// The header in which it is sent.
        header: String = "'Authorization'", "the name of a header that is not Sekisho's own", header;
        /// What stands before the value. Left out: `Bearer` in `Authorization`, and nothing in another header.
        scheme: Option<String> = optional, "a word such as \"Basic\", or \"off\" for the value alone", scheme;
        /// How old the secret may be before `sekisho check` and the log find fault with it. Its age is that of the file.
        max_age: Duration = "'90d'", "1d to 3650d", parse::duration::<86_400, 315_360_000>;
    }
}

/// `[mcp_server.fixed]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedConfig {
    /// Its settings.
    pub settings: FixedSettings,
    /// The secret.
    pub value: SecretSource,
}

impl FixedConfig {
    /// What stands before the value.
    pub fn scheme(&self) -> Option<&str> {
        self.settings.scheme.as_deref().map(|scheme| if scheme == "off" { "" } else { scheme })
    }

    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = FixedSettings::read(&mut section);
        let value = SecretSource::read(&mut section, "value", true);
        section.finish();
        Some(Self { settings: settings?, value: value?? })
    }
}

settings! {
    /// With `credential = "connection"`: each person connects an account of theirs at the provider of the MCP server, on a page
    /// of Sekisho's, and calls carry what was given for it. May be left out where the MCP server says all by itself (MCP
    /// authorization). The secret of a client that was registered there by hand comes from `client_secret_file`, …`_env` or …`_command`.
    /// The redirect URI to register is `PAGES_URL/connect/NAME/callback`.
    ConnectionSettings = "[mcp_server.connection]" {
        /// What kind of provider it is. `mcp`: the MCP server names its own. The others are accounts there.
        kind: Kind = "'mcp'", "\"mcp\", \"github\", \"google\" or \"atlassian\"", kind;
        /// The client that was registered there by hand.
        client_id: Option<String> = optional, "an id", parse::text;
        /// The issuer of the authorization server, if the MCP server names several or none; of a company's own GitHub its
        /// address.
        authorization_server: Option<String> = optional, "a URL", parse::issuer;
        /// In which ways the authorization server may come to know Sekisho.
        registration: Registration = "'any'", "\"any\", \"metadata_document\", \"dynamic\" or \"pre_registered\"", registration;
        /// What is asked for. Left out: what the MCP server says that it needs.
        scopes: Vec<String> = "[]", "a list of scopes", parse::texts;
        /// The resource identifier of the MCP server, if it says another one than its URL and that is meant.
        resource: Option<String> = optional, "a URL", parse::text;
        /// Whether PKCE is taken for granted where the metadata does not speak of it.
        assume_pkce: bool = "false", "true or false", parse::boolean;
    }
}

/// `[mcp_server.connection]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// Its settings.
    pub settings: ConnectionSettings,
    /// The secret of the client.
    pub client_secret: Option<SecretSource>,
}

impl ConnectionConfig {
    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = ConnectionSettings::read(&mut section);
        let client_secret = SecretSource::read(&mut section, "client_secret", false);
        section.finish();
        Some(Self { settings: settings?, client_secret: client_secret? })
    }
}

/// Reads the table that one form of credential has, which is there only with that form, and then always unless it `may_be_missing`.
pub(super) fn table<'a, T>(
    server: &mut Section<'a>,
    form: Option<CredentialForm>,
    (name, its, may_be_missing): (&str, CredentialForm, bool),
    read: fn(Section<'a>) -> Option<T>,
) -> Option<Option<T>> {
    let there = server.has(name);
    let read = server.table(name).map(read);
    let wanted = form? == its;
    match read {
        Some(read) if wanted => read.map(Some),
        // What is no table was told already.
        None if there => None,
        None if !wanted || may_be_missing => Some(None),
        Some(_) | None => {
            let (key, problem) = if wanted {
                ("credential", format!("needs [mcp_server.{name}]"))
            } else {
                (name, format!("is of use only with credential = \"{name}\""))
            };
            let both = format!("both credential = \"{name}\" and [mcp_server.{name}], or neither");
            server.mistake(key, problem, &both);
            None
        }
    }
}

fn kind(value: &DeValue<'_>) -> Result<Kind, String> {
    match parse::text(value)?.as_str() {
        "atlassian" => Ok(Kind::Atlassian),
        "github" => Ok(Kind::Github),
        "google" => Ok(Kind::Google),
        "mcp" => Ok(Kind::Mcp),
        _ => Err("is none of the four".to_owned()),
    }
}

fn registration(value: &DeValue<'_>) -> Result<Registration, String> {
    match parse::text(value)?.as_str() {
        "any" => Ok(Registration::Any),
        "dynamic" => Ok(Registration::Dynamic),
        "metadata_document" => Ok(Registration::MetadataDocument),
        "pre_registered" => Ok(Registration::PreRegistered),
        _ => Err("is none of the four".to_owned()),
    }
}

/// Reads `credential`.
pub(super) fn form(value: &DeValue<'_>) -> Result<CredentialForm, String> {
    match parse::text(value)?.as_str() {
        "assertion" => Ok(CredentialForm::Assertion),
        "connection" => Ok(CredentialForm::Connection),
        "exchange" => Ok(CredentialForm::Exchange),
        "fixed" => Ok(CredentialForm::Fixed),
        "id_jag" => Ok(CredentialForm::IdJag),
        "minted" => Ok(CredentialForm::Minted),
        "none" => Ok(CredentialForm::None),
        _ => Err("is none of these words".to_owned()),
    }
}

fn header(value: &DeValue<'_>) -> Result<String, String> {
    let name = parse::text(value)?;
    match FixedCredential::header(&name) {
        Ok(_) => Ok(name),
        Err(error) => Err(error.to_string()),
    }
}

fn scheme(value: &DeValue<'_>) -> Result<String, String> {
    let scheme = parse::text(value)?;
    if FixedCredential::is_scheme(&scheme) { Ok(scheme) } else { Err("is not such a word".to_owned()) }
}
