//! The cookies of a browser: what binds a sign-in to it, the upstream leg, and the session
//! (product.md, P-10; attacks CS-10).
//!
//! What binds a sign-in has one of several names: tabs that are opened at once all come without it, and each would
//! otherwise take the place of what the one before was just given.
//!
//! On https the names carry the `__Host-` prefix, so no sibling host can set them; on plain loopback they carry the
//! port, because cookies are shared between the ports of a host. Names of the other kind are never read.

use std::collections::HashMap;
use std::time::Duration;

use authorization_server::Browser;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use protocol::secret::Secret;

use crate::public_url::PublicUrl;

/// Names for what binds a sign-in. Few enough that all of them together fit into a request (attacks CS-11).
const BINDINGS: u8 = 64;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// Which cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    Binding,
    Leg,
    Session,
}

/// How this house names and protects its cookies.
#[derive(Debug)]
pub(crate) struct Cookies {
    binding: String,
    leg: String,
    session: String,
    https: bool,
}

impl Cookies {
    pub(crate) fn new(pages_url: &PublicUrl) -> Self {
        let name = |what: &str| {
            if pages_url.is_https() {
                format!("__Host-sekisho-{what}")
            } else {
                format!("sekisho-{what}-{}", pages_url.port())
            }
        };
        Self {
            binding: name("browser"),
            leg: name("leg"),
            session: name("session"),
            https: pages_url.is_https(),
        }
    }

    fn name(&self, cookie: Cookie, value: &Secret) -> String {
        match cookie {
            Cookie::Binding => {
                let [place, ..] = *value.hash().as_bytes();
                format!("{}-{:02x}", self.binding, place % BINDINGS)
            }
            Cookie::Leg => self.leg.clone(),
            Cookie::Session => self.session.clone(),
        }
    }

    /// What a request carries.
    pub(crate) fn browser(&self, headers: &HeaderMap) -> Browser {
        Browser {
            bindings: read(headers, |name| self.is_binding(name)),
            from_outside: comes_from_outside(headers),
            leg: read(headers, |name| name == self.leg).pop(),
            session: read(headers, |name| name == self.session).pop(),
        }
    }

    fn is_binding(&self, name: &str) -> bool {
        let place = name.strip_prefix(self.binding.as_str()).and_then(|rest| rest.strip_prefix('-'));
        (0..BINDINGS).any(|known| place == Some(format!("{known:02x}").as_str()))
    }

    /// The header that sets a cookie; without a lifetime it ends with the browser.
    pub(crate) fn set(&self, cookie: Cookie, value: Secret, life: Option<Duration>) -> Option<HeaderValue> {
        let name = self.name(cookie, &value);
        let mut text = format!("{name}={}; Path=/; HttpOnly; SameSite=Lax", value.reveal());
        if self.https {
            text.push_str("; Secure");
        }
        if let Some(life) = life {
            text.push_str("; Max-Age=");
            text.push_str(&life.as_secs().to_string());
        }
        let mut header = HeaderValue::try_from(text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// The values of these cookies, each if it is there exactly once: of two, one was put there by somebody else.
fn read(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Vec<Secret> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let found: Vec<(&str, &str)> = pairs.filter(|(name, _)| wanted(name)).collect();
    // Counted once: a header may hold thousands, and comparing each with each would be work for its sender's asking.
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (name, _) in &found {
        *times.entry(*name).or_default() += 1;
    }
    let is_alone = |name: &str| times.get(name) == Some(&1);
    let sound = found.iter().filter(|(name, value)| is_alone(name) && is_cookie_value(value));
    sound.map(|(_, value)| Secret::new((*value).to_owned())).collect()
}

/// `cookie-octet` (RFC 6265, section 4.1.1).
fn is_cookie_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte))
}

/// Whether another site sent the browser here, or nobody says (Fetch Metadata, `Sec-Fetch-Site`); or whether it came for
/// something else than a page, which no person asks for (`Sec-Fetch-Dest`, which browsers send with it), or before the
/// person did anything (`Sec-Purpose: prefetch`; Fetch, section 3.8).
fn comes_from_outside(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(SEC_FETCH_SITE).iter();
    let is_ours = match (values.next().map(HeaderValue::as_bytes), values.next()) {
        (Some(b"none" | b"same-origin"), None) => true,
        (Some(_) | None, _) => false,
    };
    let for_a_page = headers.get_all(SEC_FETCH_DEST).iter().all(|what| what == "document");
    !is_ours || !for_a_page || headers.contains_key(SEC_PURPOSE)
}

