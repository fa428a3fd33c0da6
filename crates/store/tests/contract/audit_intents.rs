//! Calls that may change something are there until their event is, and do not get lost with their node.

use std::time::Duration;

use store::{
    Appended, AuditBlock, AuditBlocks as _, AuditEvent, AuditFilter, AuditIntents as _, AuditKind, CallBatch,
    CallEvent, CallIntent, Outcome, Queries as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    an_intent_stays_until_the_event_of_its_call_is_written,
    intents_are_found_by_who_and_where,
    calls_of_a_node_that_is_gone_become_events_of_unknown_outcome_once,
    calls_of_a_node_that_is_heard_of_are_left_alone,
    f_13_a_node_that_was_seen_by_a_wrong_clock_is_gone_all_the_same,
    how_a_call_ended_that_was_settled_is_told_beside_its_event,
    a_call_has_one_event_also_if_it_ends_while_it_is_settled,
}

const NODE: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

fn intent(number: u64) -> CallIntent {
    CallIntent {
        id: id(number),
        at: NOW,
        user: id(number % 2),
        client_id: "dcr_a".to_owned(),
        server: if number < 10 { "docs" } else { "mail" }.to_owned(),
        grant: id(3),
        method: "tools/call".to_owned(),
        called: Some("send".to_owned()),
        name: Some("alice@example.com".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    }
}

fn ended(number: u64) -> CallEvent<'static> {
    CallEvent {
        id: id(number),
        at: NOW,
        outcome: Outcome::Ok,
        reason: None,
        user: Some(id(1)),
        client_id: Some("dcr_a"),
        server: Some("docs"),
        grant: None,
        subject: None,
        method: "tools/call",
        name: Some("send"),
        status: 200,
        duration_ms: 1,
        bytes: 2,
    }
}

async fn on_their_way(store: &Opened) -> Vec<u64> {
    let rows = store.list_intents(AuditFilter::default(), 1000).await.unwrap();
    rows.iter().map(|row| (0..100).find(|number| row.id == id(*number)).unwrap()).collect()
}

async fn an_intent_stays_until_the_event_of_its_call_is_written(store: Opened) {
    let intents: Vec<CallIntent> = (0..40).map(intent).collect();
    store.append_intents(NODE, &intents, NOW).await.unwrap();
    // Sent again, because an answer was lost.
    store.append_intents(NODE, &intents, NOW).await.unwrap();
    assert_eq!(on_their_way(&store).await, (0..40).collect::<Vec<_>>());
    let row = &store.list_intents(AuditFilter::default(), 1).await.unwrap()[0];
    assert_eq!((row.outcome, row.user, row.grant), (Outcome::Unknown, Some(id(0)), Some(id(3))));
    assert_eq!((row.name.as_deref(), row.address.as_deref()), (Some("alice@example.com"), Some("192.0.2.7")));
    let over: Vec<_> = (0..37).map(id).collect();
    store.append_blocks(&AuditBlock::pack((0..37).map(ended).collect()), &[], &over).await.unwrap();
    assert_eq!(on_their_way(&store).await, [37, 38, 39]);
    assert_eq!(store.list_audit(AuditFilter::default(), None, 100).await.unwrap().len(), 37);
}

async fn intents_are_found_by_who_and_where(store: Opened) {
    store.append_intents(NODE, &[intent(1), intent(2), intent(11)], NOW).await.unwrap();
    let find = async |filter: AuditFilter| store.list_intents(filter, 10).await.unwrap().len();
    assert_eq!(find(AuditFilter { user: Some(id(1)), ..AuditFilter::default() }).await, 2);
    assert_eq!(find(AuditFilter { server: Some("mail".to_owned()), ..AuditFilter::default() }).await, 1);
    assert_eq!(find(AuditFilter { client_id: Some("dcr_b".to_owned()), ..AuditFilter::default() }).await, 0);
    assert_eq!(find(AuditFilter { since: Some(NOW.plus(MINUTE)), ..AuditFilter::default() }).await, 0);
    assert_eq!(find(AuditFilter { kind: Some(AuditKind::SignIn), ..AuditFilter::default() }).await, 0);
    assert_eq!(find(AuditFilter { kind: Some(AuditKind::Call), ..AuditFilter::default() }).await, 3);
}

