//! Floods, huge bodies and registrations at once: rows RG-13, RG-14 and RG-22.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde_json::json;
use testkit::client::{TestClient, parameter};
use testkit::house::Plan;
use testkit::outcomes::{harmless, tok401};
use web::Rates;

use super::{accepted, refused, with};
use crate::attacks::scene::{CANARY, REMOTE, Scene, plan, right};

/// AS-079.
#[tokio::test]
async fn rg_13_a_flood_of_registrations_is_stopped_writes_nothing_and_harms_nobody() {
    let scene =
        Scene::with(Plan { rates: Rates::default(), trusted_proxies: vec!["127.0.0.0/8"], ..plan() }).await;
    let before = scene.house.counts().await.unwrap();
    let flood = async |address: String, count: usize| {
        let url = scene.at("/oauth/register");
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address.as_str())];
        let metadata = with("client_name", json!(CANARY));
        let posts = (0..count).map(|_| scene.house.http.post(&url, &headers, metadata.clone()));
        let mut answers = std::pin::pin!(stream::iter(posts).buffer_unordered(32));
        let (mut registered, mut limited) = (0, 0);
        while let Some(answer) = answers.next().await {
            let answer = answer.unwrap();
            if answer.status == StatusCode::CREATED {
                registered += 1;
                continue;
            }
            limited += 1;
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            assert_eq!(answer.error(), "temporarily_unavailable");
            right(harmless(&answer, &[CANARY]), "429");
        }
        [registered, limited]
    };
    assert_eq!(flood("192.0.2.1".to_owned(), 10_000).await, [200, 9_800]);
    for n in 0..500 {
        assert_eq!(flood(format!("198.51.{}.{}", 100 + n / 250, n % 250), 2).await, [2, 0]);
    }
    assert_eq!(scene.house.counts().await.unwrap(), before, "not one row");

    // Clients that exist go on, even from that address; later it may register again.
    let mut browser = scene.house.browser();
    browser.extra.push(("x-forwarded-for".to_owned(), "192.0.2.1".to_owned()));
    let url = scene.allowed(&mut browser, &scene.ask(&scene.native, &[])).await;
    let answer = scene.native.redeem(&parameter(&url, "code").unwrap(), &scene.pkce.verifier).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    scene.house.advance(Duration::from_secs(1)).await.unwrap();
    assert_eq!(flood("192.0.2.1".to_owned(), 6).await, [5, 1]);
    scene.close().await;
}

