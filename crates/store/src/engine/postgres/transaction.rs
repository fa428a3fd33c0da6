//! One write: its steps sent at once, their counts looked at, then the commit. Two round trips; one if the write is
//! a single statement, which is a transaction of its own.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::pool::{Lease, Pool};
use super::{health, references, row, unavailable};
use crate::StoreError;
use crate::engine::Patience;
use crate::engine::write::{Step, Touched, Write, Written};

/// How often a write is tried that the server undid because of another one: once, and three times more.
const TRIES: usize = 4;
/// How long one waits at most before trying again: those who were in each other's way must not meet again.
const APART: Duration = Duration::from_millis(20);
/// Long work is given more time by the server too.
const BEGIN_LONG: &str = "BEGIN; SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '5s'";

/// What came of one attempt.
enum Attempt {
    Ended(Written),
    /// The server undid it and says that it may be tried again.
    Undone(StoreError),
}

pub(super) async fn write(pool: &Pool, write: &Write) -> Result<Written, StoreError> {
    let mut last = StoreError::unavailable("not tried");
    for _ in 0..TRIES {
        let lease = pool.lease().await?;
        // On any error, and if the caller goes away here, the connection is closed with its transaction.
        let attempt = attempt(&lease, write).await?;
        lease.give_back();
        match attempt {
            Attempt::Ended(written) => return Ok(written),
            Attempt::Undone(error) => last = error,
        }
        tokio::time::sleep(health::uneven(APART)).await;
    }
    Err(last)
}

async fn attempt(lease: &Lease, write: &Write) -> Result<Attempt, StoreError> {
    let connection = lease.connection()?;
    let mut statements = Vec::with_capacity(write.steps.len());
    for step in &write.steps {
        statements.push(connection.prepare_cached(step.sql).await.map_err(unavailable)?);
    }
    if let (Patience::Request, [one], [statement]) =
        (write.patience, write.steps.as_slice(), statements.as_slice())
    {
        return judge(write, vec![step(connection, statement, one).await]);
    }
    let steps = join_all(
        statements.iter().zip(&write.steps).map(|(statement, one)| step(connection, statement, one)),
    );
    // Both are polled in this order, and a request is sent when it is first polled.
    let begin = match write.patience {
        Patience::Request => "BEGIN",
        Patience::Work => BEGIN_LONG,
    };
    let (begun, touched) = join(connection.batch_execute(begin), steps).await;
    begun.map_err(unavailable)?;
    let attempt = judge(write, touched)?;
    if let Attempt::Ended(Written::Done(_)) = &attempt {
        #[cfg(feature = "failpoints")]
        crate::engine::failpoint::passed(crate::engine::Failpoint::BeforeCommit);
        return match connection.batch_execute("COMMIT").await {
            Ok(()) => Ok(attempt),
            Err(error) if may_be_tried_again(&error) => Ok(Attempt::Undone(unavailable(error))),
            // Whether it was committed is unknown: never tried again.
            Err(error) => Err(unavailable(error)),
        };
    }
    connection.batch_execute("ROLLBACK").await.map_err(unavailable)?;
    Ok(attempt)
}

/// The steps of a write, one after the other, within a transaction that somebody else ends.
pub(super) async fn within(client: &Client, write: &Write) -> Result<Written, StoreError> {
    let mut touched = Vec::with_capacity(write.steps.len());
    for one in &write.steps {
        let statement = client.prepare(one.sql).await.map_err(unavailable)?;
        touched.push(step(client, &statement, one).await);
    }
    match judge(write, touched)? {
        Attempt::Ended(written) => Ok(written),
        Attempt::Undone(error) => Err(error),
    }
}

async fn step(
    connection: &Client,
    statement: &Statement,
    step: &Step,
) -> Result<Touched, tokio_postgres::Error> {
    let params = references(&step.params);
    if step.returning {
        let found = connection.query(statement, &params).await?;
        let rows = found.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        return Ok(Touched { count: rows.len() as u64, rows });
    }
    Ok(Touched { count: connection.execute(statement, &params).await?, rows: Vec::new() })
}

/// What the first step that did not go as expected means; the ones after it say nothing.
fn judge(write: &Write, touched: Vec<Result<Touched, tokio_postgres::Error>>) -> Result<Attempt, StoreError> {
    let mut done = Vec::with_capacity(touched.len());
    for (place, (touched, step)) in touched.into_iter().zip(&write.steps).enumerate() {
        match touched {
            Ok(touched) if step.expect.allows(touched.count) => done.push(touched),
            Ok(_) => return Ok(Attempt::Ended(Written::Missed(place))),
            Err(error) if is_missed_key(&error) => return Ok(Attempt::Ended(Written::Missed(place))),
            Err(error) if may_be_tried_again(&error) => return Ok(Attempt::Undone(unavailable(error))),
            Err(error) => return Err(unavailable(error)),
        }
    }
    Ok(Attempt::Ended(Written::Done(done)))
}

fn may_be_tried_again(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// A key that must be unique was there, or one that must be there was not: a guard like any other.
fn is_missed_key(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::UNIQUE_VIOLATION | &SqlState::FOREIGN_KEY_VIOLATION))
}
