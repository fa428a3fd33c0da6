//! The other members: rows RG-04 to RG-11.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use testkit::client::TestClient;
use tokio::net::TcpListener;

use super::{accepted, refused, with};
use crate::attacks::scene::{CANARY, REMOTE, Scene};

#[tokio::test]
async fn rg_04_a_link_with_an_unsafe_scheme_is_refused_in_every_language() {
    let scene = Scene::new().await;
    for member in ["client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri"] {
        for name in
            [member.to_owned(), format!("{member}#fr"), format!("{member}#ja-Kana-JP"), format!("{member}#")]
        {
            for link in [
                "javascript:c4n4ry",
                "JAVASCRIPT:c4n4ry",
                "java\tscript:c4n4ry",
                "\u{1}javascript:c4n4ry",
                "data:text/html,c4n4ry",
                "vbscript:x",
                "file:///etc/passwd",
                "blob:x",
                "ftp://x/",
                "//client.example/",
                "/x",
                "client.example",
                "https:x",
                "https://",
                "https://user@x/",
                "https://x y/",
                "https://client.example\\@evil.example/",
                "cursor://x/",
                "http://x/\r\nc4n4ry",
                "https://\u{e9}.example/",
            ] {
                refused(
                    &scene,
                    with(&name, json!(link)),
                    "invalid_client_metadata",
                    &format!("{name}: {link}"),
                )
                .await;
            }
            for value in [json!(1), json!([]), json!({}), json!(true), json!(["https://client.example/"])] {
                refused(
                    &scene,
                    with(&name, value.clone()),
                    "invalid_client_metadata",
                    &format!("{name}: {value}"),
                )
                .await;
            }
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn rg_05_members_that_belong_to_the_server_are_not_taken_from_a_client() {
    let scene = Scene::new().await;
    let hostile = json!({
        "redirect_uris": [REMOTE],
        "client_id": "known-public", "client_secret": "chosen-by-the-client-c4n4ry", "client_id_issued_at": 1, "client_secret_expires_at": 1,
        "registration_access_token": CANARY, "registration_client_uri": "https://c4n4ry.example/", "id": CANARY, "_id": CANARY, "tenant": CANARY,
        "trusted": true, "verified": true, "skip_consent": true, "first_party": true, "is_admin": true, "admin": true, "role": "admin",
        "groups": ["finance"], "created_at": 1, "blocked_at": null, "kind": "pre_registered", "fingerprint": CANARY, "scopes": ["admin"],
        "allowed_resources": ["*"], "access_token_lifetime": 999_999_999, "__proto__": {"trusted": true}, "constructor": {"x": 1}, "": CANARY,
    });
    let registered = accepted(&scene, hostile.to_string()).await;
    let names: BTreeSet<&str> = registered.as_object().unwrap().keys().map(String::as_str).collect();
    let ours = [
        "client_id",
        "client_id_issued_at",
        "client_secret",
        "client_secret_expires_at",
        "grant_types",
        "redirect_uris",
        "response_types",
        "token_endpoint_auth_method",
    ];
    assert_eq!(names, BTreeSet::from(ours), "{registered}");
    assert!(registered["client_id"].as_str().unwrap().starts_with("dcr_"));
    assert_ne!(registered["client_secret"], hostile["client_secret"]);
    assert_eq!(registered["client_secret_expires_at"], json!(0));
    assert!(!registered.to_string().contains(CANARY), "{registered}");
    // And it is still a stranger.
    let metadata = json!({"redirect_uris": [REMOTE], "token_endpoint_auth_method": "none", "trusted": true, "skip_consent": true});
    let client = TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
    let mut browser = scene.house.browser();
    let page = scene.consent(&mut browser, &scene.ask(&client, &[]), "alice").await;
    assert!(page.answer.text().contains("unverified"), "{}", page.words());
    scene.close().await;
}

/// AS-082.
#[tokio::test]
async fn rg_07_grant_and_response_types_that_are_not_served_are_refused() {
    let scene = Scene::new().await;
    for grants in [
        json!(["implicit"]),
        json!(["password"]),
        json!(["urn:ietf:params:oauth:grant-type:jwt-bearer"]),
        json!(["client_credentials"]),
        json!(["urn:ietf:params:oauth:grant-type:device_code"]),
        json!(["urn:ietf:params:oauth:grant-type:token-exchange"]),
        json!(["authorization_code", "implicit"]),
        json!(["authorization_code", "client_credentials"]),
        json!(["refresh_token"]),
        json!([]),
        json!(["AUTHORIZATION_CODE"]),
        json!(["authorization_code "]),
        json!([""]),
        json!([null]),
        json!([1]),
        json!(["authorization_code", 1]),
        json!("authorization_code"),
        json!(1),
        json!({}),
        json!(true),
        json!([["authorization_code"]]),
    ] {
        refused(&scene, with("grant_types", grants.clone()), "invalid_client_metadata", &grants.to_string())
            .await;
    }
    for responses in [
        json!(["token"]),
        json!(["id_token"]),
        json!(["code", "token"]),
        json!(["code id_token"]),
        json!(["none"]),
        json!([]),
        json!(["CODE"]),
        json!([""]),
        json!([null]),
        json!("code"),
        json!(1),
        json!({}),
    ] {
        refused(
            &scene,
            with("response_types", responses.clone()),
            "invalid_client_metadata",
            &responses.to_string(),
        )
        .await;
    }
    scene.close().await;
}

#[tokio::test]
async fn rg_07_other_ways_of_authentication_and_kinds_of_application_are_refused() {
    let scene = Scene::new().await;
    for method in [
        json!("private_key_jwt"),
        json!("client_secret_jwt"),
        json!("tls_client_auth"),
        json!("NONE"),
        json!(""),
        json!(["none"]),
        json!(1),
        json!({}),
    ] {
        refused(
            &scene,
            with("token_endpoint_auth_method", method.clone()),
            "invalid_client_metadata",
            &method.to_string(),
        )
        .await;
    }
    for kind in [json!("WEB"), json!("service"), json!(""), json!([]), json!(1)] {
        refused(&scene, with("application_type", kind.clone()), "invalid_client_metadata", &kind.to_string())
            .await;
    }
    for member in ["grant_types", "response_types"] {
        let repeated = json!(vec![if member == "grant_types" { "authorization_code" } else { "code" }; 500]);
        assert_eq!(accepted(&scene, with(member, repeated)).await[member].as_array().unwrap().len(), 1);
        accepted(&scene, with(member, json!(null))).await;
    }
    scene.close().await;
}

/// AS-098.
#[tokio::test]
async fn rg_08_a_scope_that_a_client_gives_itself_is_worth_nothing() {
    let scene = Scene::new().await;
    let hundred = (0..100).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
    for scope in ["admin", "sekisho:admin", "read write admin", "*", "openid offline_access", &hundred, ""] {
        let metadata = json!({"redirect_uris": ["http://127.0.0.1:51234/callback"], "token_endpoint_auth_method": "none", "scope": scope});
        let registered = accepted(&scene, metadata.to_string()).await;
        assert!(
            registered.get("scope").is_none(),
            "no scope is registered, and the answer says so: {registered}"
        );
        let client =
            TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
        let mut browser = scene.house.browser();
        let tokens =
            client.obtain_tokens(&mut browser, "alice", &scene.house.resource("notes")).await.unwrap();
        assert_eq!(tokens["scope"], json!("read write"), "{scope}");
    }
    let many = (0..10_000).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
    for scope in [
        json!(many),
        json!("a  b"),
        json!(" "),
        json!(" a"),
        json!("a\"b"),
        json!("a\\b"),
        json!("a\r\nb"),
        json!("a\u{0}b"),
        json!("\u{e9}"),
        json!(1),
        json!(["read"]),
        json!({}),
    ] {
        refused(&scene, with("scope", scope.clone()), "invalid_client_metadata", &scope.to_string()).await;
    }
    scene.close().await;
}

/// AS-089.
#[tokio::test]
async fn rg_10_nothing_that_a_client_names_is_fetched() {
    let scene = Scene::new().await;
    let canary = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let there = format!("http://{}/{CANARY}", canary.local_addr().unwrap());
    for url in [there.as_str(), "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"] {
        let metadata = json!({
            "redirect_uris": ["http://127.0.0.1:51234/callback"], "token_endpoint_auth_method": "none", "client_uri": url, "logo_uri": url,
            "tos_uri": url, "policy_uri": url, "jwks_uri": url, "sector_identifier_uri": url, "request_uris": [url], "initiate_login_uri": url,
            "backchannel_logout_uri": url, "software_statement": url, "logo_uri#fr": url,
        });
        let client =
            TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
        let mut browser = scene.house.browser();
        let page = scene.consent(&mut browser, &scene.ask(&client, &[]), "alice").await;
        assert!(
            page.subresources().iter().all(|loaded| loaded.starts_with("/assets/")),
            "{:?}",
            page.subresources()
        );
        scene.allowed(&mut browser, &scene.ask(&client, &[])).await;
    }
    assert!(canary.accept().now_or_never().is_none(), "somebody was dialled");
    assert_eq!(scene.house.mcp.connections(), 0);
    scene.house.close().await.unwrap();
}

#[tokio::test]
async fn rg_11_inline_keys_that_are_not_few_strong_and_public_are_refused() {
    let scene = Scene::new().await;
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"});
    let rsa = |length: usize| json!({"kty": "RSA", "n": "A".repeat(length), "e": "AQAB"});
    let private = |member: &str| {
        let mut key = ec.clone();
        key[member] = json!(CANARY);
        key
    };
    let mut sets: Vec<Value> = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
        .iter()
        .map(|member| json!({"keys": [private(member)]}))
        .collect();
    sets.extend([
        json!({"keys": [{"kty": "oct", "k": CANARY}]}),
        json!({"keys": [ec, {"kty": "oct"}]}),
        json!({"keys": [rsa(86)]}),
        json!({"keys": [rsa(171)]}),
        json!({"keys": vec![ec.clone(); 1000]}),
        json!({"keys": vec![ec.clone(); 21]}),
        json!({"keys": null}),
        json!({"keys": []}),
        json!({"keys": {}}),
        json!({"keys": "x"}),
        json!({"keys": [null]}),
        json!({"keys": [1]}),
        json!({"keys": [[]]}),
        json!({"keys": [{}]}),
        json!({"keys": [{"kty": "EC"}]}),
        json!({"keys": [{"kty": "RSA"}]}),
        json!({"keys": [{"kty": "none"}]}),
        json!({"keys": [{"kty": ["RSA"]}]}),
        json!({}),
        json!([]),
        json!("x"),
        json!(1),
    ]);
    for jwks in sets {
        refused(
            &scene,
            with("jwks", jwks.clone()),
            "invalid_client_metadata",
            &jwks.to_string().chars().take(200).collect::<String>(),
        )
        .await;
    }
    let both =
        json!({"redirect_uris": [REMOTE], "jwks": {"keys": [ec]}, "jwks_uri": "https://client.example/jwks"});
    refused(&scene, both.to_string(), "invalid_client_metadata", "jwks and jwks_uri").await;
    assert!(accepted(&scene, with("jwks", json!({"keys": [ec, rsa(342)]}))).await.get("jwks").is_none());
    scene.close().await;
}
