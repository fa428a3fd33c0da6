use std::sync::Arc;

use protocol::id::{Grant, Id};
use store::{
    AnsweredLeg, AuditFilter, AuditKind, AuthorizationState, Authorizations as _, BrowserSessions as _,
    Consent, ConsentOutcome, Engine, Grants as _, PendingCaps, PutOutcome, Queries as _, RedeemOutcome,
    SignInOutcome, StoreError, Users as _,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_yes_counts_only_in_a_session_of_its_person_that_is_not_over,
    an_authorization_comes_back_as_it_went_in,
    an_authorization_is_found_by_its_leg_and_by_its_code,
    a_code_is_redeemed_at_most_once,
    a_code_gives_one_family_even_when_the_row_is_set_back,
    an_expired_code_is_not_redeemed,
    a_code_is_dead_after_too_many_attempts,
    attempts_count_for_an_unredeemed_code_only,
    consent_is_given_at_most_once,
    what_is_not_pending_takes_no_consent,
    consent_and_denial_exclude_each_other,
    an_expired_authorization_goes_nowhere,
    a_leg_is_answered_at_most_once,
    a_new_leg_ends_the_one_before,
    one_address_cannot_fill_the_house,
    the_house_has_a_last_place,
    impossible_rows_are_refused,
    text_with_a_nul_byte_is_an_error_and_not_a_row,
}

