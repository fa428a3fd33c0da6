//! The outbound proxy: connections are made through it by CONNECT (RFC 9110, section 9.3.6), to http and https peers
//! alike, so that it sees neither paths nor credentials of what goes through TLS.
//!
//! The proxy resolves the names. What names this machine or its link is never asked of it: there it would be the
//! proxy's own machine, with the proxy's own services and credentials. Its credentials are in no error and no log.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use protocol::secret::Secret;
use url::Url;
use zeroize::Zeroizing;

use crate::trust::Trust;

/// Where the proxy is and what it wants to know.
#[derive(Debug)]
pub struct ProxySettings {
    /// `http` or `https`, host and port, nothing else.
    pub url: String,
    /// User name and password (RFC 7617).
    pub credentials: Option<(String, Secret)>,
    /// Peers that are reached directly: host names with all below them, addresses, networks.
    pub no_proxy: Vec<String>,
}

/// One outbound proxy.
#[derive(Clone)]
pub struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
    no_proxy: Vec<String>,
    exempt: Arc<Matcher>,
    trust: Trust,
}

/// The settings of a proxy are not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The user name would be read as a shorter one (RFC 7617, section 2).
    #[error("the user name at the outbound proxy holds a colon or a control character")]
    UserName,
    /// The password cannot be sent (RFC 7617, section 2).
    #[error("the password at the outbound proxy holds a control character")]
    Password,
    /// The URL.
    #[error("the url of the outbound proxy is http or https, a host and a port, and nothing else")]
    Url,
}

impl Proxy {
    /// `trust` is for a proxy that is reached by https. Dials nothing.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn new(settings: &ProxySettings, trust: &Trust) -> Result<Self, ProxyError> {
        let url = Url::parse(&settings.url).map_err(|_| ProxyError::Url)?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(ProxyError::Url);
        }
        let authorization = settings.credentials.as_ref().map(|(name, password)| basic(name, password));
        // The matcher wants to know where it would lead; only whether it does is asked of it.
        let exempt = Matcher::builder().all(url.as_str()).no(settings.no_proxy.join(",")).build();
        Ok(Self {
            uri: Uri::try_from(String::from(url)).map_err(|_| ProxyError::Url)?,
            authorization: authorization.transpose()?,
            no_proxy: settings.no_proxy.clone(),
            exempt: Arc::new(exempt),
            trust: trust.clone(),
        })
    }

    /// Whether connections to this peer are made through the proxy.
    #[must_use]
    pub fn leads_to(&self, peer: &Uri) -> bool {
        peer.host().is_some_and(|host| !is_near(host)) && self.exempt.intercept(peer).is_some()
    }

    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    pub(crate) const fn trust(&self) -> &Trust {
        &self.trust
    }
}

/// Where it is; never with whose name.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{}", self.uri.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.uri == other.uri
            && self.authorization == other.authorization
            && self.no_proxy == other.no_proxy
            && self.trust == other.trust
    }
}

impl Eq for Proxy {}

fn basic(name: &str, password: &Secret) -> Result<HeaderValue, ProxyError> {
    if name.contains(':') || name.chars().any(char::is_control) {
        return Err(ProxyError::UserName);
    }
    if password.expose(|password| password.chars().any(char::is_control)) {
        return Err(ProxyError::Password);
    }
    let pair = password.expose(|password| Zeroizing::new(format!("{name}:{password}")));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| ProxyError::Password)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a host of a URI is this machine or on its link, by its name or address alone: `localhost` (RFC 6761, section
/// 6.3), loopback, unspecified and link-local addresses, and where the clouds answer their own machines.
fn is_near(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(address) = bare.parse::<IpAddr>() else {
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        return name == "localhost" || name.ends_with(".localhost") || name == "metadata.google.internal";
    };
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => {
            // As `guarded` has them: AWS, Google, Oracle.
            let of_a_cloud = matches!(
                v6.segments(),
                [0xfd00, 0x0ec2, ..]
                    | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]
                    | [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
            );
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || of_a_cloud
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(no_proxy: &[&str]) -> Proxy {
        let settings = ProxySettings {
            url: "http://proxy.example:3128".to_owned(),
            credentials: Some(("sekisho".to_owned(), Secret::new("hunter2 hunter2".to_owned()))),
            no_proxy: no_proxy.iter().map(|&entry| entry.to_owned()).collect(),
        };
        Proxy::new(&settings, &Trust::nobody().unwrap()).unwrap()
    }

    #[test]
    fn this_machine_and_its_link_are_never_asked_of_the_proxy() {
        let proxy = proxy(&[]);
        for near in [
            "http://localhost:9000/mcp",
            "http://LOCALHOST./",
            "http://notes.localhost/",
            "http://127.0.0.1/",
            "https://127.8.9.1:8443/",
            "http://[::1]:9000/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/computeMetadata/v1/",
        ] {
            assert!(!proxy.leads_to(&near.parse().unwrap()), "{near}");
        }
        for far in
            ["http://mcp.example/", "https://10.0.0.7/", "https://localhost.example/", "http://[fd01::1]/"]
        {
            assert!(proxy.leads_to(&far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn names_addresses_and_networks_are_left_out_when_told() {
        let proxy = proxy(&["internal.example", ".corp.example", "10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]);
        for direct in [
            "https://internal.example/",
            "https://mcp.internal.example:8443/",
            "https://a.corp.example/",
            "http://10.1.2.3/",
            "http://192.0.2.1:80/",
            "https://[2001:db8::7]/",
        ] {
            assert!(!proxy.leads_to(&direct.parse().unwrap()), "{direct}");
        }
        for through in ["https://notinternal.example/", "http://11.0.0.1/", "https://internal.example.org/"] {
            assert!(proxy.leads_to(&through.parse().unwrap()), "{through}");
        }
    }

    #[test]
    fn the_credential_is_that_of_rfc_7617_and_is_not_printed() {
        let proxy = proxy(&[]);
        let sent = proxy.authorization().unwrap();
        assert_eq!(sent.to_str().unwrap(), format!("Basic {}", STANDARD.encode("sekisho:hunter2 hunter2")));
        for shown in [format!("{proxy:?}"), format!("{proxy}"), format!("{sent:?}")] {
            assert!(!shown.contains("hunter2") && !shown.contains("Basic"), "{shown}");
        }
        assert_eq!(proxy.to_string(), "http://proxy.example:3128");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let made = |url: &str, name: &str, password: &str| {
            let credentials = Some((name.to_owned(), Secret::new(password.to_owned())));
            let settings = ProxySettings { url: url.to_owned(), credentials, no_proxy: Vec::new() };
            Proxy::new(&settings, &Trust::nobody().unwrap()).err()
        };
        for url in
            ["socks5://p:1", "http://u:p@p:1", "http://p:1/x", "http://p:1/?q", "http://p/#f", "proxy:3128"]
        {
            assert_eq!(made(url, "a", "b"), Some(ProxyError::Url), "{url}");
        }
        assert_eq!(made("http://p:1", "a:b", "c"), Some(ProxyError::UserName));
        assert_eq!(made("http://p:1", "a\n", "c"), Some(ProxyError::UserName));
        assert_eq!(made("http://p:1", "a", "c\rd"), Some(ProxyError::Password));
        assert_eq!(made("https://p:1", "a", "pässword"), None);
    }
}
