use super::*;
use crate::{AuditBlock, CallEvent};

fn event(number: u8) -> CallEvent<'static> {
    CallEvent {
        id: Id::from_bytes([number; 16]),
        at: Timestamp::from_micros(1_800_000_000_000_000 + i64::from(number)),
        outcome: Outcome::Ok,
        reason: None,
        user: Some(Id::from_bytes([1; 16])),
        client_id: Some("dcr_x"),
        server: Some("docs"),
        grant: None,
        subject: Some([3; 16]),
        method: "tools/call",
        name: number.is_multiple_of(2).then_some("search"),
        status: 200,
        duration_ms: u64::MAX,
        bytes: 127 + u64::from(number),
    }
}

fn packed(events: Vec<CallEvent<'_>>) -> Vec<u8> {
    let [block] = AuditBlock::pack(events).try_into().unwrap();
    block.packed
}

#[test]
fn what_is_packed_is_unpacked() {
    let packed = packed((0..5).rev().map(event).collect());
    let block = Unpacked::read(&packed).unwrap();
    let all = AuditFilter::default();
    let rows: Vec<_> = block.matching(&all).map(|found| block.row(found, true).unwrap()).collect();
    assert_eq!(rows.len(), 5);
    for (number, (row, subject)) in (0..).zip(rows) {
        let sent = event(number);
        assert_eq!((row.id, row.at, row.user, row.grant), (sent.id, sent.at, sent.user, None));
        assert_eq!((row.client_id.as_deref(), row.server.as_deref()), (sent.client_id, sent.server));
        assert_eq!(row.detail.get("name").map(String::as_str), sent.name);
        assert_eq!(row.detail["bytes"], sent.bytes.to_string());
        assert_eq!(row.detail["duration_ms"], u64::MAX.to_string());
        assert_eq!((subject, row.sealed), (sent.subject, true));
    }
}

/// Whoever and whatever is the same stands once: an event more costs its id and a few bytes.
#[test]
fn an_event_more_costs_little() {
    let (few, many) = (packed((0..2).map(event).collect()), packed((0..102).map(event).collect()));
    let each = (many.len() - few.len()) / 100;
    assert!(each <= 32, "{each} bytes");
}

/// Grant, person and subject say who called; if they ever do not, nobody is taken for somebody else.
#[test]
fn the_same_ids_with_another_client_are_another_caller() {
    let other = CallEvent { client_id: Some("dcr_y"), ..event(1) };
    let packed = packed(vec![event(0), other, event(2)]);
    let block = Unpacked::read(&packed).unwrap();
    let filter = AuditFilter { client_id: Some("dcr_y".to_owned()), ..AuditFilter::default() };
    let found: Vec<_> = block.matching(&filter).map(|event| event.id).collect();
    assert_eq!(found, [Id::from_bytes([1; 16])]);
}

#[test]
fn events_that_lie_far_apart_go_into_blocks_of_their_own() {
    let late = CallEvent { at: event(0).at.plus(super::super::SPAN), ..event(9) };
    let later = CallEvent { at: late.at.plus(std::time::Duration::from_micros(1)), ..event(8) };
    let blocks = AuditBlock::pack(vec![later, event(0), late]);
    let sizes: Vec<_> = blocks.iter().map(|block| (block.events, block.first_at, block.last_at)).collect();
    assert_eq!(sizes, [(2, event(0).at, late.at), (1, later.at, later.at)]);
    assert_eq!(AuditBlock::pack(Vec::new()), []);
}

/// Cut off or altered anywhere, it is refused or it is another block: never a panic, never more than its bytes.
#[test]
fn a_broken_block_is_no_block() {
    let whole = packed((0..20).map(event).collect());
    for end in 0..whole.len() {
        assert!(Unpacked::read(&whole[..end]).is_none(), "{end}");
    }
    assert!(Unpacked::read(&[whole.as_slice(), &[0]].concat()).is_none());
    for place in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut altered = whole.clone();
            altered[place] ^= flip;
            if let Some(block) = Unpacked::read(&altered) {
                for event in block.matching(&AuditFilter::default()) {
                    assert!(block.row(event, false).is_some());
                }
            }
        }
    }
    assert!(Unpacked::read(&[2]).is_none(), "a version that is not known");
    let endless = [&[VERSION], [0xff; 9].as_slice(), &[1]].concat();
    assert!(Unpacked::read(&endless).is_none());
}
