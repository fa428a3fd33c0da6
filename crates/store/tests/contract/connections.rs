use protocol::id::{Id, User};
use protocol::secret::Sealed;
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, ConnectOutcome, ConnectingRecord, ConnectingRecords as _, ConnectionRecord,
    Connections as _, GivenTokens, Maintenance as _, NewConnection, Queries as _, RenewOutcome, Renewed,
    RevocationKind, Revocations as _, Users as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    an_attempt_is_taken_once_and_only_as_it_was_made,
    a_connection_comes_of_a_taken_attempt_alone,
    connecting_again_ends_the_connection_before,
    of_many_who_want_to_refresh_one_does,
    f_13_a_claim_that_was_made_by_a_wrong_clock_binds_nobody,
    a_new_pair_is_written_whole_by_the_holder_of_the_claim_alone,
    a_new_pair_ends_what_was_said_of_the_one_before,
    a_pair_that_comes_late_counts_while_nobody_has_a_newer_one,
    a_refresh_token_that_is_not_exchanged_stays,
    a_provider_that_says_no_is_not_asked_again,
    what_is_missing_is_written_for_what_was_seen_alone,
    what_the_mcp_server_refuses_is_marked_once_for_its_generation,
    a_stop_ends_connections_and_attempts_at_once,
    what_ended_stays_until_the_provider_was_told,
    what_is_given_to_somebody_who_was_stopped_meanwhile_is_kept_to_be_revoked,
    attempts_that_nobody_finished_are_swept,
}

fn sealed(number: u8) -> Sealed {
    Sealed::from_bytes(vec![1, 0, 0, 0, number, 9, 9, 9])
}

fn given(number: u8) -> GivenTokens {
    GivenTokens {
        access_token: sealed(number),
        refresh_token: Some(sealed(100 + number)),
        expires_at: Some(NOW.plus(60 * MINUTE)),
        scope: Some("read write".to_owned()),
    }
}

pub(crate) fn attempt(number: u64, user: Id<User>, server: &str) -> ConnectingRecord {
    ConnectingRecord {
        id: id(number),
        state_hash: hash("state", number),
        browser: hash("browser", number),
        user,
        server: server.to_owned(),
        leg: "{}".to_owned(),
        verifier: sealed(7),
        created_at: NOW,
        expires_at: NOW.plus(10 * MINUTE),
    }
}

fn connection(number: u8, user: Id<User>, server: &str) -> NewConnection {
    NewConnection {
        id: id(200 + u64::from(number)),
        attempt: id(u64::from(number)),
        user,
        server: server.to_owned(),
        binding: "{\"issuer\":1}".to_owned(),
        missing: "more".to_owned(),
        account: Some("ada@example".to_owned()),
        tokens: given(number),
    }
}

fn made() -> AuditEvent {
    event(AuditKind::ConnectionMade)
}

pub(crate) async fn connected(store: &Opened, number: u8, user: Id<User>, server: &str) -> ConnectionRecord {
    let attempt = attempt(u64::from(number), user, server);
    assert!(store.put_connecting(attempt.clone(), 20).await.unwrap());
    assert!(store.take_connecting(attempt, NOW).await.unwrap());
    let outcome = store.put_connection(connection(number, user, server), made()).await.unwrap();
    assert_eq!(outcome, ConnectOutcome::Connected);
    found(store, user, server).await.unwrap()
}

async fn found(store: &Opened, user: Id<User>, server: &str) -> Option<ConnectionRecord> {
    store.find_connection(user, server).await.unwrap()
}

async fn an_attempt_is_taken_once_and_only_as_it_was_made(store: Opened) {
    let ada = person(&store, 1).await.id;
    let bob = person(&store, 2).await.id;
    let first = attempt(1, ada, "notes");
    assert!(store.put_connecting(first.clone(), 2).await.unwrap());
    assert!(store.put_connecting(attempt(2, ada, "notes"), 2).await.unwrap());
    assert!(!store.put_connecting(attempt(3, ada, "notes"), 2).await.unwrap(), "too many under way");
    assert!(!store.put_connecting(attempt(4, id(77), "notes"), 2).await.unwrap(), "nobody");
    assert_eq!(store.find_connecting(hash("state", 1)).await.unwrap(), Some(first.clone()));
    for wrong in [
        ConnectingRecord { browser: hash("browser", 2), ..first.clone() },
        ConnectingRecord { user: bob, ..first.clone() },
        ConnectingRecord { server: "ledger".to_owned(), ..first.clone() },
    ] {
        assert!(!store.take_connecting(wrong, NOW).await.unwrap());
    }
    assert!(!store.take_connecting(first.clone(), NOW.plus(10 * MINUTE)).await.unwrap(), "too late");
    let takes = (0..8).map(|_| store.take_connecting(first.clone(), NOW));
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
    assert_eq!(store.find_connecting(hash("state", 1)).await.unwrap(), None);
}

