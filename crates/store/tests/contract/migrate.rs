//! Migrating: once, by whoever comes first, and never over what this binary does not know.

use store::{Engine, EngineConfig, OpenError, Queries as _};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract, on_empty_postgres, on_empty_sqlite};

contract! {
    a_migrated_record_has_nothing_pending,
    an_edited_migration_is_refused,
    a_newer_schema_is_refused,
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

async fn a_newer_schema_is_refused(store: Opened) {
    let newer =
        format!("INSERT INTO schema_migrations VALUES (9000, '9000_later', {})", bytes(&store, "00ff"));
    store.tamper(&newer).await;
    let error = Engine::open(store.config()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 9000, .. }), "{error:?}");
    assert!(error.to_string().contains("schema 9000"));
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
        let config = || EngineConfig::Postgres {
            url: protocol::secret::Secret::new(url.clone()),
            pool_size: 1,
            ca: None,
        };
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
            let url = protocol::secret::Secret::new(url);
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
