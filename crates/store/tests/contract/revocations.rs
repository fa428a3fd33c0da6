use std::sync::{Arc, Mutex};

use store::{
    AuditKind, Authorizations as _, BrowserSessions as _, EndGrant, Grants as _, Queries as _, RedeemOutcome,
    Revocation, RevocationKind, Revocations as _, StopCounts,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_stopped_grant_is_named_for_as_long_as_others_stand_on_it,
    revocations_come_back_as_they_went_in_oldest_first,
    a_revocation_is_heard_before_it_is_answered,
    a_revocation_that_was_not_written_is_not_heard,
    a_revocation_only_reaches_further,
    stopping_a_person_ends_what_is_theirs_and_nothing_else,
    stopping_a_client_or_a_resource_ends_what_is_there,
    stopping_the_issuer_ends_everything,
    a_code_redeemed_while_its_person_is_stopped_gives_no_live_grant,
    a_revocation_that_names_nothing_is_an_error,
    the_grants_that_a_stop_ended_are_named_one_by_one,
}

fn stopped() -> store::AuditEvent {
    event(AuditKind::Stopped)
}

async fn revocations_come_back_as_they_went_in_oldest_first(store: Opened) {
    let mut expected = Vec::new();
    for (place, kind) in RevocationKind::ALL.into_iter().enumerate() {
        let name = match kind {
            RevocationKind::Grant | RevocationKind::User => id::<()>(1).to_string(),
            RevocationKind::Client | RevocationKind::Issuer | RevocationKind::Resource => {
                "https://a.example".to_owned()
            }
        };
        let mut audit = stopped();
        audit.at = NOW.plus(MINUTE * place as u32);
        store.stop(revocation(kind, &name), audit).await.unwrap();
        expected.push(revocation(kind, &name));
    }
    assert_eq!(store.list_revocations(NOW).await.unwrap(), expected);
    assert_eq!(store.list_revocations(NOW.plus(MINUTE)).await.unwrap(), expected[1..]);
    assert_eq!(store.list_revocations(NOW.plus(DAY)).await.unwrap(), []);
}

async fn a_revocation_is_heard_before_it_is_answered(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    store
        .on_revocation(Arc::new(move |revocation: &Revocation| ear.lock().unwrap().push(revocation.clone())));

    let entry = revocation(RevocationKind::Grant, &id::<()>(1).to_string());
    let end = EndGrant { grant: id(1), revocation: entry.clone(), audit: event(AuditKind::GrantRevoked) };
    assert!(store.end_grant(end, NOW).await.unwrap());
    assert_eq!(*heard.lock().unwrap(), [entry]);

    let all = revocation(RevocationKind::Issuer, "https://mcp.example.com");
    store.stop(all.clone(), stopped()).await.unwrap();
    assert_eq!(heard.lock().unwrap().last(), Some(&all));
}

async fn a_revocation_that_was_not_written_is_not_heard(store: Opened) {
    let heard = Arc::new(Mutex::new(0));
    let ear = Arc::clone(&heard);
    store.on_revocation(Arc::new(move |_: &Revocation| *ear.lock().unwrap() += 1));
    let entry = revocation(RevocationKind::Grant, &id::<()>(1).to_string());
    let end = EndGrant { grant: id(1), revocation: entry, audit: event(AuditKind::GrantRevoked) };
    assert!(!store.end_grant(end, NOW).await.unwrap());
    assert_eq!(*heard.lock().unwrap(), 0);
}

async fn a_revocation_only_reaches_further(store: Opened) {
    let at = |minutes: u32| {
        let base = revocation(RevocationKind::Client, "console");
        Revocation {
            not_before: NOW.plus(MINUTE * minutes),
            expires_at: NOW.plus(MINUTE * (minutes + 60)),
            ..base
        }
    };
    store.stop(at(10), stopped()).await.unwrap();
    store.stop(at(5), stopped()).await.unwrap();
    assert_eq!(store.list_revocations(NOW).await.unwrap(), [at(10)]);
    let mut later = stopped();
    later.at = NOW.plus(DAY);
    store.stop(at(20), later).await.unwrap();
    assert_eq!(store.list_revocations(NOW.plus(DAY)).await.unwrap(), [at(20)], "it is news again");
    let mut shorter = at(30);
    shorter.expires_at = NOW;
    store.stop(shorter, stopped()).await.unwrap();
    assert_eq!(store.list_revocations(NOW).await.unwrap()[0].expires_at, at(20).expires_at);
}

async fn stopping_a_person_ends_what_is_theirs_and_nothing_else(store: Opened) {
    let ada = person(&store, 1).await.id;
    let bob = person(&store, 2).await.id;
    granted(&store, 1, ada).await;
    granted(&store, 2, bob).await;
    consented(&store, 3, ada).await;
    consented(&store, 4, bob).await;

    let ended = store.stop(revocation(RevocationKind::User, &ada.to_string()), stopped()).await.unwrap();
    assert_eq!(ended.grants, 1);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert_eq!(store.find_grant(id(2)).await.unwrap().unwrap().revoked_at, None);
    assert_eq!(store.find_browser_session(&hash("session", 1), NOW).await.unwrap(), None);
    assert!(store.find_browser_session(&hash("session", 2), NOW).await.unwrap().is_some());
    assert_eq!(store.find_by_code(hash("code", 3)).await.unwrap(), None);
    assert_eq!(store.redeem(redeeming(3, ada), NOW).await.unwrap(), RedeemOutcome::Lost);
    assert_eq!(store.redeem(redeeming(4, bob), NOW).await.unwrap(), RedeemOutcome::Redeemed);
    let evidence = store.find_by_code(hash("code", 1)).await.unwrap();
    assert!(evidence.is_some(), "a redeemed code is still recognised");
}

