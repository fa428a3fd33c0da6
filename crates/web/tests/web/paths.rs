//! Every path of the table, and everything that only looks like one.

use http::{Request, StatusCode};

use crate::house::{Answer, HTTPS, House};

/// The rows of the table: path, methods, who.
fn table() -> Vec<(String, Vec<String>, String)> {
    let reference = web::routes_reference();
    let rows = reference.lines().skip(2).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let methods = cells[2].split(", ").map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), methods, cells[3].to_owned())
    });
    rows.collect()
}

fn concrete(path: &str) -> String {
    path.replace("{server}", "notes").replace("{connector}", "development").replace("{file}", "style.css")
}

async fn ask(house: &House, method: &str, uri: &str) -> Answer {
    house.ask(Request::builder().method(method).uri(uri), "").await
}

#[tokio::test]
async fn every_route_has_an_access_rule_and_answers_something_else_than_404() {
    let house = House::new(HTTPS).await;
    let table = table();
    assert!(table.len() > 10);
    for (path, methods, who) in table {
        assert!(["access token", "browser", "MCP server", "public"].contains(&who.as_str()), "{path}: {who}");
        let answer = ask(&house, &methods[0], &concrete(&path)).await;
        // The one is there only with its connector, another only while a certificate is ordered, and the last only where
        // people connect accounts.
        let is_away = path == "/login/development"
            || path.starts_with("/.well-known/acme-challenge/")
            || path == "/connect/{server}/client";
        assert!(answer.status != StatusCode::NOT_FOUND || is_away, "{path}");
        assert!(!answer.status.is_server_error() || path == "/readyz" || who == "access token", "{path}");
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_405_with_allow() {
    let house = House::new(HTTPS).await;
    for (path, methods, who) in table() {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            if methods.iter().any(|known| known == method) || who == "access token" {
                continue;
            }
            let answer = ask(&house, method, &concrete(&path)).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), methods.join(", "), "{method} {path}");
        }
    }
}

/// What looks like a path of the table and is not.
const SPELLINGS: [&str; 46] = [
    "//oauth/authorize",
    "/oauth/authorize/",
    "/OAUTH/authorize",
    "/oauth//authorize",
    "/oauth/to%6ben",
    "/oauth/%2e/authorize",
    "/oauth/./token",
    "/oauth/authorize;x=1",
    "/oauth/to%E2%84%AAen",
    "/authorize",
    "/token",
    "/oauth",
    "/oauth/introspect/",
    "/metrics",
    "//notes/mcp",
    "/notes/mcp/",
    "/Notes/mcp",
    "/notes/MCP",
    "/no%74es/mcp",
    "/notes%2fmcp",
    "/notes/mcp;x",
    "/a/notes/mcp",
    "/mcp/notes",
    "/notes/..%2fmcp",
    "/.well-known",
    "/.well-known/oauth-authorization-server/",
    "/.well-known/oauth-authorization-server/notes/mcp",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/nobody/mcp",
    "/.well-known/oauth-protected-resource/notes/mcp/",
    "/.well-known/oauth-protected-resource/no%74es/mcp",
    "/.well-known/oauth-protected-resource/mcp/../notes/mcp",
    "/.well-known/oauth-protected-resource//notes/mcp",
    "/.well-known/oauth-protected-resource/%2e%2e/mcp",
    "/login/callback",
    "/login/callback/",
    "/login/callback/a%2fb",
    "/login/callback/development/",
    "/assets",
    "/assets/",
    "/assets/../consent",
    "/assets/%2e%2e%2fCargo.toml",
    "/assets/style.css/",
    "/assets/STYLE.css",
    "/admin",
    "/favicon.ico",
];

