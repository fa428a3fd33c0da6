//! PX-35: whatever is sent and whatever is issued, at the most talkative level nothing of it stands in a log line, a metric
//! label, an error body or a core file.

use std::net::TcpListener;

use http::Method;
use serde_json::json;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient};
use testkit::http::{Answer, request};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, MASTER_KEY, Running, http};

const CANARY: &str = "c4n4ry";

/// A house that tells its metrics, talking.
fn begin(folder: &Folder) -> (Running, String) {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let config = std::fs::read_to_string(folder.path("sekisho.toml")).unwrap();
    let config = format!("metrics_listen = \"127.0.0.1:{port}\"\n{config}");
    std::fs::write(folder.path("sekisho.toml"), config).unwrap();
    (folder.serve_talking(), format!("http://127.0.0.1:{port}/metrics"))
}

/// Everything that is secret so far, and the bodies of refusals.
#[derive(Default)]
struct Told {
    secrets: Vec<String>,
    refusals: Vec<Answer>,
}

impl Told {
    fn keep(&mut self, text: &str) {
        assert!(text.len() >= 6, "too short to be looked for: {text}");
        self.secrets.push(text.to_owned());
    }
}

/// Signs in, redeems, calls, refreshes, and does each of it wrongly as well.
async fn everything(folder: &Folder, server: &FakeMcpServer) -> Told {
    let mut told = Told::default();
    let metadata = json!({
        "client_name": "Talker", "redirect_uris": [LOOPBACK_REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post",
    });
    let client = TestClient::register_with(&http(), &folder.issuer, &metadata).await.unwrap();
    told.keep(client.secret.as_deref().unwrap());
    let mut browser = Browser::new(http());
    let pkce = Pkce::new("canaries");
    let code = client.obtain_code(&mut browser, "alice", &folder.resource(), &pkce.challenge).await.unwrap();
    told.keep(&code);
    told.keep(&pkce.verifier);
    for value in browser.cookies.values().flatten().map(|(_, value)| value) {
        told.keep(value);
    }
    for (code, verifier) in [(code.as_str(), "wrong-c4n4ry"), ("skc_c4n4ry", pkce.verifier.as_str())] {
        told.refusals.push(client.redeem(code, verifier).await.unwrap());
    }
    let answer = client.redeem(&code, &pkce.verifier).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (access, refresh) = (answer.json()["access_token"].clone(), answer.json()["refresh_token"].clone());
    let (access, refresh) = (access.as_str().unwrap().to_owned(), refresh.as_str().unwrap().to_owned());
    told.keep(&access);
    told.keep(&refresh);
    call(folder, &access, &mut told).await;
    told.refusals.push(client.refresh("skr_c4n4ry").await.unwrap());
    let next = client.refresh(&refresh).await.unwrap();
    told.keep(next.json()["access_token"].as_str().unwrap());
    let fields = [("token", "c4n4ry"), ("client_id", &client.client_id), ("client_secret", "c4n4ry")];
    told.refusals
        .push(http().post_form(&format!("{}/oauth/revoke", folder.issuer), &[], &fields).await.unwrap());
    for call in server.received() {
        told.keep(call.header("sekisho-identity"));
    }
    told
}

async fn call(folder: &Folder, access: &str, told: &mut Told) {
    let (url, good) = (folder.resource(), format!("Bearer {access}"));
    let accept = ("accept", "application/json, text/event-stream");
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"c4n4ry": "c4n4ry"}});
    let begun = http().post_json(&url, &[("authorization", &good), accept], &hello).await.unwrap();
    let session = begun.header("mcp-session-id").to_owned();
    told.keep(&session);
    told.keep("session-of-the-fake-server");
    for (method, name) in [("tools/call", "echo"), ("tools/call", "odd"), ("resources/read", "echo")] {
        let params = json!({"name": name, "uri": "file:///x", "arguments": {"secret": "c4n4ry"}});
        let message = json!({"jsonrpc": "2.0", "id": "c4n4ry", "method": method, "params": params});
        let headers = [
            ("authorization", good.as_str()),
            accept,
            ("mcp-session-id", &session),
            ("cookie", "c4n4ry=c4n4ry"),
            ("x-c4n4ry", "c4n4ry"),
            ("mcp-param-x", "c4n4ry"),
            ("baggage", "c4n4ry=1"),
        ];
        http().post_json(&url, &headers, &message).await.unwrap();
    }
    for (name, value) in [
        ("authorization", "Bearer c4n4ry"),
        ("authorization", "Basic YzRuNHJ5OmM0bjRyeQ=="),
        ("mcp-session-id", "c4n4ry"),
        ("mcp-protocol-version", "c4n4ry"),
        ("origin", "https://c4n4ry.example"),
    ] {
        let mut headers = vec![accept, (name, value)];
        if name != "authorization" {
            headers.push(("authorization", &good));
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"c4n4ry": 1}});
        told.refusals.push(http().post_json(&url, &headers, &body).await.unwrap());
    }
    for (method, path) in
        [(Method::GET, "/c4n4ry?c4n4ry=1"), (Method::POST, "/c4n4ry/mcp?access_token=c4n4ry")]
    {
        let asked = request(method, &format!("{}{path}", folder.issuer), &[accept], "c4n4ry".into()).unwrap();
        told.refusals.push(http().send(asked).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn px_35_at_the_most_talkative_level_no_secret_is_told_anywhere() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let (running, metrics) = begin(&folder);
    let mut told = everything(&folder, &server).await;
    let metrics = http().get(&metrics, &[]).await.unwrap().text();
    assert!(metrics.contains("sekisho_"), "{metrics}");
    let limits = running.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let first = running.said.clone();
    running.send("-TERM");
    let (code, rest) = running.ended();
    assert_eq!(code, Some(0), "{rest}");
    let said = first + &rest;
    // It talks, and the search would find what is there.
    assert!(said.contains("\"level\":\"DEBUG\"") && said.contains("token_invalid"), "{said}");
    told.keep(MASTER_KEY);
    told.keep(CANARY);
    for secret in &told.secrets {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "`{secret}` stands in the log:\n{}", lines.join("\n"));
        assert!(!metrics.contains(secret), "`{secret}` stands in the metrics");
    }
    for refusal in &told.refusals {
        assert!(refusal.status.is_client_error(), "{} {}", refusal.status, refusal.text());
        assert!(!refusal.text().contains(CANARY), "{}", refusal.text());
    }
}