async fn an_authorization_comes_back_as_it_went_in(store: Opened) {
    let user = person(&store, 1).await.id;
    let find = async |number| store.find_authorization(id(number)).await.unwrap().unwrap();

    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    assert_eq!(find(1).await, as_record(asking(1), AuthorizationState::Pending));
    assert!(store.start_leg(id(1), leg(1), NOW).await.unwrap());
    assert_eq!(find(1).await, as_record(asking(1), AuthorizationState::UpstreamLeg(leg(1))));
    assert!(store.deny(id(1), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    assert_eq!(find(1).await, as_record(asking(1), AuthorizationState::Denied));

    consented(&store, 2, user).await;
    let given = AuthorizationState::Consented {
        user,
        scope: scope("read"),
        code_hash: hash("code", 2),
        code_expires_at: NOW.plus(MINUTE),
        shown: hash("shown", 2),
        grant_expires_at: Some(NOW.plus(DAY)),
        attempts: 0,
    };
    assert_eq!(find(2).await, as_record(asking(2), given));
    store.redeem(redeeming(2, user), NOW).await.unwrap();
    let redeemed = AuthorizationState::Redeemed {
        user,
        scope: scope("read"),
        code_hash: hash("code", 2),
        grant: id(2),
        redeemed_at: NOW,
    };
    assert_eq!(find(2).await, as_record(asking(2), redeemed));
    assert_eq!(store.find_authorization(id(3)).await.unwrap(), None);
}

async fn an_authorization_is_found_by_its_leg_and_by_its_code(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    store.start_leg(id(1), leg(1), NOW).await.unwrap();
    let found = store.find_authorization_by_leg(hash("state", 1)).await.unwrap().unwrap();
    assert_eq!(found.id, id(1));
    assert_eq!(store.find_authorization_by_leg(hash("state", 2)).await.unwrap(), None);

    consented(&store, 2, user).await;
    assert_eq!(store.find_by_code(hash("code", 2)).await.unwrap().unwrap().id, id(2));
    store.redeem(redeeming(2, user), NOW).await.unwrap();
    assert_eq!(store.find_by_code(hash("code", 2)).await.unwrap().unwrap().id, id(2));
    assert_eq!(store.find_by_code(hash("code", 1)).await.unwrap(), None);
}

async fn a_code_is_redeemed_at_most_once(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..32 {
        let node = nodes[caller % 2].clone();
        let mut redeem = redeeming(1, user);
        redeem.grant.id = id(100 + caller as u64);
        callers.spawn(async move { (redeem.grant.id, node.redeem(redeem, NOW).await.unwrap()) });
    }
    let outcomes = callers.join_all().await;
    let won: Vec<Id<Grant>> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == RedeemOutcome::Redeemed)
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(store.counts().await.unwrap().grants, 1);
    let AuthorizationState::Redeemed { grant, .. } =
        store.find_by_code(hash("code", 1)).await.unwrap().unwrap().state
    else {
        panic!("not redeemed")
    };
    assert_eq!(grant, won[0]);
    assert!(store.find_grant(won[0]).await.unwrap().is_some());
    let issued = AuditFilter { kind: Some(AuditKind::TokenIssued), ..AuditFilter::default() };
    assert_eq!(store.list_audit(issued, None, 100).await.unwrap().len(), 1);
}

async fn a_code_gives_one_family_even_when_the_row_is_set_back(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    store.tamper("UPDATE authorizations SET state = 'consented', grant_id = NULL, redeemed_at = NULL").await;
    let mut again = redeeming(1, user);
    again.grant.id = id(2);
    assert_eq!(store.redeem(again, NOW).await.unwrap(), RedeemOutcome::Lost);
    assert_eq!(store.counts().await.unwrap().grants, 1);
}

async fn an_expired_code_is_not_redeemed(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    let (expiry, before) = (NOW.plus(MINUTE), store.counts().await.unwrap());
    assert_eq!(store.redeem(redeeming(1, user), expiry).await.unwrap(), RedeemOutcome::Lost);
    assert_eq!(store.counts().await.unwrap(), before, "a lost redemption writes nothing");
    let last_moment = protocol::world::Timestamp::from_micros(expiry.micros() - 1);
    assert_eq!(store.redeem(redeeming(1, user), last_moment).await.unwrap(), RedeemOutcome::Redeemed);
}

async fn a_code_is_dead_after_too_many_attempts(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    consented(&store, 2, user).await;
    for _ in 0..4 {
        store.count_attempt(id(1)).await.unwrap();
        store.count_attempt(id(2)).await.unwrap();
    }
    assert_eq!(store.redeem(redeeming(1, user), NOW).await.unwrap(), RedeemOutcome::Redeemed);
    store.count_attempt(id(2)).await.unwrap();
    assert_eq!(store.redeem(redeeming(2, user), NOW).await.unwrap(), RedeemOutcome::Lost);
}

async fn attempts_count_for_an_unredeemed_code_only(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    store.count_attempt(id(1)).await.unwrap();
    assert_eq!(store.find_authorization(id(1)).await.unwrap().unwrap().state, AuthorizationState::Pending);
    granted(&store, 2, user).await;
    store.count_attempt(id(2)).await.unwrap();
    store.count_attempt(id(3)).await.unwrap();
    assert!(store.find_authorization(id(2)).await.is_ok());
}

async fn consent_is_given_at_most_once(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..32_u64 {
        let node = nodes[(caller % 2) as usize].clone();
        let mut consent = consenting(1, user);
        consent.code_hash = hash("code", 100 + caller);
        callers.spawn(async move { node.consent(consent, NOW).await.unwrap() });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ConsentOutcome::Consented).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ConsentOutcome::Lost).count(), 31);
    let given = AuditFilter { kind: Some(AuditKind::ConsentGiven), ..AuditFilter::default() };
    assert_eq!(store.list_audit(given, None, 100).await.unwrap().len(), 1);
}

async fn what_is_not_pending_takes_no_consent(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    store.start_leg(id(1), leg(1), NOW).await.unwrap();
    assert_eq!(store.consent(consenting(1, user), NOW).await.unwrap(), ConsentOutcome::Lost);
    assert_eq!(store.consent(consenting(9, user), NOW).await.unwrap(), ConsentOutcome::Lost);
    assert_eq!(store.counts().await.unwrap().clients, 0, "a lost consent leaves no client behind");
}

