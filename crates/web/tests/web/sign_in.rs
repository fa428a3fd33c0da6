//! The pages of a sign-in, in the order in which a person sees them, and what they refuse.

use http::{Request, StatusCode};

use crate::house::{Answer, HTTPS, House, LOOPBACK, authorize_url};

const CALLBACK: &str = "http://127.0.0.1:51234/callback";

fn allow(consent: &Answer) -> String {
    let (authorization, csrf) = (consent.field("authorization"), consent.field("csrf"));
    format!("authorization={authorization}&csrf={csrf}&scope=read&decision=allow")
}

async fn to_consent(house: &House) -> (Answer, Vec<String>) {
    let client_id = house.register(CALLBACK).await;
    house.sign_in(&authorize_url(LOOPBACK, &client_id, CALLBACK)).await
}

fn assert_page(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("location"), "");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let csp = answer.header("content-security-policy");
    assert!(csp.starts_with("default-src 'none'; ") && csp.contains("frame-ancestors 'none'"), "{csp}");
    assert!(!csp.contains("unsafe"), "{csp}");
    for inline in ["<style", "style=", " onclick", " onload", "javascript:", "<script>"] {
        assert!(!answer.body.contains(inline), "{inline}");
    }
}

/// AS-126.
#[tokio::test]
async fn a_person_goes_from_the_first_page_to_the_client() {
    let house = House::new(LOOPBACK).await;
    let (consent, cookies) = to_consent(&house).await;
    assert_page(&consent, StatusCode::OK);
    let done = house.post("/consent", &cookies, &allow(&consent)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let location = done.header("location");
    assert!(location.starts_with("http://127.0.0.1:51234/callback?code="), "{location}");
    assert!(location.ends_with("&state=xyz&iss=http%3A%2F%2F127.0.0.1%3A8080"), "{location}");
    assert_eq!((done.header("cache-control"), done.header("referrer-policy")), ("no-store", "no-referrer"));
}

/// TK-40.
///
/// AS-153.
#[tokio::test]
async fn a_code_buys_an_access_token_that_nobody_may_keep() {
    let house = House::new(LOOPBACK).await;
    let client_id = house.register(CALLBACK).await;
    let (consent, cookies) = house.sign_in(&authorize_url(LOOPBACK, &client_id, CALLBACK)).await;
    let done = house.post("/consent", &cookies, &allow(&consent)).await;
    let code = done.header("location").split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let body = format!(
        "grant_type=authorization_code&code={code}&client_id={client_id}\
         &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let request = Request::post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    let token = house.ask(request, &body).await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.body);
    assert_eq!((token.header("cache-control"), token.header("pragma")), ("no-store", "no-cache"));
    assert_eq!(token.header("content-type"), "application/json");
    assert_eq!(
        (token.json()["token_type"].as_str(), token.json()["scope"].as_str()),
        (Some("Bearer"), Some("read"))
    );
}

/// CS-13.
#[tokio::test]
async fn a_person_who_cancels_is_sent_back_with_a_refusal() {
    let house = House::new(LOOPBACK).await;
    let (consent, cookies) = to_consent(&house).await;
    let body = allow(&consent).replace("decision=allow", "decision=deny");
    let done = house.post("/consent", &cookies, &body).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(done.header("location").starts_with("http://127.0.0.1:51234/callback?error=access_denied"));
}

/// CB-02: the cookie of the upstream leg appears in the answer to the button, and in no other.
///
/// AS-230.
#[tokio::test]
async fn the_leg_cookie_is_set_by_the_button_alone() {
    let house = House::new(LOOPBACK).await;
    let client_id = house.register(CALLBACK).await;
    let login = house.get(&authorize_url(LOOPBACK, &client_id, CALLBACK), &[]).await;
    assert_page(&login, StatusCode::OK);
    let names = |answer: &Answer| {
        let cookies = answer.cookies().into_iter();
        cookies.map(|cookie| cookie.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(matches!(names(&login).as_slice(), [one] if one.starts_with("sekisho-browser-8080-")));
    let body = format!(
        "authorization={}&csrf={}&connector=development",
        login.field("authorization"),
        login.field("csrf")
    );
    let leg = house.post("/login", &login.cookies(), &body).await;
    assert_eq!(names(&leg), ["sekisho-leg-8080"]);
    let set = leg.header("set-cookie");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"), "{set}");
}

/// CB-01.
#[tokio::test]
async fn a_callback_in_another_browser_is_refused() {
    let house = House::new(LOOPBACK).await;
    let client_id = house.register(CALLBACK).await;
    let login = house.get(&authorize_url(LOOPBACK, &client_id, CALLBACK), &[]).await;
    let body = format!(
        "authorization={}&csrf={}&connector=development",
        login.field("authorization"),
        login.field("csrf")
    );
    let leg = house.post("/login", &login.cookies(), &body).await;
    let people = house.get(leg.header("location"), &[]).await;
    let back =
        house.post("/login/development", &[], &format!("state={}&login=alice", people.field("state"))).await;
    let victim = house.get(back.header("location"), &[]).await;
    assert_page(&victim, StatusCode::FORBIDDEN);
    assert_eq!(victim.header("set-cookie"), "");
}

/// CS-01, CS-02.
#[tokio::test]
async fn a_consent_without_its_own_token_is_refused_and_the_page_still_works() {
    let house = House::new(LOOPBACK).await;
    let (consent, cookies) = to_consent(&house).await;
    let token = consent.field("csrf");
    let good = allow(&consent);
    let half = token.len() / 2;
    let forged = format!("{}{}", &token[half..], &token[..half]);
    for bad in [good.replace(&token, ""), good.replace(&token, &forged), good.replace("&csrf=", "&other=")] {
        assert_page(&house.post("/consent", &cookies, &bad).await, StatusCode::FORBIDDEN);
    }
    assert_ne!(house.post("/consent", &[], &good).await.status, StatusCode::SEE_OTHER, "without cookies");
    assert_eq!(house.post("/consent", &cookies, &good).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_that_another_site_sends_is_refused() {
    let house = House::new(LOOPBACK).await;
    let (consent, cookies) = to_consent(&house).await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for path in ["/consent", "/login", "/login/development"] {
            let request = Request::post(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("cookie", cookies.join("; "))
                .header(name, value);
            assert_page(&house.ask(request, &allow(&consent)).await, StatusCode::FORBIDDEN);
        }
    }
}

/// CS-14, CS-05.
#[tokio::test]
async fn consent_is_given_by_the_button_and_by_nothing_else() {
    let house = House::new(LOOPBACK).await;
    let (consent, cookies) = to_consent(&house).await;
    let by_get = house.get(&format!("/consent?{}", allow(&consent)), &cookies).await;
    assert_page(&by_get, StatusCode::OK);
    let head = Request::head(format!("/consent?{}", allow(&consent))).header("cookie", cookies.join("; "));
    assert_eq!(house.ask(head, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    for decision in ["", "yes", "Allow", "allow&decision=allow"] {
        let body = allow(&consent).replace("decision=allow", &format!("decision={decision}"));
        assert_page(&house.post("/consent", &cookies, &body).await, StatusCode::FORBIDDEN);
    }
    let more = format!("{}&client_id=x&redirect_uri=https%3A%2F%2Fevil.example&resource=x", allow(&consent));
    let done = house.post("/consent", &cookies, &more).await;
    assert!(done.header("location").starts_with(CALLBACK), "{}", done.header("location"));
}

/// CS-17: the button that Enter presses is the first of the form.
#[tokio::test]
async fn enter_cancels_and_the_page_loads_one_script_of_ours() {
    let house = House::new(LOOPBACK).await;
    let (consent, _) = to_consent(&house).await;
    let (deny, allow) =
        (consent.body.find("value=\"deny\"").unwrap(), consent.body.find("value=\"allow\"").unwrap());
    assert!(deny < allow);
    assert_eq!(consent.body.matches("<script").count(), 1);
    assert!(consent.body.contains("<script src=\"/assets/consent.js\" defer></script>"));
    let csp = consent.header("content-security-policy");
    assert!(csp.ends_with("form-action 'self' https: http://127.0.0.1:51234"), "{csp}");
    assert!(csp.contains("script-src 'self'"), "{csp}");
}

/// CS-04.
#[tokio::test]
async fn a_name_that_is_markup_stays_text() {
    let house = House::new(LOOPBACK).await;
    let name = "\"><svg onload=alert(1)>{{7*7}}${7*7}</title><script>";
    let body = serde_json::json!({
        "client_name": name, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
    });
    let request = Request::post("/oauth/register").header("content-type", "application/json");
    let registered = house.ask(request, &body.to_string()).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{}", registered.body);
    let client_id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let url = authorize_url(LOOPBACK, &client_id, CALLBACK);
    let (consent, _) = house.sign_in(&url).await;
    for page in [house.get(&url, &[]).await, consent] {
        assert!(!page.body.contains("<svg onload") && !page.body.contains("<script>"), "{}", page.body);
        assert!(page.body.contains("{{7*7}}${7*7}"), "{}", page.body);
    }
}

/// AZ-30.
#[tokio::test]
async fn a_wrong_request_of_a_client_elsewhere_ends_at_a_page_with_a_link() {
    let house = House::new(HTTPS).await;
    let client_id = house.register("https://client.example/cb").await;
    let url = authorize_url(HTTPS, &client_id, "https://client.example/cb")
        .replace("scope=read+write", "scope=%21");
    let page = house.get(&url, &[]).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    let link = "href=\"https://client.example/cb?error=invalid_scope";
    assert!(page.body.contains(link), "{}", page.body);
    assert!(page.body.contains("state=xyz") && page.body.contains("iss=https%3A%2F%2Fmcp.example.com"));
    assert!(page.body.contains("<bdi>https://client.example</bdi>"), "the page names where it leads");
}

/// AZ-02.
#[tokio::test]
async fn a_redirect_that_was_never_registered_is_a_page_without_a_link() {
    let house = House::new(HTTPS).await;
    let client_id = house.register("https://client.example/cb").await;
    let url = authorize_url(HTTPS, &client_id, "https://attacker.example/cb").replace("S256", "plain");
    let page = house.get(&url, &[]).await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    assert!(!page.body.contains("attacker.example") && !page.body.contains("client.example"));
}

/// AZ-26.
#[tokio::test]
async fn a_long_state_comes_back_whole_or_is_refused() {
    let house = House::new(LOOPBACK).await;
    let client_id = house.register(CALLBACK).await;
    for length in [1024, 8 * 1024] {
        let state = "s".repeat(length);
        let url =
            authorize_url(LOOPBACK, &client_id, CALLBACK).replace("state=xyz", &format!("state={state}"));
        let (consent, cookies) = house.sign_in(&url).await;
        let done = house.post("/consent", &cookies, &allow(&consent)).await;
        assert!(done.header("location").contains(&format!("&state={state}&")), "{length}");
    }
    let state = "s".repeat(20 * 1024);
    let url = authorize_url(LOOPBACK, &client_id, CALLBACK).replace("state=xyz", &format!("state={state}"));
    assert_page(&house.get(&url, &[]).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn somebody_else_may_sign_in_from_the_consent_page() {
    let house = House::new(LOOPBACK).await;
    let (consent, mut cookies) = to_consent(&house).await;
    let authorization = consent.field("authorization");
    assert!(consent.body.contains("Alice Tanaka"));
    let link = format!("/login?authorization={authorization}");
    assert!(consent.body.contains(&format!("href=\"{link}\"")));
    let login = house.get(&link, &cookies).await;
    assert_page(&login, StatusCode::OK);
    let body = format!("authorization={authorization}&csrf={}&connector=development", login.field("csrf"));
    let leg = house.post("/login", &cookies, &body).await;
    assert_eq!(leg.status, StatusCode::SEE_OTHER, "{}", leg.body);
    let state = house.get(leg.header("location"), &cookies).await.field("state");
    let back = house.post("/login/development", &cookies, &format!("state={state}&login=bob")).await;
    let signed_in = house.get(back.header("location"), &cookies).await;
    cookies.retain(|cookie| !cookie.starts_with("sekisho-session"));
    cookies.extend(signed_in.cookies());
    let page = house.get(signed_in.header("location"), &cookies).await;
    assert!(page.body.contains("Bob Suzuki") && !page.body.contains("Alice"), "{}", page.body);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_told_in_words() {
    let house = House::new(LOOPBACK).await;
    let page = house.post("/login/development", &[], "state=x&login=mallory").await;
    assert_page(&page, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("There is nobody of that name") && !page.body.contains("mallory"));
}
