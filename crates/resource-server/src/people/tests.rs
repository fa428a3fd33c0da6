use std::time::Duration;

use protocol::id::Id;
use store::{Engine, EngineConfig};

use super::*;
use crate::fixture::{START, World};

const BOUNDS: Bounds = Bounds { calls: 1, events: 1, streams: 1 };

#[tokio::test]
async fn a_person_is_read_once_and_again_after_half_a_minute() {
    let world = World::new().await;
    let people = People::new(Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _, BOUNDS);
    let first = people.find_live(world.alice).await.unwrap();
    assert_eq!((first.name.as_deref(), first.groups.as_slice()), (Some("alice"), &["staff".to_owned()][..]));
    world.person("alice", &["other"]).await;
    world.clock.advance(Duration::from_millis(29_999));
    assert!(Arc::ptr_eq(&first, &people.find_live(world.alice).await.unwrap()));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(people.find_live(world.alice).await.unwrap().groups, ["other"]);
}

#[tokio::test]
async fn who_is_not_known_is_dead() {
    let world = World::new().await;
    let people = People::new(Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _, BOUNDS);
    let nobody = Id::mint(START, &*world.entropy);
    assert_eq!(people.find_live(nobody).await.unwrap_err().reason(), "person_unknown");
}

#[tokio::test]
async fn who_was_stopped_is_dead() {
    let world = World::new().await;
    let people = People::new(Arc::clone(&world.store) as _, Arc::clone(&world.clock) as _, BOUNDS);
    let mut stopped = Person::for_tests(world.alice);
    (stopped.stopped, stopped.read_at) = (true, world.clock.monotonic());
    people.known.insert(world.alice, Arc::new(stopped));
    assert_eq!(people.find_live(world.alice).await.unwrap_err().reason(), "person_stopped");
}

#[tokio::test]
async fn without_the_record_nobody_is_known() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    // Opened but never migrated: every statement fails.
    let path = folder.path().join("empty.db");
    let store = Engine::connect(EngineConfig::Sqlite { path, synchronous_full: false }).await.unwrap();
    let people = People::new(Arc::new(store), Arc::clone(&world.clock) as _, BOUNDS);
    assert_eq!(people.find_live(world.alice).await.unwrap_err().reason(), "store_unavailable");
}
