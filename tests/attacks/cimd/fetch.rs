//! What comes back from a host, and how often it is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use protocol::oauth::HttpsUrl;
use protocol::secret::Secret;
use testkit::document_host::{Said, answer, json};
use testkit::outcomes::{page, page400};
use testkit::world::TestClock;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use upstream::egress::{Egress as _, FetchError, Limits};
use upstream::guarded::{GuardedFetcher, GuardedSettings, NotFetched};
use upstream::proxy::{Proxy, ProxySettings};
use upstream::trust::Trust;

use super::Cimd;
use crate::attacks::scene::right;

const JSON: &str = "content-type: application/json\r\n";

/// AS-053.
#[tokio::test]
async fn cm_07_no_redirect_is_followed() {
    let scene = Cimd::new().await;
    let other = scene.host.url_at("other.example", "/target");
    scene.host.says("/target", &[json(&scene.document("/target"))]);
    for status in [301, 302, 303, 307, 308] {
        for (number, to) in
            [scene.host.url("/target"), other.clone(), "https://127.0.0.1/".to_owned(), "/target".to_owned()]
                .iter()
                .enumerate()
        {
            let path = format!("/{status}/{number}");
            let head = format!("location: {to}\r\n{JSON}");
            let document = scene.document(&path).to_string();
            if scene.host.connections() % 18 == 17 {
                scene.house.advance(Duration::from_secs(60)).await.unwrap();
            }
            scene.refused_saying(&path, answer(status, &head, &document), &format!("{status} {to}")).await;
        }
    }
    assert!(!scene.host.requests().contains(&"/target".to_owned()));
    scene.close().await;
}

/// AS-052, AS-057.
#[tokio::test]
async fn cm_08_only_200_with_json_is_a_document() {
    let scene = Cimd::new().await;
    for status in [201, 204, 206, 304, 400, 404, 410, 500, 503] {
        let path = format!("/{status}");
        let body =
            if matches!(status, 204 | 304) { String::new() } else { scene.document(&path).to_string() };
        scene.refused_saying(&path, answer(status, JSON, &body), &path).await;
        scene.host.says(&path, &[json(&scene.document(&path))]);
        assert!(scene.is_known(&scene.host.url(&path)).await, "{status} was not kept");
        scene.house.advance(Duration::from_secs(10)).await.unwrap();
    }
    for (number, kind) in ["text/html", "text/json", "image/png", "application/jsonp", ""].iter().enumerate()
    {
        let path = format!("/kind/{number}");
        let head = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        scene.refused_saying(&path, answer(200, &head, &scene.document(&path).to_string()), kind).await;
    }
    scene.close().await;
}

/// Real time: the deadline of eight seconds, once for all three.
/// AS-066.
#[tokio::test]
async fn cm_10_one_deadline_ends_whatever_hangs() {
    let scene = Cimd::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec();
    scene.host.says("/silent", &[Said::Hang(Vec::new())]);
    scene.host.says("/head", &[Said::Hang(b"HTTP/1.1 200 OK\r\nx".to_vec())]);
    scene.host.says("/body", &[Said::Hang(head)]);
    let (answers, ()) = tokio::join!(
        join_all(["/silent", "/head", "/body"].map(|path| {
            let id = scene.host.url(path);
            let scene = &scene;
            async move { scene.asked(&id).await }
        })),
        async {
            // Whoever connects is never answered: the handshake stalls.
            let settings = scene.host.settings().unwrap();
            let named = format!("client.example:{}", silent.local_addr().unwrap().port());
            let url = HttpsUrl::parse(&format!("https://{named}/c")).unwrap();
            let settings = GuardedSettings { private_hosts: vec![named], ..settings };
            let fetcher = GuardedFetcher::new(&settings, Arc::new(TestClock::default()));
            let stalled = fetcher.get(&url, "application/json", 5120).await;
            assert_eq!(stalled.unwrap_err(), NotFetched::TimedOut);
        }
    );
    for answer in answers {
        right(page400(&answer), "a host that hangs");
    }
    scene.close().await;
}

