//! Which web pages may speak to the endpoints that browsers can reach with a script (requirements RS-051 to RS-053;
//! attacks PX-31; product.md, P-22).
//!
//! Origins are compared byte for byte with a list. Nothing is parsed, so nothing can be parsed differently.

use http::{HeaderMap, HeaderValue, header};

use crate::public_url::PublicUrl;

/// Web clients that are known to call MCP servers from the browser, and the inspector of the MCP project on its
/// own machine. What is configured is added to them.
pub const WELL_KNOWN_WEB_CLIENTS: [&str; 7] = [
    "https://chat.openai.com",
    "https://chatgpt.com",
    "https://claude.ai",
    "https://claude.com",
    "https://vscode.dev",
    "http://127.0.0.1:6274",
    "http://localhost:6274",
];

/// Where a request says it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// No browser's script sent it (RS-053).
    Absent,
    /// One of ours or of the list.
    Listed(HeaderValue),
    /// `null`, unknown, or more than one.
    Refused,
}

/// The origins that are let in.
#[derive(Clone, Debug)]
pub(crate) struct OriginList(Vec<HeaderValue>);

impl OriginList {
    /// Our own origin and the configured ones. One that cannot be a header value can match nothing.
    pub(crate) fn new(public_url: &PublicUrl, configured: &[String]) -> Self {
        let own = std::iter::once(public_url.as_str());
        let all = own.chain(configured.iter().map(String::as_str));
        // `null` is what every sandboxed page says of itself: listing it would list them all.
        Self(
            all.filter(|text| *text != "null" && *text != "*").filter_map(|text| text.parse().ok()).collect(),
        )
    }

    /// Judges the `Origin` of a request.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Origin {
        let mut values = headers.get_all(header::ORIGIN).iter();
        match (values.next(), values.next()) {
            (None, _) => Origin::Absent,
            (Some(origin), None) if self.0.contains(origin) => Origin::Listed(origin.clone()),
            (Some(_), _) => Origin::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origins: &[&str]) -> Origin {
        let configured = ["https://claude.ai".to_owned(), "null".to_owned(), "*".to_owned()];
        let list = OriginList::new(&"https://mcp.example.com".parse().unwrap(), &configured);
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append("origin", origin.parse().unwrap());
        }
        list.judge(&headers)
    }

    #[test]
    fn our_own_origin_a_listed_one_and_none_are_let_in() {
        assert_eq!(judge(&[]), Origin::Absent);
        for origin in ["https://mcp.example.com", "https://claude.ai"] {
            assert_eq!(judge(&[origin]), Origin::Listed(origin.parse().unwrap()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let strange = [
            "null",
            "*",
            "",
            "https://evil.example",
            "http://claude.ai",
            "https://claude.ai.",
            "https://claude.ai/",
            "https://CLAUDE.ai",
            "https://claude.ai:443",
            "https://x@claude.ai",
            "https://claude.ai https://evil.example",
        ];
        for origin in strange {
            assert_eq!(judge(&[origin]), Origin::Refused, "{origin}");
        }
        assert_eq!(judge(&["https://claude.ai", "https://claude.ai"]), Origin::Refused, "two");
    }
}