async fn a_connection_comes_of_a_taken_attempt_alone(store: Opened) {
    let ada = person(&store, 1).await.id;
    let first = attempt(1, ada, "notes");
    assert!(store.put_connecting(first.clone(), 20).await.unwrap());
    let outcome = store.put_connection(connection(1, ada, "notes"), made()).await.unwrap();
    assert_eq!((outcome, found(&store, ada, "notes").await), (ConnectOutcome::Gone, None));
    assert!(store.take_connecting(first, NOW).await.unwrap());
    let outcome = store.put_connection(connection(1, ada, "notes"), made()).await.unwrap();
    assert_eq!(outcome, ConnectOutcome::Connected);
    let expected = ConnectionRecord {
        id: id(201),
        user: ada,
        server: "notes".to_owned(),
        binding: "{\"issuer\":1}".to_owned(),
        missing: "more".to_owned(),
        account: Some("ada@example".to_owned()),
        tokens: given(1),
        generation: 0,
        created_at: NOW,
        refreshed_at: NOW,
        rotated_at: NOW,
        needs_sign_in: None,
        claimed_until: None,
        is_claimed: false,
        ended_at: None,
        tries: 0,
    };
    assert_eq!(found(&store, ada, "notes").await, Some(expected));
    assert_eq!((found(&store, ada, "Notes").await, found(&store, id(9), "notes").await), (None, None));
    let again = store.put_connection(connection(1, ada, "notes"), made()).await.unwrap();
    assert_eq!(again, ConnectOutcome::Gone, "of one attempt comes one connection");
}

async fn connecting_again_ends_the_connection_before(store: Opened) {
    let ada = person(&store, 1).await.id;
    connected(&store, 1, ada, "notes").await;
    connected(&store, 2, ada, "ledger").await;
    let second = connected(&store, 3, ada, "notes").await;
    assert_eq!((second.id, second.tokens), (id(203), given(3)));
    let ended = store.list_ended_connections(NOW).await.unwrap();
    assert_eq!(ended.iter().map(|one| (one.id, one.ended_at)).collect::<Vec<_>>(), [(id(201), Some(NOW))]);
    let living = store.list_connections(Some(ada), None).await.unwrap();
    assert_eq!(living.iter().map(|one| one.id).collect::<Vec<_>>(), [id(202), id(203)]);
    assert_eq!(store.list_connections(None, Some(id(202))).await.unwrap().len(), 1);
    assert_eq!(store.list_connections(Some(id(9)), None).await.unwrap(), []);
}

async fn of_many_who_want_to_refresh_one_does(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let until = NOW.plus(MINUTE);
    let claims = (0..16).map(|n| store.claim_connection(seen.clone(), hash("claim", n), until, NOW));
    let claimed = futures_util::future::join_all(claims).await;
    assert_eq!(claimed.into_iter().filter(|claimed| *claimed.as_ref().unwrap()).count(), 1);
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!((now.claimed_until, now.is_claimed), (Some(until), true));
    // Whoever held it did not come back.
    assert!(store.claim_connection(seen, hash("claim", 99), until.plus(MINUTE), until).await.unwrap());
}

