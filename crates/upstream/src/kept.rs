//! A document of somebody else's that is kept for a while: one fetch at a time, whoever waits shares it, and nobody waits
//! who could be served with what is there.
//!
//! While its host is down the last document serves on, and a failure is remembered for a moment, so that a queue
//! of callers does not become a queue of deadlines (F-14). A document that came and was wrong never serves.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::world::Clock;

/// How long a document is not asked for again.
pub(crate) const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long the last one serves while its host cannot be reached.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a failure stands without another try.
const PAUSE: Duration = Duration::from_secs(5);

/// Why there is no document.
pub(crate) trait Failure: Copy + fmt::Debug + Send {
    /// Whether this says nothing about the document, so that the last one still serves.
    fn is_passing(self) -> bool;
}

/// One kept document.
pub(crate) struct Kept<T, E> {
    clock: Arc<dyn Clock>,
    fresh: fn(&T) -> Duration,
    slot: Mutex<Slot<T, E>>,
    /// Held while fetching: this is the single flight.
    flight: tokio::sync::Mutex<()>,
}

struct Slot<T, E> {
    value: Option<(Arc<T>, Duration)>,
    failure: Option<(E, Duration)>,
    renewed: Option<Duration>,
}

impl<T, E: Failure> Kept<T, E> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::lasting(clock, |_| FRESH)
    }

    /// One that says itself how long it is fresh.
    pub(crate) fn lasting(clock: Arc<dyn Clock>, fresh: fn(&T) -> Duration) -> Self {
        let slot = Mutex::new(Slot { value: None, failure: None, renewed: None });
        Self { clock, fresh, slot, flight: tokio::sync::Mutex::new(()) }
    }

    /// The document, fetched if there is none, or none fresh that `fits`.
    pub(crate) async fn current(
        &self,
        fits: impl Fn(&T) -> bool + Send,
        fetch: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Arc<T>, E> {
        if let Some(value) = self.younger(&fits, self.fresh) {
            return Ok(value);
        }
        let _turn = match (self.flight.try_lock(), self.younger(&fits, |_| USABLE)) {
            (Ok(turn), _) => turn,
            // Somebody fetches it at this moment.
            (Err(_), Some(value)) => return Ok(value),
            (Err(_), None) => self.flight.lock().await,
        };
        if let Some(value) = self.younger(&fits, self.fresh) {
            return Ok(value);
        }
        let now = self.clock.monotonic();
        let failure = self.slot().failure;
        let error = match failure {
            Some((error, at)) if now.saturating_sub(at) < PAUSE => error,
            Some(_) | None => match fetch.await {
                Ok(value) => return Ok(self.accept(value)),
                Err(error) => {
                    self.slot().failure = Some((error, self.clock.monotonic()));
                    error
                }
            },
        };
        match self.younger(&fits, |_| USABLE) {
            Some(value) if error.is_passing() => Ok(value),
            Some(_) | None => Err(error),
        }
    }

    /// A newer document than `seen`: one that somebody else just fetched, or one fetched now, if the last time
    /// that was done is at least `interval` ago.
    pub(crate) async fn newer(
        &self,
        seen: &Arc<T>,
        interval: Duration,
        fetch: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Option<Arc<T>>, E> {
        let _turn = self.flight.lock().await;
        let now = self.clock.monotonic();
        {
            let mut slot = self.slot();
            if let Some((value, _)) = &slot.value
                && !Arc::ptr_eq(value, seen)
            {
                return Ok(Some(Arc::clone(value)));
            }
            if slot.renewed.is_some_and(|at| now.saturating_sub(at) < interval) {
                return Ok(None);
            }
            // Written down before the fetch: who gives up on the way has used the turn all the same.
            slot.renewed = Some(now);
        }
        let value = fetch.await?;
        Ok(Some(self.accept(value)))
    }

    /// What is there, fits and is younger than it may be.
    fn younger(&self, fits: &impl Fn(&T) -> bool, limit: fn(&T) -> Duration) -> Option<Arc<T>> {
        let now = self.clock.monotonic();
        let slot = self.slot();
        let (value, at) = slot.value.as_ref()?;
        (fits(value) && now.saturating_sub(*at) < limit(value)).then(|| Arc::clone(value))
    }

    fn accept(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.slot().value = Some((Arc::clone(&value), self.clock.monotonic()));
        value
    }

    fn slot(&self) -> MutexGuard<'_, Slot<T, E>> {
        // Nothing is left half done under this lock.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug, E> fmt::Debug for Kept<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Kept").field("value", &slot.value).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

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

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Away;

    impl Failure for Away {
        fn is_passing(self) -> bool {
            true
        }
    }

    fn kept() -> Kept<u8, Away> {
        Kept::new(Arc::new(Standing))
    }

    #[tokio::test]
    async fn who_comes_too_late_to_renew_takes_what_another_has_renewed() {
        let kept = kept();
        let seen = kept.current(|_| true, ready(Ok(1))).await.unwrap();
        let newer = kept.newer(&seen, PAUSE, ready(Ok(2))).await.unwrap();
        assert_eq!(newer.as_deref(), Some(&2));
        let same = kept.newer(&seen, PAUSE, ready(Ok(3))).await.unwrap();
        assert_eq!(same.as_deref(), Some(&2), "not fetched again, and not refused either");
        assert_eq!(kept.newer(&same.unwrap(), PAUSE, ready(Ok(4))).await, Ok(None));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_fetched_again() {
        let kept = kept();
        kept.current(|_| true, ready(Ok(1))).await.unwrap();
        let other = kept.current(|value| *value == 2, ready(Ok(2))).await.unwrap();
        assert_eq!(*other, 2);
        // And does not serve in its place when that fails.
        let failed = kept.current(|value| *value == 3, ready(Err(Away))).await;
        assert_eq!(failed, Err(Away));
    }

    #[tokio::test]
    async fn who_is_content_with_what_is_there_does_not_wait_for_a_fetch() {
        let kept = kept();
        let seen = kept.current(|_| true, ready(Ok(1))).await.unwrap();
        let mut renewing = Box::pin(kept.newer(&seen, PAUSE, pending()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(renewing.as_mut().poll(&mut context).is_pending());
        assert_eq!(kept.current(|_| true, ready(Err(Away))).await.as_deref(), Ok(&1));
    }
}
