//! Migrating: once, by whoever comes first, and never over what this binary does not know.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use protocol::secret::Secret;
use store::{Engine, EngineConfig, Grants as _, OpenError, Queries as _};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::engines::{Opened, contract, on_empty_postgres, on_empty_sqlite};
use crate::fixtures::*;
use crate::proxy::{Mode, Proxy};

contract! {
    a_migrated_record_has_nothing_pending,
    an_edited_migration_is_refused,
    f_21_a_newer_schema_that_bears_this_binary_is_used_and_any_other_is_left_alone,
}

async fn a_migrated_record_has_nothing_pending(store: Opened) {
    assert!(store.pending_migrations().await.unwrap().is_empty());
    assert!(store.migrate().await.unwrap().is_empty());
}

async fn an_edited_migration_is_refused(store: Opened) {
    let other = format!("UPDATE schema_migrations SET checksum = {}", bytes(&store, "00ff"));
    store.tamper(&other).await;
    let error = Engine::open(store.config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Changed { version: 1 }), "{error:?}");
    assert!(error.to_string().contains("nothing was touched"));
    assert!(store.pending_migrations().await.is_err());
}

async fn f_21_a_newer_schema_that_bears_this_binary_is_used_and_any_other_is_left_alone(store: Opened) {
    let newer =
        format!("INSERT INTO schema_migrations VALUES (9000, '9000_later', {})", bytes(&store, "00ff"));
    store.tamper(&newer).await;
    store.tamper("ALTER TABLE grants ADD COLUMN added_later TEXT").await;
    let beside = Engine::open(store.config()).await.unwrap();
    let said = beside.check().await.unwrap();
    assert!(said.contains("schema 9000, made by a newer release"), "{said}");
    let user = person(&beside, 1).await.id;
    granted(&beside, 1, user).await;
    assert!(beside.find_grant(id(1)).await.unwrap().is_some());
    for oldest in ["'9000'", "'none'"] {
        store.tamper(&format!("UPDATE meta SET value = {oldest} WHERE key = 'oldest_schema'")).await;
        let error = Engine::open(store.config()).await.unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 9000, .. }), "{error:?}");
        assert!(error.to_string().contains("schema 9000"));
    }
}

fn bytes(store: &Opened, hex: &str) -> String {
    match store.config() {
        EngineConfig::Postgres { .. } => format!("'\\x{hex}'"),
        EngineConfig::Sqlite { .. } => format!("x'{hex}'"),
    }
}

