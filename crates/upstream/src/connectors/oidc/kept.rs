//! A document of the provider's that is kept for a while: one fetch at a time, whoever waits shares it.
//!
//! While the provider is down the last document serves on, and a failure is remembered for a moment, so that a queue
//! of sign-ins does not become a queue of deadlines (F-14). A document that came and was wrong never serves.

use std::sync::Arc;
use std::time::Duration;

use protocol::world::Clock;
use tokio::sync::Mutex;

use super::super::ConnectorError;

/// How long a document is not asked for again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long the last one serves while the provider cannot be reached.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a failure stands without another try.
const PAUSE: Duration = Duration::from_secs(5);

/// One kept document.
#[derive(Debug)]
pub(super) struct Kept<T> {
    clock: Arc<dyn Clock>,
    slot: Mutex<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<(Arc<T>, Duration)>,
    failure: Option<(ConnectorError, Duration)>,
    renewed: Option<Duration>,
}

impl<T> Kept<T> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let slot = Slot { value: None, failure: None, renewed: None };
        Self { clock, slot: Mutex::new(slot) }
    }

    /// The document, fetched if there is none, or none fresh that `fits`.
    pub(super) async fn current(
        &self,
        fits: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, ConnectorError>>,
    ) -> Result<Arc<T>, ConnectorError> {
        // Held while fetching: this is the single flight.
        let mut slot = self.slot.lock().await;
        let now = self.clock.monotonic();
        let held = slot.value.clone().filter(|(value, _)| fits(value));
        if let Some((value, at)) = &held
            && now.saturating_sub(*at) < FRESH
        {
            return Ok(Arc::clone(value));
        }
        let usable = held.filter(|(_, at)| now.saturating_sub(*at) < USABLE).map(|(value, _)| value);
        let error = match slot.failure {
            Some((error, at)) if now.saturating_sub(at) < PAUSE => error,
            Some(_) | None => match fetch.await {
                Ok(value) => return Ok(slot.accept(value, self.clock.monotonic())),
                Err(error) => {
                    slot.failure = Some((error, self.clock.monotonic()));
                    error
                }
            },
        };
        match (error, usable) {
            (ConnectorError::Unreachable, Some(value)) => Ok(value),
            (error, _) => Err(error),
        }
    }

    /// A newer document than `seen`: one that somebody else just fetched, or one fetched now, if the last time
    /// that was done is at least `interval` ago.
    pub(super) async fn newer(
        &self,
        seen: &Arc<T>,
        interval: Duration,
        fetch: impl Future<Output = Result<T, ConnectorError>>,
    ) -> Result<Option<Arc<T>>, ConnectorError> {
        let mut slot = self.slot.lock().await;
        if let Some((value, _)) = &slot.value
            && !Arc::ptr_eq(value, seen)
        {
            return Ok(Some(Arc::clone(value)));
        }
        let now = self.clock.monotonic();
        if slot.renewed.is_some_and(|at| now.saturating_sub(at) < interval) {
            return Ok(None);
        }
        // Written down before the fetch: who gives up on the way has used the turn all the same.
        slot.renewed = Some(now);
        let value = fetch.await?;
        Ok(Some(slot.accept(value, self.clock.monotonic())))
    }
}

impl<T> Slot<T> {
    fn accept(&mut self, value: T, now: Duration) -> Arc<T> {
        let value = Arc::new(value);
        self.value = Some((Arc::clone(&value), now));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use protocol::world::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[tokio::test]
    async fn who_comes_too_late_to_renew_takes_what_another_has_renewed() {
        let kept = Kept::new(Arc::new(Standing));
        let seen = kept.current(|_| true, ready(Ok(1))).await.unwrap();
        let newer = kept.newer(&seen, PAUSE, ready(Ok(2))).await.unwrap();
        assert_eq!(newer.as_deref(), Some(&2));
        let same = kept.newer(&seen, PAUSE, ready(Ok(3))).await.unwrap();
        assert_eq!(same.as_deref(), Some(&2), "not fetched again, and not refused either");
        assert_eq!(kept.newer(&same.unwrap(), PAUSE, ready(Ok(4))).await, Ok(None));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_fetched_again() {
        let kept = Kept::new(Arc::new(Standing));
        kept.current(|_| true, ready(Ok(1))).await.unwrap();
        let other = kept.current(|value| *value == 2, ready(Ok(2))).await.unwrap();
        assert_eq!(*other, 2);
        // And does not serve in its place when that fails.
        let failed = kept.current(|value| *value == 3, ready(Err(ConnectorError::Unreachable))).await;
        assert_eq!(failed, Err(ConnectorError::Unreachable));
    }
}