async fn consent_and_denial_exclude_each_other(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    assert!(store.deny(id(1), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    assert!(!store.deny(id(1), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    assert_eq!(store.consent(consenting(1, user), NOW).await.unwrap(), ConsentOutcome::Lost);
    consented(&store, 2, user).await;
    assert!(!store.deny(id(2), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    assert!(!store.start_leg(id(2), leg(2), NOW).await.unwrap());
}

async fn an_expired_authorization_goes_nowhere(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    let late = asking(1).expires_at;
    assert_eq!(store.consent(consenting(1, user), late).await.unwrap(), ConsentOutcome::Lost);
    assert!(!store.start_leg(id(1), leg(1), late).await.unwrap());
    assert!(!store.deny(id(1), None, event(AuditKind::ConsentDenied), late).await.unwrap());
}

async fn a_leg_is_answered_at_most_once(store: Opened) {
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    store.start_leg(id(1), leg(1), NOW).await.unwrap();
    let answer = AnsweredLeg { authorization: id(1), state_hash: hash("state", 1), leg_hash: hash("leg", 1) };
    let stranger = AnsweredLeg { leg_hash: hash("leg", 2), ..answer };
    let forged = AnsweredLeg { state_hash: hash("state", 2), ..answer };
    for wrong in [stranger, forged] {
        let mut sign_in = signing_in(9);
        sign_in.authorization = Some(wrong);
        assert_eq!(store.sign_in(sign_in).await.unwrap(), SignInOutcome::LegGone);
    }
    let mut late = signing_in(9);
    late.authorization = Some(answer);
    late.audit.at = asking(1).expires_at;
    assert_eq!(store.sign_in(late).await.unwrap(), SignInOutcome::LegGone);
    assert_eq!(store.counts().await.unwrap().users, 0, "a lost sign-in leaves nobody behind");

    let mut callers = JoinSet::new();
    for caller in 1..=32 {
        let node: Engine = store.engine.clone();
        let mut sign_in = signing_in(caller);
        sign_in.authorization = Some(answer);
        callers.spawn(async move { node.sign_in(sign_in).await.unwrap() });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, SignInOutcome::SignedIn(_))).count(), 1);
    assert_eq!(store.counts().await.unwrap().browser_sessions, 1);
    assert_eq!(store.find_authorization(id(1)).await.unwrap().unwrap().state, AuthorizationState::Pending);
    assert_eq!(store.find_authorization_by_leg(hash("state", 1)).await.unwrap(), None);
}

async fn a_new_leg_ends_the_one_before(store: Opened) {
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    assert!(store.start_leg(id(1), leg(1), NOW).await.unwrap());
    assert!(store.start_leg(id(1), leg(2), NOW).await.unwrap());
    assert_eq!(store.find_authorization_by_leg(hash("state", 1)).await.unwrap(), None);
    let mut sign_in = signing_in(1);
    let first = AnsweredLeg { authorization: id(1), state_hash: hash("state", 1), leg_hash: hash("leg", 1) };
    sign_in.authorization = Some(first);
    assert_eq!(store.sign_in(sign_in).await.unwrap(), SignInOutcome::LegGone);
    store.put_authorization(asking(2), CAPS, NOW).await.unwrap();
    assert!(!store.start_leg(id(2), leg(2), NOW).await.unwrap(), "one state, one authorization");
}

async fn one_address_cannot_fill_the_house(store: Opened) {
    let user = person(&store, 1).await.id;
    let caps = PendingCaps { per_address: 2, total: 100 };
    let put = async |number, address: &str, now| {
        let mut new = asking(number);
        (new.address, new.network) = (format!("{address}:{number}"), address.to_owned());
        store.put_authorization(new, caps, now).await.unwrap()
    };
    assert_eq!(put(1, "192.0.2.1", NOW).await, PutOutcome::Stored);
    assert_eq!(put(2, "192.0.2.1", NOW).await, PutOutcome::Stored);
    assert_eq!(put(3, "192.0.2.1", NOW).await, PutOutcome::TooMany);
    assert_eq!(put(4, "192.0.2.2", NOW).await, PutOutcome::Stored);
    store.start_leg(id(1), leg(1), NOW).await.unwrap();
    assert_eq!(put(5, "192.0.2.1", NOW).await, PutOutcome::TooMany, "who is on the way still waits");
    store.consent(consenting(2, user), NOW).await.unwrap();
    assert_eq!(put(6, "192.0.2.1", NOW).await, PutOutcome::Stored, "who is through does not");
    assert_eq!(put(7, "192.0.2.1", asking(1).expires_at).await, PutOutcome::Stored, "who is late does not");
}

async fn the_house_has_a_last_place(store: Opened) {
    let caps = PendingCaps { per_address: 100, total: 3 };
    let put = async |number, now| store.put_authorization(asking(number), caps, now).await.unwrap();
    for number in 1..=3 {
        assert_eq!(put(number, NOW).await, PutOutcome::Stored);
    }
    assert_eq!(put(4, NOW).await, PutOutcome::TooMany);
    assert!(store.deny(id(1), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    assert_eq!(put(4, NOW).await, PutOutcome::Stored);
    assert_eq!(put(5, NOW).await, PutOutcome::TooMany);
    let expired = asking(1).expires_at;
    assert_eq!(put(5, expired).await, PutOutcome::Stored, "a full house is counted again in time");
    let node = store.another().await;
    let tight = PendingCaps { per_address: 100, total: 1 };
    let elsewhere = node.put_authorization(asking(6), tight, NOW).await.unwrap();
    assert_eq!(elsewhere, PutOutcome::TooMany, "a node that starts counts what is there");
}

async fn impossible_rows_are_refused(store: Opened) {
    let user = person(&store, 1).await.id;
    for (number, lie, column) in [
        (1, "redeemed_at = 1", "redeemed_at"),
        (2, "state = 'pending'", "state"),
        (3, "state = 'redeemed'", "state"),
        (4, "code_hash = NULL", "code_hash"),
        (5, "attempts = -1", "attempts"),
        (6, "upstream_connector = 'corp'", "upstream_connector"),
        (7, "resource = 'https://other.example/mcp'", "resource"),
        (8, "request = '{}'", "request"),
        (9, "state = 'blessed'", "state"),
        (10, "scope = 'a  b'", "scope"),
        (11, "grant_id = id", "redeemed_at"),
    ] {
        consented(&store, number, user).await;
        store.tamper(&format!("UPDATE authorizations SET {lie}")).await;
        match store.find_authorization(id(number)).await {
            Err(StoreError::Corrupt { table: "authorizations", column: named, row }) => {
                assert_eq!((named, row), (column, id::<()>(number).to_string()), "{lie}");
            }
            other => panic!("{lie}: {other:?}"),
        }
        store.tamper("DELETE FROM authorizations").await;
    }
}

async fn text_with_a_nul_byte_is_an_error_and_not_a_row(store: Opened) {
    let mut new = asking(1);
    new.address = "192.0.2.1\0".to_owned();
    assert!(matches!(store.put_authorization(new, CAPS, NOW).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.counts().await.unwrap().authorizations, 0);
    let dynamic: Arc<dyn store::Store> = Arc::new(store.engine.clone());
    assert!(matches!(dynamic.meta("a\0b").await, Err(StoreError::Unavailable(_))));
}

async fn a_yes_counts_only_in_a_session_of_its_person_that_is_not_over(store: Opened) {
    let (ada, bob) = (person(&store, 1).await.id, person(&store, 2).await.id);
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    let before = store.counts().await.unwrap();
    let ended = session(1).expires_at;
    let other = Consent { browser_session: session(2).hash, ..consenting(1, ada) };
    assert_eq!(store.consent(other, NOW).await.unwrap(), ConsentOutcome::SignedOut);
    assert_eq!(store.consent(consenting(1, ada), ended).await.unwrap(), ConsentOutcome::SignedOut);
    store.end_browser_session(session(1).hash, NOW).await.unwrap();
    assert_eq!(store.consent(consenting(1, ada), NOW).await.unwrap(), ConsentOutcome::SignedOut);
    let expected = store::Counts { browser_sessions: before.browser_sessions - 1, ..before };
    assert_eq!(store.counts().await.unwrap(), expected);
    assert_eq!(store.consent(consenting(1, bob), NOW).await.unwrap(), ConsentOutcome::Consented);
}
