use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::fixture::TestClock;

fn one(per: Per) -> Limit {
    Limit {
        tool: None,
        per,
        calls_per_minute: None,
        calls_at_once: None,
        calls_in_progress: None,
        bytes_per_hour: None,
    }
}

fn limits(told: &[Limit]) -> Limits {
    Limits::new(told.to_vec(), TestClock::new())
}

fn user(number: u16) -> Id<User> {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Id::from_bytes(bytes)
}

fn call(number: u16, client: &str) -> Drawn<'_> {
    Drawn { user: user(number), client, tool: Some("search"), is_request: true }
}

fn at(millis: u64) -> Duration {
    Duration::from_secs(1_000_000) + Duration::from_millis(millis)
}

fn refused(limits: &Limits, call: Drawn<'_>, millis: u64) -> Option<(Exhausted, Duration)> {
    limits.take(call, at(millis)).err().map(|reached| (reached.exhausted, reached.retry_after))
}

#[test]
fn so_many_calls_at_once_and_then_one_for_each_interval() {
    let limit = Limit {
        calls_per_minute: NonZeroU32::new(60),
        calls_at_once: NonZeroU32::new(3),
        ..one(Per::Person)
    };
    let limits = limits(&[limit]);
    for _ in 0..3 {
        assert_eq!(refused(&limits, call(1, "a"), 0), None);
    }
    assert_eq!(refused(&limits, call(1, "b"), 0), Some((Exhausted::Person, Duration::from_secs(1))));
    assert_eq!(refused(&limits, call(2, "a"), 0), None, "another person");
    assert_eq!(refused(&limits, call(1, "a"), 400), Some((Exhausted::Person, Duration::from_millis(600))));
    assert_eq!(refused(&limits, call(1, "a"), 1000), None);
    assert!(refused(&limits, call(1, "a"), 1000).is_some());
}

#[test]
fn without_a_word_as_many_at_once_as_in_a_minute() {
    let limits = limits(&[Limit { calls_per_minute: NonZeroU32::new(30), ..one(Per::Server) }]);
    for number in 0..30 {
        assert_eq!(refused(&limits, call(number, "a"), 0), None);
    }
    assert_eq!(refused(&limits, call(99, "z"), 0), Some((Exhausted::Server, Duration::from_secs(2))));
}

#[test]
fn a_limit_of_a_tool_is_not_about_other_calls() {
    let limit =
        Limit { tool: Some("search".to_owned()), calls_per_minute: NonZeroU32::new(1), ..one(Per::Client) };
    let limits = limits(&[limit]);
    assert_eq!(refused(&limits, call(1, "a"), 0), None);
    assert!(matches!(refused(&limits, call(2, "a"), 0), Some((Exhausted::Tool, _))));
    assert_eq!(refused(&limits, call(1, "b"), 0), None, "another client");
    for tool in [None, Some("other")] {
        assert_eq!(refused(&limits, Drawn { tool, ..call(1, "a") }, 0), None, "{tool:?}");
    }
}

#[test]
fn what_is_in_progress_is_given_back_and_only_requests_are_in_progress() {
    let limits = limits(&[Limit { calls_in_progress: NonZeroU32::new(2), ..one(Per::Server) }]);
    let first = limits.take(call(1, "a"), at(0)).unwrap();
    let second = limits.take(call(2, "b"), at(0)).unwrap();
    assert_eq!(refused(&limits, call(3, "c"), 0), Some((Exhausted::Server, SOON)));
    assert_eq!(refused(&limits, Drawn { is_request: false, ..call(3, "c") }, 0), None);
    drop(first);
    assert_eq!(refused(&limits, call(3, "c"), 0), None);
    drop(second);
}

/// Whoever is refused by one limit draws nothing from the others, whichever stands first.
#[test]
fn who_is_refused_takes_nothing_from_anybody() {
    let mine = Limit { calls_per_minute: NonZeroU32::new(1), ..one(Per::Person) };
    let of_all = Limit { calls_per_minute: NonZeroU32::new(3), ..one(Per::Server) };
    for told in [[mine.clone(), of_all.clone()], [of_all, mine]] {
        let limits = limits(&told);
        assert_eq!(refused(&limits, call(1, "a"), 0), None);
        for _ in 0..50 {
            assert!(matches!(refused(&limits, call(1, "a"), 0), Some((Exhausted::Person, _))));
        }
        assert_eq!(refused(&limits, call(2, "a"), 0), None);
        assert_eq!(refused(&limits, call(3, "a"), 0), None);
        for _ in 0..50 {
            assert!(matches!(refused(&limits, call(4, "a"), 0), Some((Exhausted::Server, _))));
        }
        // A third of a minute later there is one more for all, and the fourth person's own is untouched.
        assert_eq!(refused(&limits, call(4, "a"), 20_000), None);
    }
}