async fn f_13_a_claim_that_was_made_by_a_wrong_clock_binds_nobody(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let hours = |hours: u32| NOW.plus(60 * hours * MINUTE);
    let claim = async |seen: &ConnectionRecord, number, now: Timestamp, until| {
        store.claim_connection(seen.clone(), hash("claim", number), until, now).await.unwrap()
    };
    assert!(claim(&seen, 1, hours(99), hours(99).plus(MINUTE)).await);
    assert!(claim(&seen, 2, NOW, NOW.plus(MINUTE)).await);
    assert!(!claim(&seen, 3, NOW, NOW.plus(MINUTE)).await);
    connected(&store, 2, ada, "notes").await;
    let listed = async || store.list_ended_connections(NOW.plus(2 * MINUTE)).await.unwrap();
    let ended = listed().await.pop().unwrap();
    for (until, is_free) in [(hours(99), true), (hours(6), false)] {
        let number = 10 + u64::from(is_free);
        assert!(claim(&ended, number, NOW.plus(2 * MINUTE), NOW.plus(3 * MINUTE)).await);
        assert!(store.postpone_connection(ended.id, hash("claim", number), until).await.unwrap());
        assert_eq!(listed().await.len(), usize::from(is_free), "{until:?}");
    }
    assert!(
        !claim(&ended, 20, NOW.plus(2 * MINUTE), NOW.plus(3 * MINUTE)).await,
        "a pause of six hours is one"
    );
}

async fn a_new_pair_is_written_whole_by_the_holder_of_the_claim_alone(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let (claim, later) = (hash("claim", 1), NOW.plus(MINUTE));
    let renew = |claim| store.renew_connection(seen.id, claim, Renewed::Given(given(2)), later);
    assert_eq!(renew(claim).await.unwrap(), RenewOutcome::Lost);
    assert!(store.claim_connection(seen.clone(), claim, later, NOW).await.unwrap());
    assert_eq!(renew(hash("claim", 2)).await.unwrap(), RenewOutcome::Lost);
    assert_eq!(found(&store, ada, "notes").await.unwrap().tokens, given(1));
    assert_eq!(renew(claim).await.unwrap(), RenewOutcome::Written);
    let now = found(&store, ada, "notes").await.unwrap();
    let expected = ConnectionRecord {
        tokens: given(2),
        generation: 1,
        refreshed_at: later,
        rotated_at: later,
        ..seen.clone()
    };
    assert_eq!(now, expected);
    assert_eq!(renew(claim).await.unwrap(), RenewOutcome::Lost, "once");
    let stale = store.claim_connection(seen, hash("claim", 3), later.plus(MINUTE), later).await.unwrap();
    assert!(!stale, "by what was seen before nobody claims it");
}

async fn a_new_pair_ends_what_was_said_of_the_one_before(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let claim = hash("claim", 1);
    assert!(store.claim_connection(seen.clone(), claim, NOW.plus(MINUTE), NOW).await.unwrap());
    let refused = event(AuditKind::ConnectionDead);
    assert!(store.mark_connection(seen.id, 0, "refused", vec![refused]).await.unwrap());
    let renewed = store.renew_connection(seen.id, claim, Renewed::Given(given(2)), NOW).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Written);
    assert_eq!(found(&store, ada, "notes").await.unwrap().needs_sign_in, None);
}

async fn a_pair_that_comes_late_counts_while_nobody_has_a_newer_one(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let (first, second) = (hash("claim", 1), hash("claim", 2));
    let (later, last) = (NOW.plus(MINUTE), NOW.plus(2 * MINUTE));
    assert!(store.claim_connection(seen.clone(), first, later, NOW).await.unwrap());
    assert!(store.claim_connection(seen.clone(), second, last, later).await.unwrap(), "taken over");
    let renew = |claim, renewed| store.renew_connection(seen.id, claim, renewed, later);
    assert_eq!(renew(first, Renewed::Given(given(2))).await.unwrap(), RenewOutcome::Lost);
    assert_eq!(renew(first, Renewed::Late(given(2), 0)).await.unwrap(), RenewOutcome::Written);
    // Whoever took over is told nothing good of the old one, which is nobody's any more.
    let refused = || Renewed::Refused("rejected", Box::new(event(AuditKind::ConnectionDead)));
    assert_eq!(renew(second, refused()).await.unwrap(), RenewOutcome::Lost);
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!((now.generation, now.claimed_until, now.needs_sign_in.as_deref()), (1, None, None));
    assert_eq!(now.tokens, given(2));
    assert_eq!(renew(second, Renewed::Late(given(3), 0)).await.unwrap(), RenewOutcome::Lost, "it is older");
    // In the other order it is alive again.
    assert!(store.claim_connection(now.clone(), first, last, later).await.unwrap());
    assert!(store.claim_connection(now, second, last.plus(MINUTE), last).await.unwrap());
    assert_eq!(renew(second, refused()).await.unwrap(), RenewOutcome::Written);
    assert_eq!(renew(first, Renewed::Late(given(4), 1)).await.unwrap(), RenewOutcome::Written);
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!((now.tokens, now.needs_sign_in), (given(4), None));
}