async fn many_migrators_are_one(config: impl Fn() -> EngineConfig) {
    let fresh = Engine::connect(config()).await.unwrap();
    let pending = fresh.pending_migrations().await.unwrap();
    assert_eq!(pending[0], "0001_first");
    assert!(fresh.check().await.unwrap().contains("migrations pending: 0001_first, "));
    assert!(fresh.counts().await.is_err(), "there is no table yet");
    let mut migrators = JoinSet::new();
    for _ in 0..6 {
        let config = config();
        migrators.spawn(async move {
            let engine = Engine::connect(config).await.unwrap();
            engine.migrate().await.unwrap().len()
        });
    }
    let applied: usize = migrators.join_all().await.iter().sum();
    assert_eq!(applied, pending.len());
    fresh.counts().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_migrators_on_one_file_are_one() {
    on_empty_sqlite(async |_, path| {
        many_migrators_are_one(|| EngineConfig::Sqlite { path: path.clone(), synchronous_full: true }).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_migrators_on_one_server_are_one() {
    on_empty_postgres(async |_, url| {
        let config = || EngineConfig::Postgres { url: Secret::new(url.clone()), pool_size: 1, ca: None };
        many_migrators_are_one(config).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_told_in_words_without_its_password() {
    on_empty_postgres(async |_, url| {
        let place = url.replacen("/store_", "/no_such_", 1);
        let separator = if place.contains('?') { '&' } else { '?' };
        let open = async |url: String| {
            let url = Secret::new(url);
            Engine::open(EngineConfig::Postgres { url, pool_size: 1, ca: None })
                .await
                .unwrap_err()
                .to_string()
        };
        let absent = open(format!("{place}{separator}password=hunter2")).await;
        assert!(absent.contains("does not exist") && !absent.contains("hunter2"), "{absent}");
        let wrong = open(format!("{place}{separator}hunter2")).await;
        assert!(wrong.starts_with("the database URL: ") && !wrong.contains("hunter2"), "{wrong}");
    })
    .await;
}

/// Table, column, index, constraint: all that makes a schema, as the engine tells it.
async fn schema_of_postgres(url: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let ask = async move {
        let columns = "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS told \
            FROM information_schema.columns WHERE table_schema = 'public' \
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
            UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
            WHERE connamespace = 'public'::regnamespace \
            UNION ALL SELECT version || ' ' || encode(checksum, 'hex') FROM schema_migrations ORDER BY told";
        client.query(columns, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    tokio::join!(async { drop(connection.await) }, ask).1
}

fn schema_of_sqlite(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let told = "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') FROM sqlite_schema \
        UNION ALL SELECT version || ' ' || hex(checksum) FROM schema_migrations ORDER BY 1";
    let mut statement = connection.prepare(told).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The cable is cut after each message that the migrator sends in turn; whoever comes after finds all or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_21_a_migrator_that_is_cut_off_at_any_message_leaves_what_a_clean_run_completes() {
    on_empty_postgres(async |config, clean| {
        drop(Engine::open(config).await.unwrap());
        let expected = schema_of_postgres(&clean).await;
        assert!(expected.len() > 150, "{}", expected.len());
        for message in 1.. {
            let mut finished = false;
            on_empty_postgres(async |config, url| {
                let proxy = Proxy::before(&url).await.unwrap();
                let behind = EngineConfig::Postgres { url: Secret::new(proxy.url()), pool_size: 1, ca: None };
                let migrator = Engine::connect(behind).await.unwrap();
                proxy.set(Mode::CutAfter(message));
                finished = migrator.migrate().await.is_ok();
                let next = Engine::connect(config).await.unwrap();
                let pending = next.pending_migrations().await.unwrap().len();
                assert!(pending == 0 || pending == next.migrate().await.unwrap().len());
                assert_eq!(schema_of_postgres(&url).await, expected, "cut after message {message}");
            })
            .await;
            if finished {
                // At least: the beginning, the lock, each migration and its mark, the end.
                assert!(message > 10, "{message}");
                return;
            }
        }
    })
    .await;
}

const PLACE: &str = "STORE_MIGRATE_TEST_PATH";

/// The child is killed by the system at the first byte that a file would be longer than allowed; at each length in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_21_a_migrator_that_is_killed_at_any_write_leaves_what_a_clean_run_completes() {
    if let Ok(path) = std::env::var(PLACE) {
        drop(Engine::open(EngineConfig::Sqlite { path: path.into(), synchronous_full: true }).await);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = async |path: &Path| {
        let at = EngineConfig::Sqlite { path: path.to_owned(), synchronous_full: false };
        drop(Engine::open(at).await.unwrap());
    };
    let clean = folder.path().join("clean.db");
    open(&clean).await;
    let expected = schema_of_sqlite(&clean);
    let mut killed = 0;
    // In blocks of 512 bytes: within pages, between them, within the log's frames.
    for blocks in (0..).step_by(23) {
        let path = folder.path().join(format!("{blocks}.db"));
        let mut child = Command::new("sh");
        child.args(["-c", "ulimit -c 0; ulimit -f $0; exec \"$@\"", &blocks.to_string()]);
        child.arg(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "migrate::f_21_a_migrator_that_is_killed_at_any_write_leaves_what_a_clean_run_completes",
        ]);
        let ended = child.env(PLACE, &path).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        open(&path).await;
        assert_eq!(schema_of_sqlite(&path), expected, "killed at {blocks} blocks");
        if ended.success() {
            break;
        }
        assert_eq!(ended.signal(), Some(25), "SIGXFSZ: {ended}");
        killed += 1;
    }
    assert!(killed >= 10, "{killed}");
}

/// Whoever is connected says what it knows; a migration that takes something away waits until nobody older is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_an_older_release_is_seen() {
    on_empty_postgres(async |config, url| {
        let store = Engine::open(config).await.unwrap();
        assert!(!store.check().await.unwrap().contains("older release"));
        for (name, schema) in [("sekisho", 1), ("sekisho schema 2", 2)] {
            let mut older: tokio_postgres::Config = url.parse().unwrap();
            let (client, connection) = older.application_name(name).connect(NoTls).await.unwrap();
            let mut driver = JoinSet::new();
            driver.spawn(async move { drop(connection.await) });
            client.batch_execute("SELECT 1").await.unwrap();
            let said = store.check().await.unwrap();
            assert!(said.contains(&format!("older release (schema {schema})")), "{said}");
            driver.shutdown().await;
            let gone =
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";
            let (other, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            driver.spawn(async move { drop(connection.await) });
            while !other.query(gone, &[&name]).await.unwrap().is_empty() {}
        }
    })
    .await;
}
