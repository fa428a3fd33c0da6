//! The one place that knows there are two engines: an embedded file and a server.
//!
//! Above it there is SQL that both take, values, and writes that are values. It opens transactions, ends them,
//! retries what may be retried, and announces revocations; it must never let a transaction out, answer a write
//! before it is durable, or retry a commit whose end it did not see.

mod copying;
#[cfg(feature = "failpoints")]
mod failpoint;
#[cfg(feature = "failpoints")]
mod later;
mod migrate;
mod postgres;
mod sqlite;
mod value;
mod write;

#[cfg(feature = "failpoints")]
pub use failpoint::{Failpoint, MARK as FAILPOINT_MARK, watch_failpoints};
#[cfg(feature = "failpoints")]
pub use later::become_later_release;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use protocol::secret::Secret;
use protocol::world::Timestamp;

pub(crate) use copying::restore;
pub(crate) use value::{Row, Value, params};
pub(crate) use write::{Expect, Step, TABLES, Write, Written};

use crate::authorizations::Waiting;
use crate::keys::KeysListener;
use crate::revocations::RevocationListener;
use crate::{Revocation, StoreError};

/// How long [`ready`](crate::Maintenance::ready) waits: a record that takes longer is no record to be ready with.
const READY_LIMIT: Duration = Duration::from_millis(1500);

/// How long a use of the record may take, so that whoever asks us is answered within two seconds also when the record
/// is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Somebody's request waits for it.
    #[default]
    Request,
    /// Lists, sweeps, the end of everything: may touch very many rows.
    Work,
}

impl Patience {
    const fn to_read(self) -> Duration {
        match self {
            Self::Request => Duration::from_millis(1000),
            Self::Work => Duration::from_secs(30),
        }
    }

    const fn to_write(self) -> Duration {
        match self {
            Self::Request => Duration::from_millis(1500),
            Self::Work => Duration::from_secs(60),
        }
    }
}

/// Where the record is kept.
#[derive(Debug)]
pub enum EngineConfig {
    /// On a PostgreSQL server.
    Postgres {
        /// Connection URL. TLS is used if it says `sslmode=require`, and then the certificate is verified.
        url: Secret,
        /// Most connections at once.
        pool_size: usize,
        /// PEM file of the authority to trust instead of the system's; with it TLS is always used.
        ca: Option<PathBuf>,
    },
    /// In an SQLite file on this machine.
    Sqlite {
        /// The file. It and its folder are made if missing, for their owner alone.
        path: PathBuf,
        /// Whether a commit waits for the disk. `false` loses acknowledged writes in a power cut: for tests alone.
        synchronous_full: bool,
    },
}

/// Why the record cannot be opened. Said to the operator, at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A migration was edited after it was applied.
    #[error(
        "migration {version} in the database is not the one this release knows: the database belongs to another \
         build, or was altered; nothing was touched"
    )]
    Changed {
        /// Its number.
        version: i64,
    },
    /// The database has been opened by a newer release.
    #[error(
        "the database has schema {found} and this release knows only {known}: start the newer release again, or \
         restore a backup made before the upgrade; nothing was touched"
    )]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// A newer release must not take away what an older one still uses.
    #[error(
        "this database still runs an older release, on schema {older}; stop it on every node before this release \
         removes what it uses; nothing was touched"
    )]
    OlderRuns {
        /// The schema it knows.
        older: i64,
    },
    /// The setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A release in between was left out.
    #[error(
        "the database has schema {found}, and this release removes what binaries before schema {needs} use: start \
         {release} on every node first, then this one; nothing was touched"
    )]
    Skips {
        /// The schema found.
        found: i64,
        /// The oldest schema from which one may come.
        needs: i64,
        /// The release that comes first.
        release: String,
    },
    /// The engine failed.
    #[error("{}", with_causes(.0))]
    Store(StoreError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The error and what caused it, down to the bottom: at start the operator is the reader.
fn with_causes(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The record, opened. Cheap to clone; when the last clone goes, queued writes are finished and files closed.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Driver,
    listeners: Arc<Listeners>,
    waiting: Waiting,
    #[cfg(feature = "failpoints")]
    failpoints: failpoint::Failpoints,
}

enum Driver {
    Postgres(postgres::Postgres),
    Sqlite(sqlite::Sqlite),
}

/// What those who listen are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// Keys were made, retired or withdrawn.
    Keys,
    /// A revocation was committed.
    Revocation(Revocation),
}

