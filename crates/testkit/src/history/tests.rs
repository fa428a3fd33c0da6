//! The checker is checked: it takes what may be, and refuses what may not.

use super::*;

const RIGHT: Asked = Asked::Redeem { right: true };
const WRONG: Asked = Asked::Redeem { right: false };

fn token(name: &str) -> Token {
    Token::of(name)
}

fn tokens(name: &str) -> Answered {
    Answered::Tokens(token(name))
}

fn refresh(name: &str) -> Asked {
    Asked::Refresh(token(name))
}

/// `(asked, answered, start, end)`.
fn entries(all: &[(Asked, Answered, u64, u64)]) -> Vec<Entry> {
    let entry = |&(asked, answered, start, end): &(Asked, Answered, u64, u64)| {
        let at = Duration::from_secs;
        Entry { key: String::new(), asked, answered, node: 0, start, end, began: at(start), ended: at(end) }
    };
    all.iter().map(entry).collect()
}

fn code(all: &[(Asked, Answered, u64, u64)]) -> bool {
    explained(&Code { attempts: 3 }, &entries(all)).is_ok()
}

fn family(all: &[(Asked, Answered, u64, u64)]) -> bool {
    explained(&Family { first: token("a") }, &entries(all)).is_ok()
}

#[test]
fn a_code_is_redeemed_once() {
    assert!(
        code(&[(RIGHT, tokens("a"), 0, 3), (RIGHT, Answered::Refused, 1, 2)]),
        "the loser may be first to know"
    );
    assert!(!code(&[(RIGHT, tokens("a"), 0, 3), (RIGHT, tokens("b"), 1, 2)]), "two families");
    assert!(!code(&[(RIGHT, tokens("a"), 0, 1), (RIGHT, tokens("b"), 2, 3)]), "a replay that worked");
    assert!(
        !code(&[(RIGHT, Answered::Refused, 0, 1), (RIGHT, tokens("a"), 2, 3)]),
        "refused before anybody had it"
    );
}

#[test]
fn wrong_verifiers_neither_buy_nor_block_below_the_limit() {
    let wrong = |at: u64| (WRONG, Answered::Refused, at, at + 1);
    assert!(code(&[wrong(0), wrong(2), (RIGHT, tokens("a"), 4, 5)]));
    assert!(!code(&[wrong(0), wrong(2), (RIGHT, Answered::Refused, 4, 5)]), "blocked too early");
    assert!(code(&[wrong(0), wrong(2), wrong(4), (RIGHT, Answered::Refused, 6, 7)]));
    assert!(!code(&[wrong(0), wrong(2), wrong(4), (RIGHT, tokens("a"), 6, 7)]), "beyond the limit");
    assert!(!code(&[(WRONG, tokens("a"), 0, 1)]));
}

#[test]
fn what_was_never_answered_may_have_happened_or_not() {
    let lost = (RIGHT, Answered::Unknown, 0, 1);
    assert!(code(&[lost, (RIGHT, tokens("a"), 2, 3)]));
    assert!(code(&[lost, (RIGHT, Answered::Refused, 2, 3)]));
    assert!(code(&[lost, (RIGHT, tokens("a"), 2, 3), (RIGHT, Answered::Refused, 4, 5)]));
    assert!(!code(&[lost, (RIGHT, Answered::Refused, 2, 3), (RIGHT, tokens("a"), 4, 5)]));
}

#[test]
fn a_family_has_one_live_token_and_repeats_get_it() {
    assert!(family(&[(refresh("a"), tokens("b"), 0, 3), (refresh("a"), tokens("b"), 1, 2)]));
    assert!(
        !family(&[(refresh("a"), tokens("b"), 0, 3), (refresh("a"), tokens("c"), 1, 2)]),
        "two successors"
    );
    assert!(
        !family(&[(refresh("a"), tokens("b"), 0, 1), (refresh("a"), Answered::Refused, 2, 3)]),
        "killed by a repeat"
    );
    assert!(family(&[(refresh("a"), tokens("b"), 0, 1), (refresh("b"), tokens("c"), 2, 3)]));
    assert!(!family(&[(refresh("a"), tokens("a"), 0, 1)]), "no rotation");
}

#[test]
fn an_old_token_ends_the_family_and_the_end_is_for_ever() {
    let on = [(refresh("a"), tokens("b"), 0, 1), (refresh("b"), tokens("c"), 2, 3)];
    let mut all = on.to_vec();
    all.push((refresh("a"), Answered::Refused, 4, 5));
    assert!(family(&all));
    all.push((refresh("c"), tokens("d"), 6, 7));
    assert!(!family(&all), "alive after a theft was seen");
    let mut all = on.to_vec();
    all.push((refresh("a"), tokens("b"), 4, 5));
    assert!(!family(&all), "an old token that still works");
}

#[test]
fn a_revocation_is_a_switch_that_goes_one_way() {
    let revoke = |start, end| (Asked::Revoke, Answered::Done, start, end);
    assert!(family(&[revoke(0, 3), (refresh("a"), tokens("b"), 1, 2)]), "just before");
    assert!(!family(&[revoke(0, 1), (refresh("a"), tokens("b"), 2, 3)]), "undone");
    assert!(family(&[revoke(0, 1), (refresh("a"), Answered::Refused, 2, 3)]));
    assert!(!family(&[(refresh("a"), Answered::Refused, 0, 1), revoke(2, 3)]), "dead before its time");
    let unheard = (Asked::Revoke, Answered::Unknown, 0, 1);
    assert!(family(&[unheard, (refresh("a"), tokens("b"), 2, 3), (refresh("b"), Answered::Refused, 4, 5)]));
    assert!(!family(&[unheard, (refresh("a"), Answered::Refused, 2, 3), (refresh("a"), tokens("b"), 4, 5)]));
}

#[test]
fn a_lost_answer_is_made_good_by_asking_again() {
    let lost = (refresh("a"), Answered::Unknown, 0, 1);
    assert!(family(&[lost, (refresh("a"), tokens("b"), 2, 3), (refresh("b"), tokens("c"), 4, 5)]));
    assert!(!family(&[lost, (refresh("a"), Answered::Refused, 2, 3)]), "signed out by our own crash");
    assert!(!family(&[lost, (refresh("a"), tokens("b"), 2, 3), (refresh("a"), tokens("c"), 4, 5)]));
}

#[test]
fn a_late_call_is_measured() {
    let history = History::default();
    let at = Duration::from_millis;
    let put = |asked, began, ended| {
        let entry = Entry {
            key: "family".to_owned(),
            asked,
            answered: Answered::Done,
            node: 0,
            start: 0,
            end: 0,
            began: at(began),
            ended: at(ended),
        };
        history.lock().push(entry);
    };
    put(Asked::Call, 0, 5);
    put(Asked::Revoke, 10, 20);
    assert_eq!(history.slowest_revocation(), Duration::ZERO);
    put(Asked::Call, 1_700, 1_800);
    assert_eq!(history.slowest_revocation(), at(1_680));
}

#[test]
fn a_long_history_that_nothing_explains_is_refused_soon() {
    let mut all = vec![(RIGHT, tokens("a"), 0, 1_000), (RIGHT, tokens("b"), 1, 1_001)];
    all.extend(
        (2..60).map(|at| (if at % 7 == 0 { WRONG } else { RIGHT }, Answered::Refused, at, 1_000 + at)),
    );
    assert!(!code(&all));
    all.remove(1);
    assert!(code(&all));
}
