//! PostgreSQL: a pool of connections, READ COMMITTED, and nothing in the SQL that only it knows.
//!
//! Every condition is inside its statement, so READ COMMITTED is enough. Statements are prepared once per
//! connection; a pooler in between must therefore keep sessions together.

mod connect;
mod copying;
mod ear;
mod health;
mod migrations;
mod pool;
mod tls;
mod transaction;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join3;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};

pub(super) use self::copying::restore;

use self::connect::{Dialer, limited};
use self::ear::Ear;
use self::health::Health;
use self::pool::Pool;
use super::migrate::{self, Migration, Shape};
use super::value::{Row, Value};
use super::write::{Write, Written};
use super::{Announcement, Listeners, OpenError, Patience};
use crate::StoreError;

const HAS_MIGRATIONS: &str = "SELECT 1::bigint WHERE to_regclass('schema_migrations') IS NOT NULL";
const HAS_META: &str = "SELECT 1::bigint WHERE to_regclass('meta') IS NOT NULL";
const FACTS: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' \
    ELSE current_setting('transaction_read_only') END, current_setting('synchronous_commit')";
/// In microseconds since 1970.
const TIME: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
/// Long work is given more time by the server too, and only within its own transaction.
const BEGIN_LONG_READ: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'";

/// The server.
pub(super) struct Postgres {
    pool: Pool,
    place: String,
    dialer: Arc<Dialer>,
    health: Arc<Health>,
    to_say: mpsc::Sender<Announcement>,
    /// The ear, from the first listener on; it ends with this.
    ear: Mutex<(Option<mpsc::Receiver<Announcement>>, JoinSet<()>)>,
}

impl Postgres {
    pub(super) async fn connect(url: &Secret, size: usize, ca: Option<&Path>) -> Result<Self, OpenError> {
        let health = Arc::<Health>::default();
        let dialer = Arc::new(Dialer::new(url, ca, Arc::clone(&health))?);
        dialer.survey().await;
        let pool = Pool::new(Arc::clone(&dialer), Arc::clone(&health), size)?;
        let version = "SELECT current_setting('server_version')";
        let lease = pool.lease().await?;
        let version: String = lease
            .connection()?
            .query_one(version, &[])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(unavailable)?;
        lease.give_back();
        let place = format!("PostgreSQL {version}{}", if dialer.is_encrypted() { " over TLS" } else { "" });
        let (to_say, waiting) = mpsc::channel(ear::WAITING);
        let ear = Mutex::new((Some(waiting), JoinSet::new()));
        Ok(Self { pool, place, dialer, health, to_say, ear })
    }