/// Those who want to hear.
#[derive(Default)]
struct Listeners {
    keys: RwLock<Vec<KeysListener>>,
    revocations: RwLock<Vec<RevocationListener>>,
}

impl Listeners {
    fn announce(&self, announcement: &Announcement) {
        match announcement {
            Announcement::Keys => {
                for listener in self.keys.read().unwrap_or_else(PoisonError::into_inner).iter() {
                    listener();
                }
            }
            Announcement::Revocation(revocation) => {
                for listener in self.revocations.read().unwrap_or_else(PoisonError::into_inner).iter() {
                    listener(revocation);
                }
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(&self.place()).finish()
    }
}

impl Engine {
    /// Opens the record and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], in words for the operator.
    pub async fn open(config: EngineConfig) -> Result<Self, OpenError> {
        let engine = Self::connect(config).await?;
        engine.migrate().await?;
        Ok(engine)
    }

    /// Opens the record as it is. Until [`Engine::migrate`] its methods may fail.
    ///
    /// # Errors
    /// [`OpenError`], in words for the operator.
    pub async fn connect(config: EngineConfig) -> Result<Self, OpenError> {
        let listeners = Arc::new(Listeners::default());
        let driver = match config {
            EngineConfig::Postgres { url, pool_size, ca } => {
                Driver::Postgres(postgres::Postgres::connect(&url, pool_size, ca.as_deref()).await?)
            }
            EngineConfig::Sqlite { path, synchronous_full } => {
                let heard = Arc::clone(&listeners);
                let open = move || sqlite::Sqlite::open(&path, synchronous_full, heard);
                Driver::Sqlite(blocking(open).await??)
            }
        };
        let inner = Inner {
            driver,
            listeners,
            waiting: Waiting::default(),
            #[cfg(feature = "failpoints")]
            failpoints: failpoint::Failpoints::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Applies what is pending, all or nothing; any number of processes may try at once. Returns the names.
    ///
    /// # Errors
    /// [`OpenError`]; then the record is as it was.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, OpenError> {
        let applied = match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.migrate().await?,
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.migrate()).await??
            }
        };
        Ok(applied.iter().map(|migration| migration.name).collect())
    }

