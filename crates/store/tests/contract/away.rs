//! A server that is cut off, stalls, is full or takes no writes (attacks.md, F-08); and one that undoes or forgets to say
//! that it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use protocol::secret::Secret;
use store::{
    AuditFilter, AuditKind, EndGrant, Engine, EngineConfig, Grants as _, KeysRecord as _, Maintenance as _,
    Queries as _, RevocationKind, Revocations as _, StoreError, Users as _,
};
use tokio_postgres::NoTls;

use crate::engines::{on_empty_postgres, postgres};
use crate::fixtures::*;
use crate::proxy::{Mode, Proxy};

/// How soon every use of the record has ended.
const IN_TIME: Duration = Duration::from_secs(2);
/// How soon it works again.
const AGAIN: Duration = Duration::from_secs(5);

async fn open(url: &str, pool_size: usize) -> Engine {
    let url = Secret::new(url.to_owned());
    Engine::open(EngineConfig::Postgres { url, pool_size, ca: None }).await.unwrap()
}

async fn on_a_cable(test: impl AsyncFnOnce(Engine, Proxy, String)) {
    on_empty_postgres(async |_, url| {
        let proxy = Proxy::before(&url).await.unwrap();
        let store = open(&proxy.url(), 4).await;
        // As a node does: from now on somebody looks after the connection.
        store.on_revocation(Arc::new(|_| {}));
        test(store, proxy, url).await;
    })
    .await;
}

async fn is_unavailable<T: std::fmt::Debug>(what: &str, call: impl Future<Output = Result<T, StoreError>>) {
    let answer = tokio::time::timeout(IN_TIME, call).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what} hangs"));
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{what}: {answer:?}");
}

fn ending(number: u64) -> EndGrant {
    EndGrant {
        grant: id(number),
        revocation: revocation(RevocationKind::Grant, &id::<()>(number).to_string()),
        audit: event(AuditKind::GrantRevoked),
    }
}

/// One call of each kind, and two in a row as a request makes them.
async fn nothing_works(store: &Engine) {
    is_unavailable("two in a row", async {
        drop(store.find_user(id(1)).await);
        store.put_meta("while", "away").await
    })
    .await;
    is_unavailable("a read", store.find_grant(id(1))).await;
    is_unavailable("a write", store.end_grant(ending(1), NOW)).await;
    is_unavailable(
        "a stop",
        store.stop(revocation(RevocationKind::Client, "c"), event(AuditKind::GrantRevoked)),
    )
    .await;
    is_unavailable("a list", store.list_audit(AuditFilter::default(), None, 1)).await;
    is_unavailable("revocations", store.list_revocations(NOW)).await;
    is_unavailable("keys", store.list_keys()).await;
    is_unavailable("a sweep", store.sweep(NOW)).await;
    is_unavailable("readiness", store.ready()).await;
}

