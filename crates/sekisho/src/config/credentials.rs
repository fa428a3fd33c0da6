//! `credential` of `[[mcp_server]]`: what an MCP server is sent to say who asks (product.md, P-14).

use std::time::Duration;

use resource_server::FixedCredential;
use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

/// Which form of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialForm {
    /// The identity assertion alone.
    Assertion,
    /// The same secret for everybody.
    Fixed,
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

    /// Reads `[mcp_server.fixed]`, which is there if, and only if, the credential is of that form.
    pub(super) fn read(server: &mut Section<'_>, form: Option<CredentialForm>) -> Option<Option<Self>> {
        let read = server.table("fixed").map(Self::read_one);
        let wanted = match form? {
            CredentialForm::Fixed => true,
            CredentialForm::Assertion | CredentialForm::None => false,
        };
        match read {
            Some(read) if wanted => read.map(Some),
            None if !wanted && !server.has("fixed") => Some(None),
            Some(_) | None => {
                let (key, problem) = if wanted {
                    ("credential", "needs [mcp_server.fixed] with the secret")
                } else {
                    ("fixed", "is of use only with credential = \"fixed\"")
                };
                let both = "both credential = \"fixed\" and [mcp_server.fixed], or neither";
                server.mistake(key, problem, both);
                None
            }
        }
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = FixedSettings::read(&mut section);
        let value = SecretSource::read(&mut section, "value", true);
        section.finish();
        Some(Self { settings: settings?, value: value?? })
    }
}

/// Reads `credential`.
pub(super) fn form(value: &DeValue<'_>) -> Result<CredentialForm, String> {
    match parse::text(value)?.as_str() {
        "assertion" => Ok(CredentialForm::Assertion),
        "fixed" => Ok(CredentialForm::Fixed),
        "none" => Ok(CredentialForm::None),
        _ => Err("is none of the three".to_owned()),
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