async fn calls_of_a_node_that_is_gone_become_events_of_unknown_outcome_once(store: Opened) {
    let intents: Vec<CallIntent> =
        (0..150).map(|number| CallIntent { id: id(number), ..intent(1) }).collect();
    store.append_intents(NODE, &intents, NOW).await.unwrap();
    assert_eq!(store.settle_intents(NOW.plus(MINUTE), [5; 16]).await.unwrap(), 0, "it may be there yet");
    let later = NOW.plus(2 * MINUTE);
    // Two nodes find it at once.
    let another = store.another().await;
    let (one, other) =
        tokio::join!(store.settle_intents(later, [5; 16]), another.settle_intents(later, [5; 16]));
    let settled = one.unwrap() + other.unwrap() + store.settle_intents(later, [5; 16]).await.unwrap();
    assert_eq!(settled, 150);
    assert!(on_their_way(&store).await.is_empty());
    let rows = store.list_audit(AuditFilter::default(), None, 1000).await.unwrap();
    assert_eq!(rows.len(), 150);
    assert!(rows.iter().all(|row| row.outcome == Outcome::Unknown && row.kind == "call"));
    let row = &rows[0];
    assert_eq!((row.reason.as_deref(), row.at, row.user), (Some("node_gone"), later, Some(id(1))));
    assert_eq!((row.detail["begun_at"].as_str(), row.detail["name"].as_str()), ("1800000000123456", "send"));
    assert_eq!((row.name.as_deref(), row.address.as_deref()), (Some("alice@example.com"), Some("192.0.2.7")));
}

async fn calls_of_a_node_that_is_heard_of_are_left_alone(store: Opened) {
    store.append_intents(NODE, &[intent(1)], NOW).await.unwrap();
    store.append_intents(OTHER, &[intent(2)], NOW).await.unwrap();
    store.note_node(OTHER, NOW.plus(2 * MINUTE)).await.unwrap();
    assert_eq!(
        store.settle_intents(NOW.plus(2 * MINUTE + Duration::from_secs(1)), [5; 16]).await.unwrap(),
        1
    );
    assert_eq!(on_their_way(&store).await, [2]);
}

async fn f_13_a_node_that_was_seen_by_a_wrong_clock_is_gone_all_the_same(store: Opened) {
    store.append_intents(NODE, &[intent(1)], NOW.plus(10 * 365 * 24 * 60 * MINUTE)).await.unwrap();
    store.append_intents(OTHER, &[intent(2)], NOW.plus(4 * 60 * MINUTE)).await.unwrap();
    assert_eq!(store.settle_intents(NOW, [5; 16]).await.unwrap(), 1);
    assert_eq!(on_their_way(&store).await, [2], "by some hours it may be there yet");
}

async fn how_a_call_ended_that_was_settled_is_told_beside_its_event(store: Opened) {
    store.append_intents(NODE, &[intent(1), intent(2)], NOW).await.unwrap();
    assert_eq!(store.settle_intents(NOW.plus(2 * MINUTE), [5; 16]).await.unwrap(), 2);
    store.append_intents(OTHER, &[intent(3)], NOW).await.unwrap();
    let over = [id(1), id(3)];
    let both = AuditBlock::pack(vec![ended(1), ended(3)]);
    let told = async || {
        let rows = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
        let mut told: Vec<_> = rows.into_iter().map(|row| (row.kind, row.outcome)).collect();
        told.sort();
        told
    };
    let before = told().await;
    assert_eq!(store.append_blocks(&both, &[], &over).await.unwrap(), Appended::Settled(vec![id(1)]));
    assert_eq!((told().await, on_their_way(&store).await), (before, vec![3]), "all or nothing");
    let event = AuditEvent { id: id(11), ..event(AuditKind::CallEnded) };
    let blocks = AuditBlock::pack(vec![ended(3)]);
    let batch = CallBatch { blocks: &blocks, rows: &[event], subjects: &[], over: &over, late: &[id(1)] };
    // Sent again, because an answer was lost.
    for _ in 0..2 {
        assert_eq!(store.append_calls(batch).await.unwrap(), Appended::Done);
        let (call, unknown, ok) = ("call".to_owned(), Outcome::Unknown, Outcome::Ok);
        let expected =
            [(call.clone(), ok), (call.clone(), unknown), (call, unknown), ("call_ended".to_owned(), ok)];
        assert_eq!((told().await.as_slice(), on_their_way(&store).await), (expected.as_slice(), vec![]));
    }
    // What never comes back is not remembered for ever.
    store.settle_intents(NOW.plus(40 * 24 * 60 * MINUTE), [5; 16]).await.unwrap();
    let late = AuditBlock::pack(vec![ended(2)]);
    assert_eq!(store.append_blocks(&late, &[], &[id(2)]).await.unwrap(), Appended::Done);
}

/// I-10, whichever of the two is first.
async fn a_call_has_one_event_also_if_it_ends_while_it_is_settled(store: Opened) {
    let another = store.another().await;
    for number in 1..=24 {
        store.append_intents(NODE, &[intent(number)], NOW).await.unwrap();
        let (over, block) = ([id(number)], AuditBlock::pack(vec![ended(number)]));
        let settle = store.settle_intents(NOW.plus(2 * MINUTE), [5; 16]);
        let (settled, appended) = tokio::join!(settle, another.append_blocks(&block, &[], &over));
        let expected = if settled.unwrap() == 1 { Appended::Settled(over.to_vec()) } else { Appended::Done };
        assert_eq!(appended.unwrap(), expected);
        let rows = store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
        assert_eq!(rows.iter().filter(|row| row.id == id(number)).count(), 1);
    }
}
