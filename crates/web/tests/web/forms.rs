//! What the endpoints that take a body make of it.

use http::{Request, StatusCode};

use crate::house::{Answer, HTTPS, House, LOOPBACK, authorize_url};

const FORM: &str = "application/x-www-form-urlencoded";
const CALLBACK: &str = "http://127.0.0.1:51234/callback";

async fn token(house: &House, content_type: &str, body: &str) -> Answer {
    house.ask(Request::post("/oauth/token").header("content-type", content_type), body).await
}

fn assert_token_error(answer: &Answer, code: &str, what: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {}", answer.body);
    assert_eq!(answer.json()["error"], code, "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
}

/// TK-20.
#[tokio::test]
async fn a_token_request_of_another_media_type_is_invalid() {
    let house = House::new(HTTPS).await;
    let types = [
        "",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/json, application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-16",
    ];
    for content_type in types {
        let answer = token(&house, content_type, "grant_type=refresh_token").await;
        assert_token_error(&answer, "invalid_request", content_type);
    }
    let none = house.ask(Request::post("/oauth/token"), "grant_type=refresh_token").await;
    assert_token_error(&none, "invalid_request", "none");
}

/// TK-23.
#[tokio::test]
async fn a_token_request_that_is_no_text_is_invalid() {
    let house = House::new(HTTPS).await;
    for body in ["a=%zz", "a=%", "a=%00", "a=%ff", "a=%ed%a0%80", "%EF%BB%BFa=b"] {
        assert_token_error(&token(&house, FORM, body).await, "invalid_request", body);
    }
}

/// TK-19.
#[tokio::test]
async fn parameters_in_the_url_of_the_token_endpoint_are_not_read() {
    let house = House::new(HTTPS).await;
    let client_id = house.register(CALLBACK).await;
    let request =
        Request::post(format!("/oauth/token?grant_type=refresh_token&client_id={client_id}&refresh_token=x"));
    let answer = house.ask(request.header("content-type", FORM), "").await;
    assert!(answer.status.is_client_error());
    assert_ne!(answer.json()["error"], "invalid_grant", "the url was read");
    let twice = token(&house, FORM, &format!("client_id={client_id}&grant_type=a&grant_type=a")).await;
    assert_token_error(&twice, "invalid_request", "repeated");
}

/// TK-22, RG-14.
#[tokio::test]
async fn a_body_over_the_cap_is_413_everywhere() {
    let house = House::new(HTTPS).await;
    let body = format!("a={}", "b".repeat(64 * 1024 - 1));
    for (uri, content_type) in [
        ("/oauth/token", FORM),
        ("/oauth/revoke", FORM),
        ("/oauth/authorize", FORM),
        ("/login", FORM),
        ("/login/development", FORM),
        ("/consent", FORM),
        ("/oauth/register", "application/json"),
    ] {
        let answer = house.ask(Request::post(uri).header("content-type", content_type), &body).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{uri}");
    }
    let at_the_cap = &body[..64 * 1024];
    let answer = house.ask(Request::post("/oauth/token").header("content-type", FORM), at_the_cap).await;
    assert_ne!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// TK-14.
///
/// AS-155.
#[tokio::test]
async fn a_basic_challenge_is_given_if_and_only_if_basic_was_tried() {
    let house = House::new(HTTPS).await;
    let body = "grant_type=refresh_token&refresh_token=x";
    for header in ["Basic !!!", "basic Og==", "BASIC", "Basic YTpi"] {
        let request =
            Request::post("/oauth/token").header("content-type", FORM).header("authorization", header);
        let answer = house.ask(request, body).await;
        assert!([StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST].contains(&answer.status), "{header}");
        if answer.status == StatusCode::UNAUTHORIZED {
            assert_eq!(answer.json()["error"], "invalid_client", "{header}");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{header}");
        }
    }
    let answer = token(&house, FORM, &format!("{body}&client_id=dcr_nobody")).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, ""));
}

/// AZ-13.
#[tokio::test]
async fn a_parameter_in_query_and_body_is_repeated() {
    let house = House::new(LOOPBACK).await;
    let client_id = house.register(CALLBACK).await;
    let url = authorize_url(LOOPBACK, &client_id, CALLBACK);
    let page = house.post(&url, &[], &format!("client_id={client_id}")).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""));
    let redirect = house.post(&url, &[], "scope=read").await;
    assert_eq!(redirect.status, StatusCode::SEE_OTHER);
    assert!(redirect.header("location").contains("error=invalid_request"), "{}", redirect.header("location"));
    let (path, query) = url.split_once('?').unwrap();
    assert_eq!(house.post(path, &[], query).await.status, StatusCode::OK, "by form alone");
}

#[tokio::test]
async fn a_registration_that_is_not_json_is_invalid() {
    let house = House::new(HTTPS).await;
    for (content_type, body) in [(FORM, "{}"), ("application/json", "{"), ("application/json", "")] {
        let request = Request::post("/oauth/register").header("content-type", content_type);
        let answer = house.ask(request, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{content_type} {body}");
        assert_eq!(answer.json()["error"], "invalid_client_metadata");
    }
}
