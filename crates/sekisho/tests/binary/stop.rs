use http::StatusCode;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, http};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_an_answer_finish_and_writes_its_audit_event() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let running = folder.serve();
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    // An answer in JSON that has begun and is not complete: the server is asked to stop while it is on its way.
    let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "echo", "arguments": {}}});
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json, text/event-stream")];
    let answer = http.post_json(&folder.resource(), &headers, &body).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let (code, said) = running.signal("-TERM");
    assert_eq!(code, Some(0), "{said}");
    let audit = folder.run(&["audit", "--json", "--kind", "call"]);
    assert_eq!(String::from_utf8_lossy(&audit.stdout).lines().count(), 1);
}
