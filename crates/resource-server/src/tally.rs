//! What is counted of the calls of one MCP server: how they ended, and how long those took that went there.
//!
//! Atomics side by side, found by their place: the hot path looks nothing up. It outlives every configuration. Must never be
//! told apart by anything that a client chose.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::counts::Ending;

/// Up to how many milliseconds a call took; behind the last is all that took longer.
const BOUNDS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// The counters of one MCP server, since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    endings: [AtomicU64; Ending::ALL.len()],
    durations: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTally {
    /// How many calls ended how.
    pub endings: Vec<(&'static str, u64)>,
    /// How many calls took up to so long, and longer than the one before; nothing is the end of the last.
    pub durations: Vec<(Option<Duration>, u64)>,
    /// How long these took together.
    pub together: Duration,
}

impl Tally {
    /// A call ended, which took so long if it went there and was no stream.
    pub(crate) fn count(&self, ending: Ending, took: Option<Duration>) {
        add(&self.endings, Ending::ALL.iter().position(|one| *one == ending), 1);
        let Some(took) = took else { return };
        let bucket = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound));
        add(&self.durations, Some(bucket.unwrap_or(BOUNDS.len())), 1);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> CallTally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let endings = Ending::ALL.iter().zip(&self.endings);
        let bounds = BOUNDS.into_iter().map(|bound| Some(Duration::from_millis(bound))).chain([None]);
        CallTally {
            endings: endings.map(|(ending, counter)| (ending.as_str(), read(counter))).collect(),
            durations: bounds.zip(&self.durations).map(|(bound, counter)| (bound, read(counter))).collect(),
            together: Duration::from_micros(read(&self.micros)),
        }
    }
}

fn add(counters: &[AtomicU64], place: Option<usize>, number: u64) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_counted_as_itself() {
        let tally = Tally::default();
        for (times, ending) in Ending::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| tally.count(ending, None));
        }
        let expected: Vec<_> =
            Ending::ALL.iter().zip(0_u64..).map(|(one, times)| (one.as_str(), times)).collect();
        let said = tally.snapshot();
        assert_eq!(said.endings, expected);
        assert!(said.durations.iter().all(|(_, count)| *count == 0), "nothing took any time");
    }

    #[test]
    fn a_call_is_counted_where_its_time_ends() {
        let tally = Tally::default();
        for micros in [0, 5_000, 5_001, 30_000_000, 30_000_001] {
            tally.count(Ending::Answered, Some(Duration::from_micros(micros)));
        }
        let said = tally.snapshot();
        let counts: Vec<u64> = said.durations.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(said.durations.last().map(|(bound, _)| *bound), Some(None));
        assert_eq!(said.together, Duration::from_micros(60_010_002));
    }
}
