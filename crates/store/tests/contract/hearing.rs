//! What one node commits the others hear at once (product.md, P-2); and nobody depends on it.

use std::sync::Arc;
use std::time::Duration;

use protocol::secret::Secret;
use store::{
    AuditKind, EndGrant, Engine, EngineConfig, Grants as _, KeysRecord as _, Revocation, RevocationKind,
    Revocations as _,
};
use tokio::sync::mpsc;

use crate::engines::{on_empty_postgres, postgres};
use crate::fixtures::*;

/// What must be heard is heard long before this; nobody here looks.
const T: Duration = Duration::from_secs(5);

/// The connections that listen, and nothing else.
const CUT_THE_EARS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%')";

struct Node {
    store: Engine,
    revocations: mpsc::UnboundedReceiver<Revocation>,
    keys: mpsc::UnboundedReceiver<()>,
}

async fn node(url: &str) -> Node {
    let url = Secret::new(url.to_owned());
    let store = Engine::open(EngineConfig::Postgres { url, pool_size: 2, ca: None }).await.unwrap();
    let (said, revocations) = mpsc::unbounded_channel();
    store.on_revocation(Arc::new(move |revocation| drop(said.send(revocation.clone()))));
    let (changed, keys) = mpsc::unbounded_channel();
    store.on_keys_changed(Arc::new(move || changed.send(()).unwrap_or(())));
    Node { store, revocations, keys }
}

/// Says things until the node hears: when its ear is open is known to nobody but itself.
async fn hears(speaker: &Node, node: &mut Node, said: &mut u64) {
    let heard = async {
        loop {
            *said += 1;
            let revocation = revocation(RevocationKind::Client, &format!("client {said}"));
            speaker.store.stop(revocation, event(AuditKind::GrantRevoked)).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(100), node.revocations.recv()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(T, heard).await.expect("nothing is heard");
    while node.revocations.try_recv().is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_and_a_change_of_keys_are_heard_by_the_other_node_at_once() {
    on_empty_postgres(async |_, url| {
        let (here, mut there) = (node(&url).await, node(&url).await);
        let mut said = 0;
        hears(&here, &mut there, &mut said).await;
        let user = person(&here.store, 1).await.id;
        granted(&here.store, 1, user).await;
        let ended = revocation(RevocationKind::Grant, "\"\u{1f6aa}\\ quoted");
        let audit = event(AuditKind::GrantRevoked);
        let end = EndGrant { grant: id(1), revocation: ended.clone(), audit };
        assert!(here.store.end_grant(end, NOW).await.unwrap());
        let heard = async { while there.revocations.recv().await != Some(ended.clone()) {} };
        tokio::time::timeout(T, heard).await.unwrap();
        while there.keys.try_recv().is_ok() {}
        assert!(here.store.put_keys(Vec::new(), false).await.unwrap());
        tokio::time::timeout(T, there.keys.recv()).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_lost_its_ear_finds_what_it_missed_by_looking_and_hears_again() {
    on_empty_postgres(async |_, url| {
        let (here, mut there) = (node(&url).await, node(&url).await);
        let mut said = 0;
        hears(&here, &mut there, &mut said).await;
        for _ in 0..3 {
            postgres(&url, CUT_THE_EARS).await;
            let missed = revocation(RevocationKind::Client, &format!("missed {said}"));
            here.store.stop(missed.clone(), event(AuditKind::GrantRevoked)).await.unwrap();
            assert!(there.store.list_revocations(NOW).await.unwrap().contains(&missed));
            hears(&here, &mut there, &mut said).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_announcement_is_not_heard() {
    on_empty_postgres(async |_, url| {
        let (here, mut there) = (node(&url).await, node(&url).await);
        let mut said = 0;
        hears(&here, &mut there, &mut said).await;
        for nonsense in [
            "",
            "{}",
            "null",
            "{\"revocation\":{\"kind\":\"all\",\"id\":\"\",\"not_before\":0,\"expires_at\":0}}",
        ] {
            postgres(&url, &format!("SELECT pg_notify('sekisho_public', '{nonsense}')")).await;
        }
        let end = revocation(RevocationKind::Client, "end");
        here.store.stop(end.clone(), event(AuditKind::GrantRevoked)).await.unwrap();
        let heard = tokio::time::timeout(T, there.revocations.recv()).await.unwrap();
        assert_eq!(heard, Some(end), "the nonsense came first, and was nothing");
    })
    .await;
}
