//! A process that is killed in the middle keeps every word it gave.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use store::{
    AuditFilter, AuditKind, Authorizations as _, Engine, EngineConfig, Grants as _, Queries as _, Rotate,
    RotateOutcome,
};

use crate::fixtures::*;

const PLACE: &str = "STORE_KILL_TEST_PATH";
const GRANTS: u64 = 8;

fn at(path: &std::path::Path) -> EngineConfig {
    EngineConfig::Sqlite { path: path.to_owned(), synchronous_full: true }
}

/// The child: rotates and says so, until it is killed.
async fn write_until_killed(path: &str) {
    let engine = Engine::open(at(path.as_ref())).await.unwrap();
    let user = person(&engine, 1).await.id;
    let mut writers = tokio::task::JoinSet::new();
    for number in 1..=GRANTS {
        granted(&engine, number, user).await;
        let engine = engine.clone();
        writers.spawn(async move {
            for generation in 0.. {
                let now = NOW.plus(MINUTE);
                let audit = event(AuditKind::TokenRefreshed);
                let rotate = Rotate {
                    grant: id(number),
                    from_generation: generation,
                    now,
                    idle_expires_at: now.plus(DAY),
                    audit,
                };
                assert_eq!(engine.rotate(rotate).await.unwrap(), RotateOutcome::Rotated);
                println!("\nacknowledged {number} {}", generation + 1);
            }
        });
    }
    writers.join_all().await;
}

/// Runs itself again as the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_kill() {
    if let Ok(path) = std::env::var(PLACE) {
        return write_until_killed(&path).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    for _ in 0..3 {
        let _ = std::fs::remove_file(&path);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::every_acknowledged_write_survives_a_kill", "--nocapture"])
            .env(PLACE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = [0_u32; GRANTS as usize + 1];
        let mut count = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let Some(said) = line.strip_prefix("acknowledged ") else { continue };
            let (number, generation) = said.split_once(' ').unwrap();
            acknowledged[number.parse::<usize>().unwrap()] = generation.parse().unwrap();
            count += 1;
            if count == 400 {
                // On this side of the pipe: what follows was said and is kept too.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(count >= 400, "{count}");
        let engine = Engine::open(at(&path)).await.unwrap();
        let mut generations = 0;
        for number in 1..=GRANTS {
            let found = engine.find_grant(id(number)).await.unwrap().map_or(0, |grant| grant.generation);
            generations += u64::from(found);
            assert!(found >= acknowledged[number as usize], "grant {number} was set back");
            if found > 0 {
                let code = engine.find_by_code(hash("code", number)).await.unwrap();
                assert!(code.is_some(), "the replay evidence of grant {number} is gone");
            }
        }
        let refreshed = AuditFilter { kind: Some(AuditKind::TokenRefreshed), ..AuditFilter::default() };
        let events = engine.list_audit(refreshed, None, 1_000_000).await.unwrap();
        assert_eq!(events.len() as u64, generations, "each rotation has its event");
    }
}
