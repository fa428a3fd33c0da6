use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::request;
use testkit::mcp_server::FakeMcpServer;
use tokio::net::TcpStream;

use crate::process::{Folder, http};

const LAST: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_answer_that_has_begun_finish_and_writes_its_audit_event() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let running = folder.serve();
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"stream","arguments":{}}}"#;
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    let call = request(Method::POST, &folder.resource(), &headers, Bytes::from(call)).unwrap();
    let mut answer = http.stream(call).await.unwrap().into_body();
    let stream = server.next_stream().await;
    assert!(stream.send(":\n\n"));
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, ":\n\n");

    running.send("-TERM");
    running.says("stopping");
    // Closed doors are how a stranger sees that it is stopping in earnest.
    let door = folder.issuer.trim_start_matches("http://");
    while TcpStream::connect(door).await.is_ok() {}
    assert!(stream.send(LAST), "the gateway let go of an answer that was on its way");
    drop(stream);
    let rest = answer.collect().await.unwrap().to_bytes();
    assert_eq!(rest, LAST);

    let (code, said) = running.ended();
    assert_eq!(code, Some(0), "{said}");
    let audit = folder.run(&["audit", "--json", "--kind", "call"]);
    assert_eq!(String::from_utf8_lossy(&audit.stdout).lines().count(), 1);
}
