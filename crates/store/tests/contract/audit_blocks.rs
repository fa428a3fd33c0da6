//! Events in blocks and events in rows are one list: compared with a model that sorts and filters a plain vector.

use std::time::Duration;

use protocol::id::{AuditEvent, Id, Reference};
use protocol::world::Timestamp;
use store::{
    AuditBlock, AuditBlocks as _, AuditEvents as _, AuditFilter, AuditKind, AuditSubject, CallEvent, Outcome,
    Queries as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_block_comes_back_as_the_events_that_went_in,
    rows_and_blocks_are_one_list,
    pages_over_blocks_are_stable_while_events_arrive,
    a_block_sent_twice_is_one_block,
    a_block_that_was_altered_is_named,
    a_block_of_a_longer_span_is_refused,
}

type Key = (Timestamp, Id<AuditEvent>);

/// Chance that can be repeated: xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    fn maybe<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        if self.below(3) == 0 { Some(self.of(all)) } else { None }
    }
}

const CLIENTS: [&str; 2] = ["dcr_a", "dcr_b"];
const SERVERS: [&str; 2] = ["docs", "mail"];
const SUBJECT: AuditSubject = AuditSubject { salt: [9; 16], name: None, address: None };

/// What the model knows of an event.
#[derive(Debug, Clone)]
struct Known {
    key: Key,
    kind: AuditKind,
    user: Option<u64>,
    client: Option<&'static str>,
    server: Option<&'static str>,
    reference: bool,
}

impl Known {
    /// Few times, so that many events are of the same one; some far apart.
    fn random(chance: &mut Chance, number: u64) -> Self {
        let at = NOW.plus(Duration::from_secs(chance.below(6) * chance.below(5)));
        let at = at.plus(Duration::from_micros(chance.below(3)));
        // Ids in no order, and none twice.
        let id = id(chance.below(1000) * 1_000_000 + number);
        let kind = chance.of(&[AuditKind::Call, AuditKind::CallRefused, AuditKind::SignIn]);
        Self {
            key: (at, id),
            kind,
            user: chance.maybe(&[1, 2]),
            client: chance.maybe(&CLIENTS),
            server: chance.maybe(&SERVERS),
            reference: kind == AuditKind::SignIn && chance.below(2) == 0,
        }
    }

    fn passes(&self, filter: &AuditFilter) -> bool {
        filter.kind.is_none_or(|kind| kind == self.kind)
            && filter.user.is_none_or(|user| self.user.map(id) == Some(user))
            && filter.client_id.as_deref().is_none_or(|client| self.client == Some(client))
            && filter.server.as_deref().is_none_or(|server| self.server == Some(server))
            && (filter.reference.is_none() || self.reference)
            && filter.since.is_none_or(|since| self.key.0 >= since)
            && filter.until.is_none_or(|until| self.key.0 < until)
    }

    fn outcome(&self) -> Outcome {
        if self.kind == AuditKind::CallRefused { Outcome::Refused } else { Outcome::Ok }
    }

    fn as_row(&self) -> store::AuditEvent {
        let mut event = store::AuditEvent::new(self.key.1, self.key.0, self.kind, self.outcome());
        event.user = self.user.map(id);
        event.client_id = self.client.map(str::to_owned);
        event.server = self.server.map(str::to_owned);
        event.reference = self.reference.then(reference);
        event
    }

    fn as_call(&self) -> CallEvent<'static> {
        CallEvent {
            id: self.key.1,
            at: self.key.0,
            outcome: self.outcome(),
            reason: None,
            user: self.user.map(id),
            client_id: self.client,
            server: self.server,
            grant: None,
            subject: Some(SUBJECT.id()),
            method: "tools/call",
            name: Some("search"),
            status: 200,
            duration_ms: 7,
            bytes: 70,
        }
    }
}

fn reference() -> Reference {
    Reference::parse("K7Q2-9XWD").unwrap()
}

/// Puts events into the record: sign-ins as rows, calls as either.
async fn put(store: &Opened, chance: &mut Chance, events: &[Known]) {
    let mut rest = events;
    while !rest.is_empty() {
        let (some, later) = rest.split_at((1 + usize::try_from(chance.below(9)).unwrap()).min(rest.len()));
        rest = later;
        let packed = chance.below(3) > 0;
        let is_call = |event: &&Known| packed && event.kind != AuditKind::SignIn;
        let calls = some.iter().filter(is_call).map(Known::as_call).collect();
        let rows = some.iter().filter(|event| !is_call(event)).map(Known::as_row).collect();
        store.append_blocks(&AuditBlock::pack(calls), &[SUBJECT.shared_until(NOW)], &[]).await.unwrap();
        store.append_audit(rows).await.unwrap();
    }
}

