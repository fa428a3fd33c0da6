//! Scopes of the operator's own, from the file to what a client hears (product.md, P-12).

use http::StatusCode;
use serde_json::json;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, http, text};

const SCOPES: &str = r#"
challenge = "least"
[[mcp_server.scope]]
name = "payments"
tools = ["pay", "refund_*"]
words = "make payments"
"#;

fn challenged(challenge: &str) -> &str {
    challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_least_challenge_a_client_begins_with_read_and_hears_what_a_call_needs() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config + SCOPES).unwrap();
    let running = folder.serve();
    let http = http();
    let document = format!("{}/.well-known/oauth-protected-resource/notes/mcp", folder.issuer);
    assert_eq!(http.get(&document, &[]).await.unwrap().json()["scopes_supported"], json!(["read"]));
    let metadata = format!("{}/.well-known/oauth-authorization-server", folder.issuer);
    let metadata = http.get(&metadata, &[]).await.unwrap().json();
    assert_eq!(metadata["scopes_supported"], json!(["payments", "read", "write"]));
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    assert_eq!(tokens["scope"], "read");
    let token = tokens["access_token"].as_str().unwrap();
    for (tool, status, scopes) in [
        ("echo", StatusCode::OK, ""),
        ("write", StatusCode::FORBIDDEN, "read write"),
        ("refund_all", StatusCode::FORBIDDEN, "payments read"),
    ] {
        let params = json!({"name": tool, "arguments": {}});
        let call = mcp_request(&folder.resource(), token, "tools/call", params).unwrap();
        let answer = http.send(call).await.unwrap();
        assert_eq!(answer.status, status, "{tool}: {}", answer.text());
        assert_eq!(challenged(answer.header("www-authenticate")), scopes, "{tool}");
    }
    // The operator's words are what people read.
    let mut fields =
        client.authorization_request(&folder.resource(), &testkit::client::Pkce::new("x").challenge);
    fields.push(("scope".to_owned(), "read payments".to_owned()));
    let page = browser.open(&client.authorization_url(&fields)).await.unwrap().page().unwrap();
    let page = testkit::client::log_in(&mut browser, page, "alice").await.unwrap();
    assert!(page.words().contains("make payments"), "{}", page.words());
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_could_not_be_meant_are_mistakes() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    for (from, to, word) in [
        ("\"payments\"", "\"read\"", "means something else"),
        ("\"payments\"", "\"offline_access\"", "means something else"),
        ("\"payments\"", "\"pay ments\"", "is no such name"),
        ("refund_*", "re*fund", "a * that is not at the end"),
        ("[\"pay\", \"refund_*\"]", "[]", "names no tool"),
        ("words = \"make payments\"", "", "scope[0].words"),
        ("\"least\"", "\"most\"", "is neither of the two"),
        (
            "words = \"make payments\"\n",
            "words = \"x\"\n[[mcp_server.scope]]\nname = \"payments\"\ntools = [\"a\"]\nwords = \"y\"\n",
            "one name twice",
        ),
    ] {
        let scopes = SCOPES.replacen(from, to, 1);
        assert_ne!(scopes, SCOPES, "{from}");
        std::fs::write(folder.config(), format!("{config}{scopes}")).unwrap();
        let output = folder.run(&["check"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(word), "{to}: {said}");
    }
    // A service account is bound by a scope that is there.
    let bound = |scope: &str| {
        let access = format!("access = [\"service-account:ci:{scope}\"]\n");
        let config = config.replace("access = \"everyone who may log in\"\n", &access);
        let account = "[[client]]\nclient_id = \"ci-client\"\nsecret_file = \"master.key\"\n\
                       [[service_account]]\nname = \"ci\"\nclients = [\"ci-client\"]\n";
        std::fs::write(folder.config(), format!("{config}{SCOPES}{account}")).unwrap();
        let output = folder.run(&["policy", "check"]);
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(bound("payments").0, Some(0), "{:?}", bound("payments"));
    let (code, said) = bound("refunds");
    assert!(code == Some(2) && said.contains("a scope that is not there"), "{said}");
}
