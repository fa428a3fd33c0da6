//! Of several nodes one sends the audit, and another goes on where it ended.

use store::AuditSending as _;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    one_node_sends_at_a_time_and_the_next_goes_on_where_it_ended,
    of_nodes_that_begin_at_once_one_has_the_turn,
    f_13_a_turn_that_was_taken_by_a_wrong_clock_binds_nobody,
}

const ONE: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

async fn one_node_sends_at_a_time_and_the_next_goes_on_where_it_ended(store: Opened) {
    let (end, later) = (NOW.plus(MINUTE), NOW.plus(2 * MINUTE));
    let take = async |node, now, until| store.take_sending_turn(node, now, until).await.unwrap();
    assert_eq!(take(ONE, NOW, end).await, Some(0));
    assert_eq!(take(OTHER, NOW, end).await, None);
    assert_eq!(take(ONE, NOW, end).await, Some(0), "it is kept");
    assert!(store.sent_audit(ONE, (0, 7), end).await.unwrap());
    assert!(!store.sent_audit(ONE, (0, 8), end).await.unwrap(), "from where it is not any more");
    assert!(!store.sent_audit(OTHER, (7, 8), end).await.unwrap(), "not its turn");
    // The node is gone without a word.
    assert_eq!(take(OTHER, end, later).await, Some(7));
    assert!(!store.sent_audit(ONE, (7, 9), later).await.unwrap(), "it comes too late");
    assert!(store.sent_audit(OTHER, (7, 9), later).await.unwrap());
    // It gives the turn back.
    assert_eq!(take(OTHER, end, end).await, Some(9));
    assert_eq!(take(ONE, end, later).await, Some(9));
}

async fn f_13_a_turn_that_was_taken_by_a_wrong_clock_binds_nobody(store: Opened) {
    let ahead = NOW.plus(10 * 365 * 24 * 60 * MINUTE);
    assert!(store.take_sending_turn(ONE, ahead, ahead.plus(5 * MINUTE)).await.unwrap().is_some());
    assert_eq!(store.take_sending_turn(OTHER, NOW, NOW.plus(5 * MINUTE)).await.unwrap(), Some(0));
    assert_eq!(store.take_sending_turn(ONE, NOW, NOW.plus(5 * MINUTE)).await.unwrap(), None);
    // Given back by whoever does not have it.
    assert_eq!(store.take_sending_turn(ONE, NOW, NOW).await.unwrap(), None);
}

async fn of_nodes_that_begin_at_once_one_has_the_turn(store: Opened) {
    let another = store.another().await;
    let end = NOW.plus(MINUTE);
    let (one, other) =
        tokio::join!(store.take_sending_turn(ONE, NOW, end), another.take_sending_turn(OTHER, NOW, end));
    let turns = [one.unwrap(), other.unwrap()];
    assert_eq!(turns.iter().flatten().count(), 1, "{turns:?}");
}
