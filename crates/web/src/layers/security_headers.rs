//! What every page tells the browser about itself (requirements AS-123, AS-124; attacks PAGE400, CS-04, AZ-38).
//!
//! Starts from `default-src 'none'`. Inline style and script are never allowed, on no page.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use protocol::oauth::{Destination, VerifiedRedirectUri};

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Two years, the least that the preload lists take; subdomains are not ours to speak for.
pub(crate) const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The content security policy of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Csp {
    /// Beyond `'self'`: where the answer to a form of this page may redirect to. Chromium holds the redirects after
    /// a form to this list too.
    form_action: Vec<String>,
    /// Whether the page loads our script.
    script: bool,
    /// Whether the page cuts itself off from the window that opened it.
    alone: bool,
}

impl Csp {
    /// A page outside any sign-in.
    pub(crate) const fn plain() -> Self {
        Self { form_action: Vec::new(), script: false, alone: true }
    }

    /// A page in a sign-in whose forms stay with us. It keeps its opener: web clients open the sign-in in a window
    /// of its own, and their last page there speaks to the first.
    pub(crate) const fn sign_in() -> Self {
        Self { form_action: Vec::new(), script: false, alone: false }
    }

    /// The consent page: its form ends at the client, and it has the one script. Browsers hold the redirects that
    /// follow to the same list, and a client may send the browser on to another host of its own: an encrypted one
    /// is let through, since what must be kept is that the form itself ends here.
    pub(crate) fn consent(redirect_uri: &VerifiedRedirectUri) -> Self {
        let mut form_action = vec!["https:".to_owned()];
        let client = source_of(redirect_uri);
        if !client.starts_with("https:") {
            form_action.push(client);
        }
        Self { form_action, script: true, alone: false }
    }

    /// The login page: its form ends at an identity provider, which may pass the browser on to others before it
    /// comes back, and then at the client. Their hosts cannot be known here; that they are encrypted can, and on a
    /// loopback address during development not even that. It has the one script that goes on when it can.
    pub(crate) fn login(redirect_uri: &VerifiedRedirectUri, loopback: bool) -> Self {
        let mut form_action = vec!["https:".to_owned()];
        if loopback {
            form_action.extend(["http://127.0.0.1:*".to_owned(), "http://localhost:*".to_owned()]);
        }
        let client = source_of(redirect_uri);
        if !client.starts_with("https:") {
            form_action.push(client);
        }
        Self { form_action, script: true, alone: false }
    }

    /// The page on which an account is connected: its form ends at a provider, which may pass the browser on to others.
    pub(crate) fn connect(loopback: bool) -> Self {
        let mut form_action = vec!["https:".to_owned()];
        if loopback {
            form_action.extend(["http://127.0.0.1:*".to_owned(), "http://localhost:*".to_owned()]);
        }
        Self { form_action, script: false, alone: true }
    }

    /// The page of the development identity provider: its form ends where that of the login page does, and that
    /// provider stands on loopback only.
    pub(crate) fn development() -> Self {
        Self { form_action: Vec::new(), script: false, alone: false }
    }

    fn header_value(&self) -> HeaderValue {
        let script = if self.script { "; script-src 'self'" } else { "" };
        let mut text = format!(
            "default-src 'none'; style-src 'self'; img-src 'self'{script}; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        );
        for source in &self.form_action {
            text.push(' ');
            text.push_str(source);
        }
        text.parse().unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
    }
}

/// The source expression (CSP 3, section 2.3.1) that covers a redirect URI: scheme, host and port, or the scheme.
fn source_of(redirect_uri: &VerifiedRedirectUri) -> String {
    let text = redirect_uri.as_str();
    let scheme = || format!("{}:", text.split(':').next().unwrap_or_default());
    match redirect_uri.destination() {
        Destination::PrivateScheme(_) => scheme(),
        Destination::Https(_) | Destination::Loopback(_) => {
            let origin = origin_of(text);
            // A source expression has no form for an IPv6 address, so the scheme is the least that can be said.
            // What could end or split the directive must not come in either.
            let plain = origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.-".contains(&byte));
            if plain { origin.to_owned() } else { scheme() }
        }
    }
}

/// Scheme, host and port of an absolute URL.
pub(crate) fn origin_of(url: &str) -> &str {
    let authority_at = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(authority_at..).unwrap_or_default();
    let end = rest.find(['/', '?', '#', '\\']).map_or(url.len(), |at| authority_at + at);
    url.get(..end).unwrap_or(url)
}

/// Puts them on a page.
pub(crate) fn page(headers: &mut HeaderMap, csp: &Csp) {
    headers.insert(header::CONTENT_SECURITY_POLICY, csp.header_value());
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if csp.alone {
        headers.insert(COOP, HeaderValue::from_static("same-origin"));
    }
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use protocol::oauth::{ClientMetadata, RedirectPolicy};

    use super::*;

    fn verified(uri: &str) -> VerifiedRedirectUri {
        let policy =
            RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() };
        let body = serde_json::json!({ "redirect_uris": [uri], "token_endpoint_auth_method": "none" });
        let metadata = ClientMetadata::parse_registration(body.to_string().as_bytes(), &policy).unwrap();
        metadata.verify_redirect_uri(uri).unwrap()
    }

