//! PostgreSQL: a pool of connections, READ COMMITTED, and nothing in the SQL that only it knows.
//!
//! Every condition is inside its statement, so READ COMMITTED is enough. Statements are prepared once per
//! connection; a pooler in between must therefore keep sessions together.

mod connect;
mod transaction;

use std::path::Path;

use deadpool_postgres::{Object, Pool};
use protocol::secret::Secret;
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};

use super::OpenError;
use super::migrate::{self, Migration};
use super::value::{Row, Value};
use super::write::{Write, Written};
use crate::StoreError;

/// The advisory lock that migrators take; the number only has to be the same for all of them ("sekisho").
const MIGRATOR_LOCK: &str = "SELECT pg_advisory_xact_lock(32479219)";
const HAS_MIGRATIONS: &str = "SELECT 1::bigint WHERE to_regclass('schema_migrations') IS NOT NULL";
const FACTS: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' \
    ELSE current_setting('transaction_read_only') END, current_setting('synchronous_commit')";

/// The server.
pub(super) struct Postgres {
    pool: Pool,
    place: String,
}

impl Postgres {
    pub(super) async fn connect(url: &Secret, size: usize, ca: Option<&Path>) -> Result<Self, OpenError> {
        let (pool, tls) = connect::pool(url, size, ca)?;
        let connection = pool.get().await.map_err(StoreError::unavailable)?;
        let version = "SELECT current_setting('server_version')";
        let version: String =
            connection.query_one(version, &[]).await.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        let place = format!("PostgreSQL {version}{}", if tls { " over TLS" } else { "" });
        drop(connection);
        Ok(Self { pool, place })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.read("SELECT 1::bigint", &[]).await.map(|_| ())
    }

    /// Reads. Reading changes nothing, so a connection that turns out to be dead is replaced once.
    pub(super) async fn read(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let again = match self.read_once(sql, params).await {
            Ok(rows) => return Ok(rows),
            Err(Failure::Closed(_)) => self.read_once(sql, params).await,
            Err(Failure::Other(error)) => return Err(error),
        };
        again.map_err(Failure::into_error)
    }

    async fn read_once(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Failure> {
        let lease = self.lease().await.map_err(Failure::Other)?;
        let work = async {
            let statement = lease.connection().map_err(Failure::Other)?.prepare_cached(sql).await?;
            let connection = lease.connection().map_err(Failure::Other)?;
            let found = connection.query(&statement, &references(params)).await?;
            found.iter().map(row).collect::<Result<Vec<Row>, _>>().map_err(Failure::from)
        };
        let rows = connect::limited(work).await.map_err(Failure::Other)??;
        lease.give_back();
        Ok(rows)
    }

    pub(super) async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        transaction::write(self, write).await
    }

    pub(super) async fn migrate(&self) -> Result<&'static [Migration], OpenError> {
        let lease = self.lease().await?;
        let pending = transaction::migrate(&lease).await?;
        lease.give_back();
        Ok(pending)
    }

    pub(super) async fn pending(&self) -> Result<&'static [Migration], OpenError> {
        let known = !self.read(HAS_MIGRATIONS, &[]).await?.is_empty();
        let applied = if known { self.read(migrate::LIST, &[]).await? } else { Vec::new() };
        migrate::pending(&applied)
    }

    /// Prepares every statement on one connection.
    pub(super) async fn check(&self) -> Result<String, OpenError> {
        let lease = self.lease().await?;
        for statement in crate::statements() {
            lease.connection()?.prepare_cached(statement.sql).await.map_err(|error| {
                let why = error.as_db_error().map_or("the connection broke", |error| error.message());
                OpenError::Setting(format!("statement `{}` is not accepted: {why}", statement.name))
            })?;
        }
        lease.give_back();
        match self.read(FACTS, &[]).await?.first().map(Vec::as_slice) {
            Some([Value::Text(read_only), _]) if read_only != "off" => {
                Err(OpenError::Setting(format!("{} is read-only", self.place)))
            }
            Some([_, Value::Text(commits)]) if commits == "off" => {
                Ok("writable, commits do not wait for the disk (`synchronous_commit` is off)".to_owned())
            }
            Some(_) | None => Ok("writable, commits are durable".to_owned()),
        }
    }

    /// A connection that comes back to the pool only when it is known to be clean.
    async fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease(Some(self.pool.get().await.map_err(StoreError::unavailable)?)))
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

/// One connection, borrowed. If it is dropped on the way, by an error or because the caller went away in the
/// middle, it is closed instead of going back: nobody may inherit an open transaction.
struct Lease(Option<Object>);

impl Lease {
    fn connection(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::unavailable("the connection was given back"))
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
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
