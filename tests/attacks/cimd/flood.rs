//! F-12: who registers, begins sign-ins and names documents by the thousand, all at once: what is kept of it is bounded, nobody
//! else's host is flooded, and whoever is known goes on.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use protocol::world::Clock as _;
use serde_json::json;
use store::{Maintenance as _, PendingCaps};
use testkit::client::TestClient;
use testkit::http::Answer;
use testkit::outcomes::harmless;
use tokio::sync::Notify;
use web::Rates;

use super::Cimd;
use crate::attacks::scene::{REMOTE, right};
use crate::faults::chance::Stopwatch;

/// Requests of each kind.
const MANY: usize = 3_000;
/// Sign-ins that may be under way, over all.
const PENDING: u32 = 500;
/// Requests of each kind that are on their way at once. The cap is told from a number in memory: so many may be too many.
const AT_ONCE: usize = 32;
/// Nobody who is known waits for longer, however slow the machine is. What it costs them is measured by the bench.
const PATIENCE: Duration = Duration::from_secs(5);

/// One address for the first half, and 500 for the second.
fn address(number: usize) -> String {
    if number < MANY / 2 {
        return "192.0.2.1".to_owned();
    }
    format!("198.51.{}.{}", 100 + (number % 500) / 250, number % 250)
}

/// Sends so many, some at a time, and says how many were let in. Who is not let in is told when to come again.
async fn flood(
    what: &str,
    welcome: &[StatusCode],
    send: impl AsyncFn(usize, String) -> Result<Answer, String>,
) -> usize {
    let requests = (0..MANY).map(|number| send(number, address(number)));
    let mut answers = std::pin::pin!(stream::iter(requests).buffer_unordered(AT_ONCE));
    let mut let_in = 0;
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        if welcome.contains(&answer.status) {
            let_in += 1;
            continue;
        }
        let is_budget =
            [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status);
        assert!(is_budget, "{what}: {} {}", answer.status, answer.text());
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{what}");
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            right(harmless(&answer, &[]), what);
        }
    }
    let_in
}

/// Somebody who is known calls a tool, again and again, until it is over: how often, and how long the longest call took.
async fn healthy(scene: &Cimd, token: &str, over: &Notify) -> (usize, Duration) {
    let http = scene.house.http.another();
    let (mut done, mut longest) = (0, Duration::ZERO);
    let calls = async {
        loop {
            let begun = Stopwatch::start();
            let echo = json!({"name": "echo", "arguments": {}});
            let call = scene.house.call_request("notes", token, "tools/call", echo);
            let answer = http.send(call.unwrap()).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            (done, longest) = (done + 1, longest.max(begun.elapsed()));
        }
    };
    tokio::select! {
        () = calls => {}
        () = over.notified() => {}
    }
    (done, longest)
}

/// All at once; how many of each were let in.
async fn floods(scene: &Cimd, known: &TestClient) -> [usize; 3] {
    let send = async |url: String, from: String| {
        scene.house.http.get(&url, &[("x-forwarded-for", from.as_str())]).await
    };
    let registrations = flood("register", &[StatusCode::CREATED], async |number, from| {
        let url = format!("{}/oauth/register", scene.house.issuer);
        let headers = [("content-type", "application/json"), ("x-forwarded-for", from.as_str())];
        let name = format!("{number}");
        let metadata =
            json!({"client_name": name, "redirect_uris": [REMOTE], "token_endpoint_auth_method": "none"});
        scene.house.http.post(&url, &headers, metadata.to_string()).await
    });
    let sign_ins = flood("authorize", &[StatusCode::OK], async |_, from| send(scene.ask(known), from).await);
    // Each is refused, because there is nothing at the host; before that somebody has to look.
    let documents = flood("document", &[StatusCode::BAD_REQUEST], async |number, from| {
        let url = scene.host.url(&format!("/{number}"));
        send(scene.ask(&scene.client(&url, REMOTE)), from).await
    });
    let (registrations, sign_ins, documents) = tokio::join!(registrations, sign_ins, documents);
    [registrations, sign_ins, documents]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_12_floods_of_registrations_sign_ins_and_documents_are_bounded_and_harm_nobody_who_is_known() {
    let scene = Cimd::with(|plan| {
        plan.rates = Rates::default();
        plan.trusted_proxies = vec!["127.0.0.0/8"];
        plan.pending = PendingCaps { per_address: 20, total: PENDING };
    })
    .await;
    let known = scene.house.client().await.unwrap();
    let resource = scene.house.resource("notes");
    let mut browser = scene.house.browser();
    browser.extra.push(("x-forwarded-for".to_owned(), "203.0.113.9".to_owned()));
    let tokens = known.obtain_tokens(&mut browser, "alice", &resource).await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    let (before, over) = (scene.stored().await, Notify::new());
    let all = async {
        let let_in = floods(&scene, &known).await;
        over.notify_one();
        let_in
    };
    let ([registered, begun, refused], (done, longest)) = tokio::join!(all, healthy(&scene, token, &over));
    // Of one address the burst and no more; of each of the others what is theirs.
    assert_eq!(registered, 200 + MANY / 2);
    let most = usize::try_from(PENDING).unwrap() + AT_ONCE;
    assert!((1..=most).contains(&begun), "{begun}");
    let fetches = scene.host.connections();
    assert!((1..=20).contains(&fetches) && refused <= fetches, "{fetches} {refused}");
    assert!(done >= 20 && longest < PATIENCE, "{done} calls, the longest {longest:?}");

    let now = scene.stored().await;
    assert_eq!((now.clients, now.grants), (before.clients, before.grants), "registrations leave no row");
    assert!(now.authorizations - before.authorizations <= u64::try_from(most).unwrap(), "{now:?}");
    scene.house.advance(Duration::from_secs(24 * 60 * 60)).await.unwrap();
    let at = scene.house.clock.now();
    while scene.house.store.sweep(at).await.unwrap().authorizations > 0 {}
    assert!(scene.stored().await.authorizations <= before.authorizations, "nobody went on with them");
    // Whoever is known may sign in again, even from there.
    let mut browser = scene.house.browser();
    browser.extra.push(("x-forwarded-for".to_owned(), "192.0.2.1".to_owned()));
    known.obtain_tokens(&mut browser, "alice", &resource).await.unwrap();
    scene.close().await;
}
