use std::pin::Pin;
use std::task::Poll;

use protocol::id::{Grant, Id, User};
use protocol::keys::KeyId;
use protocol::oauth::{ClientId, Scope};
use store::{RevocationKind, Revocations as _};

use super::*;
use crate::fixture::{START, TestEntropy, World};
use crate::streams::Cause;

fn access(issued_at: Timestamp, entropy: &TestEntropy) -> Access {
    Access {
        actors: Vec::new(),
        user: Id::<User>::mint(START, entropy),
        client: ClientId::parse("dcr_test").unwrap(),
        grant: Id::<Grant>::mint(START, entropy),
        issuer: "https://mcp.example.com".to_owned(),
        resource: "https://mcp.example.com/files/mcp".to_owned(),
        scope: Scope::default(),
        key: KeyId::from_bytes([7; 4]),
        bound_to: None,
        issued_at,
        expires_at: issued_at.plus(Duration::from_secs(600)),
    }
}

fn revocation(kind: RevocationKind, id: &str, not_before: Timestamp) -> Revocation {
    Revocation { kind, id: id.to_owned(), not_before, expires_at: not_before.plus(Duration::from_secs(3600)) }
}

/// Every kind kills what it names, and nothing else.
#[test]
fn an_entry_kills_what_it_names_and_nothing_else() {
    let entropy = TestEntropy::default();
    let token = access(START, &entropy);
    let (user, grant) = (token.user.to_string(), token.grant.to_string());
    for (kind, id, kills) in [
        (RevocationKind::Client, "dcr_test", true),
        (RevocationKind::Client, "dcr_other", false),
        (RevocationKind::Client, "DCR_TEST", false),
        (RevocationKind::Grant, grant.as_str(), true),
        (RevocationKind::Grant, user.as_str(), false),
        (RevocationKind::Grant, "nonsense", false),
        (RevocationKind::Issuer, "https://mcp.example.com", true),
        (RevocationKind::Resource, "https://mcp.example.com/files/mcp", true),
        (RevocationKind::Resource, "https://mcp.example.com/notes/mcp", false),
        (RevocationKind::User, user.as_str(), true),
        (RevocationKind::User, grant.as_str(), false),
    ] {
        let mut entries = Entries::default();
        entries.put(&revocation(kind, id, START));
        assert_eq!(entries.kills(&token), kills, "{kind:?} {id}");
    }
}

/// P-2: dead when `iat` ≤ not-before, and `iat` has whole seconds.
#[test]
fn a_token_of_the_same_second_is_dead_and_one_of_the_next_is_not() {
    let entropy = TestEntropy::default();
    let stopped_at = Timestamp::from_secs(START.secs()).plus(Duration::from_millis(500));
    for (iat, dead) in [(-1, true), (0, true), (1, false)] {
        let token = access(Timestamp::from_secs(START.secs() + iat), &entropy);
        let mut entries = Entries::default();
        entries.put(&revocation(RevocationKind::User, &token.user.to_string(), stopped_at));
        assert_eq!(entries.kills(&token), dead, "{iat}");
    }
}

#[test]
fn entries_only_move_forward_and_go_when_they_are_over() {
    let entropy = TestEntropy::default();
    let token = access(START, &entropy);
    let user = token.user.to_string();
    let mut entries = Entries::default();
    let late = revocation(RevocationKind::User, &user, START);
    let early = revocation(RevocationKind::User, &user, START.minus(Duration::from_secs(9)));
    assert!(entries.put(&late));
    assert!(!entries.put(&early) && !entries.put(&late), "nothing changed");
    assert!(entries.kills(&token));
    entries.forget(late.expires_at.minus(Duration::from_secs(1)));
    assert!(entries.kills(&token));
    entries.forget(late.expires_at);
    assert!(entries.is_empty() && !entries.kills(&token));
}

#[tokio::test]
async fn nothing_is_fresh_before_everything_was_read() {
    let world = World::with(|_| {}).await;
    let revocations = world.server.revocations();
    assert!(!revocations.is_fresh() && !world.server.ready());
    revocations.read().await.unwrap();
    assert!(revocations.is_fresh() && world.server.ready());
    world.clock.advance(Duration::from_secs(5));
    assert!(revocations.is_fresh());
    world.clock.advance(Duration::from_millis(1));
    assert!(!revocations.is_fresh());
    revocations.read().await.unwrap();
    assert!(revocations.is_fresh());
}

