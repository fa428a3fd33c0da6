use store::{
    AuditFilter, AuditKind, EndGrant, Engine, GrantRecord, Grants as _, Queries as _, RevocationKind,
    Revocations as _, Rotate, RotateOutcome, StoreError,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_grant_comes_back_as_it_went_in,
    a_refresh_token_is_rotated_at_most_once,
    rotations_by_many_are_as_many_as_generations,
    a_generation_that_is_not_the_rows_does_not_rotate,
    a_grant_that_ended_does_not_rotate,
    a_grant_is_ended_once_with_revocation_and_event,
    a_grant_that_is_not_there_is_not_ended,
    the_seed_is_not_shown,
    impossible_rows_are_refused,
}

fn rotating(number: u64, from_generation: u32) -> Rotate {
    let now = NOW.plus(MINUTE);
    let audit = event(AuditKind::TokenRefreshed);
    Rotate { grant: id(number), from_generation, now, idle_expires_at: now.plus(30 * DAY), audit }
}

fn ending(number: u64) -> EndGrant {
    EndGrant {
        grant: id(number),
        revocation: revocation(RevocationKind::Grant, &id::<()>(number).to_string()),
        audit: event(AuditKind::GrantRevoked),
    }
}

async fn a_grant_comes_back_as_it_went_in(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    assert_eq!(store.find_grant(id(1)).await.unwrap(), Some(grant(1, user)));
    assert_eq!(store.find_grant(id(2)).await.unwrap(), None);

    assert_eq!(store.rotate(rotating(1, 0)).await.unwrap(), RotateOutcome::Rotated);
    let now = NOW.plus(MINUTE);
    let rotated = GrantRecord {
        generation: 1,
        rotated_at: now,
        last_used_at: now,
        idle_expires_at: now.plus(30 * DAY),
        ..grant(1, user)
    };
    assert_eq!(store.find_grant(id(1)).await.unwrap(), Some(rotated));
}

async fn a_refresh_token_is_rotated_at_most_once(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..32 {
        let node: Engine = nodes[caller % 2].clone();
        callers.spawn(async move { node.rotate(rotating(1, 0)).await.unwrap() });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == RotateOutcome::Rotated).count(), 1);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().generation, 1);
    let refreshed = AuditFilter { kind: Some(AuditKind::TokenRefreshed), ..AuditFilter::default() };
    assert_eq!(store.list_audit(refreshed, None, 100).await.unwrap().len(), 1, "losers leave no event");
}

async fn rotations_by_many_are_as_many_as_generations(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let node: Engine = store.engine.clone();
        callers.spawn(async move {
            let mut won = 0;
            for _ in 0..25 {
                let generation = node.find_grant(id(1)).await.unwrap().unwrap().generation;
                won +=
                    u32::from(node.rotate(rotating(1, generation)).await.unwrap() == RotateOutcome::Rotated);
            }
            won
        });
    }
    let won: u32 = callers.join_all().await.iter().sum();
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().generation, won);
}

async fn a_generation_that_is_not_the_rows_does_not_rotate(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    store.rotate(rotating(1, 0)).await.unwrap();
    for other in [0, 2, u32::MAX] {
        assert_eq!(store.rotate(rotating(1, other)).await.unwrap(), RotateOutcome::Lost);
    }
    assert_eq!(store.rotate(rotating(2, 0)).await.unwrap(), RotateOutcome::Lost);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().generation, 1);
}

async fn a_grant_that_ended_does_not_rotate(store: Opened) {
    let user = person(&store, 1).await.id;
    for number in 1..=3 {
        granted(&store, number, user).await;
    }
    let mut idle = rotating(1, 0);
    idle.now = grant(1, user).idle_expires_at;
    assert_eq!(store.rotate(idle).await.unwrap(), RotateOutcome::Lost);

    store.tamper("UPDATE grants SET idle_expires_at = expires_at + 1").await;
    let mut expired = rotating(2, 0);
    expired.now = grant(2, user).expires_at;
    assert_eq!(store.rotate(expired).await.unwrap(), RotateOutcome::Lost);

    assert!(store.end_grant(ending(3), NOW).await.unwrap());
    assert_eq!(store.rotate(rotating(3, 0)).await.unwrap(), RotateOutcome::Lost);
}

async fn a_grant_is_ended_once_with_revocation_and_event(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let node: Engine = nodes[caller % 2].clone();
        callers.spawn(async move { node.end_grant(ending(1), NOW.plus(MINUTE)).await.unwrap() });
    }
    let ended = callers.join_all().await;
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW.plus(MINUTE)));
    let entries = store.list_revocations(NOW.plus(MINUTE)).await.unwrap();
    assert_eq!(entries, [ending(1).revocation]);
    let revoked = AuditFilter { kind: Some(AuditKind::GrantRevoked), ..AuditFilter::default() };
    assert_eq!(store.list_audit(revoked, None, 100).await.unwrap().len(), 1);
}

async fn a_grant_that_is_not_there_is_not_ended(store: Opened) {
    assert!(!store.end_grant(ending(1), NOW).await.unwrap());
    assert!(store.list_revocations(NOW.minus(DAY)).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().audit_events, 0);
}

async fn the_seed_is_not_shown(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let found = store.find_grant(id(1)).await.unwrap().unwrap();
    assert_eq!(found.seed, [7; 16]);
    assert!(!format!("{found:?}").contains("7, 7"));
}

async fn impossible_rows_are_refused(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    for (lie, truth, column) in [
        ("generation = -1", "generation = 0", "generation"),
        ("generation = 4294967296", "generation = 0", "generation"),
        ("seed = shown", "seed = id", "seed"),
        ("scope = 'a\"b'", "scope = 'read'", "scope"),
        ("resource = 'mcp'", "resource = 'https://mcp.example.com/docs/mcp'", "resource"),
        ("client_id = ''", "client_id = 'dcr_AAECAw'", "client_id"),
    ] {
        store.tamper(&format!("UPDATE grants SET {lie}")).await;
        match store.find_grant(id(1)).await {
            Err(StoreError::Corrupt { table: "grants", column: named, row }) => {
                assert_eq!((named, row), (column, id::<()>(1).to_string()), "{lie}");
            }
            other => panic!("{lie}: {other:?}"),
        }
        store.tamper(&format!("UPDATE grants SET {truth}")).await;
        assert!(store.find_grant(id(1)).await.is_ok(), "{truth}");
    }
}
