//! One whole answer per route: status, headers, body.

use http::Request;

use crate::house::{HTTPS, House, LOOPBACK, authorize_url};

const FORM: &str = "application/x-www-form-urlencoded";
const CALLBACK: &str = "http://127.0.0.1:51234/callback";

/// Keys are made by the signature library's own chance, so they are left out.
fn without_keys(text: &str) -> String {
    let mut text = text.to_owned();
    for member in ["\"x\":\"", "\"y\":\""] {
        if let Some(at) = text.find(member) {
            let start = at + member.len();
            let end = start + text[start..].find('"').unwrap();
            text.replace_range(start..end, "[key]");
        }
    }
    text
}

/// AS-002, AS-003, AS-004, AS-005, AS-009, AS-010, AS-012.
#[tokio::test]
async fn documents() {
    let house = House::new(HTTPS).await;
    for (name, path) in [
        ("authorization_server_metadata", "/.well-known/oauth-authorization-server"),
        ("openid_configuration", "/.well-known/openid-configuration"),
        ("protected_resource_metadata", "/.well-known/oauth-protected-resource/notes/mcp"),
        ("jwks", "/oauth/jwks"),
        ("healthz", "/healthz"),
        ("readyz", "/readyz"),
    ] {
        insta::assert_snapshot!(name, without_keys(&house.get(path, &[]).await.whole()));
    }
}

/// AS-090, AS-121, AS-232.
#[tokio::test]
async fn pages() {
    let house = House::new(LOOPBACK).await;
    insta::assert_snapshot!("index", house.get("/", &[]).await.whole());
    insta::assert_snapshot!(
        "not_found",
        house.ask(Request::get("/x").header("accept", "text/html"), "").await.whole()
    );
    let client_id = house.register(CALLBACK).await;
    let url = authorize_url(LOOPBACK, &client_id, CALLBACK);
    let login = house.get(&url, &[]).await;
    insta::assert_snapshot!("authorize", login.whole());
    let authorization = login.field("authorization");
    let mut cookies = login.cookies();
    insta::assert_snapshot!(
        "login",
        house.get(&format!("/login?authorization={authorization}"), &cookies).await.whole()
    );
    let body = format!("authorization={authorization}&csrf={}&connector=development", login.field("csrf"));
    let leg = house.post("/login", &cookies, &body).await;
    insta::assert_snapshot!("login_pressed", leg.whole());
    cookies.extend(leg.cookies());
    let people = house.get(leg.header("location"), &cookies).await;
    insta::assert_snapshot!("login_development", people.whole());
    let body = format!("state={}&login=alice", people.field("state"));
    let back = house.post("/login/development", &cookies, &body).await;
    let signed_in = house.get(back.header("location"), &cookies).await;
    insta::assert_snapshot!("callback", signed_in.whole());
    cookies.extend(signed_in.cookies());
    insta::assert_snapshot!("consent", house.get(signed_in.header("location"), &cookies).await.whole());
}

#[tokio::test]
async fn pages_in_japanese() {
    let house = House::new(LOOPBACK).await;
    let ask = |path: String| {
        let request =
            Request::get(path).header("accept", "text/html").header("accept-language", "ja-JP, en;q=0.7");
        let house = &house;
        async move { house.ask(request, "").await.whole() }
    };
    insta::assert_snapshot!("index_japanese", ask("/".to_owned()).await);
    insta::assert_snapshot!("not_found_japanese", ask("/x".to_owned()).await);
    let client_id = house.register(CALLBACK).await;
    insta::assert_snapshot!("authorize_japanese", ask(authorize_url(LOOPBACK, &client_id, CALLBACK)).await);
}

#[tokio::test]
async fn endpoints() {
    let house = House::new(HTTPS).await;
    let body = r#"{"client_name":"Claude Code","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"none"}"#;
    let register = Request::post("/oauth/register").header("content-type", "application/json");
    let registered = house.ask(register, body).await;
    insta::assert_snapshot!("register", registered.whole());
    let client_id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let ask = |path: &'static str, form: String| {
        let request = Request::post(path).header("content-type", FORM);
        let house = &house;
        async move { house.ask(request, &form).await.whole() }
    };
    let refresh = format!("grant_type=refresh_token&refresh_token=x&client_id={client_id}");
    insta::assert_snapshot!("token_refused", ask("/oauth/token", refresh).await);
    insta::assert_snapshot!("token_unauthenticated", ask("/oauth/token", "client_id=x".to_owned()).await);
    insta::assert_snapshot!("revoke", ask("/oauth/revoke", format!("token=x&client_id={client_id}")).await);
    insta::assert_snapshot!(
        "mcp_unauthenticated",
        house.ask(Request::post("/notes/mcp"), "{}").await.whole()
    );
    let evil = Request::post("/notes/mcp").header("origin", "https://evil.example");
    insta::assert_snapshot!("mcp_origin_refused", house.ask(evil, "{}").await.whole());
}

#[tokio::test]
async fn devices() {
    let house = House::new(LOOPBACK).await;
    let ask = |path: &'static str, language: &'static str| {
        let request = Request::get(path).header("accept", "text/html").header("accept-language", language);
        let house = &house;
        async move { house.ask(request, "").await.whole() }
    };
    insta::assert_snapshot!("device", ask("/device?user_code=wdjbmjht", "en").await);
    insta::assert_snapshot!("device_japanese", ask("/device", "ja").await);
    insta::assert_snapshot!("device_done", ask("/device/done?code=x", "en").await);
    insta::assert_snapshot!("device_done_japanese", ask("/device/done?error=access_denied", "ja").await);
    insta::assert_snapshot!(
        "device_unknown",
        house.post("/device", &[], "user_code=WDJB-MJHT").await.whole()
    );
    let client_id = house.register(CALLBACK).await;
    let asked = format!("resource={LOOPBACK}/notes/mcp&client_id={client_id}");
    let request = Request::post("/oauth/device_authorization").header("content-type", FORM);
    insta::assert_snapshot!("device_authorization_refused", house.ask(request, &asked).await.whole());
}

#[tokio::test]
async fn assets() {
    let house = House::new(HTTPS).await;
    for (name, path) in
        [("style", "/assets/style.css"), ("script", "/assets/consent.js"), ("picture", "/assets/icon.svg")]
    {
        let answer = house.get(path, &[]).await;
        let tag = answer.header("etag").to_owned();
        let whole = answer.whole();
        let head = whole.split("\n\n").next().unwrap().replace(&tag, "[tag]");
        insta::assert_snapshot!(format!("asset_{name}"), head);
        let again = house.ask(Request::get(path).header("if-none-match", tag), "").await;
        assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    }
}