async fn works_again(store: &Engine) {
    let again = async {
        while store.ready().await.is_err() || store.find_grant(id(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(AGAIN, again).await.expect("it is back and does not work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_a_server_that_is_cut_off_or_stalls_is_unavailable_in_time_and_works_again_by_itself() {
    on_a_cable(async |store, proxy, _| {
        let user = person(&store, 1).await.id;
        granted(&store, 1, user).await;
        for away in [Mode::Cut, Mode::Stall] {
            proxy.set(away);
            nothing_works(&store).await;
            proxy.set(Mode::Carry);
            works_again(&store).await;
        }
        assert_eq!(store.meta("while").await.unwrap(), None, "what was refused was not done");
        assert!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at.is_none());
        assert!(store.end_grant(ending(1), NOW).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_a_server_that_is_away_is_not_dialled_by_everybody() {
    on_a_cable(async |store, proxy, _| {
        proxy.set(Mode::Cut);
        // Until it is noticed.
        while store.find_grant(id(1)).await.is_ok() {}
        let before = proxy.seen.connections.load(Ordering::SeqCst);
        let (calls, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (store, calls, over) = (store.clone(), Arc::clone(&calls), Arc::clone(&over));
            callers.spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    assert!(store.find_grant(id(1)).await.is_err());
                    calls.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            });
        }
        while calls.load(Ordering::SeqCst) < 5000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        over.store(true, Ordering::SeqCst);
        callers.join_all().await;
        let dialled = proxy.seen.connections.load(Ordering::SeqCst) - before;
        assert!(dialled < 50, "{dialled} connections for {} calls", calls.load(Ordering::SeqCst));
        proxy.set(Mode::Carry);
        works_again(&store).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_who_waits_for_a_connection_or_a_lock_is_told_in_time() {
    on_empty_postgres(async |_, url| {
        let store = open(&url, 1).await;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let mut other = tokio::task::JoinSet::new();
        other.spawn(async move { drop(connection.await) });
        client.batch_execute("BEGIN; LOCK TABLE meta IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..8 {
            let store = store.clone();
            callers.spawn(async move {
                is_unavailable("a write", store.put_meta(&format!("key {number}"), "value")).await;
                is_unavailable("a read", store.meta("key")).await;
            });
        }
        callers.join_all().await;
        client.batch_execute("ROLLBACK").await.unwrap();
        works_again(&store).await;
        assert!(store.put_meta("key", "value").await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_a_server_that_takes_no_writes_is_not_ready_and_says_so() {
    on_empty_postgres(async |_, url| {
        let store = open(&url, 2).await;
        store.on_revocation(Arc::new(|_| {}));
        let name = url.split(['/', '?']).find(|part| part.starts_with("store_")).unwrap();
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        postgres(&url, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on; {others}"))
            .await;
        is_unavailable("a write", async {
            // The first one may meet a connection that is just being closed.
            drop(store.put_meta("a", "b").await);
            store.put_meta("a", "b").await
        })
        .await;
        is_unavailable("readiness", store.ready()).await;
        let undo = format!(
            "SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only"
        );
        postgres(&url, &format!("BEGIN; {undo}; COMMIT; {others}")).await;
        works_again(&store).await;
        assert!(store.put_meta("a", "b").await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unavailable_and_never_tried_again() {
    on_a_cable(async |store, proxy, url| {
        let user = person(&store, 1).await.id;
        granted(&store, 1, user).await;
        proxy.set(Mode::LoseCommit);
        is_unavailable("a write", store.end_grant(ending(1), NOW)).await;
        assert_eq!(proxy.seen.lost_commits.load(Ordering::SeqCst), 1);
        proxy.set(Mode::Carry);
        let other = open(&url, 1).await;
        assert_eq!(other.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW));
        let ended = AuditFilter { kind: Some(AuditKind::GrantRevoked), ..AuditFilter::default() };
        assert_eq!(other.list_audit(ended, None, 10).await.unwrap().len(), 1);
        works_again(&store).await;
        assert!(!store.end_grant(ending(1), NOW).await.unwrap(), "asking again is safe");
    })
    .await;
}

/// Has the server undo the next writes to `meta`, as it does when two transactions were in each other's way.
fn undo(times: u32) -> String {
    format!(
        "DROP TRIGGER IF EXISTS undo ON meta; DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; \
         CREATE OR REPLACE FUNCTION undo() RETURNS trigger AS $$ BEGIN IF nextval('tries') <= {times} THEN \
         RAISE EXCEPTION 'undone' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql; \
         CREATE TRIGGER undo BEFORE INSERT ON meta FOR EACH ROW EXECUTE FUNCTION undo()"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_server_undid_is_tried_three_times_more_and_no_more() {
    on_empty_postgres(async |_, url| {
        let store = open(&url, 2).await;
        postgres(&url, &undo(3)).await;
        assert!(store.put_meta("three", "times").await.unwrap());
        postgres(&url, &undo(100)).await;
        is_unavailable("a write", store.put_meta("too", "often")).await;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let tries = async move {
            client.query_one("SELECT last_value FROM tries", &[]).await.unwrap().get::<_, i64>(0)
        };
        let (_, tries) = tokio::join!(connection, tries);
        assert_eq!(tries, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_victim_of_a_deadlock_tries_again_and_succeeds() {
    on_empty_postgres(async |_, url| {
        let name = url.split(['/', '?']).find(|part| part.starts_with("store_")).unwrap().to_owned();
        postgres(&url, &format!("ALTER DATABASE {name} SET deadlock_timeout = '300ms'")).await;
        let store = open(&url, 2).await;
        let user = person(&store, 1).await.id;
        granted(&store, 1, user).await;
        let locked = revocation(RevocationKind::Grant, &id::<()>(1).to_string());
        store
            .stop(revocation(RevocationKind::Grant, &id::<()>(2).to_string()), event(AuditKind::GrantRevoked))
            .await
            .unwrap();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let mut other = tokio::task::JoinSet::new();
        other.spawn(async move { drop(connection.await) });
        // The other one holds the entry that ours will want second, and then wants the grant that ours holds.
        let hold = format!(
            "SET deadlock_timeout = '10s'; BEGIN; INSERT INTO revocations VALUES ('grant', '{}', 0, 9e15, 0)",
            locked.id
        );
        client.batch_execute(&hold).await.unwrap();
        let ours = {
            let store = store.clone();
            tokio::spawn(async move { store.end_grant(ending(1), NOW).await })
        };
        let waits =
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while client.query(waits, &[]).await.unwrap().is_empty() {}
        client.batch_execute("UPDATE grants SET last_used_at = last_used_at; ROLLBACK").await.unwrap();
        assert!(ours.await.unwrap().unwrap(), "the grant was ended");
        assert!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at.is_some());
    })
    .await;
}
