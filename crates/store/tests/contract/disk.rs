//! A disk that is full, and a file that goes away (attacks.md, F-10): refused, never half done, and on by itself.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use store::{AuditFilter, Engine, EngineConfig, KeysRecord as _, Maintenance as _, Queries as _, StoreError};

use crate::engines::on_empty_sqlite;

const PLACE: &str = "STORE_DISK_TEST_PATH";
/// Refusals before there is room again, and writes after.
const REFUSED: usize = 5;
const AFTER: usize = 20;

/// The child, which may make no file longer than a limit: writes, says how it went, and ends some time after it works
/// again.
async fn write_on_a_full_disk(path: &Path) {
    let at = EngineConfig::Sqlite { path: path.to_owned(), synchronous_full: true };
    let engine = Engine::open(at).await.unwrap();
    let (mut refused, mut after) = (0, 0);
    for number in 0.. {
        let answer = engine.put_meta(&format!("key {number}"), &"x".repeat(4000)).await;
        match answer {
            Ok(new) => {
                assert!(new);
                println!("\nacknowledged {number}");
                after += usize::from(refused > 0);
            }
            Err(StoreError::Unavailable(_)) => {
                refused += 1;
                println!("\nrefused {number}");
                assert!(engine.meta("key 0").await.unwrap().is_some(), "reading goes on");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
        if after == AFTER {
            return;
        }
    }
}

/// Runs itself again as the process whose disk is full. `prlimit` makes room while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_10_on_a_full_disk_writes_are_refused_whole_and_go_on_when_there_is_room() {
    if let Ok(path) = std::env::var(PLACE) {
        return write_on_a_full_disk(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1000; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::f_10_on_a_full_disk_writes_are_refused_whole_and_go_on_when_there_is_room"])
        .arg("--nocapture")
        .env(PLACE, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut acknowledged, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged.insert(format!("key {number}"));
        } else if let Some(number) = line.strip_prefix("refused ") {
            refused.insert(format!("key {number}"));
            if refused.len() == REFUSED {
                let pid = child.id().to_string();
                let room = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
                assert!(room.unwrap().success());
            }
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(refused.len() >= REFUSED && acknowledged.len() > AFTER, "{refused:?}");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let found = connection
        .prepare("SELECT key FROM meta WHERE key LIKE 'key %'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<BTreeSet<String>, _>>()
        .unwrap();
    assert_eq!(found, acknowledged, "what was acknowledged is there, and nothing else");
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_10_a_file_that_was_moved_or_replaced_is_not_written_and_works_when_it_is_back() {
    on_empty_sqlite(async |config, path| {
        let store = Engine::open(config).await.unwrap();
        assert!(store.put_meta("before", "1").await.unwrap());
        let elsewhere = path.with_extension("elsewhere");
        std::fs::rename(&path, &elsewhere).unwrap();
        assert!(matches!(store.put_meta("while", "1").await, Err(StoreError::Unavailable(_))));
        assert!(store.ready().await.is_err());
        assert!(store.list_audit(AuditFilter::default(), None, 1).await.is_err());
        // Another file in its place, as when somebody restores under a running Sekisho.
        std::fs::copy(&elsewhere, &path).unwrap();
        assert!(matches!(store.put_meta("while", "1").await, Err(StoreError::Unavailable(_))));
        std::fs::rename(&elsewhere, &path).unwrap();
        store.ready().await.unwrap();
        assert!(store.put_meta("after", "1").await.unwrap());
        assert_eq!(store.meta("while").await.unwrap(), None);
    })
    .await;
}
