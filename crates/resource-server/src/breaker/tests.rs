use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn user(number: u8) -> Id<User> {
    Id::from_bytes([number; 16])
}

fn breaker(failures: u32) -> Arc<Breaker> {
    Arc::new(Breaker::new(Some(BreakerSettings {
        failures: NonZeroU32::new(failures).unwrap(),
        ..BreakerSettings::default()
    })))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000_000 + seconds)
}

fn go(breaker: &Arc<Breaker>, showed: Showed, seconds: u64) -> Option<Circuit> {
    let (entered, entering) = breaker.enter(user(9), at(seconds));
    assert_eq!(entering, None);
    entered.unwrap().showed(showed, at(seconds)).map(|turned| turned.0)
}

/// Opens it at that second.
fn opened(failures: u32, seconds: u64) -> Arc<Breaker> {
    let breaker = breaker(failures);
    for number in 1..=failures {
        let expected = (number == failures).then_some(Circuit::Open);
        assert_eq!(go(&breaker, Showed::Away, seconds), expected);
    }
    breaker
}

#[test]
fn it_opens_after_failures_in_a_row_and_refuses_at_once_until_the_pause_is_over() {
    let breaker = opened(3, 0);
    assert_eq!((breaker.circuit(), breaker.opened()), (Circuit::Open, 1));
    assert_eq!(breaker.enter(user(9), at(0)).0.unwrap_err(), 5 * SECOND);
    assert_eq!(breaker.enter(user(9), at(4)).0.unwrap_err(), SECOND);
    let (probe, turned) = breaker.enter(user(9), at(5));
    assert_eq!(turned, Some(Turned(Circuit::HalfOpen)));
    assert_eq!(breaker.enter(user(8), at(5)).0.unwrap_err(), 5 * SECOND, "one call tries");
    assert_eq!(probe.unwrap().showed(Showed::Alive, at(6)), Some(Turned(Circuit::Closed)));
    assert_eq!(go(&breaker, Showed::Away, 6), None, "counted anew");
}

#[test]
fn an_answer_in_between_and_a_long_time_make_it_another_row() {
    let breaker = breaker(3);
    for showed in [Showed::Away, Showed::Away, Showed::Alive, Showed::Away, Showed::Away] {
        assert_eq!(go(&breaker, showed, 0), None);
    }
    assert_eq!(go(&breaker, Showed::Away, 61), None, "long after");
    assert_eq!(go(&breaker, Showed::Away, 62), None);
    assert_eq!(go(&breaker, Showed::Away, 122), Some(Circuit::Open), "each within a minute");
}

/// Whoever makes the MCP server fail, by a call that it does not bear, closes it to nobody else.
#[test]
fn one_person_alone_never_opens_it() {
    let breaker = breaker(10);
    for _ in 0..1000 {
        assert_eq!(go(&breaker, Showed::Failed(user(1)), 0), None);
    }
    for number in 1..=5 {
        let expected = (number == 5).then_some(Circuit::Open);
        assert_eq!(go(&breaker, Showed::Failed(user(2)), 0), expected, "{number}");
    }
    let breaker = self::breaker(1);
    assert_eq!(go(&breaker, Showed::Failed(user(1)), 0), None);
    assert_eq!(go(&breaker, Showed::Failed(user(2)), 0), Some(Circuit::Open));
}

#[test]
fn the_pause_grows_while_the_try_fails_and_is_short_again_after_an_answer() {
    let breaker = opened(1, 0);
    let mut now = at(0);
    for (pause, who) in [(5, 1), (10, 2), (20, 1), (40, 2), (40, 1)] {
        assert_eq!(breaker.enter(user(9), now).0.unwrap_err(), pause * SECOND);
        now += pause * SECOND;
        let (probe, _) = breaker.enter(user(who), now);
        assert_eq!(probe.unwrap().showed(Showed::Failed(user(who)), now), Some(Turned(Circuit::Open)));
    }
    assert_eq!(breaker.opened(), 1, "it is the same outage");
    now += 40 * SECOND;
    let (probe, _) = breaker.enter(user(9), now);
    assert_eq!(probe.unwrap().showed(Showed::Alive, now), Some(Turned(Circuit::Closed)));
    let (entered, _) = breaker.enter(user(9), now);
    assert_eq!(entered.unwrap().showed(Showed::Away, now), Some(Turned(Circuit::Open)));
    assert_eq!((breaker.enter(user(9), now).0.unwrap_err(), breaker.opened()), (5 * SECOND, 2));
}

/// The MCP server is well, but for the calls of one person, who makes them as soon as it is allowed.
#[test]
fn one_person_alone_does_not_keep_it_open() {
    let breaker = opened(2, 0);
    let (probe, _) = breaker.enter(user(1), at(5));
    assert_eq!(probe.unwrap().showed(Showed::Failed(user(1)), at(5)), Some(Turned(Circuit::Open)));
    assert_eq!(breaker.enter(user(1), at(15)).0.unwrap_err(), 5 * SECOND, "others go first");
    for second in [20, 25, 30] {
        let (probe, _) = breaker.enter(user(1), at(second));
        assert_eq!(probe.unwrap().showed(Showed::Failed(user(1)), at(second)), Some(Turned(Circuit::Open)));
        assert_eq!(breaker.closed_for(user(2), at(second)), None, "that puts nothing off for others");
        assert_eq!(breaker.enter(user(1), at(second)).0.unwrap_err(), 5 * SECOND);
    }
    let (probe, _) = breaker.enter(user(2), at(30));
    assert_eq!(probe.unwrap().showed(Showed::Alive, at(30)), Some(Turned(Circuit::Closed)));
}

