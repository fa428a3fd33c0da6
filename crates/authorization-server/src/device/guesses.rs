//! How many wrong user codes are looked at, from wherever they come (RFC 8628, section 5.1): whoever guesses from many
//! addresses has no more of them than whoever guesses from one.
//!
//! Ten thousand codes can be open at once, at most. A hundred guesses a minute hit one of them, of 20 to the 8th, in the ten
//! minutes of their lives with a chance of one in two and a half thousand; of a hundred, one in a quarter of a million.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong codes a minute.
const A_MINUTE: u32 = 100;

/// The wrong codes of this minute.
#[derive(Debug)]
pub(crate) struct Guesses {
    minute_and_wrong: Mutex<(u64, u32)>,
}

impl Guesses {
    pub(crate) const fn new() -> Self {
        Self { minute_and_wrong: Mutex::new((0, 0)) }
    }

    /// Whether another code is looked at. Taking it is a wrong guess until [`Guesses::was_right`] says otherwise, so that
    /// guesses at the same instant are all counted.
    pub(crate) fn take(&self, monotonic: Duration) -> bool {
        let minute = monotonic.as_secs() / 60;
        let mut held = self.minute_and_wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != minute {
            *held = (minute, 0);
        }
        let may = held.1 < A_MINUTE;
        held.1 = held.1.saturating_add(u32::from(may));
        may
    }

    /// The code that was taken was a right one.
    pub(crate) fn was_right(&self) {
        let mut held = self.minute_and_wrong.lock().unwrap_or_else(PoisonError::into_inner);
        held.1 = held.1.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wrong_guesses_are_looked_at_in_a_minute_and_right_ones_cost_nothing() {
        let guesses = Guesses::new();
        let at = |second: u64| Duration::from_secs(second);
        for _ in 0..1000 {
            assert!(guesses.take(at(0)));
            guesses.was_right();
        }
        assert_eq!((0..500).filter(|_| guesses.take(at(30))).count(), 100);
        assert!(!guesses.take(at(59)));
        assert!(guesses.take(at(60)));
    }
}
