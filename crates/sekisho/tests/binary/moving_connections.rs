//! Accounts that people connected while the house had another name (product.md, P-23), or the MCP server stood elsewhere.

use std::sync::Arc;

use http::StatusCode;
use protocol::world::Clock;
use serde_json::json;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use testkit::http::{Answer, Http};
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::TestClock;

use crate::process::{Folder, http};

/// A person at one name of the house.
struct Person {
    browser: Browser,
    token: String,
}

impl Person {
    async fn at(issuer: &str, login: &str) -> Self {
        let client = TestClient::register(&http(), issuer, LOOPBACK_REDIRECT).await.unwrap();
        let mut browser = Browser::new(http());
        let tokens = client.obtain_tokens(&mut browser, login, &format!("{issuer}/notes/mcp")).await.unwrap();
        Self { browser, token: tokens["access_token"].as_str().unwrap().to_owned() }
    }

    async fn echo(&self, issuer: &str) -> Answer {
        let call = json!({"name": "echo", "arguments": {}});
        let request = mcp_request(&format!("{issuer}/notes/mcp"), &self.token, "tools/call", call).unwrap();
        http().send(request).await.unwrap()
    }

    /// From the link that the client is told through the provider and back.
    async fn connect(&mut self, issuer: &str) {
        let said = self.echo(issuer).await.json().to_string();
        let at = said.find(&format!("{issuer}/connect/")).unwrap_or_else(|| panic!("no link: {said}"));
        let link: String = said[at..].chars().take_while(|c| !matches!(c, ' ' | '"' | '\\')).collect();
        let page = self.browser.open(&link).await.unwrap().page().unwrap();
        let away = self.browser.submit(&page, page.form().unwrap(), None).await.unwrap().left().unwrap();
        let mut there = Browser::new(Http::default());
        let back = there.open(away.as_str()).await.unwrap().left().unwrap();
        self.browser.open_from_elsewhere(back.as_str()).await.unwrap().page().unwrap();
    }
}

/// A registration belongs to one redirect URI, and a document to one URL; the name that a call or a page comes by must not
/// decide whose credential is good.
#[tokio::test(flavor = "multi_thread")]
async fn what_people_connected_under_one_name_of_the_house_goes_on_under_each() {
    for knows in [Knows::Dynamic, Knows::Documents] {
        let clock = Arc::new(TestClock::default()) as Arc<dyn Clock>;
        let remote = RemoteServer::start(clock, knows).await.unwrap();
        let folder = Folder::new(&remote.url);
        let old = folder.issuer.clone();
        let new = old.replace("localhost", "127.0.0.1");
        let config = std::fs::read_to_string(folder.config()).unwrap() + "credential = \"connection\"\n";
        std::fs::write(folder.config(), &config).unwrap();
        let running = folder.serve();
        remote.sign_in("ada");
        let mut alice = Person::at(&old, "alice").await;
        alice.connect(&old).await;
        running.kill();
        let former = format!("[[former_public_url]]\nurl = \"{old}\"\naccepted_until = \"2999-12-31\"\n");
        std::fs::write(folder.config(), config.replace(&old, &new) + &former).unwrap();
        let running = folder.serve();

        let is = async |person: &Person, account: &str, issuer: &str| {
            remote.end_access_tokens();
            let answer = person.echo(issuer).await;
            assert_eq!(answer.status, StatusCode::OK, "{knows:?}, {account} at {issuer}: {}", answer.text());
            assert!(answer.text().contains(&canary(account)), "{account} at {issuer}: {}", answer.text());
        };
        for issuer in [&new, &old, &new] {
            is(&alice, "ada", issuer).await;
        }
        // Somebody who comes under the new name makes us known under it.
        remote.sign_in("grace");
        let mut bob = Person::at(&new, "bob").await;
        bob.connect(&new).await;
        // A page under the old name says where one would be sent from there.
        let page = alice.browser.open(&format!("{old}/connect/notes")).await.unwrap().page().unwrap();
        assert_eq!(page.answer.status, StatusCode::OK, "{}", page.words());
        for issuer in [&old, &new] {
            is(&alice, "ada", issuer).await;
            is(&bob, "grace", issuer).await;
        }
        let counts = remote.counts();
        assert_eq!((counts.refused, counts.reuses), (0, 0), "{knows:?}");
        assert_eq!(counts.registrations, if knows == Knows::Dynamic { 2 } else { 0 }, "one for each name");
        running.kill();
    }
}

/// A credential was given for one place (product.md, P-15): whatever the configuration says later, it goes to no other, neither
/// from memory nor from the record.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_for_an_mcp_server_does_not_move_with_it() {
    let clock = Arc::new(TestClock::default()) as Arc<dyn Clock>;
    let here = RemoteServer::start(Arc::clone(&clock), Knows::Dynamic).await.unwrap();
    let elsewhere = RemoteServer::start(clock, Knows::Dynamic).await.unwrap();
    let folder = Folder::new(&here.url);
    let issuer = folder.issuer.clone();
    let config = std::fs::read_to_string(folder.config()).unwrap() + "credential = \"connection\"\n";
    std::fs::write(folder.config(), &config).unwrap();
    let running = folder.serve();
    here.sign_in("ada");
    let mut alice = Person::at(&issuer, "alice").await;
    alice.connect(&issuer).await;
    let answer = alice.echo(&issuer).await;
    assert!(answer.text().contains(&canary("ada")), "{}", answer.text());
    std::fs::write(folder.config(), config.replace(&here.url, &elsewhere.url)).unwrap();
    running.send("-HUP");
    running.says("was read again and is in use");
    for _ in 0..2 {
        let told = alice.echo(&issuer).await;
        assert!(told.text().contains("/connect/notes"), "{}", told.text());
    }
    let came = elsewhere.change(|held| held.calls.clone());
    assert!(came.iter().all(|(authorization, _)| authorization.is_empty()), "{came:?}");
    running.kill();
}
