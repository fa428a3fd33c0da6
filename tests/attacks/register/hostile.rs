//! The registration endpoint under input that is in no row.

use http::{Method, StatusCode};
use serde_json::json;
use testkit::outcomes::{harmless, reg400};
use testkit::raw;

use super::with;
use crate::attacks::scene::{CANARY, Scene, right};

/// Members of RFC 7591 and of others, and some that nobody knows.
const MEMBERS: &[&str] = &[
    "redirect_uris",
    "client_name",
    "client_name#ja",
    "client_uri",
    "logo_uri",
    "scope",
    "contacts",
    "tos_uri",
    "policy_uri",
    "jwks",
    "jwks_uri",
    "software_id",
    "software_version",
    "software_statement",
    "grant_types",
    "response_types",
    "token_endpoint_auth_method",
    "application_type",
    "sector_identifier_uri",
    "subject_type",
    "id_token_signed_response_alg",
    "default_max_age",
    "require_auth_time",
    "request_uris",
    "dpop_bound_access_tokens",
    "require_pushed_authorization_requests",
    "authorization_details_types",
    "unknown",
    "client_id",
    "",
];

#[tokio::test]
async fn members_of_another_type_are_refused_or_dropped_and_never_echoed() {
    let scene = Scene::new().await;
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!(CANARY),
        json!([]),
        json!([CANARY]),
        json!({}),
        json!({"a": CANARY}),
        json!([[[[]]]]),
        json!("\u{0}"),
        json!("\u{202e}"),
        json!("x".repeat(10_000)),
    ];
    for &member in MEMBERS {
        for value in &values {
            let answer = scene.register(with(member, value.clone())).await;
            let what = format!("{member}: {value}").chars().take(120).collect::<String>();
            assert!([201, 400].contains(&answer.status.as_u16()), "{what}: {}", answer.status);
            // A name and an id of software are what the client says of itself, and are told back.
            if answer.status == StatusCode::BAD_REQUEST
                || !["client_name", "software_id", "software_version"].contains(&member)
            {
                right(harmless(&answer, &[CANARY]), &what);
            }
            assert!(answer.text().len() < 2000, "{what}");
        }
    }
    assert_eq!(scene.stored().await.clients, 0);
    scene.house.close().await.unwrap();
}

/// AS-075, AS-076, AS-077, AS-078.
#[tokio::test]
async fn a_registration_is_json_and_says_so() {
    let scene = Scene::new().await;
    let before = scene.house.counts().await.unwrap();
    let good = with("client_name", json!("x"));
    let url = scene.at("/oauth/register");
    for media_type in [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/json; x=y",
        "application/jsonx",
        "application/ld+json",
        "*/*",
        "application/json\u{e9}",
        "json",
    ] {
        let answer = scene.send(Method::POST, &url, &[("content-type", media_type)], good.clone()).await;
        right(reg400(&answer, "invalid_client_metadata"), media_type);
    }
    right(
        reg400(&scene.send(Method::POST, &url, &[], good.clone()).await, "invalid_client_metadata"),
        "none",
    );
    let twice = [("content-type", "application/json"), ("content-type", "application/json")];
    right(
        reg400(&scene.send(Method::POST, &url, &twice, good.clone()).await, "invalid_client_metadata"),
        "two",
    );
    for media_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        assert_eq!(
            scene.send(Method::POST, &url, &[("content-type", media_type)], good.clone()).await.status,
            StatusCode::CREATED,
            "{media_type}"
        );
    }
    // A query says nothing.
    let answer = scene
        .send(Method::POST, &format!("{url}?redirect_uris=https://evil.example&c4n4ry=1"), &[twice[0]], "{}")
        .await;
    right(reg400(&answer, "invalid_redirect_uri"), "a query");
    assert_eq!(scene.house.counts().await.unwrap(), before);
    scene.close().await;
}

#[tokio::test]
async fn bodies_that_are_framed_wrongly_are_refused() {
    let scene = Scene::new().await;
    let before = scene.house.counts().await.unwrap();
    let host = scene.house.host();
    let head = format!(
        "POST /oauth/register HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    );
    let good = with("client_name", json!("x"));
    let length = good.len();
    for rest in [
        format!("Content-Length: {length}\r\nContent-Length: {}\r\n\r\n{good}", length + 1),
        format!("Content-Length: -{length}\r\n\r\n{good}"),
        format!("Content-Length: +{length}\r\n\r\n{good}"),
        format!("Content-Length: 0x10\r\n\r\n{good}"),
        format!("Content-Length: 99999999999999999999999\r\n\r\n{good}"),
        format!("Content-Length: {}\r\n\r\n{good}", length + 100),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{good}\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\nzz\r\n{good}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{good}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: gzip\r\n\r\n{good}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n{length:x}\r\n{good}\r\n0\r\n\r\n"),
        format!("Content-Length: 70000\r\n\r\n{}", " ".repeat(70_000)),
        format!("Transfer-Encoding: chunked\r\n\r\n11170\r\n{}\r\n0\r\n\r\n", " ".repeat(70_000)),
        format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\n \r\n".repeat(70_000)),
        "\r\n".to_owned(),
    ] {
        let what: String = rest.chars().take(100).collect();
        match raw::send_and_hang_up(&scene.house.address(), format!("{head}{rest}").as_bytes()).await {
            Ok(answer) => {
                assert!(
                    [400, 408, 411, 413, 501].contains(&answer.status.as_u16()),
                    "{what}: {}",
                    answer.status
                );
                right(harmless(&answer, &[CANARY]), &what);
            }
            // A connection on which nothing more can be understood may be closed (RFC 9112, section 6.3).
            Err(closed) => assert!(closed.starts_with("no answer"), "{what}: {closed}"),
        }
    }
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{good}\r\n0\r\n\r\n");
    assert_eq!(
        raw::send(&scene.house.address(), chunked.as_bytes()).await.unwrap().status,
        StatusCode::CREATED
    );
    assert_eq!(scene.house.counts().await.unwrap(), before);
    scene.close().await;
}