/// AZ-36, PX-10, DS-02.
#[tokio::test]
async fn a_path_in_any_other_spelling_is_not_found() {
    let house = House::new(HTTPS).await;
    for path in SPELLINGS {
        for method in ["GET", "POST"] {
            let answer = ask(&house, method, path).await;
            let refused = answer.status == StatusCode::NOT_FOUND
                || (path.starts_with("/assets/")
                    || path.starts_with("/.well-known/")
                    || path.starts_with("/login/"))
                    && answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert!(refused, "{method} {path}: {}", answer.status);
            assert_eq!(answer.header("set-cookie"), "", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_is_not_found_is_a_page_for_people_and_json_for_programs() {
    let house = House::new(HTTPS).await;
    let page = house.ask(Request::get("/nothing").header("accept", "text/html,*/*;q=0.8"), "").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::NOT_FOUND, "text/html; charset=utf-8")
    );
    let json = house.ask(Request::get("/nothing").header("accept", "application/json"), "").await;
    assert_eq!((json.status, json.header("content-type")), (StatusCode::NOT_FOUND, "application/json"));
}

/// AZ-35.
#[tokio::test]
async fn head_of_the_authorization_endpoint_begins_nothing() {
    let house = House::new(HTTPS).await;
    let answer = ask(&house, "HEAD", "/oauth/authorize?client_id=x").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::METHOD_NOT_ALLOWED, ""));
}

/// DS-01, PX-31.
#[tokio::test]
async fn a_request_for_another_host_is_refused_and_probes_are_not() {
    let house = House::new(HTTPS).await;
    for (path, methods, who) in table() {
        let request = Request::builder()
            .method(methods[0].as_str())
            .uri(concrete(&path))
            .header("host", "evil.example");
        let answer = house.ask(request, "").await;
        let expected = match (path.as_str(), who.as_str()) {
            ("/healthz", _) => StatusCode::OK,
            ("/readyz", _) => StatusCode::SERVICE_UNAVAILABLE,
            // For whatever host a certificate is ordered; here none is.
            ("/.well-known/acme-challenge/{token}", _) => StatusCode::NOT_FOUND,
            (_, "access token") => StatusCode::FORBIDDEN,
            _ => StatusCode::MISDIRECTED_REQUEST,
        };
        assert_eq!(answer.status, expected, "{path}");
        assert!(!answer.body.contains("evil.example"), "{path}");
    }
}

/// DS-01, PX-11.
#[tokio::test]
async fn nothing_that_is_forwarded_is_found_in_a_document() {
    let house = House::new(HTTPS).await;
    let plain = ask(&house, "GET", "/.well-known/oauth-authorization-server").await;
    let request = Request::get("/.well-known/oauth-authorization-server")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "http")
        .header("forwarded", "host=evil.example;proto=http")
        .header("x-original-url", "/admin")
        .header("x-http-method-override", "DELETE");
    let forwarded = house.ask(request, "").await;
    assert_eq!(forwarded.status, StatusCode::OK);
    assert_eq!(forwarded.body, plain.body);
}

#[tokio::test]
async fn every_answer_names_its_request_and_forbids_sniffing() {
    let house = House::new(HTTPS).await;
    let mut names = std::collections::HashSet::new();
    for (path, methods, _) in table() {
        let answer = ask(&house, &methods[0], &concrete(&path)).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("strict-transport-security"), "max-age=63072000", "{path}");
        assert!(names.insert(answer.header("x-request-id").to_owned()), "{path}");
        assert_eq!(answer.header("x-request-id").len(), 10);
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let house = House::new(HTTPS).await;
    for path in [
        "/",
        "/oauth/jwks",
        "/assets/style.css",
        "/healthz",
        "/.well-known/oauth-protected-resource/notes/mcp",
    ] {
        let (get, head) = (ask(&house, "GET", path).await, ask(&house, "HEAD", path).await);
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
}

/// Who pastes the address of an MCP server into a browser is told what it is for; a program hears what it always heard.
#[tokio::test]
async fn a_person_who_opens_the_address_of_an_mcp_server_gets_a_page_with_the_same_challenge() {
    let house = House::new(HTTPS).await;
    let page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let get =
        async |path: &str, accept: &str| house.ask(Request::get(path).header("accept", accept), "").await;
    let (program, person) = (get("/notes/mcp", "text/event-stream").await, get("/notes/mcp", page).await);
    assert_eq!((program.status, person.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(person.header("www-authenticate"), program.header("www-authenticate"));
    assert!(person.header("content-type").starts_with("text/html"));
    assert!(person.body.contains("This address is for an application"), "{}", person.body);
    assert!(!program.body.contains("<html"), "{}", program.body);
    let unknown = get("/nothing/mcp", page).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.body.contains("There is no such page"), "{}", unknown.body);
}
