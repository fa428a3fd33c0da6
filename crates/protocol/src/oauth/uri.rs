//! What redirect URIs, resource identifiers and informational links have in common: the syntax of RFC 3986,
//! read by hand on the raw text.
//!
//! It must never repair anything. A text that a browser and a server might read in two ways (a backslash, a
//! dot segment, `0x7f.1` for a host) is a flaw, not an input.

use std::net::Ipv6Addr;

use thiserror::Error;

/// The longest URI that is read.
pub(super) const MAX_URI_LENGTH: usize = 2048;

/// Why a text is not a URI that can be trusted to have one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UriFlaw {
    /// A byte that RFC 3986 does not allow where it stands: control, space, backslash, quote, non-ASCII.
    #[error("a character that a uri cannot hold")]
    Character,
    /// A `.` or `..` segment, plain or escaped: it names two paths.
    #[error("a dot segment in the path")]
    DotSegment,
    /// A `%` without two hexadecimal digits, or one that escapes a control character.
    #[error("a malformed percent escape")]
    Escape,
    /// A fragment, even an empty one (RFC 6749, section 3.1.2; RFC 8707, section 2).
    #[error("a fragment")]
    Fragment,
    /// A host that is missing, or not in its one canonical spelling.
    #[error("a host that is not in canonical form")]
    Host,
    /// A port outside 1 to 65535, empty, or with leading zeros.
    #[error("a malformed port")]
    Port,
    /// No scheme, or one that is misspelt: the URI is not absolute.
    #[error("not an absolute uri")]
    Relative,
    /// Over 2048 bytes.
    #[error("longer than 2048 bytes")]
    TooLong,
    /// A user name or password before the host.
    #[error("user information before the host")]
    UserInfo,
}

/// A URI taken apart; the parts are slices of the raw text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) scheme: &'a str,
    pub(super) authority: Option<Authority<'a>>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

/// Host (an IPv6 address in its brackets) and port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authority<'a> {
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

/// Takes the raw text apart, refusing whatever has more than one reading.
pub(super) fn split(raw: &str) -> Result<Parts<'_>, UriFlaw> {
    if raw.len() > MAX_URI_LENGTH {
        return Err(UriFlaw::TooLong);
    }
    check_characters(raw)?;
    let (scheme, rest) = raw.split_once(':').ok_or(UriFlaw::Relative)?;
    if !is_scheme(scheme) {
        return Err(UriFlaw::Relative);
    }
    let (hierarchy, query) = match rest.split_once('?') {
        Some((hierarchy, query)) => (hierarchy, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(after) => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            (Some(read_authority(authority)?), path)
        }
        None => (None, hierarchy),
    };
    // RFC 3986 keeps brackets for IP literals.
    if path.contains(['[', ']']) || query.is_some_and(|query| query.contains(['[', ']'])) {
        return Err(UriFlaw::Character);
    }
    if has_dot_segment(path) {
        return Err(UriFlaw::DotSegment);
    }
    Ok(Parts { scheme, authority, path, query })
}

fn check_characters(raw: &str) -> Result<(), UriFlaw> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => return Err(UriFlaw::Fragment),
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex_value), bytes.next().and_then(hex_value));
                let (Some(high), Some(low)) = (high, low) else { return Err(UriFlaw::Escape) };
                if (high * 16 + low).is_ascii_control() {
                    return Err(UriFlaw::Escape);
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => {}
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'[' | b']' | b'@' => {}
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {}
            _ => return Err(UriFlaw::Character),
        }
    }
    Ok(())
}

/// The value of one hexadecimal digit.
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn read_authority(authority: &str) -> Result<Authority<'_>, UriFlaw> {
    if authority.contains('@') {
        return Err(UriFlaw::UserInfo);
    }
    let host_end = if authority.starts_with('[') {
        authority.find(']').map(|at| at + 1).ok_or(UriFlaw::Host)?
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound = literal.map_or(!host.contains(['[', ']']), |address| address.parse::<Ipv6Addr>().is_ok());
    if !sound {
        return Err(UriFlaw::Host);
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(read_port(digits).ok_or(UriFlaw::Port)?),
        None if port.is_empty() => None,
        None => return Err(UriFlaw::Host),
    };
    Ok(Authority { host, port })
}