/// AS-062.
#[tokio::test]
async fn cm_16_a_document_is_used_as_long_as_its_host_allows_and_a_day_at_most() {
    let scene = Cimd::new().await;
    for (number, (head, kept)) in [
        ("cache-control: max-age=1000000000\r\n", 86_399),
        ("expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0),
        ("cache-control: no-store\r\n", 0),
        ("", 599),
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/{number}");
        let document = scene.document(&path).to_string();
        scene.host.says(&path, &[answer(200, &format!("{JSON}{head}"), &document), answer(404, "", "")]);
        assert!(scene.is_known(&scene.host.url(&path)).await);
        if *kept > 0 {
            scene.house.advance(Duration::from_secs(*kept)).await.unwrap();
            assert!(scene.is_known(&scene.host.url(&path)).await, "{head}");
            scene.house.advance(Duration::from_secs(1)).await.unwrap();
        }
        assert!(!scene.is_known(&scene.host.url(&path)).await, "{head}");
    }
    scene.close().await;
}

/// AS-063, AS-061.
#[tokio::test]
async fn cm_17_a_mistake_is_not_kept() {
    let scene = Cimd::new().await;
    for (path, first) in
        [("/a", answer(500, "", "")), ("/b", answer(200, JSON, "{")), ("/c", answer(404, "", ""))]
    {
        scene.host.says(path, &[first, json(&scene.document(path))]);
        scene.refused(&scene.host.url(path)).await;
        assert!(scene.is_known(&scene.host.url(path)).await, "{path}");
    }
    scene.close().await;
}

/// AS-064, AS-065.
#[tokio::test]
async fn cm_22_every_url_out_of_a_document_is_guarded_alike() {
    let scene = Cimd::new().await;
    let guarded = GuardedFetcher::new(&scene.host.settings().unwrap(), Arc::new(TestClock::default()));
    let fetch = |url: String| {
        let request =
            Request::get(url).header("cookie", "a=b").header("authorization", "Bearer x").body(Bytes::new());
        guarded.fetch(request.unwrap(), Limits { total: Duration::from_secs(60), max_body: 64 * 1024 })
    };
    scene.host.leads("keys.example", &[&["10.0.0.1"]]);
    for url in [
        "https://10.0.0.1/keys",
        "https://keys.example/keys",
        "https://[::1]/keys",
        "http://client.example/keys",
    ] {
        assert_eq!(fetch(url.to_owned()).await.unwrap_err(), FetchError::Unreachable, "{url}");
    }
    assert_eq!(scene.host.connections(), 0);
    scene.host.says("/moved", &[answer(302, "location: /keys\r\n", "")]);
    scene.host.says("/keys", &[answer(200, JSON, "{\"keys\":[]}")]);
    scene.host.says("/large", &[answer(200, JSON, &"x".repeat(10 * 1024 * 1024))]);
    assert_eq!(fetch(scene.host.url("/moved")).await.unwrap_err(), FetchError::Unreachable);
    assert_eq!(fetch(scene.host.url("/large")).await.unwrap_err(), FetchError::TooLarge);
    assert!(!scene.host.requests().contains(&"/keys".to_owned()));
    // A host that answered is judged anew, and its old connection is not used.
    assert!(fetch(scene.host.url("/keys")).await.is_ok());
    scene.host.leads("client.example", &[&["169.254.169.254"]]);
    let before = scene.host.connections();
    assert_eq!(fetch(scene.host.url("/keys")).await.unwrap_err(), FetchError::Unreachable);
    assert_eq!(scene.host.connections(), before);
    scene.close().await;
}

#[tokio::test]
async fn cm_23_nobody_is_flooded_by_us() {
    let scene = Cimd::new().await;
    let client = scene.good("/one", &scene.document("/one"));
    let together = join_all((0..200).map(|_| scene.asked(&client.client_id))).await;
    assert!(together.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(scene.host.connections(), 1, "one fetch for all who ask at once");
    let mut busy = 0;
    for number in 0..300 {
        let answer = scene.asked(&scene.host.url(&format!("/{number}"))).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            right(page(&answer, StatusCode::SERVICE_UNAVAILABLE), "busy");
            busy += 1;
        } else {
            right(page400(&answer), "there is nothing");
        }
    }
    assert_eq!((scene.host.connections(), busy), (20, 281));
    assert!(scene.is_known(&client.client_id).await, "who is known goes on");
    scene.close().await;
}

#[tokio::test]
async fn cm_25_a_proxy_does_not_lead_around_the_guard() {
    let scene = Cimd::new().await;
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = |no_proxy: &[&str]| {
        let settings = ProxySettings {
            url: format!("http://{}", gate.local_addr().unwrap()),
            credentials: Some(("sekisho".to_owned(), Secret::new("hunter2 hunter2".to_owned()))),
            no_proxy: no_proxy.iter().map(|&entry| entry.to_owned()).collect(),
        };
        Some(Proxy::new(&settings, &Trust::nobody().unwrap()).unwrap())
    };
    scene.host.leads("inside.example", &[&["10.0.0.1"]]);
    let url = |text: &str| HttpsUrl::parse(text).unwrap();
    let fetcher = |settings: &GuardedSettings| GuardedFetcher::new(settings, Arc::new(TestClock::default()));
    for (no_proxy, resolves) in [
        (&[][..], false),
        (&["inside.example"], false),
        (&["10.0.0.0/8"], false),
        (&["inside.example"], true),
    ] {
        let settings = scene.host.settings().unwrap();
        let settings = GuardedSettings { proxy: proxy(no_proxy), proxy_resolves: resolves, ..settings };
        let guarded = fetcher(&settings);
        for target in ["https://inside.example/c", "https://10.0.0.1/c", "https://127.0.0.1/c"] {
            let refused = guarded.get(&url(target), "application/json", 5120).await;
            assert_eq!(refused.unwrap_err(), NotFetched::Address, "{target} {no_proxy:?}");
        }
    }
    // The one that is allowed is asked of the proxy by the address that was judged.
    scene.host.leads("client.example", &[&["10.1.2.3"]]);
    let settings = GuardedSettings { proxy: proxy(&[]), ..scene.host.settings().unwrap() };
    let guarded = fetcher(&settings);
    let named = url(&scene.host.url("/c"));
    let (refused, head) = tokio::join!(guarded.get(&named, "application/json", 5120), async {
        let (mut stream, _) = gate.accept().await.unwrap();
        let mut head = vec![0; 19];
        stream.read_exact(&mut head).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    assert!(refused.is_err());
    assert_eq!(head, "CONNECT 10.1.2.3:".to_owned() + &named.port().to_string()[..2]);
    scene.close().await;
}
