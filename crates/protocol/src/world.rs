//! The two powers of the world, asked for by name: time ([`Clock`]) and chance ([`Entropy`]).
//!
//! They are given once, at the front door, and handed down. Nothing here reads a clock or a random source,
//! and nothing anywhere else may.

mod apart;
mod steady;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use apart::{CLOCK_MAY_DIFFER, between_nodes};
pub use steady::Steady;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A moment: microseconds since 1970-01-01T00:00:00Z, as the record keeps it.
///
/// All arithmetic saturates: no time that a peer or a row names can make it wrap or panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many microseconds after 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment so many whole seconds after 1970 (the `NumericDate` of RFC 7519, section 2).
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The moment so much later; the last one that can be told, if there is none.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// The moment so much earlier; the first one that can be told, if there is none.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }

    /// How long after `earlier` this is; zero if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => fmt::Display::fmt(&moment, f),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// What time it is.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day. It may be set: never subtract two of these to measure.
    fn now(&self) -> Timestamp;

    /// Time since some fixed start; it never goes back.
    fn monotonic(&self) -> Duration;

    /// The time of day that it is at least, if it is in doubt: what is removed for good is removed by this.
    fn earliest(&self) -> Timestamp {
        self.now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn earliest(&self) -> Timestamp {
        (**self).earliest()
    }
}

/// Chance, fit for keys.
///
/// Filling cannot fail: a process that has no randomness is ended by its implementation, because no answer
/// it could give would be safe.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Overwrites the whole buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// How lately something was read that others rely on: noted by who reads it, asked by who relies on it.
///
/// What is not fresh is not wrong, but nobody knows: the one who asks must then do without.
#[derive(Debug)]
pub struct Freshness {
    within: Duration,
    /// Microseconds of the monotonic clock at which the last reading that succeeded was begun.
    read_at: AtomicU64,
    /// The clock of this node is not the one of the record: nothing may be judged by it.
    clock_differs: AtomicBool,
}

impl Freshness {
    const NEVER: u64 = u64::MAX;

    /// Nothing was read yet; a reading counts for so long.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self { within, read_at: AtomicU64::new(Self::NEVER), clock_differs: AtomicBool::new(false) }
    }

    /// Of what does not change.
    #[must_use]
    pub const fn for_ever() -> Self {
        Self { within: Duration::MAX, read_at: AtomicU64::new(0), clock_differs: AtomicBool::new(false) }
    }

    /// Whether the clock of this node was found to be another than that of what is read; it is not fresh then.
    pub fn note_clock(&self, differs: bool) {
        self.clock_differs.store(differs, Ordering::Release);
    }

    /// What was noted last.
    #[must_use]
    pub fn clock_differs(&self) -> bool {
        self.clock_differs.load(Ordering::Acquire)
    }

    /// A reading that was begun at this moment of the monotonic clock has succeeded.
    pub fn note(&self, begun: Duration) {
        let micros = u64::try_from(begun.as_micros()).unwrap_or(Self::NEVER - 1);
        self.read_at.store(micros, Ordering::Release);
    }

    /// How old the last reading is at this moment of the monotonic clock; of nothing read, older than anything.
    #[must_use]
    pub fn age(&self, monotonic: Duration) -> Duration {
        match self.read_at.load(Ordering::Acquire) {
            Self::NEVER => Duration::MAX,
            read_at => monotonic.saturating_sub(Duration::from_micros(read_at)),
        }
    }

    /// Whether the last reading is young enough at this moment of the monotonic clock.
    #[must_use]
    pub fn is_fresh(&self, monotonic: Duration) -> bool {
        let read_at = self.read_at.load(Ordering::Acquire);
        !self.clock_differs()
            && read_at != Self::NEVER
            && monotonic.saturating_sub(Duration::from_micros(read_at)) <= self.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_down_on_both_sides_of_1970() {
        assert_eq!(Timestamp::from_micros(1_999_999).secs(), 1);
        assert_eq!(Timestamp::from_micros(-1).secs(), -1);
        assert_eq!(Timestamp::from_secs(-3).secs(), -3);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Timestamp::from_micros(i64::MAX);
        let start = Timestamp::from_micros(i64::MIN);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(start.minus(Duration::MAX), start);
        assert_eq!(Timestamp::from_secs(i64::MAX), end);
        assert_eq!(end.since(start), Duration::from_micros(u64::MAX));
    }

    #[test]
    fn a_moment_before_is_zero_time_ago() {
        let earlier = Timestamp::from_secs(10);
        let later = earlier.plus(Duration::from_millis(1500));
        assert_eq!(later.since(earlier), Duration::from_millis(1500));
        assert_eq!(earlier.since(later), Duration::ZERO);
        assert_eq!(later.minus(Duration::from_millis(1500)), earlier);
    }

    #[test]
    fn what_was_read_long_ago_or_never_is_not_fresh() {
        let at = Duration::from_secs;
        let read = Freshness::new(at(5));
        assert!(!read.is_fresh(at(0)) && !read.is_fresh(at(100)));
        read.note(at(100));
        assert!(read.is_fresh(at(100)) && read.is_fresh(at(105)) && !read.is_fresh(at(106)));
        read.note_clock(true);
        assert!(!read.is_fresh(at(100)), "by a clock that is wrong nothing is fresh");
        read.note_clock(false);
        assert!(read.is_fresh(at(100)));
        assert!(Freshness::for_ever().is_fresh(Duration::MAX));
    }

    #[test]
    fn a_moment_is_shown_as_a_date() {
        assert_eq!(format!("{:?}", Timestamp::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(format!("{:?}", Timestamp::from_micros(i64::MAX)), format!("{} us", i64::MAX));
    }
}