    /// What [`Engine::migrate`] would apply.
    ///
    /// # Errors
    /// [`OpenError`], in words for the operator.
    pub async fn pending_migrations(&self) -> Result<Vec<&'static str>, OpenError> {
        let pending = match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.shape().await?.pending()?,
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.shape()).await??.pending()?
            }
        };
        Ok(pending.iter().map(|migration| migration.name).collect())
    }

    /// Has what was overwritten or deleted leave the log of the file as well. Whether it did; of PostgreSQL nobody here knows.
    pub(crate) async fn fold(&self) -> Result<bool, StoreError> {
        match &self.inner.driver {
            Driver::Postgres(_) => Ok(true),
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.fold()).await?
            }
        }
    }

    /// The newest schema that this release knows.
    #[must_use]
    pub fn newest_schema() -> i64 {
        migrate::known().last().map_or(0, |migration| migration.version)
    }

    /// The schema of the record; 0 if it is empty.
    ///
    /// # Errors
    /// [`OpenError`], in words for the operator.
    pub async fn schema(&self) -> Result<i64, OpenError> {
        Ok(match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.shape().await?.version(),
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.shape()).await??.version()
            }
        })
    }

    /// Whether the record answers and takes writes.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let answer = async {
            match &self.inner.driver {
                Driver::Postgres(postgres) => postgres.ping().await,
                // An empty write goes through the writer and the file's lock, and changes nothing.
                Driver::Sqlite(sqlite) => sqlite.write(Write::default()).await.map(|_| ()),
            }
        };
        in_time(READY_LIMIT, answer).await
    }

    /// The time by the clock of the record's own machine; a file has none.
    pub(crate) async fn time_there(&self) -> Result<Option<Timestamp>, StoreError> {
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.time().await.map(Some),
            Driver::Sqlite(_) => Ok(None),
        }
    }

    /// Looks the record over without changing it: reachable, schema current, every statement of this release
    /// accepted, writable. One sentence for `sekisho check`.
    ///
    /// # Errors
    /// [`OpenError`], in words for the operator.
    pub async fn check(&self) -> Result<String, OpenError> {
        let pending = self.pending_migrations().await?;
        if !pending.is_empty() {
            return Ok(format!("{}, migrations pending: {}", self.place(), pending.join(", ")));
        }
        let facts = match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.check().await?,
            Driver::Sqlite(sqlite) => {
                let files = sqlite.files();
                blocking(move || files.check()).await??
            }
        };
        let (known, found) = (Self::newest_schema(), self.schema().await?);
        let statements = crate::statements().len();
        let beside =
            if found > known { ", made by a newer release, which this one may run beside" } else { "" };
        Ok(format!("{}, {facts}, schema {found}{beside}, all {statements} statements accepted", self.place()))
    }

    /// One row, found by a key: cheap enough for the thread that asks.
    pub(crate) async fn one(&self, sql: &'static str, params: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.few(sql, params).await?.into_iter().next())
    }

    /// The few rows of one key, on the way of a request: to hand them to another thread and back would cost more than
    /// to read them. Must not be asked what may have thousands of rows.
    pub(crate) async fn few(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        refuse_nul(&params)?;
        #[cfg(feature = "failpoints")]
        self.pass(Failpoint::BeforeRead)?;
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.read(sql, &params, Patience::Request).await,
            Driver::Sqlite(sqlite) => sqlite.readers().read(sql, &params),
        }
    }

    /// Any number of rows, away from the threads that serve requests.
    pub(crate) async fn many(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let patience = Patience::Work;
        refuse_nul(&params)?;
        #[cfg(feature = "failpoints")]
        self.pass(Failpoint::BeforeRead)?;
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.read(sql, &params, patience).await,
            Driver::Sqlite(sqlite) => {
                let readers = sqlite.readers();
                let files = sqlite.files();
                let read = blocking(move || files.in_place().and_then(|()| readers.read(sql, &params)));
                in_time(patience.to_read(), async { read.await? }).await
            }
        }
    }

    /// Does a write: whole, durable and announced when this answers; or not at all.
    pub(crate) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        for step in &write.steps {
            refuse_nul(&step.params)?;
        }
        #[cfg(feature = "failpoints")]
        self.pass(Failpoint::BeforeWrite)?;
        #[cfg(feature = "failpoints")]
        let write = self.as_guarded(write);
        let written = match &self.inner.driver {
            Driver::Postgres(postgres) => {
                let written = postgres.write(&write).await?;
                if matches!(written, Written::Done(_)) {
                    for announcement in &write.announce {
                        self.inner.listeners.announce(announcement);
                        postgres.tell(announcement);
                    }
                }
                written
            }
            // Given up, it may still be done: whoever hears of no answer knows nothing.
            Driver::Sqlite(sqlite) => in_time(write.patience.to_write(), sqlite.write(write)).await?,
        };
        #[cfg(feature = "failpoints")]
        self.pass(Failpoint::AfterCommit)?;
        Ok(written)
    }

    pub(crate) fn listen(&self, listener: RevocationListener) {
        self.inner.listeners.revocations.write().unwrap_or_else(PoisonError::into_inner).push(listener);
        self.hear();
    }

    pub(crate) fn listen_to_keys(&self, listener: KeysListener) {
        self.inner.listeners.keys.write().unwrap_or_else(PoisonError::into_inner).push(listener);
        self.hear();
    }

    /// On a file there is nobody else to hear of.
    fn hear(&self) {
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.listen(&self.inner.listeners),
            Driver::Sqlite(_) => {}
        }
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.inner.waiting
    }

    fn place(&self) -> &str {
        match &self.inner.driver {
            Driver::Postgres(postgres) => postgres.place(),
            Driver::Sqlite(sqlite) => sqlite.place(),
        }
    }
}

/// Text with a NUL byte is refused at the edges (attacks.md, ST-10). What slips through is refused here, because
/// one engine would store it and the other would not.
fn refuse_nul(params: &[Value]) -> Result<(), StoreError> {
    if params.iter().any(Value::has_nul) {
        return Err(StoreError::unavailable("text with a NUL byte"));
    }
    Ok(())
}

/// Gives up waiting.
async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| StoreError::unavailable(format!("no answer within {} ms", limit.as_millis())))?
}

/// Runs what may take long where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(StoreError::unavailable)
}
