//! A record that fails says so, and says it of what failed alone.

use store::{
    AuditKind, EndGrant, Engine, EngineConfig, Failpoint, Grants as _, KeysRecord as _, Maintenance as _,
    Queries as _, RevocationKind, StoreError,
};

use crate::engines::{Opened, contract, on_empty_postgres, on_empty_sqlite};
use crate::fixtures::*;

contract! {
    a_write_that_fails_is_no_outcome_and_leaves_nothing,
    a_write_whose_answer_is_lost_is_there,
    a_read_that_fails_is_not_nothing_found,
    one_bad_write_does_not_spoil_those_beside_it,
}

fn ending(number: u64) -> EndGrant {
    EndGrant {
        grant: id(number),
        revocation: revocation(RevocationKind::Grant, &id::<()>(number).to_string()),
        audit: event(AuditKind::GrantRevoked),
    }
}

async fn a_write_that_fails_is_no_outcome_and_leaves_nothing(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    let before = store.counts().await.unwrap();
    store.fail_at(Some(Failpoint::BeforeWrite));
    assert!(matches!(store.end_grant(ending(1), NOW).await, Err(StoreError::Unavailable(_))));
    store.fail_at(None);
    assert_eq!(store.counts().await.unwrap(), before);
    assert!(store.end_grant(ending(1), NOW).await.unwrap());
}

async fn a_write_whose_answer_is_lost_is_there(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    store.fail_at(Some(Failpoint::AfterCommit));
    assert!(store.end_grant(ending(1), NOW).await.is_err());
    store.fail_at(None);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert!(!store.end_grant(ending(1), NOW).await.unwrap(), "asking again is safe");
}

async fn a_read_that_fails_is_not_nothing_found(store: Opened) {
    store.fail_at(Some(Failpoint::BeforeRead));
    let error = store.find_grant(id(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the record is unavailable", "the cause is for the log alone");
}

async fn one_bad_write_does_not_spoil_those_beside_it(store: Opened) {
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..60 {
        let node = store.engine.clone();
        callers.spawn(async move {
            // Every third is more than any column of ours may hold, or names a key that is taken.
            let value = if number % 3 == 0 { "x".repeat(5 << 20) } else { number.to_string() };
            let key = if number % 3 == 1 { "taken".to_owned() } else { format!("key {number}") };
            (number, node.put_meta(&key, &value).await)
        });
    }
    let mut taken = 0;
    for (number, outcome) in callers.join_all().await {
        match number % 3 {
            0 => assert!(outcome.is_err() || outcome.unwrap()),
            1 => taken += usize::from(outcome.unwrap()),
            _ => assert!(outcome.unwrap()),
        }
    }
    assert_eq!(taken, 1);
    for number in (2..60).step_by(3) {
        let found = store.meta(&format!("key {number}")).await.unwrap();
        assert_eq!(found, Some(number.to_string()));
    }
}

/// Polls so often and then drops it; whether it came to its end.
async fn ended_within<T>(patience: u32, mut write: store::Answer<'_, T>) -> bool {
    for _ in 0..patience {
        if futures_util::FutureExt::now_or_never(&mut write).is_some() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// On a server a caller may go away between two answers; whoever gets the connection next must not find its
/// transaction open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_in_the_middle_leaves_no_transaction_behind() {
    on_empty_postgres(async |config, url| {
        let url = protocol::secret::Secret::new(url);
        let store = Engine::open(EngineConfig::Postgres { url, pool_size: 1, ca: None }).await.unwrap();
        // Looks on from outside: what is in an open transaction it does not see.
        let other = Engine::connect(config).await.unwrap();
        let user = person(&store, 1).await.id;
        for number in 1..=5 {
            granted(&store, number, user).await;
            // Given up later each time, until once the end is reached.
            let mut patience = 0;
            while !ended_within(patience, store.end_grant(ending(number), NOW)).await {
                let key = format!("after {number} {patience}");
                assert!(store.put_meta(&key, "written").await.unwrap());
                let found = other.meta(&key).await.unwrap();
                assert_eq!(found.as_deref(), Some("written"), "answered, and in an open transaction");
                patience += 1 + patience / 4;
            }
            assert!(other.find_grant(id(number)).await.unwrap().unwrap().revoked_at.is_some());
        }
        assert_eq!(other.counts().await.unwrap().revocations, 5);
    })
    .await;
}

/// Held by another process, as a careless backup does: not ready, and not for ever.
#[tokio::test]
async fn a_record_that_takes_no_write_is_not_ready() {
    on_empty_sqlite(async |config, path| {
        let store = Engine::open(config).await.unwrap();
        store.ready().await.unwrap();
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = store.ready().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)));
        assert_eq!(store.meta("reading").await.unwrap(), None, "reading goes on");
        other.execute_batch("ROLLBACK").unwrap();
        assert!(store.put_meta("a", "b").await.unwrap());
    })
    .await;
}
