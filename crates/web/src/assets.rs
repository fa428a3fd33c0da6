//! The few files that pages need: one stylesheet, two scripts, one picture, all in the binary.

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use protocol::secret::Hash;

use crate::front::Visit;
use crate::router::nothing_here;

struct Asset {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset {
        path: "/assets/consent.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/consent.js"),
    },
    Asset { path: "/assets/icon.svg", media_type: "image/svg+xml", text: include_str!("../assets/icon.svg") },
    Asset {
        path: "/assets/login.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/login.js"),
    },
    Asset {
        path: "/assets/style.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../assets/style.css"),
    },
];

/// Short enough that an upgrade is seen soon; after that a revalidation, which costs nothing.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=600");
/// A picture that is opened by itself is a document: it may do nothing.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == request.uri().path()) else {
        return nothing_here(&visit, request.headers());
    };
    let tag = entity_tag(asset.text);
    let fresh = is_fresh(request.headers(), &tag);
    let body = if fresh { axum::body::Body::empty() } else { axum::body::Body::from(asset.text) };
    let mut response = Response::new(body);
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    headers.insert(header::CACHE_CONTROL, KEPT);
    headers.insert(header::CONTENT_SECURITY_POLICY, INERT);
    headers.insert(header::ETAG, tag);
    response
}

fn entity_tag(text: &str) -> HeaderValue {
    let hash = Hash::of(text.as_bytes());
    let start: String = hash.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{start}\"")).unwrap_or(HeaderValue::from_static("\"-\""))
}

/// RFC 9110, section 13.1.2.
fn is_fresh(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(','));
    tags.any(|known| known.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AS-124.
    #[test]
    fn the_stylesheet_is_under_twenty_kilobytes_and_refers_to_nothing_outside() {
        let style = ASSETS.iter().find(|asset| asset.path.ends_with(".css")).unwrap().text;
        assert!(style.len() < 20_000, "{}", style.len());
        assert!(!style.contains("url(") && !style.contains("@import"));
    }

    #[test]
    fn an_asset_that_is_known_is_not_sent_again() {
        let tag = entity_tag("x");
        let headers = |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]);
        let known = tag.to_str().unwrap();
        assert!(is_fresh(&headers(known), &tag));
        assert!(is_fresh(&headers(&format!("\"a\", W/{known}")), &tag));
        assert!(!is_fresh(&headers("\"a\""), &tag));
        assert!(!is_fresh(&HeaderMap::new(), &tag));
    }
}