/// A port in its one spelling: 1 to 65535 without leading zeros.
pub(super) fn read_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let rest = segment.bytes().filter(|byte| *byte == b'.').count();
        let dots = rest + segment.matches("%2e").count() + segment.matches("%2E").count();
        let length = rest + (dots - rest) * 3;
        (dots == 1 || dots == 2) && length == segment.len()
    })
}

/// Whether a host of an `http` or `https` URI is spelt the way the URL standard prints it (case apart), so
/// that what is compared and shown here is what a browser dials. `0x7f000001`, `127.1`, an escaped letter, an
/// empty label and a trailing dot all fail.
pub(super) fn check_web_host(host: &str) -> Result<(), UriFlaw> {
    let lower = host.to_ascii_lowercase();
    if is_plain_name(&lower) {
        return Ok(());
    }
    let canonical = match url::Host::parse(&lower) {
        Ok(parsed) => parsed.to_string() == lower,
        Err(_) => false,
    };
    // The URL standard lets `*`, `;` and their like stand in a host; no host that can be reached has one.
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name =
        || host.len() <= 253 && host.bytes().all(letter) && host.split('.').all(|label| !label.is_empty());
    if canonical && (host.starts_with('[') || name()) { Ok(()) } else { Err(UriFlaw::Host) }
}

/// Whether a lower-case host is a name that the URL standard leaves as it is: no escapes, no Punycode, and a
/// last label that cannot be a number. Most hosts are, and need not be parsed to know it.
fn is_plain_name(lower: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain) && !label.starts_with("xn--");
    let last = lower.rsplit('.').next().unwrap_or_default();
    lower.len() <= 253 && lower.split('.').all(label) && last.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether a host is this very machine, under any of its names.
pub(super) fn is_this_machine(host: &str) -> bool {
    let lower = host.to_ascii_lowercase();
    let local_name = |name: &str| name == "localhost" || name.ends_with(".localhost");
    if is_plain_name(&lower) {
        return local_name(&lower);
    }
    match url::Host::parse(&lower) {
        Ok(url::Host::Domain(name)) => local_name(&name),
        Ok(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Ok(url::Host::Ipv6(address)) => {
            let mapped = address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback() || v4.is_unspecified());
            address.is_loopback() || address.is_unspecified() || mapped
        }
        Err(_) => false,
    }
}

/// The origin of an `https` URI, host in lower case, with its port.
pub(super) fn origin(raw: &str) -> Option<String> {
    let document = raw.split_once('#').map_or(raw, |(document, _)| document);
    let parts = split(document).ok()?;
    let authority = parts.authority.filter(|_| parts.scheme.eq_ignore_ascii_case("https"))?;
    Some(format!("{}:{}", authority.host.to_ascii_lowercase(), authority.port.unwrap_or(443)))
}