#[test]
fn bytes_are_counted_when_they_have_passed_and_the_next_call_waits_for_them() {
    let clock = TestClock::new();
    let limit = Limit { bytes_per_hour: NonZeroU64::new(3_600), ..one(Per::Person) };
    let limits = Limits::new(vec![limit], Arc::clone(&clock) as _);
    let toll = |bytes: u64| {
        let (bytes_of, held) = limits.take(call(1, "a"), clock.monotonic()).unwrap();
        Toll { clock: Arc::clone(&clock) as _, bytes: bytes_of, _held: held }.passed(bytes);
    };
    let wait = || limits.take(call(1, "a"), clock.monotonic()).err().map(|reached| reached.retry_after);
    toll(3_599);
    assert_eq!(wait(), None, "one byte is left");
    toll(11);
    assert_eq!(wait(), Some(Duration::from_secs(11)));
    clock.advance(Duration::from_secs(11));
    assert_eq!(wait(), None);
    // Far more than there is, and still nobody waits for longer than an hour.
    toll(u64::MAX);
    let longest = wait().unwrap();
    assert!(longest <= HOUR + Duration::from_secs(1), "{longest:?}");
    assert!(limits.take(call(2, "a"), clock.monotonic()).is_ok(), "another person");
}

#[test]
fn budgets_that_are_whole_again_are_forgotten_and_others_are_not() {
    let limit = Limit {
        calls_per_minute: NonZeroU32::new(1),
        calls_in_progress: NonZeroU32::new(1),
        ..one(Per::Person)
    };
    let limits = limits(&[limit]);
    let held = limits.take(call(0, "a"), at(0)).unwrap();
    for number in 1..20_000 {
        // Each is whole again after a minute, in which a hundred came.
        assert_eq!(refused(&limits, call(number, "a"), u64::from(number) * 600), None);
        if let Some(before) = number.checked_sub(50).filter(|before| *before > 0) {
            assert!(
                refused(&limits, call(before, "a"), u64::from(number) * 600).is_some(),
                "after half of it"
            );
        }
    }
    let kept = limits.rules[0].budgets.lock().unwrap().by_key.len();
    assert!(kept <= 2 * SLACK, "{kept}");
    assert!(refused(&limits, call(0, "a"), 20_000 * 600).is_some(), "still in progress");
    drop(held);
    assert_eq!(refused(&limits, call(0, "a"), 20_000 * 600), None);
}

proptest! {
    /// In no stretch of time do more calls come through than what may come at once and what came back in it.
    #[test]
    fn no_more_comes_through_than_may(
        per_minute in 1_u32..600, at_once in 1_u32..50, steps in prop::collection::vec(0_u64..3_000, 1..300),
    ) {
        let limit = Limit {
            calls_per_minute: NonZeroU32::new(per_minute),
            calls_at_once: NonZeroU32::new(at_once),
            ..one(Per::Server)
        };
        let limits = limits(&[limit]);
        let (mut now, mut through) = (0, Vec::new());
        for step in steps {
            now += step;
            match refused(&limits, call(1, "a"), now) {
                None => through.push(now),
                // What was promised is kept.
                Some((_, wait)) => {
                    let later = now + u64::try_from(wait.as_millis()).unwrap() + 1;
                    prop_assert!(limits.rules[0].look(&limits.rules[0].budget(call(1, "a"), at(later)), at(later)).is_ok());
                }
            }
        }
        for (first, from) in through.iter().enumerate() {
            for (last, to) in through.iter().enumerate().skip(first) {
                let came = u64::try_from(last - first + 1).unwrap();
                let may = u64::from(at_once) + (to - from) * u64::from(per_minute) / 60_000 + 1;
                prop_assert!(came <= may, "{came} of {may} in {} ms", to - from);
            }
        }
        prop_assert!(limits.rules[0].budgets.lock().unwrap().by_key.values().all(|b| b.in_progress.load(Ordering::Relaxed) == 0));
    }
}