fn filter(chance: &mut Chance) -> AuditFilter {
    let moment = |chance: &mut Chance| {
        let seconds = chance.maybe(&[0, 1, 4, 10, 15])?;
        Some(NOW.plus(Duration::from_secs(seconds)).plus(Duration::from_micros(chance.below(3))))
    };
    AuditFilter {
        kind: chance.maybe(&[AuditKind::Call, AuditKind::CallRefused, AuditKind::SignIn]),
        user: chance.maybe(&[1, 2, 3]).map(id),
        client_id: chance.maybe(&CLIENTS).map(str::to_owned),
        server: chance.maybe(&SERVERS).map(str::to_owned),
        reference: chance.maybe(&[()]).filter(|()| chance.below(4) == 0).map(|()| reference()),
        since: moment(chance),
        until: moment(chance),
    }
}

async fn walk(store: &Opened, filter: &AuditFilter, limit: u32, newest: bool) -> Vec<Key> {
    let (mut keys, mut page) = (Vec::new(), None);
    loop {
        let rows = match newest {
            true => store.list_audit(filter.clone(), page, limit).await.unwrap(),
            false => store.export_audit(filter.clone(), page, limit).await.unwrap(),
        };
        assert!(rows.len() <= limit as usize);
        keys.extend(rows.iter().map(|row| (row.at, row.id)));
        if rows.len() < limit as usize {
            return keys;
        }
        page = keys.last().copied();
    }
}

/// The first difference says more than two long lists.
fn compare(seen: &[Key], expected: &[Key], what: &str) {
    let same = seen.iter().zip(expected).take_while(|(one, other)| one == other).count();
    assert_eq!(seen.get(same), expected.get(same), "{what}: {} and {}", seen.len(), expected.len());
}

async fn rows_and_blocks_are_one_list(store: Opened) {
    let mut chance = Chance(0x5eed);
    let events: Vec<Known> = (1..=400).map(|number| Known::random(&mut chance, number)).collect();
    put(&store, &mut chance, &events).await;
    for round in 0..60 {
        let filter = if round == 0 { AuditFilter::default() } else { filter(&mut chance) };
        let mut expected: Vec<Key> =
            events.iter().filter(|event| event.passes(&filter)).map(|event| event.key).collect();
        expected.sort_unstable();
        let limit = chance.of(&[1, 2, 7, 50, 1000]);
        compare(
            &walk(&store, &filter, limit, false).await,
            &expected,
            &format!("oldest, {limit}, {filter:?}"),
        );
        expected.reverse();
        compare(
            &walk(&store, &filter, limit, true).await,
            &expected,
            &format!("newest, {limit}, {filter:?}"),
        );
    }
    assert!(store.list_audit(AuditFilter::default(), None, 0).await.unwrap().is_empty());
    assert_eq!(store.counts().await.unwrap().audit_events, 400);
}

async fn pages_over_blocks_are_stable_while_events_arrive(store: Opened) {
    let mut chance = Chance(0xbeef);
    let events: Vec<Known> = (1..=80).map(|number| Known::random(&mut chance, number)).collect();
    put(&store, &mut chance, &events).await;
    let mut expected: Vec<Key> = events.iter().map(|event| event.key).collect();
    expected.sort_unstable_by(|one, other| other.cmp(one));
    let (mut seen, mut page) = (Vec::new(), None);
    for number in 1.. {
        let rows = store.list_audit(AuditFilter::default(), page, 7).await.unwrap();
        let Some(last) = rows.last() else { break };
        page = Some((last.at, last.id));
        seen.extend(rows.iter().map(|row| (row.at, row.id)));
        let at = NOW.plus(MINUTE);
        let newer = Known { key: (at, id(2_000_000_000 + number)), ..events[0].clone() };
        store.append_blocks(&AuditBlock::pack(vec![newer.as_call()]), &[], &[]).await.unwrap();
    }
    compare(&seen, &expected, "seen");
}