/// Whether a form was certainly sent by a page that is not ours. Pages have `Referrer-Policy: no-referrer`, for which
/// browsers send `Origin: null` even to ourselves, so `null` says nothing; the form's own token says the rest.
pub(crate) fn is_foreign_form(headers: &HeaderMap, pages_url: &PublicUrl) -> bool {
    let foreign_site = headers
        .get_all(SEC_FETCH_SITE)
        .iter()
        .any(|site| !matches!(site.as_bytes(), b"none" | b"same-origin"));
    let foreign_origin = headers
        .get_all(header::ORIGIN)
        .iter()
        .any(|origin| origin != "null" && origin.as_bytes() != pages_url.as_str().as_bytes());
    foreign_site || foreign_origin
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: &str = "https://mcp.example.com";
    const LOOPBACK: &str = "http://127.0.0.1:8080";

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn session(public_url: &str, values: &[&str]) -> Option<String> {
        let cookies = Cookies::new(&public_url.parse().unwrap());
        cookies.browser(&headers("cookie", values)).session.map(Secret::reveal)
    }

    fn set(public_url: &str, cookie: Cookie, life: Option<Duration>) -> String {
        let cookies = Cookies::new(&public_url.parse().unwrap());
        cookies.set(cookie, Secret::new("v".to_owned()), life).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_is_read_under_the_name_of_its_scheme_only() {
        assert_eq!(session(HTTPS, &["a=1; __Host-sekisho-session=abc; b=2"]).as_deref(), Some("abc"));
        assert_eq!(session(HTTPS, &["sekisho-session-443=abc; sekisho-session=abc"]), None);
        assert_eq!(session(LOOPBACK, &["sekisho-session-8080=abc"]).as_deref(), Some("abc"));
        assert_eq!(session(LOOPBACK, &["sekisho-session-8081=abc; __Host-sekisho-session=abc"]), None);
        assert_eq!(session(HTTPS, &["__host-sekisho-session=abc"]), None, "names have case");
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_not_there() {
        assert_eq!(session(HTTPS, &["__Host-sekisho-session=a; __Host-sekisho-session=a"]), None);
        assert_eq!(session(HTTPS, &["__Host-sekisho-session=a", "__Host-sekisho-session=b"]), None);
    }

    #[test]
    fn what_binds_a_sign_in_has_one_of_few_names_and_all_of_them_are_read() {
        let cookies = Cookies::new(&HTTPS.parse().unwrap());
        let bindings = |values: &[&str]| {
            let read = cookies.browser(&headers("cookie", values)).bindings;
            read.into_iter().map(Secret::reveal).collect::<Vec<_>>()
        };
        let name = "__Host-sekisho-browser";
        for value in ["a", "b", "c"] {
            let value = Secret::new(value.to_owned());
            let set = cookies.set(Cookie::Binding, value, None).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            assert!(pair.starts_with(name), "{pair}");
            assert_eq!(bindings(&[pair]), [pair.split_once('=').unwrap().1]);
        }
        assert_eq!(bindings(&[&format!("{name}-00=a; {name}-3f=b; x=y")]), ["a", "b"]);
        assert_eq!(bindings(&[&format!("{name}-00=a; {name}-00=b; {name}-01=c")]), ["c"], "one is doubled");
        for other in ["", "-", "-0", "-40", "-0A", "-000", "-+1", "00"] {
            assert!(bindings(&[&format!("{name}{other}=a")]).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_value_that_no_cookie_has_is_not_there() {
        for value in ["", "\"abc\"", "a b", "a,b", "a\\b"] {
            assert_eq!(session(HTTPS, &[&format!("__Host-sekisho-session={value}")]), None, "{value}");
        }
    }

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_other_sites() {
        assert_eq!(
            set(HTTPS, Cookie::Session, None),
            "__Host-sekisho-session=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            set(LOOPBACK, Cookie::Leg, Some(Duration::from_secs(600))),
            "sekisho-leg-8080=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"
        );
    }

    #[test]
    fn only_a_browser_that_says_so_comes_from_inside() {
        let outside = |values: &[&str]| comes_from_outside(&headers("sec-fetch-site", values));
        assert!(!outside(&["none"]));
        assert!(!outside(&["same-origin"]));
        for values in [&[][..], &["same-site"], &["cross-site"], &["nonsense"], &["none", "none"]] {
            assert!(outside(values), "{values:?}");
        }
        for (what, expected) in [("document", false), ("iframe", true), ("image", true), ("empty", true)] {
            let mut all = headers("sec-fetch-site", &["same-origin"]);
            all.append("sec-fetch-dest", what.parse().unwrap());
            assert_eq!(comes_from_outside(&all), expected, "{what}");
        }
        let mut early = headers("sec-fetch-site", &["none"]);
        early.append("sec-fetch-dest", "document".parse().unwrap());
        early.append("sec-purpose", "prefetch;prerender".parse().unwrap());
        assert!(comes_from_outside(&early), "nobody pressed Enter yet");
    }

    #[test]
    fn a_form_is_foreign_only_when_the_browser_says_where_it_comes_from() {
        let ours: PublicUrl = HTTPS.parse().unwrap();
        let foreign = |name, value| is_foreign_form(&headers(name, &[value]), &ours);
        assert!(!is_foreign_form(&HeaderMap::new(), &ours));
        assert!(!foreign("origin", "null"));
        assert!(!foreign("origin", HTTPS));
        assert!(!foreign("sec-fetch-site", "same-origin"));
        assert!(foreign("origin", "https://evil.example"));
        assert!(foreign("sec-fetch-site", "cross-site"));
        assert!(foreign("sec-fetch-site", "same-site"));
    }
}
