//! Whether a request was meant for us: its host must be `public_url`'s, or for people's pages `pages_url`'s (requirements
//! RS-054; attacks PX-31, DS-01).
//!
//! This is what stops DNS rebinding, and what keeps machines and people apart when each have a host of their own. Nothing is ever *built* from the host of a request.

use http::request::Parts;
use http::{HeaderMap, Uri, header, uri::Authority};

use crate::listener::Visitors;
use crate::public_url::PublicUrl;

/// Which of our hosts a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    machines: bool,
    people: bool,
}

impl Names {
    /// `pages_url` is where people's pages are, if that is not `public_url`.
    pub(crate) fn of(request: &Parts, public_url: &PublicUrl, pages_url: Option<&PublicUrl>) -> Self {
        let machines = names_us(request, public_url);
        Self { machines, people: pages_url.map_or(machines, |pages_url| names_us(request, pages_url)) }
    }

    pub(crate) const fn is_host_of(self, visitors: Visitors) -> bool {
        match visitors {
            Visitors::Anybody => self.machines || self.people,
            Visitors::Machines => self.machines,
            Visitors::People => self.people,
        }
    }
}

/// Every place in which the request names a host must name ours, and one must.
fn names_us(request: &Parts, public_url: &PublicUrl) -> bool {
    is_named(&request.uri, &request.headers, public_url)
}

/// The same of the head's parts.
pub(crate) fn is_named(uri: &Uri, headers: &HeaderMap, public_url: &PublicUrl) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (host, None) => host,
        (_, Some(_)) => return false,
    };
    match (uri.authority(), host) {
        (None, None) => false,
        (None, Some(host)) => is_ours(host.as_bytes(), public_url),
        (Some(authority), None) => is_our_authority(authority, public_url),
        // HTTP/2 with both, or HTTP/1.1 in absolute form (RFC 9112, section 3.2.2).
        (Some(authority), Some(host)) => {
            is_our_authority(authority, public_url) && is_ours(host.as_bytes(), public_url)
        }
    }
}

fn is_our_authority(authority: &Authority, public_url: &PublicUrl) -> bool {
    is_ours(authority.as_str().as_bytes(), public_url)
}

/// Host names have no case (RFC 9110, section 4.2.3); the default port may be spelled out.
fn is_ours(host: &[u8], public_url: &PublicUrl) -> bool {
    host.eq_ignore_ascii_case(public_url.authority().as_bytes())
        || host.eq_ignore_ascii_case(public_url.authority_with_port().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(public_url: &str, uri: &str, hosts: &[&str]) -> bool {
        let mut request = http::Request::builder().uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        names_us(&parts, &public_url.parse().unwrap())
    }

    #[test]
    fn our_own_host_is_accepted_in_any_case_and_with_its_default_port() {
        for host in ["mcp.example.com", "MCP.example.COM", "mcp.example.com:443"] {
            assert!(ask("https://mcp.example.com", "/", &[host]), "{host}");
        }
        assert!(ask("https://mcp.example.com", "https://mcp.example.com/x", &[]), "HTTP/2");
        assert!(ask("http://127.0.0.1:8080", "/", &["127.0.0.1:8080"]));
    }

    #[test]
    fn machines_and_people_may_have_a_host_each() {
        let (public, pages) =
            ("https://mcp.example.com".parse().unwrap(), "https://id.example.com".parse().unwrap());
        let names = |host: &str, pages: Option<&PublicUrl>| {
            let (parts, ()) = http::Request::builder().header("host", host).body(()).unwrap().into_parts();
            let names = Names::of(&parts, &public, pages);
            (names.is_host_of(Visitors::Machines), names.is_host_of(Visitors::People))
        };
        assert_eq!(names("mcp.example.com", None), (true, true));
        assert_eq!(names("id.example.com", None), (false, false));
        assert_eq!(names("mcp.example.com", Some(&pages)), (true, false));
        assert_eq!(names("id.example.com", Some(&pages)), (false, true));
    }

    #[test]
    fn another_host_is_refused_wherever_it_stands() {
        for host in ["evil.example", "mcp.example.com:80", "mcp.example.com.", "x@mcp.example.com", ""] {
            assert!(!ask("https://mcp.example.com", "/", &[host]), "{host}");
        }
        assert!(!ask("https://mcp.example.com", "/", &[]), "none");
        assert!(!ask("https://mcp.example.com", "/", &["mcp.example.com", "mcp.example.com"]), "two");
        assert!(!ask("https://mcp.example.com", "http://evil/x", &["mcp.example.com"]), "absolute form");
        assert!(!ask("https://mcp.example.com", "https://mcp.example.com/x", &["evil"]), "both");
        assert!(!ask("http://127.0.0.1:8080", "/", &["127.0.0.1"]));
        assert!(!ask("http://127.0.0.1:8080", "/", &["localhost:8080"]));
    }
}
