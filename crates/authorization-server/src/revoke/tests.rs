//! Revocation: each reason reached, and RV-01 .. RV-05 of attacks.md.

use std::time::Duration;

use protocol::world::{Clock, Timestamp};
use store::{Grants, Queries, Revocations};

use super::*;
use crate::test_house::*;

async fn revoke(house: &House, parameters: Pairs<'_>) -> Result<(), RevokeError> {
    house.server.revoke(&[], &form(parameters), &caller()).await
}

async fn is_live(house: &House, tokens: &Tokens) -> bool {
    house.store.find_grant(house.grant_of(tokens)).await.unwrap().unwrap().revoked_at.is_none()
}

#[tokio::test]
async fn each_reason_is_reached() {
    let house = House::new().await;
    let mut reached = every_reason!(RevokeError { Client, Request, Store });
    let (client, tokens) = house.tokens().await;
    let table: &[(Pairs<'_>, &str, ErrorCode)] = &[
        (&[("token", tokens.refresh())], "Client", ErrorCode::InvalidClient),
        (&[("client_id", "dcr_x"), ("token", tokens.refresh())], "Client", ErrorCode::InvalidClient),
        (&[("client_id", &client)], "Request", ErrorCode::InvalidRequest),
        (&[("client_id", &client), ("token", "a"), ("token", "b")], "Request", ErrorCode::InvalidRequest),
    ];
    for (parameters, name, code) in table {
        let error = revoke(&house, parameters).await.unwrap_err();
        assert_eq!((reached.reach(&error), error.code(), error.blame()), (*name, *code, Blame::Client));
    }
    reached.all_but(&["Store"]);
    // RV-03: never told as done, and to be tried again, whatever the record said.
    let broken = StoreError::Corrupt { table: "grants", column: "seed", row: String::new() };
    for error in [StoreError::unavailable("gone"), broken] {
        let error = RevokeError::Store(error);
        assert_eq!((error.code(), error.blame()), (ErrorCode::TemporarilyUnavailable, Blame::House));
    }
    assert!(is_live(&house, &tokens).await);
}

/// AS-186, AS-188.
#[tokio::test]
async fn either_token_ends_the_grant_whatever_the_hint() {
    let house = House::new().await;
    for hint in ["access_token", "refresh_token", "id_token", ""] {
        for refresh in [true, false] {
            let (client, tokens) = house.tokens().await;
            let token = if refresh { tokens.refresh() } else { &tokens.access_token };
            revoke(&house, &[("client_id", &client), ("token", token), ("token_type_hint", hint)])
                .await
                .unwrap();
            assert!(!is_live(&house, &tokens).await);
            assert_eq!(house.refresh(&client, tokens.refresh()).await.unwrap_err().reason(), "grant_ended");
            let id = house.grant_of(&tokens).to_string();
            let revocations = house.store.list_revocations(Timestamp::from_secs(0)).await.unwrap();
            let named = revocations.iter().find(|revocation| revocation.id == id).unwrap();
            assert!(named.not_before >= house.clock.now());
            assert!(named.expires_at >= house.clock.now().plus(Duration::from_secs(3600)));
        }
    }
    let events = house.events(AuditKind::GrantRevoked).await;
    assert_eq!((events.len(), events[0].reason.as_deref()), (8, Some("revoked_by_client")));
}

#[tokio::test]
async fn a_token_that_was_rotated_or_has_expired_still_ends_its_grant() {
    let house = House::new().await;
    let (client, first) = house.tokens().await;
    house.refresh(&client, first.refresh()).await.unwrap();
    revoke(&house, &[("client_id", &client), ("token", first.refresh())]).await.unwrap();
    assert!(!is_live(&house, &first).await);
    let (client, second) = house.tokens().await;
    house.clock.advance(Duration::from_secs(7200));
    revoke(&house, &[("client_id", &client), ("token", &second.access_token)]).await.unwrap();
    assert!(!is_live(&house, &second).await);
}

/// RV-01 and D-9.
#[tokio::test]
async fn a_token_of_another_client_stays_as_good_as_it_was() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let other = house.public_client();
    for token in [tokens.refresh(), &tokens.access_token] {
        revoke(&house, &[("client_id", &other), ("token", token)]).await.unwrap();
    }
    assert!(is_live(&house, &tokens).await);
    house.refresh(&client, tokens.refresh()).await.unwrap();
    let events = house.events(AuditKind::GrantRevoked).await;
    assert_eq!((events.len(), events[0].outcome), (2, Outcome::Refused));
    assert_eq!(events[0].reason.as_deref(), Some("token_of_another_client"));
    assert_eq!(events[0].detail.get("asked_by"), Some(&other));
}

/// RV-02.
#[tokio::test]
async fn what_is_no_token_of_ours_is_answered_like_a_revoked_one() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let code = house.code(request(&client, &[])).await;
    // A letter in the middle of the signature: the last one may say the same as another.
    let (kept, last) = tokens.access_token.split_at(tokens.access_token.len() - 20);
    let changed = format!("{kept}{}{}", if last.starts_with('A') { "B" } else { "A" }, &last[1..]);
    let forged = invented("skr_", &*house.entropy);
    let huge = "x".repeat(1 << 20);
    for token in ["garbage", &changed, &forged, &code, "skr_", "a.b.c", &huge] {
        revoke(&house, &[("client_id", &client), ("token", token)]).await.unwrap();
    }
    assert!(is_live(&house, &tokens).await);
    assert!(house.events(AuditKind::GrantRevoked).await.is_empty());
    for _ in 0..2 {
        revoke(&house, &[("client_id", &client), ("token", tokens.refresh())]).await.unwrap();
    }
    assert_eq!(house.events(AuditKind::GrantRevoked).await.len(), 1, "ending twice is ending once");
    assert_eq!(house.store.counts().await.unwrap().revocations, 1);
}

#[tokio::test]
async fn each_effect_has_its_grant() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let (client, other) = (ClientId::parse(&client).unwrap(), ClientId::parse("other").unwrap());
    let live = house.store.find_grant(house.grant_of(&tokens)).await.unwrap().unwrap();
    let ended = GrantRecord { revoked_at: Some(house.clock.now()), ..live.clone() };
    assert_eq!(decide(None, &client), Effect::Nothing);
    assert_eq!(decide(Some(&live), &client), Effect::Ends);
    assert_eq!(decide(Some(&ended), &client), Effect::Nothing);
    assert_eq!(decide(Some(&live), &other), Effect::Foreign);
    assert_eq!(decide(Some(&ended), &other), Effect::Foreign);
}

/// The same keys under another name are another issuer.
#[tokio::test]
async fn an_access_token_of_another_issuer_is_none_of_ours() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let moved = crate::Settings { issuer: "https://elsewhere.example".to_owned(), ..settings() };
    let moved = AuthorizationServer::new(moved, house.server.parts.clone());
    let parameters = form(&[("client_id", &client), ("token", &tokens.access_token)]);
    moved.revoke(&[], &parameters, &caller()).await.unwrap();
    assert!(is_live(&house, &tokens).await);
}