/// Whoever is given a network of IPv6 has as many addresses, and as many networks of /64, as they like.
#[tokio::test]
async fn rg_13_addresses_of_one_network_of_ipv6_are_one_caller_and_its_neighbours_together_are_few() {
    let scene =
        Scene::with(Plan { rates: Rates::default(), trusted_proxies: vec!["127.0.0.0/8"], ..plan() }).await;
    let register = async |address: String| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address.as_str())];
        let url = scene.at("/oauth/register");
        scene.house.http.post(&url, &headers, with("client_name", json!("x"))).await.unwrap().status
    };
    for n in 0..200 {
        assert_eq!(register(format!("2001:db8:1:1:{n:x}::1")).await, StatusCode::CREATED, "{n}");
    }
    assert_eq!(register("2001:db8:1:1:ffff::1".to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
    for n in 0..600 {
        assert_eq!(register(format!("2001:db8:1:{:x}::1", n + 2)).await, StatusCode::CREATED, "{n}");
    }
    assert_eq!(register("2001:db8:1:ffff::1".to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(register("2001:db8:2::1".to_owned()).await, StatusCode::CREATED);
    scene.close().await;
}

#[tokio::test]
async fn rg_14_huge_deep_and_ambiguous_bodies_are_refused() {
    let scene = Scene::new().await;
    let before = scene.house.counts().await.unwrap();
    let uris: Vec<String> = (0..10_000).map(|n| format!("https://client.example/{n}")).collect();
    let twenty_one: Vec<&String> = uris.iter().take(21).collect();
    for (body, what) in [
        (format!("{{\"client_name\":\"{}\"}}", "c".repeat(5_000_000)), "5 MB in one member"),
        (format!("{{{}}}", " ".repeat(5_000_000)), "5 MB of nothing"),
        (with("redirect_uris", json!(uris)), "10 000 redirect URIs"),
        (
            format!("{{{}}}", (0..20_000).map(|n| format!("\"a{n}\":1")).collect::<Vec<_>>().join(",")),
            "20 000 members",
        ),
        (
            format!("{}{}", with("client_name", json!("x")), " ".repeat(64 * 1024)),
            "one byte over the cap and more",
        ),
    ] {
        let answer = scene.register(body).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{what}");
        assert_eq!(answer.error(), "invalid_client_metadata", "{what}");
    }
    refused(&scene, with("redirect_uris", json!(twenty_one)), "invalid_redirect_uri", "21 redirect URIs")
        .await;
    assert_eq!(scene.house.counts().await.unwrap(), before);
    scene.close().await;
}

#[tokio::test]
async fn rg_14_bodies_that_two_parsers_could_read_differently_are_refused() {
    let scene = Scene::new().await;
    let before = scene.house.counts().await.unwrap();
    let good = "\"redirect_uris\":[\"https://client.example/cb\"]";
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{{{good},\"x\":{}{}}}", open.repeat(depth), close.repeat(depth))
    };
    for (body, what) in [
        ("[".repeat(10_000), "10 000 open brackets"),
        ("{\"a\":".repeat(10_000), "10 000 open braces"),
        (deep("[", "]", 10_000), "10 000 arrays"),
        (deep("{\"a\":", "}", 5_000), "5 000 objects, unclosed inside"),
        (format!("{{{good},\"x\":{}1{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000)), "5 000 objects"),
        (deep("[", "]", 17), "17 arrays"),
        (format!("{{{good},{good}}}"), "redirect_uris twice"),
        (
            format!("{{{good},\"redirect\\u005furis\":[\"https://evil.example/c4n4ry\"]}}"),
            "the same in another spelling",
        ),
        (format!("{{{good},\"client_name\":\"a\",\"client_name\":\"b\"}}"), "client_name twice"),
        (format!("{{{good},\"x\":{{\"a\":1,\"a\":2}}}}"), "twice inside"),
        (format!("{{{good},\"x\":[{{\"a\":1,\"a\":2}}]}}"), "twice inside a list"),
        (format!("{{{good},\"x\":1e999}}"), "1e999"),
        (format!("{{{good},\"x\":-1e999}}"), "-1e999"),
        (format!("{{{good},\"x\":{}}}", "9".repeat(5000)), "5 000 digits"),
        (format!("{{{good},\"x\":01}}"), "a leading zero"),
        (format!("{{{good},\"x\":Infinity}}"), "Infinity"),
        (format!("{{{good},\"x\":\"\\ud800\"}}"), "half a pair"),
        (format!("{{{good},\"x\":\"\\x41\"}}"), "an escape that JSON has not"),
        (format!("{{{good},\"x\":\"\u{0}\"}}"), "a NUL"),
        (format!("{{{good}/**/}}"), "a comment"),
    ] {
        refused(&scene, body, "invalid_client_metadata", what).await;
    }
    for (member, value) in [
        ("x", json!(18_446_744_073_709_551_615_u64)),
        ("x", json!(-9_223_372_036_854_775_808_i64)),
        ("x", json!(0.1)),
        ("x", json!("\u{0}\u{10ffff}")),
    ] {
        accepted(&scene, with(member, value)).await;
    }
    assert_eq!(scene.house.counts().await.unwrap(), before);
    scene.close().await;
}

#[tokio::test]
async fn rg_14_metadata_that_does_not_fit_an_id_is_refused_and_what_fits_is_kept_whole() {
    let scene = Scene::new().await;
    // Chance does not compress.
    let scattered = |seed: usize, length: usize| -> String {
        (0..length)
            .map(|n| {
                char::from(
                    b'a' + u8::try_from((n * n * 31 + n * 7 + seed * 131 + (n * seed) / 3) % 26).unwrap(),
                )
            })
            .collect()
    };
    let uris: Vec<String> =
        (0..20).map(|n| format!("https://{}.example/{}", scattered(n, 40), scattered(n + 50, 400))).collect();
    refused(&scene, with("redirect_uris", json!(uris)), "invalid_client_metadata", "20 long redirect URIs")
        .await;
    let twenty: Vec<String> = (0..20).map(|n| format!("https://client.example/{n}")).collect();
    let registered = accepted(&scene, with("redirect_uris", json!(twenty))).await;
    assert_eq!(registered["redirect_uris"], json!(twenty));
    assert!(registered["client_id"].as_str().unwrap().len() <= 1024);
    for (member, value) in [
        ("client_name", json!("x".repeat(60_000))),
        ("software_id", json!("x".repeat(60_000))),
        ("contacts", json!(["x".repeat(60_000)])),
    ] {
        let registered = accepted(&scene, with(member, value)).await;
        assert!(registered.to_string().len() < 2000, "{member} is cut or dropped");
    }
    scene.close().await;
}

/// AS-096.
#[tokio::test]
async fn rg_22_registrations_in_parallel_are_each_a_client_with_a_secret_of_its_own() {
    let scene = Scene::new().await;
    let metadata = json!({"redirect_uris": [REMOTE], "token_endpoint_auth_method": "client_secret_post"});
    let registering =
        (0..100).map(|_| TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata));
    let clients: Vec<TestClient> = join_all(registering).await.into_iter().map(Result::unwrap).collect();
    let ids: BTreeSet<&str> = clients.iter().map(|client| client.client_id.as_str()).collect();
    let secrets: BTreeSet<&str> = clients.iter().filter_map(|client| client.secret.as_deref()).collect();
    assert_eq!((ids.len(), secrets.len()), (100, 100));
    let code = [("grant_type", "authorization_code"), ("code", "skc_x"), ("code_verifier", &"a".repeat(43))];
    for pair in clients.windows(2).take(10) {
        let [one, other] = pair else { continue };
        assert_eq!(one.token(&code).await.unwrap().error(), "invalid_grant", "its own secret is right");
        let mixed = TestClient { secret: other.secret.clone(), ..one.clone() };
        right(tok401(&mixed.token(&code).await.unwrap(), false), "another's secret");
    }
    scene.close().await;
}
