//! Client ID metadata documents (attacks.md, section 1.5): a house, and hosts of documents that say what they are told to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not in test functions")]

mod document;
mod fetch;
mod flood;
mod flow;
mod url;

use std::sync::Arc;

use serde_json::{Value, json};
use store::Counts;
use testkit::browser::Browser;
use testkit::client::{Pkce, TestClient};
use testkit::document_host::{DocumentHost, Said};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::log::Log;
use testkit::outcomes::{harmless, page400};

use super::scene::{REMOTE, is_consent, is_login, right};

/// Where the documents of these tests say that the client is called back on the person's own machine.
const LOOPBACK: &str = "http://127.0.0.1/callback";

struct Cimd {
    host: Arc<DocumentHost>,
    house: House,
    log: Log,
    pkce: Pkce,
}

impl Cimd {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let log = Log::begin();
        let host = DocumentHost::start().await.unwrap();
        let mut plan = Plan { documents: Some(Arc::clone(&host)), ..Plan::default() };
        change(&mut plan);
        let house = House::with(plan).await.unwrap();
        Self { host, house, log, pkce: Pkce::new("cimd") }
    }

    /// A document that is right in everything.
    fn document(&self, path: &str) -> Value {
        json!({
            "client_id": self.host.url(path),
            "client_name": "Example",
            "redirect_uris": [REMOTE, LOOPBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        })
    }

    /// The same, with one member changed.
    fn document_with(&self, path: &str, member: &str, value: Value) -> Value {
        let mut document = self.document(path);
        document[member] = value;
        document
    }

    /// Whoever has this id.
    fn client(&self, client_id: &str, redirect_uri: &str) -> TestClient {
        TestClient {
            http: self.house.http.clone(),
            issuer: self.house.issuer.clone(),
            client_id: client_id.to_owned(),
            secret: None,
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    /// A client with a good document, called back at a remote host.
    fn good(&self, path: &str, document: &Value) -> TestClient {
        self.host.says(path, &[testkit::document_host::json(document)]);
        self.client(&self.host.url(path), REMOTE)
    }

    fn ask(&self, client: &TestClient) -> String {
        client.authorization_url(
            &client.authorization_request(&self.house.resource("notes"), &self.pkce.challenge),
        )
    }

    async fn asked(&self, client_id: &str) -> Answer {
        let url = self.ask(&self.client(client_id, REMOTE));
        self.house.http.get(&url, &[]).await.unwrap()
    }

    async fn stored(&self) -> Counts {
        Counts { audit_events: 0, audit_seals: 0, audit_subjects: 0, ..self.house.counts().await.unwrap() }
    }

    /// PAGE400 and NOSTORE, and no cookie, for whoever has this id.
    async fn refused(&self, client_id: &str) -> Answer {
        let before = self.stored().await;
        let answer = self.asked(client_id).await;
        right(page400(&answer), client_id);
        right(harmless(&answer, &[]), client_id);
        assert!(answer.headers.get("set-cookie").is_none(), "{client_id}");
        assert_eq!(self.stored().await, before, "{client_id}");
        answer
    }

    /// The same for a document that is said once.
    async fn refused_saying(&self, path: &str, said: Said, what: &str) {
        self.host.says(path, &[said]);
        let answer = self.asked(&self.host.url(path)).await;
        right(page400(&answer), what);
        assert!(!answer.text().contains("Example"), "{what}");
    }

    /// Whether the login page is shown for whoever has this id.
    async fn is_known(&self, client_id: &str) -> bool {
        let url = self.ask(&self.client(client_id, REMOTE));
        let page = self.house.browser().open(&url).await.unwrap().page().unwrap();
        is_login(&page)
    }

    async fn consent_page(&self, browser: &mut Browser, client: &TestClient) -> testkit::browser::Page {
        let page = browser.open(&self.ask(client)).await.unwrap().page().unwrap();
        let page = testkit::client::log_in(browser, page, "alice").await.unwrap();
        assert!(is_consent(&page), "{}", page.words());
        page
    }

    /// Ends the house: nothing went wrong in it.
    async fn close(self) {
        let Self { house, log, .. } = self;
        house.close().await.unwrap();
        let text = log.text();
        let faults: Vec<&str> =
            text.lines().filter(|line| line.split_whitespace().nth(1) == Some("ERROR")).collect();
        if !faults.is_empty() {
            panic!("{faults:#?}");
        }
    }
}