#[test]
fn a_try_that_is_given_up_shows_nothing_and_the_next_call_tries() {
    let breaker = opened(1, 0);
    for who in 1..=3 {
        let (probe, _) = breaker.enter(user(who), at(5));
        drop(probe.unwrap());
        assert_eq!(breaker.circuit(), Circuit::Open);
        assert_eq!(breaker.enter(user(who), at(6)).0.unwrap_err(), 4 * SECOND, "others first");
    }
    // In the closed state too: who gives up is no failure.
    let closed = self::breaker(1);
    drop(closed.enter(user(9), at(0)).0.unwrap());
    assert_eq!(closed.circuit(), Circuit::Closed);
}

#[test]
fn a_try_that_hangs_is_overtaken_and_undoes_nothing() {
    let breaker = opened(1, 0);
    let (hanging, _) = breaker.enter(user(9), at(5));
    assert_eq!(breaker.enter(user(9), at(10)).0.unwrap_err(), 5 * SECOND, "it may be this person's doing");
    let (next, turned) = breaker.enter(user(8), at(10));
    assert_eq!(turned, None, "it is half open already");
    assert_eq!(hanging.unwrap().showed(Showed::Failed(user(1)), at(11)), None);
    assert_eq!(next.unwrap().showed(Showed::Alive, at(12)), Some(Turned(Circuit::Closed)));
    let (late, _) = opened(1, 0).enter(user(9), at(5));
    drop(late);
}

#[test]
fn what_was_on_its_way_before_tells_of_another_time() {
    let breaker = breaker(2);
    let (before, _) = breaker.enter(user(9), at(0));
    let (also, _) = breaker.enter(user(9), at(0));
    for _ in 0..2 {
        let _ = go(&breaker, Showed::Away, 0);
    }
    assert_eq!(before.unwrap().showed(Showed::Away, at(1)), None);
    assert_eq!(also.unwrap().showed(Showed::Alive, at(1)), None);
    assert_eq!(breaker.circuit(), Circuit::Open);
}

#[test]
fn without_settings_it_never_opens() {
    let breaker = Arc::new(Breaker::new(None));
    for number in 0..100 {
        assert_eq!(go(&breaker, Showed::Away, number), None);
    }
}

/// What may happen next in the model.
#[derive(Debug, Clone, Copy)]
enum Event {
    Enter(u8),
    /// The call of this place shows this.
    Show(usize, u8),
    GiveUp(usize),
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (2_u8..5).prop_map(Event::Enter),
        4 => (0_usize..8, 0_u8..5).prop_map(|(place, showed)| Event::Show(place, showed)),
        1 => (0_usize..8).prop_map(Event::GiveUp),
        2 => (0_u64..20).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..200)
}

fn showing(number: u8) -> Showed {
    match number {
        0 => Showed::Alive,
        1 => Showed::Away,
        person => Showed::Failed(user(person)),
    }
}

proptest! {
    /// Whatever happens in whatever order: what is told of changes is where it stands; it opens only after enough failures in
    /// a row; while it is open nobody enters; while it is half open one call a pause does; and an MCP server that answers is
    /// called again after the longest pause, whatever was before.
    #[test]
    fn it_keeps_its_word_in_any_order(events in events()) {
        let breaker = breaker(4);
        let (mut now, mut under_way, mut stands) = (at(0), Vec::<Try>::new(), Circuit::Closed);
        let (mut failures, mut entered_at) = (0_u32, None::<Duration>);
        let told = |turned: Option<Turned>, stands: &mut Circuit| {
            if let Some(Turned(circuit)) = turned {
                assert_ne!(*stands, circuit, "told of a change that is none");
                *stands = circuit;
            }
        };
        for event in events {
            match event {
                Event::Wait(seconds) => now += Duration::from_secs(seconds),
                Event::Enter(who) => {
                    let before = breaker.circuit();
                    let (entered, turned) = breaker.enter(user(who), now);
                    if before == Circuit::HalfOpen && entered.is_ok() {
                        prop_assert!(entered_at.is_none_or(|at| now >= at + 5 * SECOND));
                    }
                    if let Err(wait) = &entered {
                        prop_assert!(before != Circuit::Closed && *wait <= 45 * SECOND && *wait > Duration::ZERO);
                    }
                    if before != Circuit::Closed && entered.is_ok() {
                        entered_at = Some(now);
                    }
                    told(turned, &mut stands);
                    under_way.extend(entered);
                }
                Event::Show(place, number) if place < under_way.len() => {
                    let before = breaker.circuit();
                    let showed = showing(number);
                    let one = under_way.remove(place);
                    let counts = one.probe.is_none();
                    told(one.showed(showed, now), &mut stands);
                    if before == Circuit::Closed && counts {
                        failures = if showed == Showed::Alive { 0 } else { failures + 1 };
                        prop_assert!(breaker.circuit() == Circuit::Closed || failures >= 4);
                    }
                    if breaker.circuit() != Circuit::Closed || before != Circuit::Closed {
                        failures = 0;
                    }
                }
                Event::GiveUp(place) if place < under_way.len() => {
                    let before = breaker.circuit();
                    drop(under_way.remove(place));
                    prop_assert!(breaker.circuit() == before || (before, breaker.circuit()) == (Circuit::HalfOpen, Circuit::Open));
                    stands = breaker.circuit();
                }
                Event::Show(..) | Event::GiveUp(_) => {}
            }
            prop_assert_eq!(stands, breaker.circuit());
        }
        let (entered, _) = breaker.enter(user(9), now + 40 * SECOND);
        prop_assert!(entered.is_ok());
        let _ = entered.unwrap().showed(Showed::Alive, now + 40 * SECOND);
        prop_assert_eq!(breaker.circuit(), Circuit::Closed);
    }
}
