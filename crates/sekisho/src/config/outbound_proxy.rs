//! `[outbound_proxy]`: the proxy through which everything outward goes, and what an MCP server says otherwise.

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::parse;
use super::reader::Section;
use super::secrets::SecretSource;
use super::settings::settings;

settings! {
    /// The HTTP proxy through which connections outward are made: to MCP servers, identity providers, the authority of
    /// `[acme]` and the key service of `[master_key]`, by CONNECT for http and https alike. The database is reached
    /// directly. Variables such as `HTTPS_PROXY` are never read. `[mcp_server.outbound_proxy]` takes the same settings
    /// for one MCP server, and `outbound_proxy = "off"` in `[[mcp_server]]` goes straight there.
    ///
    /// The proxy resolves the names, so which addresses they may lead to is for it to say. Never asked of it, but dialled
    /// directly: `localhost` and the names below it, loopback, unspecified and link-local addresses, and the metadata
    /// services of the clouds. There they would be the proxy's own.
    ///
    /// A change is taken at a reload, but for `[acme]`, which goes its way until a restart.
    OutboundProxy = "[outbound_proxy]" {
        /// Where it is. With https the connection to the proxy is encrypted too, and with it the password.
        url: Url = required, "an http or https URL of a host and a port alone", proxy_url;
        /// The user name there, together with `password_file`, `password_env` or `password_command`.
        username: Option<String> = optional, "a text without a colon", username;
        /// Certificate authorities of an https proxy, in PEM, beside those of the system.
        ca_file: Option<String> = optional, "a path", parse::text;
        /// What is reached directly: a host name with all names below it, an address, or a network.
        no_proxy: Vec<String> = "[]", "a list such as [\"internal.example.com\", \"10.0.0.0/8\"]", no_proxy;
    }
}

/// One proxy, read.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboundProxyConfig {
    /// The settings.
    pub settings: OutboundProxy,
    /// The password that goes with the user name.
    pub password: Option<SecretSource>,
}

/// What one MCP server says of it.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboundProxyChoice {
    /// As for everything else.
    Inherited,
    /// Straight there.
    Off,
    /// A proxy of its own.
    Own(Box<OutboundProxyConfig>),
}

impl OutboundProxyConfig {
    /// Reads `[outbound_proxy]`, which may be left out.
    pub(super) fn read(root: &mut Section<'_>) -> Option<Option<Self>> {
        if !root.has("outbound_proxy") {
            root.knows("outbound_proxy");
            return Some(None);
        }
        Self::read_one(root.table("outbound_proxy")?).map(Some)
    }

    fn read_one(mut section: Section<'_>) -> Option<Self> {
        let settings = OutboundProxy::read(&mut section);
        let password = SecretSource::read(&mut section, "password", false);
        if let (Some(settings), Some(password)) = (&settings, &password)
            && settings.username.is_some() != password.is_some()
        {
            section.mistake(
                "username",
                "is of use only together with a password",
                "both username and password_file, or neither",
            );
        }
        section.finish();
        Some(Self { settings: settings?, password: password? })
    }
}

impl OutboundProxyChoice {
    /// Reads `outbound_proxy` of an MCP server.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        if !section.has("outbound_proxy") {
            section.knows("outbound_proxy");
            return Some(Self::Inherited);
        }
        if section.is_table("outbound_proxy") {
            let own = OutboundProxyConfig::read_one(section.table("outbound_proxy")?)?;
            return Some(Self::Own(Box::new(own)));
        }
        section
            .required("outbound_proxy", "\"off\", or [mcp_server.outbound_proxy] with url", off)
            .map(|()| Self::Off)
    }
}

fn off(value: &DeValue<'_>) -> Result<(), String> {
    if value.as_str() == Some("off") { Ok(()) } else { Err("is neither off nor a table".to_owned()) }
}

fn proxy_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = parse::http_url(value)?;
    if url.path() == "/" && url.query().is_none() {
        Ok(url)
    } else {
        Err("must not have a path or a query".to_owned())
    }
}

fn username(value: &DeValue<'_>) -> Result<String, String> {
    let name = parse::text(value)?;
    if name.contains(':') { Err("holds a colon".to_owned()) } else { Ok(name) }
}

/// With a port an entry would match nothing, and with a star it would not be what it looks like.
fn no_proxy(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let entries = parse::texts(value)?;
    let is_peer = |entry: &String| {
        let name = entry.strip_prefix('.').unwrap_or(entry);
        entry.parse::<IpNet>().is_ok()
            || entry.parse::<std::net::IpAddr>().is_ok()
            || (!name.is_empty()
                && name.split('.').all(|label| !label.is_empty())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
    };
    if entries.iter().all(is_peer) {
        Ok(entries)
    } else {
        Err("holds something that is not a host name, an address or a network; ports and * are not known here"
            .to_owned())
    }
}
