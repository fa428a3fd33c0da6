//! The two engines, each with a record of its own per test.

use std::future::Future;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::secret::Secret;
use store::{Engine, EngineConfig};
use tokio_postgres::NoTls;

/// Runs each promise on each engine.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::engines::on_sqlite(super::$promise).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::engines::on_postgres(super::$promise).await;
            })+
        }
    };
}
pub(crate) use contract;

/// A record of the test's own.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    place: Place,
}

/// Where it is.
#[derive(Clone)]
enum Place {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Deref for Opened {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Place {
    fn config(&self) -> EngineConfig {
        match self {
            Self::Postgres(url) => {
                EngineConfig::Postgres { url: Secret::new(url.clone()), pool_size: 8, ca: None }
            }
            Self::Sqlite(path) => EngineConfig::Sqlite { path: path.clone(), synchronous_full: false },
        }
    }
}

impl Opened {
    /// How this record is opened: a second node, or the same one after a restart.
    pub(crate) fn config(&self) -> EngineConfig {
        self.place.config()
    }

    /// A second node on the same record.
    pub(crate) async fn another(&self) -> Engine {
        Engine::connect(self.config()).await.unwrap()
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
    }

    /// Does behind the record's back what no method of it would.
    pub(crate) async fn tamper(&self, sql: &str) {
        self.try_tamper(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The same, where the schema itself may say no.
    pub(crate) async fn try_tamper(&self, sql: &str) -> Result<(), String> {
        match &self.place {
            Place::Postgres(url) => try_postgres(url, sql).await,
            Place::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(sql).map_err(|error| error.to_string())
            }
        }
    }
}

pub(crate) async fn on_sqlite<F: Future<Output = ()>>(promise: impl FnOnce(Opened) -> F) {
    on_empty_sqlite(async |config, path| {
        let engine = Engine::open(config).await.unwrap();
        promise(Opened { engine, place: Place::Sqlite(path) }).await;
    })
    .await;
}

pub(crate) async fn on_postgres<F: Future<Output = ()>>(promise: impl FnOnce(Opened) -> F) {
    on_empty_postgres(async |config, url| {
        let engine = Engine::open(config).await.unwrap();
        promise(Opened { engine, place: Place::Postgres(url) }).await;
    })
    .await;
}

/// A file that is not there yet.
pub(crate) async fn on_empty_sqlite(test: impl AsyncFnOnce(EngineConfig, PathBuf)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    test(Place::Sqlite(path.clone()).config(), path).await;
}

/// A database of its own on the server that `TEST_POSTGRES_URL` names.
pub(crate) async fn on_empty_postgres(test: impl AsyncFnOnce(EngineConfig, String)) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("CI").is_none(), "TEST_POSTGRES_URL is not set, and CI skips no engine");
        eprintln!("\n!! NOT RUN on PostgreSQL: TEST_POSTGRES_URL is not set !!\n");
        return;
    };
    let name = format!("store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    postgres(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    postgres(&server, &format!("CREATE DATABASE {name}")).await;
    let url = on_database(&server, &name);
    test(Place::Postgres(url.clone()).config(), url).await;
    postgres(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// The same URL with another database in its path.
fn on_database(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, String::new()), |(a, o)| (a, format!("?{o}")));
    let (scheme, rest) = address.split_once("://").expect("a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{name}{options}")
}

/// Runs SQL on a connection of its own.
pub(crate) async fn postgres(url: &str, sql: &str) {
    try_postgres(url, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn try_postgres(url: &str, sql: &str) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("TEST_POSTGRES_URL");
    let ((), done) = tokio::join!(async { connection.await.unwrap_or(()) }, async move {
        let done = client.batch_execute(sql).await;
        drop(client);
        done
    });
    done.map_err(|error| format!("{error:?}"))
}
