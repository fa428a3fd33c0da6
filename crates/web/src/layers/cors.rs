//! Browsers as clients (product.md, P-22; requirements RS-057, AS-026, AS-027; the Fetch standard, "CORS protocol").
//!
//! Never `*`, never credentials, never `null`, and never on a page: a route says itself that it takes part.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::layers::origin::Origin;
use crate::routes::Route;

const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, \
     Last-Event-ID, Mcp-Method, Mcp-Name, DPoP, \
     Content-Digest, Signature, Signature-Agent, Signature-Input";
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id, DPoP-Nonce, Accept-Signature");
/// How long a browser may remember a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");
/// The one family of names that cannot be listed beforehand (requirements 1.2, `x-mcp-header`).
const PARAMETER_PREFIX: &str = "mcp-param-";
const MAX_PARAMETERS: usize = 32;

/// Whether this is a preflight: `OPTIONS` alone is not one.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight, given before anybody is authenticated (attacks PX-32).
pub(crate) fn preflight<B: Default>(route: &Route, origin: &Origin, asked: &HeaderMap) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    if let Origin::Listed(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, route.allow());
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(asked));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

/// Lets the page that asked read the answer, whatever the answer is.
pub(crate) fn expose(headers: &mut HeaderMap, origin: &Origin) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Origin::Listed(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
}

fn allowed_headers(asked: &HeaderMap) -> HeaderValue {
    let mut text = ALLOWED_HEADERS.to_owned();
    let values = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    // A name that parses is a token (RFC 9110, section 5.6.2), so it may be repeated in the answer.
    let parameters = names.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    for name in parameters.filter(|name| name.as_str().starts_with(PARAMETER_PREFIX)).take(MAX_PARAMETERS) {
        text.push_str(", ");
        text.push_str(name.as_str());
    }
    text.parse().unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::MCP;

    fn asked(names: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::ORIGIN, HeaderValue::from_static("https://claude.ai")),
            (header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST")),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, names.parse().unwrap()),
        ])
    }

    fn listed() -> Origin {
        Origin::Listed(HeaderValue::from_static("https://claude.ai"))
    }

    fn value(response: &Response<()>, name: HeaderName) -> Option<&str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn options_is_a_preflight_only_with_its_headers() {
        assert!(is_preflight(&Method::OPTIONS, &asked("")));
        assert!(!is_preflight(&Method::POST, &asked("")));
        assert!(!is_preflight(&Method::OPTIONS, &HeaderMap::new()));
    }

    #[test]
    fn a_listed_origin_is_told_what_it_may_send() {
        let response: Response<()> =
            preflight(&MCP, &listed(), &asked("authorization, Mcp-Param-City, x-evil"));
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(value(&response, header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://claude.ai"));
        assert_eq!(value(&response, header::ACCESS_CONTROL_ALLOW_METHODS), Some("GET, POST, DELETE"));
        assert_eq!(
            value(&response, header::ACCESS_CONTROL_ALLOW_HEADERS),
            Some(
                "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Last-Event-ID, Mcp-Method, Mcp-Name, DPoP, Content-Digest, Signature, Signature-Agent, Signature-Input, mcp-param-city"
            )
        );
        assert_eq!(value(&response, header::ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
    }

    #[test]
    fn another_origin_is_told_nothing() {
        let response: Response<()> = preflight(&MCP, &Origin::Refused, &asked("authorization"));
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(value(&response, header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
        assert_eq!(value(&response, header::ACCESS_CONTROL_ALLOW_HEADERS), None);
    }

    #[test]
    fn header_names_are_echoed_only_if_they_are_of_the_one_family_and_well_formed() {
        let many = (0..100).map(|n| format!("mcp-param-{n}")).collect::<Vec<_>>().join(",");
        let told = allowed_headers(&asked(&many)).to_str().unwrap().to_owned();
        assert_eq!(told.matches("mcp-param-").count(), MAX_PARAMETERS);
        for names in ["mcp-param-a b", "mcp-param-\"x\"", "x-mcp-param-a", "*", ""] {
            assert_eq!(allowed_headers(&asked(names)), ALLOWED_HEADERS, "{names}");
        }
    }

    #[test]
    fn an_answer_always_varies_by_origin_and_is_readable_by_a_listed_one_only() {
        for (origin, readable) in [(listed(), true), (Origin::Refused, false), (Origin::Absent, false)] {
            let mut headers = HeaderMap::new();
            expose(&mut headers, &origin);
            assert_eq!(headers.get(header::VARY).unwrap(), "Origin");
            assert_eq!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), readable);
            assert_eq!(headers.contains_key(header::ACCESS_CONTROL_EXPOSE_HEADERS), readable);
        }
    }
}
