//! What an MCP server says of itself, once.
//!
//! Must never print the secret.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use protocol::oauth::ResourceUri;
use protocol::secret::Secret;
use protocol::world::{Clock, Steady};

use crate::clock::SystemClock;

/// No honest MCP message is larger, unless its server says so.
const MESSAGE_BYTES: usize = 4 << 20;

/// How long an open answer may go on after its token, as at the gateway.
const STREAM_GRACE: Duration = Duration::from_secs(60 * 60);

/// What an MCP server says of itself.
pub struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) issuer: String,
    pub(crate) message_bytes: usize,
    pub(crate) name: String,
    pub(crate) read_only: BTreeSet<String>,
    pub(crate) resource: ResourceUri,
    pub(crate) secret: Secret,
    pub(crate) stream_grace: Duration,
}

impl Settings {
    /// `issuer` is the public URL of Sekisho; `resource` is the URL of this MCP server as Sekisho and the clients know it;
    /// `name` and `secret` are its name there and its `introspection_secret_file`, by which it may read the feed.
    ///
    /// # Errors
    /// [`SettingsError`] if issuer or resource are no URLs, or https is missing where it must not be.
    pub fn new(issuer: &str, resource: &str, name: &str, secret: String) -> Result<Self, SettingsError> {
        Ok(Self {
            clock: Arc::new(Steady::new(SystemClock::new())),
            issuer: issuer_of(issuer)?,
            message_bytes: MESSAGE_BYTES,
            name: name.to_owned(),
            read_only: BTreeSet::new(),
            resource: ResourceUri::parse(resource).map_err(|_| SettingsError::Resource)?,
            secret: Secret::new(secret),
            stream_grace: STREAM_GRACE,
        })
    }

    /// These tools change nothing: `read` is enough for them. Every other tool needs `write`.
    #[must_use]
    pub fn read_only_tools<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.read_only.extend(names.into_iter().map(Into::into));
        self
    }

    /// The largest message that is read; 4 MiB unless this is said.
    #[must_use]
    pub const fn message_bytes(mut self, most: usize) -> Self {
        self.message_bytes = most;
        self
    }

    /// How long a stream may go on after its token; an hour unless this is said, as `limits.stream_grace` of the gateway.
    #[must_use]
    pub const fn stream_grace(mut self, grace: Duration) -> Self {
        self.stream_grace = grace;
        self
    }

    /// Another clock than the operating system's, for tests. It is made as steady as that one.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Arc::new(Steady::new(clock));
        self
    }
}

/// The secret of the feed and the keys come from there: TLS, except on one's own machine.
fn issuer_of(text: &str) -> Result<String, SettingsError> {
    let uri: Uri = text.parse().map_err(|_| SettingsError::Issuer)?;
    let host = uri.host().ok_or(SettingsError::Issuer)?;
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    let sound = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => here,
        Some(_) | None => false,
    };
    if !sound || text.ends_with('/') || uri.query().is_some() {
        return Err(SettingsError::Issuer);
    }
    Ok(text.to_owned())
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// What is wrong with settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The issuer.
    #[error(
        "the issuer must be the public URL of Sekisho: https (http on this machine only), without `/` at the end"
    )]
    Issuer,
    /// The resource.
    #[error("the resource must be the URL of this MCP server, as Sekisho knows it")]
    Resource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_without_tls_is_on_this_machine() {
        for (issuer, sound) in [
            ("https://mcp.example.com", true),
            ("http://localhost:8080", true),
            ("http://127.0.0.1:8080", true),
            ("http://mcp.example.com", false),
            ("http://localhost.example.com", false),
            ("https://mcp.example.com/", false),
            ("https://mcp.example.com?a", false),
            ("mcp.example.com", false),
            ("", false),
        ] {
            assert_eq!(issuer_of(issuer).is_ok(), sound, "{issuer}");
        }
    }

    #[test]
    fn settings_do_not_print_the_secret() {
        let settings =
            Settings::new("https://a.example", "https://a.example/notes/mcp", "notes", "hush".to_owned());
        assert!(!format!("{:?}", settings.unwrap()).contains("hush"));
    }
}
