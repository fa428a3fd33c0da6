//! The file and its folder are for their owner alone, and nothing is left open behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use store::{
    AuditBlocks as _, AuditEvents as _, AuditIntents as _, AuditKeeping as _, AuditKind, AuditSubject,
    CallIntent, Engine, EngineConfig, Forget, KeysRecord as _, OpenError,
};

use crate::fixtures::*;

fn at(path: &Path) -> EngineConfig {
    EngineConfig::Sqlite { path: path.to_owned(), synchronous_full: false }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_file_and_all_beside_it_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/record.db");
    let engine = Engine::open(at(&path)).await.unwrap();
    engine.put_meta("a", "b").await.unwrap();
    for name in ["a", "a/b"] {
        assert_eq!(mode(&folder.path().join(name)), 0o700, "{name}");
    }
    for name in ["record.db", "record.db-wal", "record.db-shm"] {
        assert_eq!(mode(&folder.path().join("a/b").join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_was_open_to_others_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let engine = Engine::open(at(&path)).await.unwrap();
    engine.put_meta("a", "b").await.unwrap();
    assert_eq!((mode(&path), mode(&folder.path().join("record.db-wal"))), (0o600, 0o600));
}

#[tokio::test]
async fn a_link_in_place_of_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (folder.path().join("record.db"), folder.path().join("elsewhere"));
    fs::write(&elsewhere, "").unwrap();
    symlink(&elsewhere, &path).unwrap();
    let error = Engine::open(at(&path)).await.unwrap_err();
    assert!(matches!(error, OpenError::Setting(_)));
    assert!(error.to_string().ends_with("is a link or not a file"), "{error}");
    fs::remove_file(&elsewhere).unwrap();
    assert!(Engine::open(at(&path)).await.is_err(), "not even where the link leads nowhere");
    assert!(!elsewhere.exists());
}

/// ST-01, B45: whoever was forgotten stands nowhere in the file nor beside it, also where what named them was deleted long before.
#[tokio::test]
async fn who_was_forgotten_is_not_found_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    let engine = Engine::open(at(&path)).await.unwrap();
    let other = Engine::open(at(&path)).await.unwrap();
    let bob = person(&engine, 7).await;
    let intent = |number: u64| CallIntent {
        id: id(number),
        at: NOW,
        user: bob.id,
        client_id: "dcr_AAEC".to_owned(),
        server: "ledger".to_owned(),
        grant: id(9),
        method: "tools/call".to_owned(),
        called: Some("pay".to_owned()),
        name: Some("bob-c4n4ry@example.com".to_owned()),
        address: Some("203.0.113.77".to_owned()),
    };
    let intents: Vec<CallIntent> = (1000..1200).map(intent).collect();
    engine.append_intents([1; 16], &intents, NOW).await.unwrap();
    let over: Vec<_> = intents.iter().take(190).map(|intent| intent.id).collect();
    engine.append_blocks(&[], &[], &over).await.unwrap();
    let mut told = event(AuditKind::Stopped);
    told.user = Some(bob.id);
    let (name, address) = (Some("bob-c4n4ry@example.com".to_owned()), Some("203.0.113.77".to_owned()));
    told.subject = Some(AuditSubject { salt: [7; 16], name, address });
    engine.append_audit(vec![told]).await.unwrap();
    let mut audit = event(AuditKind::PersonForgotten);
    (audit.id, audit.user) = (id(5000), Some(bob.id));
    let forget = Forget { user: bob.id, in_spite_of_holds: false, audit };
    let done = other.forget_person(forget, &|_, _| {}).await.unwrap().unwrap();
    assert!(!done.in_log);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap().path();
        let bytes = fs::read(&entry).unwrap();
        for canary in [&b"c4n4ry"[..], b"203.0.113.77"] {
            assert!(!bytes.windows(canary.len()).any(|some| some == canary), "{}", entry.display());
        }
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    let error = Engine::open(at(&path)).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(_)));
    assert!(error.to_string().ends_with("file is not a database"), "{error}");
    assert!(fs::read_to_string(&path).unwrap().starts_with("dear diary"));
}

#[tokio::test]
async fn closing_leaves_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    let engine = Engine::open(at(&path)).await.unwrap();
    engine.put_meta("a", "b").await.unwrap();
    assert_eq!(engine.meta("a").await.unwrap().as_deref(), Some("b"));
    drop(engine);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["record.db"]);
}

#[tokio::test]
async fn a_write_whose_caller_went_away_is_done_before_the_file_closes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    let engine = Engine::open(at(&path)).await.unwrap();
    {
        let mut write = Box::pin(engine.put_meta("a", "b"));
        let polled = futures_util::FutureExt::now_or_never(&mut write);
        drop((polled, write));
    }
    drop(engine);
    let engine = Engine::open(at(&path)).await.unwrap();
    assert_eq!(engine.meta("a").await.unwrap().as_deref(), Some("b"));
}
