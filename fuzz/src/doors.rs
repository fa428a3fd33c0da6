//! What the doors read of a request before anybody is known: cookies, and the word of a proxy.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use http::header::{COOKIE, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use protocol::secret::Secret;
use web::{ForwardedHeader, PublicUrl, readers};

use crate::text::halves;

static HTTPS: LazyLock<Option<PublicUrl>> = LazyLock::new(|| "https://mcp.example.com".parse().ok());

/// One `Cookie` header for each line (attacks CS-10, CS-11).
pub(crate) fn cookies(data: &[u8]) {
    let Some(public_url) = &*HTTPS else { return };
    let mut headers = HeaderMap::new();
    let mut rest = data;
    while !rest.is_empty() && headers.len() < 50 {
        let (line, behind) = halves(rest);
        rest = behind;
        headers.extend(HeaderValue::from_bytes(line).map(|value| (COOKIE, value)));
    }
    let browser = readers::cookies(public_url, &headers);
    assert!(browser.from_outside, "nobody says where it comes from");
    assert!(browser.bindings.len() <= 64, "{}", browser.bindings.len());
    let texts: Vec<&str> = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
    let all: Vec<(&str, &str)> = texts
        .iter()
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    let alone = |name: &str| {
        let mut values = all.iter().filter(|(held, _)| *held == name).map(|(_, value)| *value);
        values.next().filter(|_| values.next().is_none())
    };
    for (name, read) in [("__Host-sekisho-leg", &browser.leg), ("__Host-sekisho-session", &browser.session)] {
        let sound = alone(name).filter(|value| is_value(value));
        assert_eq!(read.as_ref().map(shown).as_deref(), sound, "{name}");
    }
    let bindings = (0..64).filter_map(|place| alone(&format!("__Host-sekisho-browser-{place:02x}")));
    let mut expected: Vec<String> = bindings.filter(|value| is_value(value)).map(str::to_owned).collect();
    let mut read: Vec<String> = browser.bindings.iter().map(shown).collect();
    expected.sort();
    read.sort();
    assert_eq!(read, expected);
}

fn shown(secret: &Secret) -> String {
    secret.expose(str::to_owned)
}

/// RFC 6265, section 4.1.1: `cookie-octet`, at least one.
fn is_value(value: &str) -> bool {
    let octet = |byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
    !value.is_empty() && value.bytes().all(octet)
}

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whatever a caller writes, what the trusted proxy appended is what counts (attacks PX-11; RFC 7239).
pub(crate) fn forwarded(data: &[u8]) {
    let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().filter_map(|net| net.parse().ok()).collect();
    for (which, name, appended) in [
        (ForwardedHeader::XForwardedFor, X_FORWARDED_FOR, "203.0.113.7"),
        (ForwardedHeader::Forwarded, FORWARDED, "for=203.0.113.7;proto=https"),
    ] {
        let theirs: Vec<HeaderValue> = data
            .split(|byte| *byte == b'\n')
            .take(20)
            .filter_map(|line| HeaderValue::from_bytes(line).ok())
            .collect();
        let headers = |values: Vec<HeaderValue>| -> HeaderMap {
            values.into_iter().map(|value| (name.clone(), value)).collect()
        };
        let alone = headers(theirs.clone());
        let seen = |peer, headers: &HeaderMap| readers::caller(peer, headers, &trusted, which);
        assert_eq!(seen(CALLER, &alone), CALLER, "nobody whom we trust says so");
        let read = seen(PROXY, &alone);
        assert_eq!(read, read.to_canonical());
        // As a line of its own, and at the end of theirs.
        let own = HeaderValue::from_str(appended);
        let lines: Vec<HeaderValue> = theirs.iter().cloned().chain(own).collect();
        assert_eq!(seen(PROXY, &headers(lines.clone())), CALLER, "{lines:?}");
        let joined =
            [data.split(|byte| *byte == b'\n').next().unwrap_or_default(), b", ", appended.as_bytes()]
                .concat();
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            assert_eq!(seen(PROXY, &headers(vec![joined.clone()])), CALLER, "{joined:?}");
        }
        // Two proxies of ours, one behind the other.
        let second = HeaderValue::from_static(if name == FORWARDED { "for=10.2.2.2" } else { "10.2.2.2" });
        let lines: Vec<HeaderValue> = lines.into_iter().chain([second]).collect();
        assert_eq!(seen(PROXY, &headers(lines)), CALLER);
    }
}
