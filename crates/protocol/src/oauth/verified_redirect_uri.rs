//! The proof that a redirect URI belongs to the client that asks: the only thing a response can be sent to.
//!
//! Made by [`ClientMetadata::verify_redirect_uri`](super::ClientMetadata::verify_redirect_uri), and of pages of our own. It must
//! never be made from the text of a request (RFC 6749, section 4.1.2.1).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::redirect_uri::portless;
use super::{AuthorizationResponse, Destination};

/// Everything but the unreserved characters of RFC 3986 is escaped. A space becomes `%20`, which form
/// decoders and URI decoders read alike; `+` is read by the former only.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A redirect URI that was compared with the client's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRedirectUri {
    requested: String,
    destination: Destination,
}

impl VerifiedRedirectUri {
    pub(super) fn new(requested: &str, destination: &Destination) -> Self {
        Self { requested: requested.to_owned(), destination: destination.clone() }
    }

    /// A page of our own, where a consent ends that no client is told of (RFC 8628): made from our settings, never from
    /// a request.
    #[must_use]
    pub fn of_our_own(url: &str, host: &str) -> Self {
        Self { requested: url.to_owned(), destination: Destination::Https(host.to_owned()) }
    }

    /// The URI as requested, with the port the client listens on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.requested
    }

    /// The URI without the port that happens to be free on the person's own machine: one text for one client, whichever
    /// port it listens on this time.
    #[must_use]
    pub fn without_port(&self) -> String {
        portless(&self.requested)
    }

    /// Where it leads.
    #[must_use]
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The URL that takes the response to the client (RFC 6749 4.1.2, RFC 9207 2): the URI's own query is
    /// kept, each parameter of the response occurs once, and `state` only if there was one.
    ///
    /// The text may hold a code: it is for a `Location` or a link, never for a log.
    #[must_use]
    pub fn with_response(&self, response: &AuthorizationResponse) -> String {
        let mut url = self.requested.clone();
        match url.split_once('?') {
            None => url.push('?'),
            Some((_, query)) if query.is_empty() || query.ends_with('&') => {}
            Some(_) => url.push('&'),
        }
        let (state, iss) = match response {
            AuthorizationResponse::Code { code, state, iss } => {
                url.push_str("code=");
                code.expose(|code| url.extend(utf8_percent_encode(code, VALUE)));
                (state, iss)
            }
            AuthorizationResponse::Error { code, state, iss, reference } => {
                url.push_str("error=");
                url.push_str(code.as_str());
                url.push_str("&error_description=");
                let told = format!("{} Reference {reference}.", code.sentence());
                url.extend(utf8_percent_encode(&told, VALUE));
                (state, iss)
            }
        };
        if let Some(state) = state {
            url.push_str("&state=");
            url.extend(utf8_percent_encode(state, VALUE));
        }
        url.push_str("&iss=");
        url.extend(utf8_percent_encode(iss, VALUE));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Reference;
    use crate::oauth::ErrorCode;
    use crate::secret::Secret;

    fn verified(uri: &str) -> VerifiedRedirectUri {
        VerifiedRedirectUri::new(uri, &Destination::Https("client.example".to_owned()))
    }

    fn code(state: Option<&str>) -> AuthorizationResponse {
        AuthorizationResponse::Code {
            code: Secret::new("SplxlOBeZQQYbYS6WxSbIA".to_owned()),
            state: state.map(str::to_owned),
            iss: "https://mcp.example.com".to_owned(),
        }
    }

    /// RFC 6749, section 4.1.2, with the `iss` of RFC 9207, section 2.1.
    #[test]
    fn a_code_is_taken_to_the_client() {
        assert_eq!(
            verified("https://client.example.com/cb").with_response(&code(Some("xyz"))),
            "https://client.example.com/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz&iss=https%3A%2F%2Fmcp.example.com"
        );
    }

    /// AS-035.
    #[test]
    fn the_uris_own_query_is_kept() {
        let query = "code=SplxlOBeZQQYbYS6WxSbIA&iss=https%3A%2F%2Fmcp.example.com";
        for (uri, joined) in [("?a=b", "?a=b&"), ("?", "?"), ("?a=b&", "?a=b&"), ("", "?"), ("/?a", "/?a&")] {
            let url = verified(&format!("https://c.example{uri}")).with_response(&code(None));
            assert_eq!(url, format!("https://c.example{joined}{query}"));
        }
    }

    #[test]
    fn state_comes_back_byte_for_byte() {
        let state = "a b+c&d=e%41#\"<\u{e9}\u{1f512}\r\n";
        let url = verified("https://c.example/").with_response(&code(Some(state)));
        let pairs: Vec<_> = url::Url::parse(&url).unwrap().query_pairs().into_owned().collect();
        assert_eq!(pairs.get(1), Some(&("state".to_owned(), state.to_owned())));
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
    }

    #[test]
    fn an_error_names_its_code_and_its_sentence() {
        let response = AuthorizationResponse::Error {
            code: ErrorCode::AccessDenied,
            state: None,
            iss: "https://h".to_owned(),
            reference: Reference::parse("K7Q2-9XWD").unwrap(),
        };
        let url = verified("https://c.example/cb").with_response(&response);
        assert!(url.starts_with("https://c.example/cb?error=access_denied&error_description=The%20"));
        assert!(url.ends_with(".%20Reference%20K7Q2-9XWD.&iss=https%3A%2F%2Fh"));
        assert!(!url.contains("state"));
    }
}
