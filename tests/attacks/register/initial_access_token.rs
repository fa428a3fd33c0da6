//! Registration for whoever holds an initial access token (RFC 7591, section 3), and for nobody.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{ClientAdministration, Registration, Stopping};
use protocol::world::Entropy;
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::world::TestEntropy;

use super::with;
use crate::attacks::scene::Scene;

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn house(registration: Registration) -> House {
    House::with(Plan { registration, ..Plan::default() }).await.unwrap()
}

/// A token as `sekisho clients registration-token` makes it.
async fn token(house: &House, uses: u32) -> String {
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(u64::from(uses) + 500));
    let stopping = Stopping {
        clock: house.clock.as_ref(),
        entropy: entropy.as_ref(),
        issuer: &house.issuer,
        store: house.store.as_ref(),
    };
    let (token, _) = ClientAdministration(stopping).registration_token(uses, HOUR, None).await.unwrap();
    token.reveal()
}

async fn register(house: &House, authorization: &[&str], body: String) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.iter().map(|value| ("authorization", *value)));
    house.http.post(&format!("{}/oauth/register", house.issuer), &headers, body).await.unwrap()
}

fn good() -> String {
    with("client_name", "Tool".into())
}

fn is_refused(answer: &Answer, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.error()), (401, "invalid_token".to_owned()), "{what}");
    assert!(answer.header("www-authenticate").starts_with("Bearer "), "{what}");
    assert!(answer.header("cache-control").contains("no-store"), "{what}");
}

#[tokio::test]
async fn rg_16_who_holds_no_good_initial_access_token_does_not_register() {
    let house = house(Registration::InitialAccessToken).await;
    let good_token = token(&house, 2).await;
    house.remember_secret(&good_token);
    let bearer = format!("Bearer {good_token}");
    let before = house.counts().await.unwrap();
    let other = format!("Bearer {}x", good_token);
    let basic = format!("Basic {good_token}");
    for (what, headers) in [
        ("none", vec![]),
        ("an empty one", vec!["Bearer "]),
        ("a made-up one", vec!["Bearer ski_AAAA"]),
        ("nearly a good one", vec![other.as_str()]),
        ("another scheme", vec![basic.as_str()]),
        ("twice", vec![bearer.as_str(), bearer.as_str()]),
    ] {
        is_refused(&register(&house, &headers, good()).await, what);
    }
    // In the URL it is not read (RFC 6750, section 2.3).
    let url = format!("{}/oauth/register?access_token={good_token}", house.issuer);
    let answer = house.http.post(&url, &[("content-type", "application/json")], good()).await.unwrap();
    is_refused(&answer, "in the URL");
    // A mistake in the metadata uses nothing up.
    let mistaken = register(&house, &[&bearer], with("redirect_uris", "none".into())).await;
    assert_eq!(mistaken.status, 400, "{}", mistaken.text());
    assert_eq!(house.counts().await.unwrap(), before, "NOSTORE");
    for _ in 0..2 {
        let answer = register(&house, &[&bearer], good()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert!(!answer.text().contains(&good_token));
    }
    is_refused(&register(&house, &[&bearer], good()).await, "replayed");
    let late = format!("Bearer {}", token(&house, 3).await);
    house.advance(HOUR).await.unwrap();
    is_refused(&register(&house, &[&late], good()).await, "expired");
    house.close().await.unwrap();
}

/// AS-079.
#[tokio::test]
async fn rg_16_a_token_of_another_house_is_none_here_and_a_closed_house_says_so() {
    let (here, there) =
        (house(Registration::InitialAccessToken).await, house(Registration::InitialAccessToken).await);
    let foreign = format!("Bearer {}", token(&there, 7).await);
    is_refused(&register(&here, &[&foreign], good()).await, "another house's");
    let answer = register(&there, &[&foreign], good()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let closed = house(Registration::Closed).await;
    let token = format!("Bearer {}", token(&closed, 8).await);
    for headers in [vec![], vec![token.as_str()]] {
        let answer = register(&closed, &headers, good()).await;
        assert_eq!((answer.status.as_u16(), answer.error()), (403, "access_denied".to_owned()));
    }
    let metadata = format!("{}/.well-known/oauth-authorization-server", closed.issuer);
    assert!(closed.http.get(&metadata, &[]).await.unwrap().json().get("registration_endpoint").is_none());
}

#[tokio::test]
async fn rg_16_where_everybody_may_register_a_token_is_not_looked_at() {
    let scene = Scene::new().await;
    let answer = register(&scene.house, &["Bearer of something else"], good()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    scene.close().await;
}
