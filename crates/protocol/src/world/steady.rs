//! A clock that a jump of the time of day cannot fool (attacks.md, I-3, I-13): what has ended is not brought back when the
//! time is set back, and what is still needed is not thrown away when it is set forward.
//!
//! The time of day is compared with the clock that never jumps. Where the two disagree, either may be right: what ends, ends
//! by the later one ([`Clock::now`]); what is removed for good, is removed by the earlier one ([`Clock::earliest`]). A time
//! of day that stays is believed when every token from before is over by it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Clock, Timestamp};

/// Differences up to this are clocks being adjusted: followed forward at once, and back never, or many small steps back
/// would make a large one.
const ADJUSTED: i64 = 1_000_000;
/// The longest life of an access token (product.md, P-1), and how far the clocks of nodes may lie apart.
const BELIEVED_AFTER: Duration = Duration::from_secs(65 * 60);

/// The clock that it wraps, made steady.
#[derive(Debug)]
pub struct Steady<C> {
    clock: C,
    /// In microseconds: how far the time of day was ahead of the clock that never jumps when the two last agreed.
    believed: AtomicI64,
    /// Whether they disagree; and how far it is ahead now, since when.
    disagree: AtomicBool,
    apart: Mutex<Option<(i64, Duration)>>,
}

impl<C: Clock> Steady<C> {
    /// Believes what the clock says now.
    pub fn new(clock: C) -> Self {
        let believed = AtomicI64::new(ahead(clock.now(), clock.monotonic()));
        Self { clock, believed, disagree: AtomicBool::new(false), apart: Mutex::new(None) }
    }

    /// The time by what was believed so far, and the time of day.
    fn both(&self) -> (Timestamp, Timestamp) {
        // In this order: whoever is interrupted in between must not seem to be ahead.
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        let ahead = ahead(wall, monotonic);
        let mut believed = self.believed.load(Ordering::Acquire);
        if self.disagree.load(Ordering::Acquire) || ahead > believed || !near(ahead, believed) {
            believed = self.compare(ahead, monotonic);
        }
        (Timestamp::from_micros(micros(monotonic).saturating_add(believed)), wall)
    }

    /// What is to be believed from now on.
    fn compare(&self, ahead: i64, monotonic: Duration) -> i64 {
        let mut apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = self.believed.load(Ordering::Acquire);
        let (now, still) = if near(ahead, believed) {
            (believed.max(ahead), None)
        } else {
            match *apart {
                Some((same, since)) if near(ahead, same) => {
                    let set_back = believed.saturating_sub(ahead).max(0).unsigned_abs();
                    let enough = BELIEVED_AFTER.saturating_add(Duration::from_micros(set_back));
                    if monotonic.saturating_sub(since) > enough { (ahead, None) } else { (believed, *apart) }
                }
                Some(_) | None => (believed, Some((ahead, monotonic))),
            }
        };
        *apart = still;
        self.believed.store(now, Ordering::Release);
        self.disagree.store(still.is_some(), Ordering::Release);
        now
    }
}

fn micros(monotonic: Duration) -> i64 {
    i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX)
}

fn ahead(wall: Timestamp, monotonic: Duration) -> i64 {
    wall.micros().saturating_sub(micros(monotonic))
}

const fn near(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= ADJUSTED.unsigned_abs()
}

impl<C: Clock> Clock for Steady<C> {
    fn now(&self) -> Timestamp {
        let (believed, wall) = self.both();
        believed.max(wall)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn earliest(&self) -> Timestamp {
        let (believed, wall) = self.both();
        believed.min(wall)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// Seconds of the time of day, and of the clock that never jumps.
    #[derive(Debug, Default)]
    struct Hands(AtomicI64, AtomicI64);

    impl Clock for &Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(self.0.load(Ordering::SeqCst))
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.1.load(Ordering::SeqCst).unsigned_abs())
        }
    }

    impl Hands {
        fn pass(&self, seconds: i64) {
            self.0.fetch_add(seconds, Ordering::SeqCst);
            self.1.fetch_add(seconds, Ordering::SeqCst);
        }

        fn jump(&self, seconds: i64) {
            self.0.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    const HOUR: i64 = 3_600;

    fn both(clock: &Steady<&Hands>) -> (i64, i64) {
        (clock.now().secs(), clock.earliest().secs())
    }

    #[test]
    fn time_that_passes_is_told_as_it_is() {
        let hands = Hands::default();
        hands.pass(100);
        let clock = Steady::new(&hands);
        assert_eq!(both(&clock), (100, 100));
        hands.pass(7 * HOUR);
        assert_eq!(both(&clock), (7 * HOUR + 100, 7 * HOUR + 100));
    }

    #[test]
    fn what_ends_ends_by_the_later_and_what_goes_goes_by_the_earlier() {
        for jump in [HOUR, -HOUR, 87_600 * HOUR] {
            let hands = Hands::default();
            hands.pass(10 * HOUR);
            let clock = Steady::new(&hands);
            both(&clock);
            hands.jump(jump);
            hands.pass(60);
            let (believed, wall) = (10 * HOUR + 60, 10 * HOUR + 60 + jump);
            assert_eq!(both(&clock), (believed.max(wall), believed.min(wall)));
            // Set right again: as if nothing had been.
            hands.jump(-jump);
            assert_eq!(both(&clock), (believed, believed));
        }
    }

    #[test]
    fn a_time_that_stays_is_believed_when_no_token_from_before_can_be_alive() {
        let hands = Hands::default();
        hands.pass(10 * HOUR);
        let clock = Steady::new(&hands);
        both(&clock);
        hands.jump(-HOUR);
        both(&clock);
        let enough = HOUR + 65 * 60;
        hands.pass(enough);
        assert_eq!(both(&clock).0, 10 * HOUR + enough);
        hands.pass(1);
        // A token of an hour from before the jump is over by what is believed now.
        assert_eq!(both(&clock), (9 * HOUR + enough + 1, 9 * HOUR + enough + 1));
    }

    #[test]
    fn another_jump_has_to_stay_as_long() {
        let hands = Hands::default();
        hands.pass(10 * HOUR);
        let clock = Steady::new(&hands);
        both(&clock);
        hands.jump(HOUR);
        both(&clock);
        hands.pass(64 * 60);
        hands.jump(5 * HOUR);
        both(&clock);
        hands.pass(2 * 60);
        assert_eq!(both(&clock).1, 10 * HOUR + 66 * 60);
    }

    #[test]
    fn small_steps_back_do_not_add_up() {
        let hands = Hands::default();
        hands.pass(10 * HOUR);
        let clock = Steady::new(&hands);
        for _ in 0..100 {
            both(&clock);
            hands.jump(-1);
        }
        assert_eq!(both(&clock).0, 10 * HOUR);
    }
}