    /// Begins to hear what other nodes announce. Once is enough.
    pub(super) fn listen(&self, listeners: &Arc<Listeners>) {
        let mut ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to_say) = ear.0.take() {
            let task = Ear {
                dialer: Arc::clone(&self.dialer),
                health: Arc::clone(&self.health),
                listeners: Arc::clone(listeners),
                to_say,
            };
            ear.1.spawn(task.listen());
        }
    }

    /// Tells the other nodes, as soon as may be; whoever does not hear it finds it by looking.
    pub(super) fn tell(&self, announcement: &Announcement) {
        if self.to_say.try_send(announcement.clone()).is_err() {
            tracing::debug!("an announcement was not said; it is found by looking");
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether it answers and takes writes.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        match self.read(FACTS, &[], Patience::Request).await?.first().map(Vec::as_slice) {
            Some([Value::Text(read_only), _]) if read_only != "off" => {
                Err(StoreError::unavailable("the database takes no writes"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The time of its own clock.
    pub(super) async fn time(&self) -> Result<Timestamp, StoreError> {
        match self.read(TIME, &[], Patience::Request).await?.first().map(Vec::as_slice) {
            Some([Value::Integer(micros)]) => Ok(Timestamp::from_micros(*micros)),
            Some(_) | None => Err(StoreError::unavailable("the database does not tell the time")),
        }
    }

    /// Does what somebody waits for: in time, or not at all.
    async fn within<T>(
        &self,
        usual: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Ok(answer) = limited(self.health.patience(usual), work).await else {
            self.health.lost();
            return Err(StoreError::unavailable("the database did not answer in time"));
        };
        if answer.is_ok() {
            self.health.back();
        }
        answer
    }

    /// Reads. Reading changes nothing, so a connection that turns out to be dead is replaced once.
    pub(super) async fn read(
        &self,
        sql: &'static str,
        params: &[Value],
        patience: Patience,
    ) -> Result<Vec<Row>, StoreError> {
        let work = async {
            match self.read_once(sql, params, patience).await {
                Ok(rows) => Ok(rows),
                Err(Failure::Closed(_)) => {
                    self.read_once(sql, params, patience).await.map_err(Failure::into_error)
                }
                Err(Failure::Other(error)) => Err(error),
            }
        };
        self.within(patience.to_read(), work).await
    }

    async fn read_once(
        &self,
        sql: &'static str,
        params: &[Value],
        patience: Patience,
    ) -> Result<Vec<Row>, Failure> {
        let lease = self.pool.lease().await.map_err(Failure::Other)?;
        let connection = lease.connection().map_err(Failure::Other)?;
        let statement = connection.prepare_cached(sql).await?;
        let params = references(params);
        let query = connection.query(&statement, &params);
        let found = match patience {
            Patience::Request => query.await?,
            // Sent in this order, at once.
            Patience::Work => {
                let (begun, found, ended) = join3(
                    connection.batch_execute(BEGIN_LONG_READ),
                    query,
                    connection.batch_execute("COMMIT"),
                )
                .await;
                begun?;
                let found = found?;
                ended?;
                found
            }
        };
        let rows = found.iter().map(row).collect::<Result<Vec<Row>, _>>()?;
        lease.give_back();
        Ok(rows)
    }

    pub(super) async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        self.within(write.patience.to_write(), transaction::write(&self.pool, write)).await
    }

    pub(super) async fn migrate(&self) -> Result<&'static [Migration], OpenError> {
        let lease = self.pool.lease().await?;
        let pending = migrations::migrate(&lease, i64::MAX).await?;
        lease.give_back();
        Ok(pending)
    }

    pub(super) async fn shape(&self) -> Result<Shape, StoreError> {
        let has = async |sql| Ok::<_, StoreError>(!self.read(sql, &[], Patience::Request).await?.is_empty());
        let applied = if has(HAS_MIGRATIONS).await? {
            self.read(migrate::LIST, &[], Patience::Request).await?
        } else {
            Vec::new()
        };
        let oldest = if has(HAS_META).await? {
            self.read(migrate::OLDEST, &[], Patience::Request).await?.pop()
        } else {
            None
        };
        Ok(Shape { applied, oldest })
    }

    /// Prepares every statement on one connection. Whether a node of an older release is running.
    async fn prepare_all(&self) -> Result<Option<i64>, OpenError> {
        let lease = self.pool.lease().await?;
        for statement in crate::statements() {
            lease.connection()?.prepare_cached(statement.sql).await.map_err(|error| {
                let why = error.as_db_error().map_or("the connection broke", |error| error.message());
                OpenError::Setting(format!("statement `{}` is not accepted: {why}", statement.name))
            })?;
        }
        let older = migrations::older_running(lease.connection()?).await?;
        lease.give_back();
        Ok(older)
    }

    /// Accepts it every statement, and writes?
    pub(super) async fn check(&self) -> Result<String, OpenError> {
        let older = limited(Patience::Work.to_read(), self.prepare_all()).await??;
        let beside = older.map_or_else(String::new, |schema| {
            format!(", a node of an older release (schema {schema}) is connected")
        });
        match self.read(FACTS, &[], Patience::Request).await?.first().map(Vec::as_slice) {
            Some([Value::Text(read_only), _]) if read_only != "off" => {
                Err(OpenError::Setting(format!("{} is read-only", self.place)))
            }
            Some([_, Value::Text(commits)]) if commits == "off" => Ok(format!(
                "writable, commits do not wait for the disk (`synchronous_commit` is off){beside}"
            )),
            Some(_) | None => Ok(format!("writable, commits are durable{beside}")),
        }
    }
}

/// What ended a read.
enum Failure {
    Closed(StoreError),
    Other(StoreError),
}

impl Failure {
    fn into_error(self) -> StoreError {
        match self {
            Self::Closed(error) | Self::Other(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let closed = error.is_closed();
        let error = unavailable(error);
        if closed { Self::Closed(error) } else { Self::Other(error) }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.as_slice().to_sql(ty, out),
            (Self::Integer(value), &Type::INT8) => value.to_sql(ty, out),
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Text(text), &Type::TEXT) => text.as_str().to_sql(ty, out),
            (value, ty) => Err(format!("a parameter is {ty} and was given {value:?}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

fn references(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn row(from: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let value = |(place, column): (usize, &tokio_postgres::Column)| {
        Ok(match *column.type_() {
            Type::BYTEA => from.try_get::<_, Option<Vec<u8>>>(place)?.into_value(Value::Bytes),
            Type::TEXT => from.try_get::<_, Option<String>>(place)?.into_value(Value::Text),
            // Any other type is refused by the driver: there are three.
            _ => from.try_get::<_, Option<i64>>(place)?.into_value(Value::Integer),
        })
    };
    from.columns().iter().enumerate().map(value).collect()
}

trait IntoValue<T> {
    fn into_value(self, of: fn(T) -> Value) -> Value;
}

impl<T> IntoValue<T> for Option<T> {
    fn into_value(self, of: fn(T) -> Value) -> Value {
        self.map_or(Value::Null, of)
    }
}

fn unavailable(error: tokio_postgres::Error) -> StoreError {
    StoreError::unavailable(error)
}
