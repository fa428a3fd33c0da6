//! What this layer costs, printed. A file in a temporary folder, or the server named on the command line:
//!
//! `cargo run -p store --release --example measure [postgres URL of an empty database]`

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement: it stops at the first mistake, and measures with the real clock"
)]

#[expect(dead_code, reason = "the promises use more of it")]
#[path = "../tests/contract/fixtures.rs"]
mod fixtures;

use std::time::{Duration, Instant};

use protocol::secret::Secret;
use store::{AuditKind, BrowserSessions as _, Engine, EngineConfig, Grants as _, Rotate, RotateOutcome};
use tokio::task::JoinSet;

use fixtures::*;

/// Processor time of this process so far: what counts on a machine that is not ours alone.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Refreshes per second, and processor time of each.
async fn refreshes(store: &Engine, callers: u64, rounds: u32) -> (f64, Duration) {
    let user = person(store, callers).await.id;
    for number in 1..=callers {
        granted(store, callers * 1000 + number, user).await;
    }
    let (started, before) = (Instant::now(), processor());
    let mut tasks = JoinSet::new();
    for number in 1..=callers {
        let store = store.clone();
        tasks.spawn(async move {
            for generation in 0..rounds {
                let grant = store.find_grant(id(callers * 1000 + number)).await.unwrap().unwrap();
                assert_eq!(grant.generation, generation);
                let mut audit = event(AuditKind::TokenRefreshed);
                audit.client_id = Some("dcr_".repeat(128));
                audit.grant = Some(grant.id);
                audit.user = Some(grant.user);
                let now = NOW.plus(MINUTE);
                let rotate = Rotate {
                    grant: grant.id,
                    from_generation: generation,
                    now,
                    idle_expires_at: now.plus(DAY),
                    audit,
                };
                assert_eq!(store.rotate(rotate).await.unwrap(), RotateOutcome::Rotated);
            }
        });
    }
    tasks.join_all().await;
    let all = rounds * u32::try_from(callers).unwrap();
    (f64::from(all) / started.elapsed().as_secs_f64(), (processor() - before) / all)
}

async fn reads(store: &Engine, rounds: u32) -> [Duration; 2] {
    let user = person(store, 999).await.id;
    granted(store, 999_999, user).await;
    let before = processor();
    for _ in 0..rounds {
        store.find_grant(id(999_999)).await.unwrap().unwrap();
    }
    let grants = (processor() - before) / rounds;
    let before = processor();
    for _ in 0..rounds {
        store.find_browser_session(&hash("session", 999), NOW).await.unwrap().unwrap();
    }
    [grants, (processor() - before) / rounds]
}

async fn all(store: &Engine) {
    println!("{}", store.check().await.unwrap());
    for callers in [1, 8, 32, 128] {
        let rounds = if callers == 1 { 2000 } else { 400 };
        let (rate, processor) = refreshes(store, callers, rounds).await;
        println!("  {callers:>4} callers: {rate:>7.0} durable refreshes/s, {processor:?} of processor each");
    }
    let [grant, session] = reads(store, 100_000).await;
    println!("  point read, processor time: grant {grant:?}, browser session with its person {session:?}");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if let Some(url) = std::env::args().nth(1) {
        let url = Secret::new(url);
        all(&Engine::open(EngineConfig::Postgres { url, pool_size: 8, ca: None }).await.unwrap()).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    all(&Engine::open(EngineConfig::Sqlite { path, synchronous_full: true }).await.unwrap()).await;
}