async fn a_block_comes_back_as_the_events_that_went_in(store: Opened) {
    let subject =
        AuditSubject {
            salt: [3; 16], name: Some("Ada ☃".to_owned()), address: Some("192.0.2.7".to_owned())
        };
    let call = CallEvent {
        id: id(1),
        at: NOW,
        outcome: Outcome::Failed,
        reason: Some("upstream_broken"),
        user: Some(id(7)),
        client_id: Some("dcr_AAECAw"),
        server: Some("docs"),
        grant: Some(id(8)),
        subject: Some(subject.id()),
        method: "tools/call",
        name: Some("search ☃"),
        status: 502,
        duration_ms: 12,
        bytes: 3456,
    };
    let nobody = CallEvent { id: id(2), user: None, grant: None, subject: None, name: None, ..call };
    store
        .append_blocks(&AuditBlock::pack(vec![call, nobody]), &[subject.shared_until(NOW)], &[])
        .await
        .unwrap();
    let rows = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    let detail = [
        ("bytes", "3456"),
        ("duration_ms", "12"),
        ("method", "tools/call"),
        ("name", "search ☃"),
        ("status", "502"),
    ];
    let expected = store::AuditRow {
        id: id(1),
        at: NOW,
        kind: "call".to_owned(),
        outcome: Outcome::Failed,
        reason: Some("upstream_broken".to_owned()),
        reference: None,
        user: Some(id(7)),
        client_id: Some("dcr_AAECAw".to_owned()),
        server: Some("docs".to_owned()),
        grant: Some(id(8)),
        name: Some("Ada ☃".to_owned()),
        address: Some("192.0.2.7".to_owned()),
        detail: detail.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        sealed: false,
    };
    assert_eq!(rows[1], expected);
    assert_eq!((&rows[0].user, &rows[0].grant, &rows[0].name), (&None, &None, &None));
    assert!(!rows[0].detail.contains_key("name"));
    store.tamper("DELETE FROM audit_subjects").await;
    let rows = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    assert!(rows.iter().all(|row| row.name.is_none() && row.address.is_none()), "blotted out");
    store.tamper("UPDATE audit_blocks SET seal_id = 1, seal_position = 1").await;
    assert!(store.list_audit(AuditFilter::default(), None, 10).await.unwrap().iter().all(|row| row.sealed));
}

fn two_calls() -> Vec<AuditBlock> {
    let known = |number| Known {
        key: (NOW, id(number)),
        kind: AuditKind::Call,
        user: Some(1),
        client: None,
        server: None,
        reference: false,
    };
    AuditBlock::pack(vec![known(1).as_call(), known(2).as_call()])
}

async fn a_block_sent_twice_is_one_block(store: Opened) {
    let blocks = two_calls();
    store.append_blocks(&blocks, &[SUBJECT.shared_until(NOW)], &[]).await.unwrap();
    store.append_blocks(&blocks, &[SUBJECT.shared_until(NOW)], &[]).await.unwrap();
    store.append_blocks(&[], &[], &[]).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.audit_events, counts.audit_subjects), (2, 1));
    assert_eq!(store.list_audit(AuditFilter::default(), None, 10).await.unwrap().len(), 2);
}

/// It stands in its place, in whatever order and page, and keeps nothing else from being read.
async fn a_block_that_was_altered_is_named(store: Opened) {
    let at = |seconds: u64| NOW.plus(std::time::Duration::from_secs(seconds));
    let blocks: Vec<AuditBlock> = (1_u64..=3)
        .flat_map(|number| {
            let known = Known {
                key: (at(number * 60), id(number)),
                kind: AuditKind::Call,
                user: Some(1),
                client: None,
                server: None,
                reference: false,
            };
            AuditBlock::pack(vec![known.as_call()])
        })
        .collect();
    store.append_blocks(&blocks, &[], &[]).await.unwrap();
    let (short, long) = if store.is_postgres() {
        ("'\\xff00'", "decode(repeat('00', 5000000), 'hex')")
    } else {
        ("x'ff00'", "zeroblob(50000000)")
    };
    for damage in [short, long] {
        let place = at(120).micros();
        store.tamper(&format!("UPDATE audit_blocks SET packed = {damage} WHERE last_at = {place}")).await;
        let kinds = |rows: &[store::AuditRow]| rows.iter().map(|row| row.kind.clone()).collect::<Vec<_>>();
        let filter = AuditFilter { client_id: Some("another".to_owned()), ..AuditFilter::default() };
        for limit in [10, 1] {
            let (mut newest, mut oldest) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                let last = newest.last().map(|row: &store::AuditRow| (row.at, row.id));
                newest.extend(store.list_audit(AuditFilter::default(), last, limit).await.unwrap());
                let last = oldest.last().map(|row: &store::AuditRow| (row.at, row.id));
                oldest.extend(store.export_audit(AuditFilter::default(), last, limit).await.unwrap());
            }
            assert_eq!(kinds(&newest), ["call", "unreadable", "call"], "{limit}");
            assert_eq!(kinds(&oldest), ["call", "unreadable", "call"], "{limit}");
            assert_eq!((newest[1].id, newest[1].at), (id(2), at(120)));
            assert!(newest[1].is_unreadable() && !newest[0].is_unreadable());
        }
        let others = store.list_audit(filter, None, 10).await.unwrap();
        assert_eq!(kinds(&others), ["unreadable"], "nobody knows whose calls they were");
    }
}

/// By the schema itself: what a page may leave unread rests on it.
async fn a_block_of_a_longer_span_is_refused(store: Opened) {
    store.append_blocks(&two_calls(), &[], &[]).await.unwrap();
    assert!(store.try_tamper("UPDATE audit_blocks SET last_at = first_at + 10000000").await.is_ok());
    assert!(store.try_tamper("UPDATE audit_blocks SET last_at = first_at + 10000001").await.is_err());
    assert!(store.try_tamper("UPDATE audit_blocks SET last_at = first_at - 1").await.is_err());
}
