//! The pool: connections that are clean, lead to the server that takes writes, and are waited for within bounds.

use std::ops::Deref;
use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, Object, PoolError, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;

use super::connect::{Dialer, Reached};
use super::health::Health;
use crate::StoreError;

/// A connection with its prepared statements.
pub(super) struct Kept {
    client: ClientWrapper,
    timeline: i64,
}

impl Deref for Kept {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

/// Makes connections for the pool.
pub(super) struct Making {
    dialer: Arc<Dialer>,
    health: Arc<Health>,
}

impl Manager for Making {
    type Type = Kept;
    type Error = StoreError;

    async fn create(&self) -> Result<Kept, StoreError> {
        if self.health.is_looked_after() {
            return Err(StoreError::unavailable("the database was away a moment ago"));
        }
        let Reached { client, driver, timeline } = self.dialer.dial(None).await?;
        Ok(Kept { client: ClientWrapper::new(client, driver), timeline })
    }

    async fn recycle(&self, kept: &mut Kept, _: &Metrics) -> RecycleResult<StoreError> {
        if kept.is_closed() || self.dialer.is_left_behind(kept.timeline) {
            return Err(RecycleError::message("the connection is of no use any more"));
        }
        Ok(())
    }
}

/// The connections of this process.
pub(super) struct Pool(deadpool::managed::Pool<Making>);

impl Pool {
    pub(super) fn new(dialer: Arc<Dialer>, health: Arc<Health>, size: usize) -> Result<Self, StoreError> {
        // Whoever waits brings a limit of his own; it covers this wait too.
        let pool = deadpool::managed::Pool::builder(Making { dialer, health }).max_size(size.max(1)).build();
        Ok(Self(pool.map_err(StoreError::unavailable)?))
    }

    /// A connection that comes back to the pool only when it is known to be clean.
    pub(super) async fn lease(&self) -> Result<Lease, StoreError> {
        match self.0.get().await {
            Ok(object) => Ok(Lease(Some(object))),
            Err(PoolError::Backend(error)) => Err(error),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }
}

/// One connection, borrowed. If it is dropped on the way, by an error or because the caller went away in the
/// middle, it is closed instead of going back: nobody may inherit an open transaction.
pub(super) struct Lease(Option<Object<Making>>);

impl Lease {
    pub(super) fn connection(&self) -> Result<&Kept, StoreError> {
        self.0.as_deref().ok_or_else(|| StoreError::unavailable("the connection was given back"))
    }

    pub(super) fn give_back(mut self) {
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
