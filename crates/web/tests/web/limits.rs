//! Budgets, and whose they are (P-20).

use std::time::Duration;

use http::{Request, StatusCode};
use web::{KnownNetwork, Rate, Rates};

use crate::house::{Answer, HTTPS, House};

const FORM: &str = "application/x-www-form-urlencoded";

async fn token(house: &House, peer: &str, client_id: &str, forwarded: &str) -> Answer {
    let request =
        Request::post("/oauth/token").header("content-type", FORM).header("x-forwarded-for", forwarded);
    let body = format!("grant_type=refresh_token&refresh_token=x&client_id={client_id}");
    house.ask_from(peer, request, &body).await
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_429_until_it_comes_back() {
    let house = House::with(HTTPS, |settings| settings.rates.register = Some(Rate::per_second(1, 2))).await;
    let ask = || house.ask(Request::post("/oauth/register").header("content-type", "application/json"), "{}");
    assert_eq!(ask().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask().await.status, StatusCode::BAD_REQUEST);
    let refused = ask().await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(refused.header("content-type"), "application/json");
    house.clock.pass(Duration::from_secs(1));
    assert_eq!(ask().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_that_is_asked_too_often_says_so_in_words() {
    let house = House::with(HTTPS, |settings| settings.rates.login = Some(Rate::per_second(1, 1))).await;
    house.get("/login", &[]).await;
    let refused = house.get("/login", &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert!(refused.body.contains("There were too many requests"));
}

#[tokio::test]
async fn a_client_that_asks_too_often_does_not_use_up_the_budget_of_others() {
    let house = House::with(HTTPS, |settings| settings.rates.client = Some(Rate::per_second(1, 1))).await;
    let peer = "192.0.2.7:1";
    assert_eq!(token(&house, peer, "dcr_a", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&house, peer, "dcr_a", "").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(token(&house, peer, "dcr_b", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&house, "198.51.100.1:1", "dcr_a", "").await.status, StatusCode::UNAUTHORIZED);
}

/// PX-11.
#[tokio::test]
async fn only_a_trusted_proxy_can_say_for_whom_it_asks() {
    let house = House::with(HTTPS, |settings| {
        settings.rates.token = Some(Rate::per_second(1, 1));
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let stranger = "192.0.2.7:1";
    assert_eq!(token(&house, stranger, "dcr_a", "203.0.113.1").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&house, stranger, "dcr_a", "203.0.113.2").await.status, StatusCode::TOO_MANY_REQUESTS);
    let proxy = "10.0.0.1:1";
    assert_eq!(token(&house, proxy, "dcr_a", "203.0.113.1").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&house, proxy, "dcr_a", "203.0.113.2").await.status, StatusCode::UNAUTHORIZED);
    let forged = token(&house, proxy, "dcr_a", "198.51.100.9, 203.0.113.2").await;
    assert_eq!(forged.status, StatusCode::TOO_MANY_REQUESTS);
}

/// I-14, as docs/limits.md has it: limits are per node, so N nodes let through N times as much.
#[tokio::test]
async fn each_node_counts_for_itself() {
    let node = || House::with(HTTPS, |settings| settings.rates.token = Some(Rate::per_second(1, 2)));
    let nodes = [node().await, node().await];
    let mut let_through = 0;
    for round in 0..10 {
        let node = nodes.get(round % nodes.len()).unwrap();
        let status = token(node, "192.0.2.7:1", "dcr_a", "").await.status;
        let_through += usize::from(status != StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(let_through, 2 * nodes.len());
}

/// P-20: a vendor's cloud is one caller with a budget of its own, whoever calls from it.
#[tokio::test]
async fn a_known_network_has_a_budget_of_its_own() {
    let house = House::with(HTTPS, |settings| {
        settings.rates.token = Some(Rate::per_second(1, 1));
        settings.networks = vec![KnownNetwork {
            name: "cloud".to_owned(),
            networks: vec!["203.0.113.0/24".parse().unwrap()],
            rates: Rates { token: Some(Rate::per_second(1, 3)), ..Rates::unlimited() },
            connections: 10,
        }]
        .into();
    })
    .await;
    for host in 1..=3 {
        let answer = token(&house, &format!("203.0.113.{host}:1"), "dcr_a", "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{host}");
    }
    assert_eq!(token(&house, "203.0.113.4:1", "dcr_b", "").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(token(&house, "192.0.2.7:1", "dcr_a", "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token(&house, "192.0.2.7:1", "dcr_a", "").await.status, StatusCode::TOO_MANY_REQUESTS);
}
