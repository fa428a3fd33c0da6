//! All pending migrations in one transaction, one migrator at a time.

use super::pool::Lease;
use super::{references, row, unavailable};
use crate::StoreError;
use crate::engine::migrate::{self, Migration, Shape};
use crate::engine::value::{Row, Value};
use crate::engine::{Engine, OpenError};

/// The advisory lock that migrators take; the number only has to be the same for all of them ("sekisho").
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(32479219)";
/// A migration may take longer than a statement of everyday.
pub(super) const NO_LIMITS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0";
/// Connections of releases that know less than this schema; each says in its name what it knows. The releases before this
/// was said knew schema 1.
const OLDER: &str = "SELECT COALESCE(MIN(COALESCE(substring(application_name FROM 'schema ([0-9]{1,9})')::bigint, 1)), \
    9223372036854775807) FROM pg_stat_activity WHERE datname = current_database() \
    AND pid <> pg_backend_pid() AND (application_name = 'sekisho' OR application_name LIKE 'sekisho schema %')";

pub(super) async fn migrate(lease: &Lease, up_to: i64) -> Result<&'static [Migration], OpenError> {
    let connection = lease.connection()?;
    connection.batch_execute("BEGIN").await.map_err(unavailable)?;
    connection.batch_execute(NO_LIMITS).await.map_err(unavailable)?;
    connection.batch_execute(LOCK).await.map_err(unavailable)?;
    let pending = within(connection, up_to).await?;
    connection.batch_execute("COMMIT").await.map_err(unavailable)?;
    Ok(pending)
}

/// The same within a transaction that somebody else ends.
pub(super) async fn within(
    connection: &tokio_postgres::Client,
    up_to: i64,
) -> Result<&'static [Migration], OpenError> {
    connection.batch_execute(migrate::CREATE_POSTGRES).await.map_err(unavailable)?;
    let shape = shape(connection).await?;
    let pending = migrate::up_to(shape.pending()?, up_to);
    let needs = pending.iter().map(|migration| migration.needs).max().unwrap_or(1);
    if needs > 1
        && let Some(older) = older_running(connection).await?.filter(|older| *older < needs)
    {
        return Err(OpenError::OlderRuns { older });
    }
    for migration in pending {
        connection.batch_execute(migration.postgres).await.map_err(unavailable)?;
        let remembered = migration.remembered();
        connection.execute(migrate::REMEMBER, &references(&remembered)).await.map_err(unavailable)?;
    }
    if !pending.is_empty() {
        let oldest = [Value::from(migrate::oldest_after(shape.applied.len() + pending.len()))];
        connection.execute(migrate::REMEMBER_OLDEST, &references(&oldest)).await.map_err(unavailable)?;
    }
    Ok(pending)
}

/// The oldest schema known to somebody who is connected, if it is older than ours.
pub(super) async fn older_running(connection: &tokio_postgres::Client) -> Result<Option<i64>, StoreError> {
    let asked = connection.query_one(OLDER, &[]).await.and_then(|row| row.try_get(0));
    let older: i64 = asked.map_err(unavailable)?;
    Ok(Some(older).filter(|older| *older < Engine::newest_schema()))
}

async fn shape(connection: &tokio_postgres::Client) -> Result<Shape, StoreError> {
    let applied = read(connection, migrate::LIST).await?;
    let has_meta = !read(connection, super::HAS_META).await?.is_empty();
    let oldest = if has_meta { read(connection, migrate::OLDEST).await?.pop() } else { None };
    Ok(Shape { applied, oldest })
}

async fn read(connection: &tokio_postgres::Client, sql: &str) -> Result<Vec<Row>, StoreError> {
    let found = connection.query(sql, &[]).await.map_err(unavailable)?;
    found.iter().map(row).collect::<Result<Vec<_>, _>>().map_err(unavailable)
}