async fn stopping_a_client_or_a_resource_ends_what_is_there(store: Opened) {
    let user = person(&store, 1).await.id;
    for (number, kind, name) in [
        (1, RevocationKind::Client, client_id().to_string()),
        (2, RevocationKind::Resource, request().resource.to_string()),
        (3, RevocationKind::Grant, id::<()>(3).to_string()),
    ] {
        granted(&store, number, user).await;
        consented(&store, 10 + number, user).await;
        let other = store.stop(revocation(kind, &id::<()>(99).to_string()), stopped()).await.unwrap();
        assert_eq!(other, StopCounts::default(), "{kind:?}");
        assert_eq!(store.stop(revocation(kind, &name), stopped()).await.unwrap().grants, 1, "{kind:?}");
        let redeemed = store.redeem(redeeming(10 + number, user), NOW).await.unwrap();
        let code_lives = kind == RevocationKind::Grant;
        assert_eq!(redeemed == RedeemOutcome::Redeemed, code_lives, "{kind:?}");
    }
}

async fn stopping_the_issuer_ends_everything(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    granted(&store, 2, user).await;
    consented(&store, 3, user).await;
    let all = revocation(RevocationKind::Issuer, "https://mcp.example.com");
    let ended = store.stop(all, stopped()).await.unwrap();
    assert_eq!(ended, StopCounts { browser_sessions: 1, codes: 1, grants: 2 });
    assert_eq!(store.redeem(redeeming(3, user), NOW).await.unwrap(), RedeemOutcome::Lost);
    assert_eq!(store.counts().await.unwrap().browser_sessions, 0);
}

async fn a_code_redeemed_while_its_person_is_stopped_gives_no_live_grant(store: Opened) {
    let user = person(&store, 1).await.id;
    for number in 1..=20 {
        consented(&store, number, user).await;
    }
    let mut callers = JoinSet::new();
    for number in 1..=20 {
        let node = store.engine.clone();
        callers.spawn(async move {
            node.redeem(redeeming(number, user), NOW).await.unwrap();
        });
        if number == 10 {
            let node = store.engine.clone();
            callers.spawn(async move {
                node.stop(revocation(RevocationKind::User, &user.to_string()), stopped()).await.unwrap();
            });
        }
    }
    callers.join_all().await;
    for number in 1..=20 {
        let grant = store.find_grant(id(number)).await.unwrap();
        assert!(grant.is_none_or(|grant| grant.revoked_at.is_some()), "grant {number} lives");
    }
}

async fn a_revocation_that_names_nothing_is_an_error(store: Opened) {
    assert!(store.stop(revocation(RevocationKind::User, "ada"), stopped()).await.is_err());
    assert!(store.stop(revocation(RevocationKind::Grant, ""), stopped()).await.is_err());
    assert_eq!(store.counts().await.unwrap().revocations, 0);
}

/// RV-05: whatever the clock of the node that issued a token, its grant is named.
async fn the_grants_that_a_stop_ended_are_named_one_by_one(store: Opened) {
    let ada = person(&store, 1).await.id;
    let bob = person(&store, 2).await.id;
    granted(&store, 1, ada).await;
    granted(&store, 2, bob).await;
    assert_eq!(store.list_stopped_grants(NOW).await.unwrap(), []);
    let of_ada = revocation(RevocationKind::User, &ada.to_string());
    store.stop(of_ada.clone(), stopped()).await.unwrap();
    let named = store.list_stopped_grants(NOW).await.unwrap();
    let names: Vec<_> = named.iter().map(|entry| (entry.kind, entry.id.clone())).collect();
    assert_eq!(names, [(RevocationKind::Grant, id::<()>(1).to_string())]);
    assert_eq!((named[0].not_before, named[0].expires_at), (of_ada.expires_at, of_ada.expires_at));
    assert_eq!(store.list_stopped_grants(NOW.plus(MINUTE)).await.unwrap(), [], "asked for what is new");
    // The same stop again, a little later: what the first one ended is still named.
    let mut later = stopped();
    later.at = NOW.plus(MINUTE * 5);
    let moved = Revocation { not_before: of_ada.not_before.plus(MINUTE * 5), ..of_ada };
    store.stop(moved, later).await.unwrap();
    assert_eq!(store.list_stopped_grants(NOW.plus(MINUTE * 5)).await.unwrap().len(), 1);
}

async fn a_stopped_grant_is_named_for_as_long_as_others_stand_on_it(store: Opened) {
    let user = person(&store, 1).await.id;
    for number in 1..=3 {
        granted(&store, number, user).await;
    }
    let stopped_at = NOW.plus(30 * MINUTE);
    assert!(store.lend_grant(id(1), stopped_at.plus(MINUTE), NOW).await.unwrap());
    // What was lent for long is not lent for less by the next.
    assert!(store.lend_grant(id(1), NOW.plus(MINUTE), NOW).await.unwrap());
    assert!(store.lend_grant(id(2), NOW.plus(MINUTE), NOW).await.unwrap());
    assert!(!store.lend_grant(id(9), stopped_at, NOW).await.unwrap());
    let mut audit = event(AuditKind::Stopped);
    audit.at = stopped_at;
    store.stop(revocation(RevocationKind::User, &user.to_string()), audit).await.unwrap();
    let named = store.list_stopped_grants(NOW).await.unwrap();
    let named: Vec<&str> = named.iter().map(|revocation| revocation.id.as_str()).collect();
    assert_eq!(named, [id::<protocol::id::Grant>(1).to_string()]);
    assert!(!store.lend_grant(id(1), stopped_at.plus(MINUTE), NOW).await.unwrap(), "it is over");
}
