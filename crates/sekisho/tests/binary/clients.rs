//! `sekisho clients` beside a running Sekisho: a person waits, an administrator looks, approves, and later blocks.

use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient, allow, log_in, mcp_request, parameter};
use testkit::http::Http;
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, http, text};

async fn register(http: &Http, issuer: &str, uri: &str) -> TestClient {
    let metadata = json!({
        "client_name": "Clever Notes",
        "redirect_uris": [uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    TestClient::register_with(http, issuer, &metadata).await.unwrap()
}

fn clients(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.run(&[&["clients"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn listed(folder: &Folder) -> Value {
    serde_json::from_str(&clients(folder, &["list", "--json"])).unwrap()
}

async fn call(folder: &Folder, http: &Http, access: &str) -> u16 {
    let echo = json!({"name": "echo", "arguments": {"said": "hello"}});
    let request = mcp_request(&folder.resource(), access, "tools/call", echo).unwrap();
    http.send(request).await.unwrap().status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_who_waits_approves_and_blocks_beside_a_running_sekisho() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let running = folder.serve();
    let http = http();
    assert!(clients(&folder, &["list"]).contains("No clients"));
    let client = register(&http, &folder.issuer, "https://client.example/cb").await;
    let pkce = Pkce::new("clients");
    let url = client.authorization_url(&client.authorization_request(&folder.resource(), &pkce.challenge));
    let mut browser = Browser::new(http.clone());
    let page = browser.open(&url).await.unwrap().page().unwrap();
    let page = log_in(&mut browser, page, "alice").await.unwrap();

    let waiting = listed(&folder)["waiting"].as_array().unwrap().clone();
    let [one] = waiting.as_slice() else { panic!("{waiting:?}: {}", page.words()) };
    let reference = one["reference"].as_str().unwrap();
    assert!(page.words().contains(&format!("sekisho clients approve {reference}")), "{}", page.words());
    assert_eq!(
        (&one["person"], &one["called_back_at"]),
        (&json!("alice@example.com"), &json!("client.example"))
    );
    let table = clients(&folder, &["list"]);
    assert!(table.contains(reference) && table.contains("alice@example.com"), "{table}");
    assert!(clients(&folder, &["show", reference]).contains("client.example"));

    assert!(clients(&folder, &["approve", reference]).contains("Approved"));
    assert!(clients(&folder, &["approve", reference]).contains("Nothing to do"));
    let page = browser.submit(&page, page.form().unwrap(), None).await.unwrap().page().unwrap();
    let callback = allow(&mut browser, &page).await.unwrap();
    let tokens = client.redeem(&parameter(&callback, "code").unwrap(), &pkce.verifier).await.unwrap().json();
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!(call(&folder, &http, &access).await, 200);

    // 3 installations of one software are one line.
    for _ in 0..3 {
        let local = register(&http, &folder.issuer, LOOPBACK_REDIRECT).await;
        local.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    }
    let lines = listed(&folder)["clients"].as_array().unwrap().clone();
    let line = lines.iter().find(|line| line["called_back_at"] == json!(["loopback"])).unwrap();
    assert_eq!((&line["installations"], &line["grants"], lines.len()), (&json!(3), &json!(3), 2));
    let fingerprint = line["fingerprint"].as_str().unwrap();
    let blocked = clients(&folder, &["block", "--fingerprint", fingerprint, "--reason", "recalled"]);
    assert!(blocked.contains("Ended 3 grants"), "{blocked}");
    assert_eq!(call(&folder, &http, &access).await, 200, "nobody else is harmed");

    let blocked = clients(&folder, &["block", "--host", "client.example"]);
    assert!(blocked.contains("Ended 1 grants"), "{blocked}");
    let refused = async { while call(&folder, &http, &access).await != 401 {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), refused).await.unwrap();
    let refreshed = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(refreshed.status, 401, "{}", refreshed.text());
    let no = folder.run(&["clients", "approve", "--host", "client.example"]);
    assert_eq!(no.status.code(), Some(2), "{}", text(&no.stderr));
    assert!(clients(&folder, &["unblock", "--host", "client.example"]).contains("Took the block"));
    assert!(clients(&folder, &["unblock", "--host", "client.example"]).contains("Nothing to do"));
    running.send("-TERM");
    running.ended();
}

#[test]
fn what_cannot_be_meant_is_said_so() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    for wrong in [
        vec!["approve"],
        vec!["approve", "K7Q2-9XWD"],
        vec!["approve", "dcr_AAEC"],
        vec!["approve", "--host", "https://client.example"],
        vec!["approve", "--host", "*.client.example"],
        vec!["block"],
        vec!["block", "dcr_AAEC", "--host", "client.example"],
        vec!["block", "--fingerprint", "0123456789abcdef"],
        vec!["show", "nobody"],
        vec!["registration-token", "--uses", "0"],
        vec!["registration-token", "--for", "91d"],
    ] {
        let output = folder.run(&[vec!["clients"], wrong.clone()].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    let token = folder.run(&["clients", "registration-token", "--uses", "3", "--for", "2h"]);
    assert!(text(&token.stdout).starts_with("ski_"), "{}", text(&token.stderr));
    // A client that nobody has used can be kept out by its id.
    assert!(folder.run(&["clients", "block", "dcr_AAEC"]).status.success());
    assert!(clients(&folder, &["show", "dcr_AAEC"]).contains("since"));
}

/// product.md, P-7: nobody waits on a page for a client that asks without a browser, and it is approved all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_without_a_browser_is_listed_and_approved() {
    const KIND: &str = "urn:ietf:params:oauth:token-type:access_token";
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let more = r#"
[clients]
ask = ["client:agent"]
[[client]]
client_id = "agent"
secret_command = ["printf", "secret-of-the-agent-0123456789abcdef"]
[[service_account]]
name = "agent"
clients = ["agent"]
[[service_account.may_act]]
from = "notes"
to = ["notes"]
"#;
    let config = std::fs::read_to_string(folder.path("sekisho.toml")).unwrap();
    std::fs::write(folder.path("sekisho.toml"), format!("{config}{more}")).unwrap();
    let running = folder.serve();
    let http = http();
    let person = register(&http, &folder.issuer, LOOPBACK_REDIRECT).await;
    let mut browser = Browser::new(http.clone());
    let tokens = person.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "agent"),
        ("client_secret", "secret-of-the-agent-0123456789abcdef"),
        ("subject_token", tokens["access_token"].as_str().unwrap()),
        ("subject_token_type", KIND),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let url = format!("{}/oauth/token", folder.issuer);
    let ask = async || {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        http.post_form(&url, &[], &fields).await.unwrap()
    };
    assert!(listed(&folder)["asked_without_a_browser"].as_array().unwrap().is_empty());
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "unauthorized_client"));
    let asked = listed(&folder)["asked_without_a_browser"].clone();
    assert_eq!(
        (&asked[0]["client_id"], &asked[0]["grant_type"], &asked[0]["mcp_server"]),
        (&json!("agent"), &json!("token_exchange"), &json!("notes"))
    );
    assert!(clients(&folder, &["list"]).contains("clients approve --client"));
    assert_eq!(folder.run(&["clients", "approve", "--client", "another"]).status.code(), Some(2));
    assert!(clients(&folder, &["approve", "--client", "agent"]).contains("Approved the client agent"));
    assert!(listed(&folder)["asked_without_a_browser"].as_array().unwrap().is_empty());
    let served = ask().await;
    assert_eq!(served.status, 200, "{}", served.text());
    running.send("-TERM");
    running.ended();
}