async fn a_refresh_token_that_is_not_exchanged_stays(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let (claim, later) = (hash("claim", 1), NOW.plus(MINUTE));
    assert!(store.claim_connection(seen.clone(), claim, later, NOW).await.unwrap());
    let same = GivenTokens { refresh_token: None, scope: None, expires_at: None, ..given(2) };
    let renewed = store.renew_connection(seen.id, claim, Renewed::Given(same), later).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Written);
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!((now.refreshed_at, now.rotated_at), (later, NOW));
    let kept = GivenTokens { access_token: sealed(2), expires_at: None, ..given(1) };
    assert_eq!(now.tokens, kept);
}

async fn a_provider_that_says_no_is_not_asked_again(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let (claim, until) = (hash("claim", 1), NOW.plus(MINUTE));
    assert!(store.claim_connection(seen.clone(), claim, until, NOW).await.unwrap());
    let silent = Renewed::Silent(until.plus(MINUTE));
    assert_eq!(store.renew_connection(seen.id, claim, silent, NOW).await.unwrap(), RenewOutcome::Written);
    assert!(!store.claim_connection(seen.clone(), claim, until, until).await.unwrap(), "it is left alone");
    assert!(!found(&store, ada, "notes").await.unwrap().is_claimed, "and asked by nobody");
    let after = until.plus(MINUTE);
    assert!(store.claim_connection(seen.clone(), claim, after.plus(MINUTE), after).await.unwrap());
    let refused = Renewed::Refused("rejected", Box::new(event(AuditKind::ConnectionDead)));
    assert_eq!(store.renew_connection(seen.id, claim, refused, after).await.unwrap(), RenewOutcome::Written);
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!((now.needs_sign_in.as_deref(), now.claimed_until), (Some("rejected"), None));
    assert!(!store.claim_connection(now, claim, after.plus(DAY), after.plus(DAY)).await.unwrap());
}

async fn what_is_missing_is_written_for_what_was_seen_alone(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let want =
        |seen: &ConnectionRecord, missing: &str| store.want_of_connection(seen.clone(), missing.to_owned());
    for wrong in [
        ConnectionRecord { missing: "other".to_owned(), ..seen.clone() },
        ConnectionRecord { generation: 1, ..seen.clone() },
        ConnectionRecord { id: id(9), ..seen.clone() },
    ] {
        assert!(!want(&wrong, "another").await.unwrap(), "{wrong:?}");
    }
    assert!(want(&seen, "another").await.unwrap() && !want(&seen, "a third").await.unwrap());
    let now = found(&store, ada, "notes").await.unwrap();
    assert_eq!(now, ConnectionRecord { missing: "another".to_owned(), ..seen.clone() });
    assert!(store.end_connection(seen.id, event(AuditKind::ConnectionEnded)).await.unwrap());
    assert!(!want(&now, "a third").await.unwrap(), "it is over");
}

async fn what_the_mcp_server_refuses_is_marked_once_for_its_generation(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let mark = |generation| {
        store.mark_connection(
            seen.id,
            generation,
            "refused",
            vec![event(AuditKind::SealBroken), event(AuditKind::ConnectionDead)],
        )
    };
    let before = store.counts().await.unwrap().audit_events;
    assert!(!mark(1).await.unwrap(), "another generation");
    let marked = futures_util::future::join_all((0..4).map(|_| mark(0))).await;
    assert_eq!(marked.into_iter().filter(|marked| *marked.as_ref().unwrap()).count(), 1);
    assert_eq!(store.counts().await.unwrap().audit_events, before + 2, "both events, once");
    assert_eq!(found(&store, ada, "notes").await.unwrap().needs_sign_in.as_deref(), Some("refused"));
}

