//! Scripts of web pages, wanted and unwanted (P-22; attacks PX-31, PX-32, TK-41).

use http::{Request, StatusCode};

use crate::house::{HTTPS, House};

fn preflight(uri: &str, origin: &str) -> http::request::Builder {
    Request::options(uri)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,mcp-param-city")
}

/// AS-026.
#[tokio::test]
async fn a_preflight_is_answered_before_anybody_is_authenticated() {
    let house = House::new(HTTPS).await;
    for uri in ["/notes/mcp", "/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/jwks"] {
        let answer = house.ask(preflight(uri, "https://claude.ai"), "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), "https://claude.ai", "{uri}");
        assert!(answer.header("access-control-allow-headers").contains("mcp-param-city"), "{uri}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{uri}");
    }
}

#[tokio::test]
async fn a_challenge_can_be_read_by_a_listed_page() {
    let house = House::new(HTTPS).await;
    let answer = house.ask(Request::post("/notes/mcp").header("origin", "https://claude.ai"), "").await;
    assert!(answer.header("access-control-expose-headers").contains("WWW-Authenticate"));
    assert_eq!(answer.header("access-control-allow-origin"), "https://claude.ai");
    assert_eq!(answer.header("vary"), "Origin");
}

#[tokio::test]
async fn an_unlisted_page_may_not_call_and_may_read_nothing() {
    let house = House::new(HTTPS).await;
    for origin in ["https://evil.example", "null", "https://MCP.example.com", "https://mcp.example.com."] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let request = Request::builder().method(method).uri("/notes/mcp").header("origin", origin);
            let answer = house.ask(request.header("access-control-request-method", "POST"), "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {origin}");
        }
        let token = house.ask(Request::post("/oauth/token").header("origin", origin), "").await;
        assert_eq!(token.header("access-control-allow-origin"), "", "{origin}");
        let asked = house.ask(preflight("/oauth/token", origin), "").await;
        assert_eq!(asked.header("access-control-allow-origin"), "", "{origin}");
    }
    let two = Request::post("/notes/mcp")
        .header("origin", "https://claude.ai")
        .header("origin", "https://claude.ai");
    assert_eq!(house.ask(two, "").await.status, StatusCode::FORBIDDEN);
}

/// AS-027.
#[tokio::test]
async fn no_page_takes_part_in_cors() {
    let house = House::new(HTTPS).await;
    for uri in
        ["/oauth/authorize", "/login", "/login/development", "/consent", "/login/callback/development", "/"]
    {
        let asked = house.ask(preflight(uri, "https://claude.ai"), "").await;
        assert_eq!(asked.status, StatusCode::METHOD_NOT_ALLOWED, "{uri}");
        let answer = house.ask(Request::get(uri).header("origin", "https://claude.ai"), "").await;
        let names = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(names.count(), 0, "{uri}");
    }
}
