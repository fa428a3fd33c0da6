//! What a registration is worth afterwards: rows RG-17, RG-19 and RG-20.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use testkit::client::TestClient;
use testkit::outcomes::harmless;

use super::{accepted, with};
use crate::attacks::scene::{REMOTE, Scene, Set, is_consent, right};

#[tokio::test]
async fn rg_17_there_is_no_management_of_registrations_and_nothing_says_there_is() {
    let scene = Scene::new().await;
    let registered = accepted(&scene, json!({"redirect_uris": [REMOTE]}).to_string()).await;
    for name in ["registration_client_uri", "registration_access_token"] {
        assert!(registered.get(name).is_none(), "{registered}");
    }
    let id = registered["client_id"].as_str().unwrap();
    let secret = registered["client_secret"].as_str().unwrap();
    let bearer = format!("Bearer {secret}");
    let body = json!({"client_id": id, "redirect_uris": ["https://evil.example/"]}).to_string();
    for path in [
        format!("/oauth/register/{id}"),
        format!("/oauth/register?client_id={id}"),
        format!("/oauth/clients/{id}"),
    ] {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let answer = scene.send(method.clone(), &scene.at(&path), &headers, body.clone()).await;
            assert!([404, 405].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
            right(harmless(&answer, &[secret, "evil.example"]), &path);
        }
    }
    let metadata = scene.get(&scene.at("/.well-known/oauth-authorization-server")).await.json();
    assert!(!metadata.to_string().contains("registration_client"), "{metadata}");
    // Registering "again" with an old id is a new registration.
    let again =
        accepted(&scene, json!({"client_id": id, "redirect_uris": ["https://other.example/cb"]}).to_string())
            .await;
    assert_ne!(again["client_id"], registered["client_id"]);
    let client = TestClient { client_id: id.to_owned(), ..scene.remote.clone() };
    scene.page400(&scene.ask(&client, &[Set("redirect_uri", "https://other.example/cb")])).await;
    scene.close().await;
}

/// AS-231.
#[tokio::test]
async fn rg_19_the_same_metadata_again_inherits_no_approval() {
    let scene = Scene::new().await;
    let mut alice = scene.house.browser();
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        let client = TestClient::register(&scene.house.http, &scene.house.issuer, &scene.native.redirect_uri)
            .await
            .unwrap();
        assert!(ids.insert(client.client_id.clone()));
        let page = scene.consent(&mut alice, &scene.ask(&client, &[]), "alice").await;
        assert!(is_consent(&page));
        scene.allowed(&mut alice, &scene.ask(&client, &[])).await;
    }
    assert_eq!(scene.stored().await.clients, 5, "each is a client of its own");
    scene.close().await;
}

#[tokio::test]
async fn rg_20_a_secret_is_shown_once_and_stands_nowhere() {
    let scene = Scene::new().await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let metadata = json!({"redirect_uris": ["http://127.0.0.1:51234/callback"], "token_endpoint_auth_method": method});
        let client =
            TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
        let secret = client.secret.clone().unwrap();
        assert!(secret.len() >= 43, "256 bits");
        assert!(!client.client_id.contains(secret.trim_start_matches("skc_")), "the id does not hold it");
        scene.house.remember_secret(&secret);
        scene.allowed(&mut scene.house.browser(), &scene.ask(&client, &[])).await;
        assert!(!scene.log.text().contains(&secret));
    }
    // The default of RFC 7591 is a client with a secret.
    assert!(
        accepted(&scene, json!({"redirect_uris": [REMOTE]}).to_string()).await["client_secret"].is_string()
    );
    let public = accepted(&scene, with("client_name", json!("public"))).await;
    assert!(
        public.get("client_secret").is_none() && public.get("client_secret_expires_at").is_none(),
        "{public}"
    );
    for path in ["/oauth/register", "/"] {
        assert!(!scene.get(&scene.at(path)).await.text().contains("skc_"));
    }
    scene.close().await;
}