    fn form_action(csp: &Csp) -> String {
        let text = csp.header_value().to_str().unwrap().to_owned();
        text.split("; ").find_map(|directive| directive.strip_prefix("form-action ")).unwrap().to_owned()
    }

    /// AS-123.
    #[test]
    fn no_page_allows_inline_code_or_framing() {
        let uri = verified("https://client.example/cb");
        let pages =
            [Csp::plain(), Csp::sign_in(), Csp::consent(&uri), Csp::login(&uri, true), Csp::development()];
        for csp in pages {
            let text = csp.header_value().to_str().unwrap().to_owned();
            assert!(text.starts_with("default-src 'none'; "), "{text}");
            assert!(text.contains("; frame-ancestors 'none'; base-uri 'none'; "), "{text}");
            assert!(
                !text.contains("unsafe") && !text.contains('*') || text.contains("127.0.0.1:*"),
                "{text}"
            );
            assert!(!text.contains("data:") && !text.contains("blob:"), "{text}");
        }
    }

    #[test]
    fn the_consent_form_may_end_at_the_client_and_at_encrypted_hosts_alone() {
        for (uri, source) in [
            ("http://127.0.0.1:51234/callback?x=y", "http://127.0.0.1:51234"),
            ("http://localhost/cb", "http://localhost"),
            ("http://[::1]:51234/cb", "http:"),
            ("cursor://anysphere.cursor-retrieval/oauth", "cursor:"),
        ] {
            assert_eq!(
                form_action(&Csp::consent(&verified(uri))),
                format!("'self' https: {source}"),
                "{uri}"
            );
        }
        let web = verified("https://client.example:8443/cb");
        assert_eq!(form_action(&Csp::consent(&web)), "'self' https:");
    }

    #[test]
    fn the_login_form_may_end_at_any_encrypted_host_and_at_the_client() {
        let loopback = verified("http://127.0.0.1:51234/cb");
        assert_eq!(form_action(&Csp::login(&loopback, false)), "'self' https: http://127.0.0.1:51234");
        let web = verified("https://client.example/cb");
        assert_eq!(form_action(&Csp::login(&web, false)), "'self' https:");
        assert_eq!(
            form_action(&Csp::login(&web, true)),
            "'self' https: http://127.0.0.1:* http://localhost:*"
        );
    }

    #[test]
    fn only_the_pages_on_which_something_is_decided_load_a_script() {
        let uri = verified("https://client.example/cb");
        let scripted = |csp: &Csp| csp.header_value().to_str().unwrap().contains("script-src");
        assert!([Csp::consent(&uri), Csp::login(&uri, true)].iter().all(scripted));
        assert!(![Csp::plain(), Csp::sign_in(), Csp::development()].iter().any(scripted));
    }

    #[test]
    fn an_origin_is_the_part_before_the_path() {
        for (url, origin) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/x?y#z", "https://a.example"),
            ("https://a.example?x", "https://a.example"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
            ("cursor://x/y", "cursor://x"),
            ("cursor:/x", "cursor:"),
        ] {
            assert_eq!(origin_of(url), origin);
        }
    }
}
