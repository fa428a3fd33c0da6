//! Listeners for some only, and a host of their own for people's pages.

use http::{Request, StatusCode};
use web::{ConnectionLimits, Listener, Serves};

use crate::house::{HTTPS, House, authorize_url};
use crate::listeners::{Served, serve_as};

async fn served(serves: Serves) -> (Served, House) {
    serve_as(ConnectionLimits::default(), |socket| Listener { serves, ..Listener::from(socket) }).await
}

/// The answer but for what is another in each.
async fn ask(served: &Served, method: &str, path: &str, more: &str) -> String {
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nconnection: close\r\n{more}\r\n");
    let answer = served.exchange(request.as_bytes()).await;
    let lines = answer
        .lines()
        .filter(|line| !["x-request-id: ", "date: ", "<footer"].iter().any(|start| line.starts_with(start)));
    lines.collect::<Vec<_>>().join("\n")
}

const MACHINES: [&str; 7] = [
    "/notes/mcp",
    "/oauth/token",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/jwks",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource/notes/mcp",
];
const PEOPLE: [&str; 7] = [
    "/",
    "/oauth/authorize",
    "/login",
    "/login/development",
    "/login/emergency",
    "/login/callback/development",
    "/consent",
];

#[tokio::test]
async fn what_a_listener_does_not_serve_looks_like_what_does_not_exist() {
    let machines = Serves { machines: true, ..Serves::NONE };
    let people = Serves { people: true, ..Serves::NONE };
    let ways = [
        ("GET", ""),
        ("GET", "accept: text/html\r\n"),
        ("GET", "origin: https://claude.ai\r\n"),
        ("HEAD", ""),
        ("POST", "content-length: 0\r\n"),
        ("OPTIONS", "origin: https://claude.ai\r\naccess-control-request-method: POST\r\n"),
    ];
    for (serves, there, not_there) in
        [(machines, &MACHINES[..], &PEOPLE[..]), (people, &PEOPLE[..], &MACHINES[..])]
    {
        let (served, _house) = served(serves).await;
        for (method, more) in ways {
            let unknown = ask(&served, method, "/nothing", more).await;
            assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
            for path in not_there {
                assert_eq!(ask(&served, method, path, more).await, unknown, "{method} {path} {more}");
            }
            for path in there {
                assert_ne!(ask(&served, method, path, more).await, unknown, "{method} {path} {more}");
            }
        }
        assert!(
            ask(&served, "GET", "/healthz", "").await.starts_with("HTTP/1.1 200 "),
            "probes come everywhere"
        );
    }
}

#[tokio::test]
async fn people_are_kept_to_their_own_host_and_machines_to_theirs() {
    const PAGES: &str = "https://id.example.com";
    let house = House::with_pages(HTTPS, PAGES).await;
    let ask = |host: &'static str, path: &'static str| house.ask(Request::get(path).header("host", host), "");
    for (path, served) in [
        ("/.well-known/oauth-authorization-server", ["mcp.example.com", "id.example.com"]),
        ("/", ["id.example.com", "mcp.example.com"]),
    ] {
        let [right, wrong] = served;
        assert_eq!(ask(right, path).await.status, StatusCode::OK, "{path}");
        assert_eq!(ask(wrong, path).await.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert_eq!(ask("evil.example", path).await.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
    assert_eq!(ask("mcp.example.com", "/notes/mcp").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask("id.example.com", "/notes/mcp").await.status, StatusCode::FORBIDDEN);

    let metadata = ask("mcp.example.com", "/.well-known/oauth-authorization-server").await.json();
    assert_eq!(metadata["issuer"], HTTPS);
    assert_eq!(metadata["authorization_endpoint"], format!("{PAGES}/oauth/authorize"));
    assert_eq!(metadata["token_endpoint"], format!("{HTTPS}/oauth/token"));
}

/// The forms of pages come from the pages' own origin, and from no other, that of the machines included.
#[tokio::test]
async fn a_form_of_a_page_is_ours_only_if_it_comes_from_the_pages_host() {
    const PAGES: &str = "https://id.example.com";
    let house = House::with_pages(HTTPS, PAGES).await;
    let registration = Request::post("/oauth/register").header("content-type", "application/json");
    let body = r#"{"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}"#;
    let client = house.ask(registration.header("host", "mcp.example.com"), body).await;
    let client_id = client.json()["client_id"].as_str().unwrap().to_owned();
    let authorize = authorize_url(HTTPS, &client_id, "http://127.0.0.1/cb");
    let login = house.ask(Request::get(authorize).header("host", "id.example.com"), "").await;
    assert_eq!(login.status, StatusCode::OK, "{}", login.body);
    assert!(login.header("set-cookie").starts_with("__Host-"), "{:?}", login.headers);
    let form = format!(
        "authorization={}&csrf={}&connector=development",
        login.field("authorization"),
        login.field("csrf")
    );
    let press = |origin: &'static str| {
        let request = Request::post("/login")
            .header("host", "id.example.com")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", login.cookies().join("; "))
            .header("origin", origin);
        house.ask(request, &form)
    };
    assert_eq!(press(HTTPS).await.status, StatusCode::FORBIDDEN);
    let sent_on = press(PAGES).await;
    assert_eq!(sent_on.status, StatusCode::SEE_OTHER);
    assert!(
        sent_on.header("location").starts_with(&format!("{PAGES}/login/development")),
        "{:?}",
        sent_on.headers
    );
}
