//! From which address a request comes (product.md, P-20).
//!
//! The peer of the socket, or what a trusted proxy says of it; the word of any other peer is not read at all
//! (attacks.md, PX-11). Walks from the right, because a proxy appends and only its own end of the list is its own.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

/// Which header the trusted proxies write.
///
/// One, not both: a proxy that appends to one of them passes the other through as the caller sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`, which nearly all of them write.
    #[default]
    XForwardedFor,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More hops than anybody has; what lies further left is not read.
const MAX_HOPS: usize = 32;

/// The rightmost address that is not a trusted proxy.
pub(crate) fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet], which: ForwardedHeader) -> IpAddr {
    let mut last = peer.to_canonical();
    if !is_trusted(last, trusted) {
        return last;
    }
    let name = match which {
        ForwardedHeader::Forwarded => header::FORWARDED,
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
    };
    // Cut as bytes: what a caller wrote to the left must not make the proxy's own word beside it unreadable.
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    for hop in hops.take(MAX_HOPS) {
        let hop = std::str::from_utf8(hop).unwrap_or_default();
        let address = match which {
            ForwardedHeader::Forwarded => forwarded_for(hop),
            ForwardedHeader::XForwardedFor => node(hop.trim()),
        };
        // What cannot be read (`unknown`, `_hidden`, nonsense) ends the walk at the last proxy we believe.
        let Some(address) = address else { return last };
        last = address;
        if !is_trusted(last, trusted) {
            break;
        }
    }
    last
}

/// Whether a peer is one of the trusted proxies.
fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The `for` of one `forwarded-element` (RFC 7239, section 4). The values we can use hold neither comma nor
/// semicolon, so a quoted one that does is nonsense, and is treated so.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| node(value.trim_matches('"')))?
    })
}

/// A node with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(peer: &str, name: &'static str, values: &[&str], which: ForwardedHeader) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|net| net.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        caller(peer.parse().unwrap(), &headers, &trusted, which).to_string()
    }

    fn x(peer: &str, values: &[&str]) -> String {
        walk(peer, "x-forwarded-for", values, ForwardedHeader::XForwardedFor)
    }

    /// AS-241.
    #[test]
    fn the_word_of_an_untrusted_peer_is_not_read() {
        assert_eq!(x("198.51.100.9", &["203.0.113.7"]), "198.51.100.9");
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_caller() {
        assert_eq!(x("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.2.2.2"]), "203.0.113.7");
        assert_eq!(x("10.0.0.1", &["6.6.6.6", "203.0.113.7", "10.2.2.2"]), "203.0.113.7");
        assert_eq!(x("::ffff:10.0.0.1", &["::ffff:203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn what_cannot_be_read_ends_the_walk_at_the_last_proxy() {
        assert_eq!(x("10.0.0.1", &["203.0.113.7, unknown"]), "10.0.0.1");
        assert_eq!(x("10.0.0.1", &["203.0.113.7, nonsense, 10.3.3.3"]), "10.3.3.3");
        assert_eq!(x("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_text_hides_nothing_to_its_right_and_lets_nothing_through_from_its_left() {
        assert_eq!(x("10.0.0.1", &["6.6.6.6, \u{e9}, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(x("10.0.0.1", &["6.6.6.6", "\u{e9}, 10.2.2.2", "10.3.3.3"]), "10.2.2.2");
    }

    #[test]
    fn ports_and_brackets_are_read_over() {
        assert_eq!(x("10.0.0.1", &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(x("10.0.0.1", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(x("10.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn only_the_configured_header_is_read() {
        let which = ForwardedHeader::Forwarded;
        let values = ["for=6.6.6.6, for=\"[2001:db8::7]:99\";proto=https, For=10.2.2.2;by=_x"];
        assert_eq!(walk("10.0.0.1", "forwarded", &values, which), "2001:db8::7");
        assert_eq!(walk("10.0.0.1", "x-forwarded-for", &["203.0.113.7"], which), "10.0.0.1");
        assert_eq!(
            walk("10.0.0.1", "forwarded", &["for=203.0.113.7"], ForwardedHeader::default()),
            "10.0.0.1"
        );
    }
}
