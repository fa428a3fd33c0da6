//! The pages on which people connect accounts, whole: what they are told before they are sent away, and what is connected.

use std::time::Duration;

use http::Request;
use protocol::id::{Id, User};
use protocol::secret::{Hash, Sealed};
use protocol::world::Clock as _;
use store::{AuditEvent, AuditKind, ConnectOutcome, ConnectingRecord, GivenTokens, NewConnection, Outcome};

use crate::house::{Answer, House, LOOPBACK, authorize_url};

const CALLBACK: &str = "http://127.0.0.1:51234/callback";

struct Person<'a> {
    house: &'a House,
    cookies: Vec<String>,
    user: Id<User>,
}

impl<'a> Person<'a> {
    async fn signed_in(house: &'a House) -> Self {
        let client_id = house.register(CALLBACK).await;
        let (_, cookies) = house.sign_in(&authorize_url(LOOPBACK, &client_id, CALLBACK)).await;
        let found = house.store.find_people("alice@example.com").await.unwrap();
        Self { house, cookies, user: found.first().unwrap().id }
    }

    async fn looks(&self, path: &str, language: &str) -> Answer {
        let request = Request::get(path).header("accept", "text/html").header("accept-language", language);
        self.house.ask(request.header("cookie", self.cookies.join("; ")), "").await
    }

    /// An account of hers for an MCP server, as it stands in the record.
    async fn has_connected(&self, number: u8, server: &str, missing: &str) -> Id<protocol::id::Connection> {
        let (store, now) = (&self.house.store, self.house.clock.now());
        let sealed = || Sealed::from_bytes(vec![1, 0, 0, 0, number, 9, 9, 9]);
        let attempt = ConnectingRecord {
            id: Id::from_bytes([number; 16]),
            state_hash: Hash::of(&[number]),
            browser: Hash::of(b"browser"),
            user: self.user,
            server: server.to_owned(),
            leg: "{}".to_owned(),
            verifier: sealed(),
            created_at: now,
            expires_at: now.plus(Duration::from_secs(600)),
        };
        assert!(store.put_connecting(attempt.clone(), 20).await.unwrap());
        assert!(store.take_connecting(attempt.clone(), now).await.unwrap());
        let binding =
            serde_json::json!({"issuer": "https://provider.example", "client_id": "app", "resource": null});
        let binding = serde_json::json!({"at": "https://tools.example", "binding": binding});
        let tokens = GivenTokens {
            access_token: sealed(),
            refresh_token: None,
            expires_at: (number == 1).then(|| now.plus(Duration::from_secs(3600))),
            scope: Some("read:user".to_owned()),
        };
        let new = NewConnection {
            id: Id::from_bytes([100 + number; 16]),
            attempt: attempt.id,
            user: self.user,
            server: server.to_owned(),
            binding: binding.to_string(),
            missing: missing.to_owned(),
            account: None,
            tokens,
        };
        let id = new.id;
        let made = store.put_connection(new, self.event(number, AuditKind::ConnectionMade)).await.unwrap();
        assert_eq!(made, ConnectOutcome::Connected);
        id
    }

    fn event(&self, number: u8, kind: AuditKind) -> AuditEvent {
        AuditEvent::new(Id::from_bytes([200 + number; 16]), self.house.clock.now(), kind, Outcome::Ok)
    }
}

#[tokio::test]
async fn before_anybody_is_sent_away_the_page_says_where_and_for_what() {
    let house = House::connecting(LOOPBACK).await;
    insta::assert_snapshot!("connect_signed_out", house.get("/connect/notes", &[]).await.whole());
    let mut alice = Person::signed_in(&house).await;
    let page = alice.looks("/connect/notes", "en").await;
    insta::assert_snapshot!("connect", page.whole());
    insta::assert_snapshot!("connect_japanese", alice.looks("/connect/notes", "ja").await.whole());
    let foreign = alice.looks("/connect/notes?for=00000000000000000000000000000000", "en").await;
    insta::assert_snapshot!("connect_link_of_another", foreign.whole());
    alice.cookies.extend(page.cookies());
    let pressed = house.post("/connect/notes", &alice.cookies, &format!("csrf={}", page.field("csrf"))).await;
    insta::assert_snapshot!("connect_pressed", pressed.whole());
    insta::assert_snapshot!("connect_client", house.get("/connect/notes/client", &[]).await.whole());
}

#[tokio::test]
async fn what_is_connected_is_shown_with_what_was_not_allowed_and_what_is_dead() {
    let house = House::connecting(LOOPBACK).await;
    let alice = Person::signed_in(&house).await;
    let place = "/account/connections";
    insta::assert_snapshot!("connections_none", alice.looks(place, "en").await.whole());
    alice.has_connected(1, "notes", "").await;
    alice.has_connected(2, "ledger", "repo workflow").await;
    let dead = alice.has_connected(3, "wiki", "").await;
    let event = alice.event(9, AuditKind::ConnectionDead);
    assert!(
        house.store.mark_connection(dead, 0, "connection_refused_by_mcp_server", vec![event]).await.unwrap()
    );
    insta::assert_snapshot!(
        "connections",
        alice.looks(&format!("{place}?connected=notes"), "en").await.whole()
    );
    insta::assert_snapshot!("connections_japanese", alice.looks(place, "ja").await.whole());
}
