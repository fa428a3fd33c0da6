use protocol::world::Timestamp;
use store::{
    AuditKind, Authorizations as _, Clients as _, Engine, Grants as _, Maintenance as _, PendingCaps,
    PutOutcome, Queries as _, RevocationKind, Revocations as _, SweepCounts,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_sweep_takes_what_is_dead_and_nothing_else,
    a_sweep_does_not_keep_what_anybody_can_make,
    a_sweep_keeps_replay_evidence_while_a_token_could_live,
    a_sweep_takes_more_than_one_portion,
    a_sweep_counts_who_waits,
    an_unused_client_goes_and_a_tombstone_stays,
}

async fn sweep(store: &Engine, now: Timestamp) -> SweepCounts {
    store.sweep(now).await.unwrap()
}

async fn a_sweep_takes_what_is_dead_and_nothing_else(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    consented(&store, 2, user).await;
    granted(&store, 3, user).await;
    store.stop(revocation(RevocationKind::Client, "other"), event(AuditKind::Stopped)).await.unwrap();
    let before = store.counts().await.unwrap();
    assert_eq!(sweep(&store, NOW.plus(MINUTE)).await, SweepCounts::default());
    assert_eq!(store.counts().await.unwrap(), before);

    let swept = sweep(&store, NOW.plus(2 * DAY)).await;
    let expected =
        SweepCounts { authorizations: 2, browser_sessions: 1, revocations: 1, ..SweepCounts::default() };
    assert_eq!(swept, expected);
    assert_eq!(store.counts().await.unwrap().audit_events, before.audit_events, "events are never swept");
}

async fn a_sweep_does_not_keep_what_anybody_can_make(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    store.put_authorization(asking(2), CAPS, NOW).await.unwrap();
    assert!(store.start_leg(id(2), leg(2), NOW).await.unwrap());
    store.put_authorization(asking(3), CAPS, NOW).await.unwrap();
    assert!(store.deny(id(3), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    consented(&store, 4, user).await;
    let end = asking(1).expires_at;
    // A person who comes a little late is told so.
    assert_eq!(sweep(&store, end.plus(9 * MINUTE)).await.authorizations, 0);
    assert_eq!(sweep(&store, end.plus(11 * MINUTE)).await.authorizations, 2);
    for decided in [3, 4] {
        assert!(store.find_authorization(id(decided)).await.unwrap().is_some(), "{decided}");
    }
    assert_eq!(sweep(&store, end.plus(2 * DAY)).await.authorizations, 2);
}

async fn a_sweep_keeps_replay_evidence_while_a_token_could_live(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let end = grant(1, user).expires_at;
    sweep(&store, end).await;
    assert!(store.find_by_code(hash("code", 1)).await.unwrap().is_some());
    assert!(store.find_grant(id(1)).await.unwrap().is_some());
    let swept = sweep(&store, end.plus(2 * DAY)).await;
    assert_eq!((swept.authorizations, swept.grants), (1, 1));
    assert!(store.find_by_code(hash("code", 1)).await.unwrap().is_none());
    assert_eq!(store.counts().await.unwrap().grants, 0);
}

async fn a_sweep_takes_more_than_one_portion(store: Opened) {
    for number in 0..1100 {
        store
            .put_authorization(asking(number), PendingCaps { per_address: 2000, total: 2000 }, NOW)
            .await
            .unwrap();
    }
    assert_eq!(sweep(&store, NOW.plus(2 * DAY)).await.authorizations, 1100);
}

async fn a_sweep_counts_who_waits(store: Opened) {
    let caps = PendingCaps { per_address: 10, total: 2 };
    for number in 1..=2 {
        store.put_authorization(asking(number), caps, NOW).await.unwrap();
    }
    assert_eq!(store.put_authorization(asking(3), caps, NOW).await.unwrap(), PutOutcome::TooMany);
    store.tamper("DELETE FROM authorizations").await;
    sweep(&store, NOW).await;
    assert_eq!(store.put_authorization(asking(3), caps, NOW).await.unwrap(), PutOutcome::Stored);
}

async fn an_unused_client_goes_and_a_tombstone_stays(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let later = NOW.plus(91 * DAY);
    store.tamper(&format!("UPDATE grants SET idle_expires_at = {}", later.plus(DAY).micros())).await;
    assert_eq!(sweep(&store, later).await.clients, 0, "it holds a live grant");
    assert_eq!(sweep(&store, later.plus(2 * DAY)).await.clients, 1);
    assert!(store.find_grant(id(1)).await.unwrap().is_some(), "the evidence does not need the client");

    let blocked = revocation(RevocationKind::Client, client_id().as_str());
    store.block_client(client(), blocked, event(AuditKind::ClientBlocked)).await.unwrap();
    assert_eq!(sweep(&store, NOW.plus(1000 * DAY)).await.clients, 0);
}
