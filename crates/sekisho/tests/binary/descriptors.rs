//! Too few descriptors (attacks.md, F-22): load is shed, nothing breaks, and it passes.

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::{Http, request};
use testkit::mcp_server::FakeMcpServer;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::process::{Folder, http};

/// As in `ulimit -n`.
const FILES: u32 = 256;
const CALLS: usize = 50;

async fn call(http: &Http, url: &str, bearer: &str) -> u16 {
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let headers = [
        ("authorization", bearer),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    let request = request(http::Method::POST, url, &headers, message.into()).unwrap();
    http.send(request).await.unwrap().status.as_u16()
}

/// Many calls at once, each on a connection of its own.
async fn calls(url: &str, bearer: &str) {
    let mut all = JoinSet::new();
    for _ in 0..CALLS {
        let (url, bearer) = (url.to_owned(), bearer.to_owned());
        all.spawn(async move { call(&http(), &url, &bearer).await });
    }
    let mut answered = 0;
    while let Some(status) = all.join_next().await {
        assert_eq!(status.unwrap(), 200);
        answered += 1;
    }
    assert_eq!(answered, CALLS);
}

#[tokio::test(flavor = "multi_thread")]
async fn f_22_with_few_descriptors_callers_wait_and_none_is_refused() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let running = folder.serve_with_files(FILES);
    assert!(running.said.contains("fewer connections are taken"), "{}", running.said);
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let door = folder.issuer.trim_start_matches("http://localhost").to_owned();
    let door = format!("127.0.0.1{door}");

    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(&door).await.unwrap());
    }
    // Most places are taken; the rest is shared by more callers than there is room for.
    calls(&folder.resource(), &bearer).await;
    // Far more come than it could ever hold; the system keeps some of them waiting. When they go, it is as if they had
    // never been.
    let mut crowd = JoinSet::new();
    for _ in 0..FILES * 2 {
        crowd.spawn(TcpStream::connect(door.clone()));
    }
    for _ in 0..FILES / 2 {
        held.push(crowd.join_next().await.unwrap().unwrap().unwrap());
    }
    drop((crowd, held));
    calls(&folder.resource(), &bearer).await;

    running.send("-TERM");
    let (code, said) = running.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("\"ERROR\"") && !said.contains("cannot be accepted"), "{said}");
    let audit = folder.run(&["audit", "--json", "--kind", "call", "--limit", "1000"]);
    assert_eq!(
        String::from_utf8_lossy(&audit.stdout).lines().count(),
        2 * CALLS,
        "each call is in the record, once"
    );
}