async fn a_stop_ends_connections_and_attempts_at_once(store: Opened) {
    let (ada, bob) = (person(&store, 1).await.id, person(&store, 2).await.id);
    connected(&store, 1, ada, "notes").await;
    connected(&store, 2, bob, "notes").await;
    connected(&store, 3, bob, "ledger").await;
    // On its way, and taken: what comes of it comes too late.
    let under_way = attempt(4, ada, "ledger");
    assert!(store.put_connecting(under_way.clone(), 20).await.unwrap());
    assert!(store.take_connecting(under_way, NOW).await.unwrap());
    let stop = |kind, of: String, server: Option<&str>| {
        let audit = AuditEvent { server: server.map(str::to_owned), ..event(AuditKind::Stopped) };
        store.stop(revocation(kind, &of), audit)
    };
    stop(RevocationKind::Client, "notes".to_owned(), None).await.unwrap();
    assert!(found(&store, ada, "notes").await.is_some());
    stop(RevocationKind::User, ada.to_string(), None).await.unwrap();
    assert_eq!(found(&store, ada, "notes").await, None);
    let late = store.put_connection(connection(4, ada, "ledger"), made()).await.unwrap();
    assert_eq!(late, ConnectOutcome::Gone);
    stop(RevocationKind::Resource, "https://a.example/notes/mcp".to_owned(), Some("notes")).await.unwrap();
    assert_eq!(found(&store, bob, "notes").await, None);
    assert!(found(&store, bob, "ledger").await.is_some());
    stop(RevocationKind::Issuer, "https://a.example".to_owned(), None).await.unwrap();
    assert_eq!(found(&store, bob, "ledger").await, None);
    assert_eq!(store.list_ended_connections(NOW).await.unwrap().len(), 3);
}

async fn what_ended_stays_until_the_provider_was_told(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let claim = hash("claim", 1);
    assert!(store.end_connection(seen.id, event(AuditKind::ConnectionEnded)).await.unwrap());
    assert!(!store.end_connection(seen.id, event(AuditKind::ConnectionEnded)).await.unwrap());
    let until = NOW.plus(MINUTE);
    assert!(!store.claim_connection(seen, claim, until, NOW).await.unwrap(), "it is refreshed no more");
    let [ended] = store.list_ended_connections(NOW).await.unwrap().try_into().unwrap();
    assert!(store.claim_connection(ended.clone(), claim, until, NOW).await.unwrap());
    assert_eq!(store.list_ended_connections(NOW).await.unwrap(), []);
    assert!(!store.postpone_connection(ended.id, hash("claim", 2), until).await.unwrap());
    assert!(store.postpone_connection(ended.id, claim, until).await.unwrap());
    assert_eq!(store.list_ended_connections(NOW).await.unwrap(), []);
    let [again] = store.list_ended_connections(until).await.unwrap().try_into().unwrap();
    assert_eq!(again.tries, 1);
    assert!(store.claim_connection(again, claim, until.plus(MINUTE), until).await.unwrap());
    assert!(!store.forget_connection(ended.id, hash("claim", 2), None).await.unwrap());
    assert!(store.forget_connection(ended.id, claim, None).await.unwrap());
    assert_eq!(store.list_ended_connections(NOW.plus(DAY)).await.unwrap(), []);
}

async fn what_is_given_to_somebody_who_was_stopped_meanwhile_is_kept_to_be_revoked(store: Opened) {
    let ada = person(&store, 1).await.id;
    let seen = connected(&store, 1, ada, "notes").await;
    let (claim, until) = (hash("claim", 1), NOW.plus(MINUTE));
    assert!(store.claim_connection(seen.clone(), claim, until, NOW).await.unwrap());
    store.stop(revocation(RevocationKind::User, &ada.to_string()), event(AuditKind::Stopped)).await.unwrap();
    assert_eq!(
        store.list_ended_connections(NOW).await.unwrap(),
        [],
        "its holder is asked to come back first"
    );
    let renewed = store.renew_connection(seen.id, claim, Renewed::Given(given(2)), NOW).await.unwrap();
    assert_eq!(renewed, RenewOutcome::Ended);
    let [ended] = store.list_ended_connections(NOW).await.unwrap().try_into().unwrap();
    assert_eq!(ended.tokens, given(2), "the provider is told of the newest");
}

async fn attempts_that_nobody_finished_are_swept(store: Opened) {
    let ada = person(&store, 1).await.id;
    assert!(store.put_connecting(attempt(1, ada, "notes"), 20).await.unwrap());
    assert_eq!(store.sweep(NOW.plus(70 * MINUTE)).await.unwrap().connecting, 0);
    assert_eq!(store.sweep(NOW.plus(71 * MINUTE)).await.unwrap().connecting, 1);
    assert_eq!(store.find_connecting(hash("state", 1)).await.unwrap(), None);
    assert!(store.find_user(ada).await.unwrap().is_some());
}
