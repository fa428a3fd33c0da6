use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient};

use crate::process::{Folder, http};

const NOWHERE: &str = "http://127.0.0.1:9/mcp";
const ROUNDS: usize = 5;

/// I-4: what was answered was durable before the first byte left.
#[tokio::test]
async fn i_4_kill_9_right_after_an_answer_loses_no_refresh() {
    let folder = Folder::new(NOWHERE);
    let mut running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let mut first = tokens["refresh_token"].as_str().unwrap().to_owned();
    for round in 0..ROUNDS {
        let client = TestClient { http: http(), ..client.clone() };
        let second = next(&client, &first).await;
        let third = next(&client, &second).await;
        running.kill();
        running = folder.serve();
        let client = TestClient { http: http(), ..client };
        // The one that was answered last is the living one, and goes on from where it was.
        first = next(&client, &third).await;
        assert_ne!(first, second, "round {round}");
    }
    running.kill();
}

async fn next(client: &TestClient, refresh_token: &str) -> String {
    let answer = client.refresh(refresh_token).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn i_4_kill_9_right_after_an_answer_loses_no_code_and_no_redemption() {
    let folder = Folder::new(NOWHERE);
    let mut running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http());
    for round in 0..ROUNDS {
        let pkce = Pkce::new(&format!("round {round}"));
        let client = TestClient { http: http(), ..client.clone() };
        let mut fresh = Browser::new(http());
        fresh.cookies = browser.cookies.clone();
        let code =
            client.obtain_code(&mut fresh, "alice", &folder.resource(), &pkce.challenge).await.unwrap();
        browser = fresh;
        running.kill();
        running = folder.serve();
        let client = TestClient { http: http(), ..client };
        let answer = client.redeem(&code, &pkce.verifier).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        running.kill();
        running = folder.serve();
        let client = TestClient { http: http(), ..client };
        let again = client.redeem(&code, &pkce.verifier).await.unwrap();
        assert_eq!(
            (again.status.as_u16(), again.error().as_str()),
            (400, "invalid_grant"),
            "{}",
            again.text()
        );
    }
    running.kill();
}

#[tokio::test]
async fn i_3_kill_9_right_after_a_revocation_does_not_bring_the_grant_back() {
    let folder = Folder::new(NOWHERE);
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let fields = [("token", refresh_token), ("client_id", client.client_id.as_str())];
    let answer = http().post_form(&format!("{}/oauth/revoke", folder.issuer), &[], &fields).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    running.kill();
    let running = folder.serve();
    let client = TestClient { http: http(), ..client };
    let refused = client.refresh(refresh_token).await.unwrap();
    assert_eq!(
        (refused.status.as_u16(), refused.error().as_str()),
        (400, "invalid_grant"),
        "{}",
        refused.text()
    );
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let answer = http().post(&folder.resource(), &[("authorization", &bearer)], "{}").await.unwrap();
    assert_eq!(answer.status, 401, "{}", answer.text());
    running.kill();
}
