//! `sekisho connections` beside a running Sekisho: an administrator sees which accounts people connected, and ends one.

use std::sync::Arc;
use std::time::Duration;

use protocol::world::Clock;
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use testkit::http::{Answer, Http};
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::TestClock;

use crate::process::{Folder, http, text};

fn connections(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.run(&[&["connections"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(folder: &Folder, arguments: &[&str], why: &str) {
    let output = folder.run(&[&["connections"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
}

/// A person with a browser and a token.
struct Person<'a> {
    folder: &'a Folder,
    http: &'a Http,
    browser: Browser,
    token: String,
}

impl<'a> Person<'a> {
    async fn new(folder: &'a Folder, http: &'a Http, login: &str) -> Self {
        let client = TestClient::register(http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
        let mut browser = Browser::new(http.clone());
        let tokens = client.obtain_tokens(&mut browser, login, &folder.resource()).await.unwrap();
        let token = tokens["access_token"].as_str().unwrap().to_owned();
        Self { folder, http, browser, token }
    }

    async fn echo(&self) -> Answer {
        let echo = json!({"name": "echo", "arguments": {}});
        let call = mcp_request(&self.folder.resource(), &self.token, "tools/call", echo).unwrap();
        self.http.send(call).await.unwrap()
    }

    async fn connects(&mut self) {
        let link = format!("{}/connect/notes", self.folder.issuer);
        let page = self.browser.open(&link).await.unwrap().page().unwrap();
        let form = page.form().unwrap();
        let away = self.browser.submit(&page, form, None).await.unwrap().left().unwrap();
        let back = Browser::new(Http::default()).open(away.as_str()).await.unwrap().left().unwrap();
        let done = self.browser.open_from_elsewhere(back.as_str()).await.unwrap().page().unwrap();
        assert_eq!(done.answer.status, 200, "{}", done.words());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_where_people_connect_an_account_and_what_has_to_be_registered_for_that() {
    let remote =
        RemoteServer::start(Arc::new(TestClock::real()) as Arc<dyn Clock>, Knows::Dynamic).await.unwrap();
    let folder = Folder::new(&remote.url);
    let config = std::fs::read_to_string(folder.config()).unwrap() + "credential = \"connection\"\n";
    std::fs::write(folder.config(), &config).unwrap();
    let said = text(&folder.run(&["check"]).stdout);
    let place = format!("people connect their account at {}", remote.issuer());
    let redirect = format!("its redirect URI is {}/connect/notes/callback", folder.issuer);
    for words in [place.as_str(), "registering dynamically", &redirect] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let by_document = format!("{config}[mcp_server.connection]\nregistration = \"metadata_document\"\n");
    std::fs::write(folder.config(), by_document).unwrap();
    let output = folder.run(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("`connection_no_registration`") && said.contains(&redirect), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_what_people_connected_and_ends_it_beside_a_running_sekisho() {
    let remote =
        RemoteServer::start(Arc::new(TestClock::real()) as Arc<dyn Clock>, Knows::Dynamic).await.unwrap();
    let folder = Folder::new(&remote.url);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config + "credential = \"connection\"\n").unwrap();
    let running = folder.serve();
    let http = http();
    assert_eq!(connections(&folder, &["list"]), "No accounts are connected.\n");
    let mut alice = Person::new(&folder, &http, "alice").await;
    remote.change(|held| held.granted = Some("read".to_owned()));
    alice.connects().await;
    let mut bob = Person::new(&folder, &http, "bob").await;
    remote.sign_in("grace");
    remote.change(|held| held.granted = None);
    bob.connects().await;

    let table = connections(&folder, &["list"]);
    for words in ["alice@example.com", "bob@example.com", "notes", "read (not allowed: write)", "good"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let one = connections(&folder, &["list", "--user", "alice@example.com", "--json"]);
    let one: Value = serde_json::from_str(&one).unwrap();
    let [only] = one["connections"].as_array().unwrap().as_slice() else { panic!("{one}") };
    assert_eq!((&only["mcp_server"], &only["state"]), (&json!("notes"), &json!("good")), "{one}");
    assert_eq!((&only["scope"], &only["not_allowed"]), (&json!("read"), &json!("write")), "{one}");
    assert_eq!((&only["exchanges"], &only["why"]), (&json!(0), &Value::Null), "{one}");
    refused(&folder, &["list", "--server", "elsewhere"], "there are: notes");
    for secret in remote.secrets() {
        assert!(!table.contains(&secret) && !one.to_string().contains(&secret));
    }

    refused(&folder, &["list", "--user", "nobody@example.com"], "nobody here is");
    refused(&folder, &["end", "--user", "nobody@example.com", "--server", "notes"], "nobody here is");
    refused(
        &folder,
        &["end", "--user", "alice@example.com", "--server", "ledger"],
        "has connected no account",
    );
    assert!(alice.echo().await.text().contains(&canary("ada")), "nothing of that ended anything");

    let end = ["end", "--user", "alice@example.com", "--server", "notes", "--reason", "asked for it"];
    let said = connections(&folder, &end);
    assert!(said.contains("Ended the connection of alice@example.com for notes"), "{said}");
    let over = async { while !alice.echo().await.text().contains("/connect/notes") {} };
    tokio::time::timeout(Duration::from_secs(10), over).await.unwrap();
    let told = remote.until(|held| held.counts.revocations >= 2);
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    assert_eq!((remote.grants_of("ada"), remote.grants_of("grace")), (0, 1));
    assert!(bob.echo().await.text().contains(&canary("grace")), "nobody else's ended");
    refused(&folder, &end, "has connected no account");
    let audit = text(&folder.run(&["audit", "--json", "--limit", "0"]).stdout);
    let ended: Vec<&str> = audit.lines().filter(|line| line.contains("connection_ended")).collect();
    assert!(ended.iter().any(|line| line.contains("asked for it")), "{ended:?}");
    running.send("-TERM");
    running.ended();
}