/// Checks a link that is only shown, such as `client_uri`: `http` or `https`, nothing else (no `javascript:`).
pub(super) fn check_link(raw: &str) -> Result<(), UriFlaw> {
    // A fragment is harmless in a link.
    let document = raw.split_once('#').map_or(raw, |(document, _)| document);
    let fragment = raw.get(document.len()..).unwrap_or_default().trim_start_matches('#');
    check_characters(fragment)?;
    let parts = split(document)?;
    let authority = parts.authority.ok_or(UriFlaw::Host)?;
    if !parts.scheme.eq_ignore_ascii_case("https") && !parts.scheme.eq_ignore_ascii_case("http") {
        return Err(UriFlaw::Relative);
    }
    check_web_host(authority.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_taken_apart_into_its_raw_parts() {
        let parts = split("https://Example.com:8443/a/b?c=d&e").unwrap();
        assert_eq!((parts.scheme, parts.path, parts.query), ("https", "/a/b", Some("c=d&e")));
        let authority = parts.authority.unwrap();
        assert_eq!((authority.host, authority.port), ("Example.com", Some(8443)));
        let parts = split("com.example.app:/cb").unwrap();
        assert!(parts.authority.is_none() && parts.path == "/cb" && parts.query.is_none());
        assert_eq!(split("http://[::1]:80?x").unwrap().authority.unwrap().host, "[::1]");
    }

    #[test]
    fn each_flaw_is_named() {
        let flaw = |raw: &str| split(raw).unwrap_err();
        assert_eq!(flaw("https://a/b c"), UriFlaw::Character);
        assert_eq!(flaw("https://a\\@b/"), UriFlaw::Character);
        assert_eq!(flaw("https://a/\u{85}"), UriFlaw::Character);
        assert_eq!(flaw("https://a/[x]"), UriFlaw::Character);
        assert_eq!(flaw("https://a/%"), UriFlaw::Escape);
        assert_eq!(flaw("https://a/%4"), UriFlaw::Escape);
        assert_eq!(flaw("https://a/%0a"), UriFlaw::Escape);
        assert_eq!(flaw("https://a/b#"), UriFlaw::Fragment);
        assert_eq!(flaw("https://u@a/"), UriFlaw::UserInfo);
        assert_eq!(flaw("https://[::1/"), UriFlaw::Host);
        for host in ["[::1]x", "a[", "a]", "[a]", "[]", "[::1][::1]"] {
            assert_eq!(flaw(&format!("x://{host}/")), UriFlaw::Host, "{host}");
        }
        for port in ["", "0", "080", "65536", "+1", "1x"] {
            assert_eq!(flaw(&format!("https://a:{port}/")), UriFlaw::Port);
        }
        for relative in ["", "/cb", "//a/b", "a/b", "1a:/b", ":x"] {
            assert_eq!(flaw(relative), UriFlaw::Relative);
        }
        for dots in ["/.", "/..", "/a/../b", "/%2e%2E/b", "/.%2e", "/a/./b"] {
            assert_eq!(flaw(&format!("https://a{dots}")), UriFlaw::DotSegment);
        }
        for fine in ["/...", "/a.b", "/.well-known", "/a%2eb", "/..a"] {
            assert!(split(&format!("https://a{fine}")).is_ok());
        }
        assert_eq!(flaw(&format!("https://a/{}", "a".repeat(2048))), UriFlaw::TooLong);
    }

    #[test]
    fn a_web_host_has_one_spelling() {
        for good in
            ["example.com", "EXAMPLE.com", "xn--bcher-kva.example", "127.0.0.1", "[::1]", "a_b.example"]
        {
            assert_eq!(check_web_host(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "a..b",
            "a.",
            ".a",
            "ex%61mple.com",
            "[0:0::1]",
            "*.example.com",
            "*",
            "a;b.example",
            "a'b.example",
            "a+b.example",
            "a=b.example",
            "(a).example",
        ] {
            assert_eq!(check_web_host(bad), Err(UriFlaw::Host), "{bad}");
        }
    }

    #[test]
    fn a_plain_name_is_what_the_url_standard_leaves_alone() {
        for plain in ["example.com", "localhost", "a-b_c.d1", "1.2.3.a4", "-a-.b-", "0x7f.com"] {
            assert!(is_plain_name(plain));
            assert_eq!(url::Host::parse(plain).map(|host| host.to_string()).as_deref(), Ok(plain));
        }
        for other in [
            "",
            "a.",
            ".a",
            "1.2.3.4",
            "127.1",
            "0x7f",
            "a.0x7f",
            "a.1b",
            "xn--a",
            "a.xn--b.c",
            "A",
            "a%",
            "[::1]",
        ] {
            assert!(!is_plain_name(other), "{other}");
        }
    }

    #[test]
    fn this_machine_is_known_under_all_its_names() {
        for local in
            ["localhost", "LOCALHOST", "app.localhost", "127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]", "[::]"]
        {
            assert!(is_this_machine(local), "{local}");
        }
        assert!(is_this_machine("[::ffff:127.0.0.1]"));
        for remote in ["localhost.example.com", "128.0.0.1", "[2001:db8::1]", "notlocalhost"] {
            assert!(!is_this_machine(remote), "{remote}");
        }
    }

    #[test]
    fn a_link_is_http_or_https() {
        for good in ["https://example.com", "HTTPS://example.com/a#b", "http://localhost:3000/"] {
            assert_eq!(check_link(good), Ok(()), "{good}");
        }
        for bad in
            ["javascript:alert(1)", "data:text/html,x", "https:example.com", "file:///etc/passwd", "//x/", ""]
        {
            assert!(check_link(bad).is_err(), "{bad}");
        }
    }
}