/// One that was begun in the background before time went by must not end after one that somebody waited for, and pass for the last: for two
/// seconds nobody would be served.
#[tokio::test]
async fn a_reading_that_began_earlier_makes_nothing_old_that_was_read_later() {
    let world = World::new().await;
    let revocations = world.server.revocations();
    // Now and then the record has answered at once.
    let first = loop {
        let mut reading = Box::pin(revocations.read());
        if poll_once(reading.as_mut()).await.is_none() {
            break reading;
        }
    };
    world.clock.advance(Duration::from_secs(60));
    let mut second = Box::pin(revocations.read());
    let mut ended = None;
    for _ in 0..100 {
        ended = ended.or(poll_once(second.as_mut()).await);
        if ended.is_some() {
            break;
        }
        // So that it has the time for as many visits to the record as it needs.
        world.store.list_revocations(START).await.unwrap();
    }
    first.await.unwrap();
    match ended {
        Some(ended) => ended.unwrap(),
        None => second.await.unwrap(),
    }
    assert!(revocations.is_fresh());
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// A second process on the same record: what it does not hear of it reads.
#[tokio::test]
async fn another_node_hears_by_reading() {
    let world = World::new().await;
    let streams = Arc::new(Streams::new(1));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let other = Revocations::new(Arc::clone(&world.store) as _, clock, streams, Duration::from_secs(5));
    let mut token = access(START, &world.entropy);
    token.user = world.alice;
    other.read().await.unwrap();
    world.stop(RevocationKind::User, &world.alice.to_string()).await;
    assert!(world.server.revocations().is_dead(&token), "the node that wrote it knows at once");
    assert!(!other.is_dead(&token));
    other.read().await.unwrap();
    assert!(other.is_dead(&token));
}

/// The entry carries the time of the node that wrote it.
#[tokio::test]
async fn what_a_node_wrote_whose_clock_is_behind_is_heard_at_the_next_reading() {
    let world = World::new().await;
    let streams = Arc::new(Streams::new(1));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let other = Revocations::new(Arc::clone(&world.store) as _, clock, streams, Duration::from_secs(5));
    let mut token = access(START, &world.entropy);
    token.user = world.alice;
    let ahead = START.plus(Duration::from_secs(290));
    world.clock.set(ahead);
    other.read().await.unwrap();
    world.clock.set(START);
    world.stop(RevocationKind::User, &world.alice.to_string()).await;
    world.clock.set(ahead);
    other.read().await.unwrap();
    assert!(other.is_dead(&token));
}

/// The clock of this node was an hour ahead for a while: what was written meanwhile is found all the same.
#[tokio::test]
async fn a_clock_that_was_wrong_leaves_no_hole_for_longer_than_a_minute() {
    let world = World::new().await;
    let streams = Arc::new(Streams::new(1));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let other = Revocations::new(Arc::clone(&world.store) as _, clock, streams, Duration::from_secs(5));
    let mut token = access(START, &world.entropy);
    token.user = world.alice;
    world.clock.set(START.plus(Duration::from_secs(3600)));
    other.read().await.unwrap();
    world.clock.set(START);
    world.stop(RevocationKind::User, &world.alice.to_string()).await;
    world.clock.set(START.plus(Duration::from_secs(3600)));
    other.read().await.unwrap();
    assert!(!other.is_dead(&token), "not among what is new by the wrong clock");
    world.clock.advance(Duration::from_secs(60));
    other.read().await.unwrap();
    assert!(other.is_dead(&token), "but in the full reading");
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_believed_at_once() {
    let world = World::new().await;
    let streams = Arc::new(Streams::new(1));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let other = Revocations::new(Arc::clone(&world.store) as _, clock, streams, Duration::from_secs(5));
    let mut token = access(START, &world.entropy);
    token.user = world.alice;
    other.read().await.unwrap();
    world.clock.set(START.plus(Duration::from_secs(3600)));
    other.read().await.unwrap();
    world.clock.set(START);
    world.stop(RevocationKind::User, &world.alice.to_string()).await;
    other.read().await.unwrap();
    assert!(other.is_dead(&token));
}

#[tokio::test]
async fn what_failed_to_be_read_changes_nothing() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config =
        store::EngineConfig::Sqlite { path: folder.path().join("empty.db"), synchronous_full: false };
    let store = store::Engine::connect(config).await.unwrap();
    let streams = Arc::new(Streams::new(1));
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let failing = Revocations::new(Arc::new(store.clone()), clock, streams, Duration::from_secs(5));
    assert!(failing.read().await.is_err());
    assert!(!failing.is_fresh());
    store.migrate().await.unwrap();
    failing.read().await.unwrap();
    assert!(failing.is_fresh());
}

#[tokio::test]
async fn the_task_reads_at_once_and_ends_when_it_is_told_to() {
    let world = World::with(|_| {}).await;
    let shutdown = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(world.server.revocations()).run(shutdown.clone()));
    while !world.server.ready() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

/// "… and on open streams": when nothing was read for longer than T, nobody knows whether they may still be open.
#[tokio::test]
async fn streams_end_when_nothing_can_be_read() {
    let clock = crate::fixture::TestClock::new();
    let folder = tempfile::tempdir().unwrap();
    let config =
        store::EngineConfig::Sqlite { path: folder.path().join("empty.db"), synchronous_full: false };
    let store = Arc::new(store::Engine::connect(config).await.unwrap());
    let streams = Arc::new(Streams::new(2));
    let (mut low_risk, who) = (crate::fixture::who(&clock), crate::fixture::who(&clock));
    low_risk.server = crate::fixture::low_risk_server(&clock);
    let (low_risk, lease) = (streams.enter(low_risk, true).unwrap(), streams.enter(who, true).unwrap());
    let failing =
        Revocations::new(store, Arc::clone(&clock) as _, Arc::clone(&streams), Duration::from_secs(5));
    let shutdown = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::new(failing).run(shutdown.clone()));
    assert_eq!(std::future::poll_fn(|cx| lease.end().poll(cx)).await, Cause::Stale);
    let low_risk_too = std::future::poll_fn(|cx| std::task::Poll::Ready(low_risk.end().poll(cx)));
    assert!(low_risk_too.await.is_pending());
    shutdown.cancel();
    tasks.join_next().await.unwrap().unwrap();
}
