//! `[mcp_server.minted]`: whose short-lived tokens the calls to an MCP server carry.

use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// With `credential = "minted"`: calls carry a short-lived token of an app, the same for everybody, which Sekisho mints by the app's
    /// private key, holds in memory, and mints anew before it ends (docs/who-is-calling.md). The key comes from `private_key_file`,
    /// …`_env` or …`_command`.
    MintedSettings = "[mcp_server.minted]" {
        /// Whose tokens. `github_app`: installation tokens of a GitHub App.
        kind: String = "'github_app'", "\"github_app\"", kind;
        /// The client id of the GitHub App, or its number.
        app_id: String = required, "an id", parse::text;
        /// The number of the installation, as it stands in the address of its page at GitHub.
        installation_id: u64 = required, "1 to 999999999999", parse::number::<1, 999_999_999_999>;
        /// What the tokens may do, if less than the installation.
        permissions: Vec<String> = "[]", "a list of NAME:LEVEL, such as \"issues:write\"", permissions;
        /// The repositories that they may touch, if not all of the installation.
        repositories: Vec<String> = "[]", "a list of names without their owner", parse::texts;
        /// The API, if it is not that of github.com: of a GitHub Enterprise Server `https://HOST/api/v3`.
        api_url: String = "'https://api.github.com'", "an https URL", parse::issuer;
    }
}

/// `[mcp_server.minted]`, read.
#[derive(Clone, Debug, PartialEq)]
pub struct MintedConfig {
    /// Its settings.
    pub settings: MintedSettings,
    /// The key.
    pub private_key: SecretSource,
}

impl MintedConfig {
    pub(super) fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = MintedSettings::read(&mut section);
        let private_key = SecretSource::read(&mut section, "private_key", true);
        section.finish();
        Some(Self { settings: settings?, private_key: private_key?? })
    }

    /// The permissions by name.
    pub fn permissions(&self) -> Vec<(String, String)> {
        let split = |one: &String| {
            let (name, level) = one.split_once(':')?;
            Some((name.to_owned(), level.to_owned()))
        };
        self.settings.permissions.iter().filter_map(split).collect()
    }
}

fn kind(value: &DeValue<'_>) -> Result<String, String> {
    let kind = parse::text(value)?;
    if kind == "github_app" { Ok(kind) } else { Err("is not a kind of mint".to_owned()) }
}

/// docs.github.com: the names are small letters and `_`, the levels `read`, `write` and, for a few, `admin`.
fn permissions(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_one = |one: &String| {
        one.split_once(':')
            .is_some_and(|(name, level)| is_name(name) && ["admin", "read", "write"].contains(&level))
    };
    let all = parse::texts(value)?;
    if all.iter().all(is_one) {
        Ok(all)
    } else {
        Err("holds something that is not NAME:read, NAME:write or NAME:admin".to_owned())
    }
}
