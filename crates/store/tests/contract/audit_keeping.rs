//! What is too old goes, what is held stays, and a person is forgotten while the seals hold.

use std::time::Duration;

use protocol::keys::KeyId;
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{
    Appended, AuditBlock, AuditBlocks as _, AuditClass, AuditEvent, AuditEvents as _, AuditFilter, AuditHold,
    AuditIntents as _, AuditKeeping as _, AuditKind, AuditSeals as _, AuditSubject, CallBatch, CallEvent,
    CallIntent, Connections as _, Forget, Outcome, Queries as _, Seal, Sealing, SharedSubject, UsageBy,
    UsageOf, UsageRecord as _, Users as _,
};

use crate::connections::connected;
use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    every_kind_goes_with_its_class_and_with_no_other,
    what_is_not_sealed_or_not_old_stays,
    a_name_that_the_release_before_wrote_goes_with_its_calls,
    what_is_held_stays_until_the_hold_ends,
    a_name_goes_when_no_call_has_it_any_more,
    a_name_stays_while_a_block_that_began_before_has_it,
    a_person_is_forgotten_and_the_rows_stay_what_they_were,
    usage_counts_each_seal_once_on_however_many_nodes,
    usage_counts_a_call_once_that_ends_after_it_was_settled,
    usage_counts_by_tools_and_prompts_and_whatever_clients_are_called,
}

const OLD: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

async fn seal_all(store: &Opened) {
    loop {
        let entries = store.unsealed_rows().await.unwrap();
        if entries.is_empty() {
            return;
        }
        let before = store.last_seal().await.unwrap().map(|found| found.seal);
        let sealing = Sealing {
            id: before.as_ref().map_or(0, |seal| seal.sealing.id) + 1,
            previous: before.as_ref().map_or(Hash::from_bytes([0; 32]), |seal| seal.digest),
            sealed_at: NOW,
            total: before.map_or(0, |seal| seal.sealing.total) + entries.len() as u64,
            cutoffs: "{}".to_owned(),
            entries,
        };
        let digest = sealing.digest();
        let key = KeyId::from_bytes([1; 4]);
        assert!(store.put_seal(Seal { sealing, digest, key, signature: String::new() }).await.unwrap());
    }
}

fn call(number: u64, at: Timestamp, user: u64, server: &'static str) -> CallEvent<'static> {
    CallEvent {
        id: id(number),
        at,
        outcome: Outcome::Ok,
        reason: None,
        user: Some(id(user)),
        client_id: Some("dcr_a"),
        server: Some(server),
        grant: None,
        subject: Some(subject(u8::try_from(user).unwrap()).id()),
        method: "tools/call",
        name: Some("send"),
        status: 200,
        duration_ms: 40,
        bytes: 7,
    }
}

fn subject(user: u8) -> AuditSubject {
    AuditSubject {
        salt: [user; 16],
        name: Some(format!("person {user}")),
        address: Some("192.0.2.7".to_owned()),
    }
}

fn shared(subject: AuditSubject) -> SharedSubject {
    subject.shared_until(NOW.plus(DAY))
}

async fn rows(store: &Opened) -> usize {
    store.list_audit(AuditFilter::default(), None, 1000).await.unwrap().len()
}

async fn every_kind_goes_with_its_class_and_with_no_other(store: Opened) {
    let mut classes = [AuditClass::Call, AuditClass::Token, AuditClass::SignIn, AuditClass::Security];
    // Also the other way round: what goes first leaves what is of the others.
    for _ in 0..2 {
        let events = AuditKind::ALL.iter().map(|kind| {
            let mut event = event(*kind);
            event.at = OLD;
            event
        });
        store.append_audit(events.collect()).await.unwrap();
        let sealed = store.unsealed_rows().await.unwrap();
        seal_all(&store).await;
        for class in classes {
            let of_class = sealed.iter().filter(|row| row.class == class).count();
            let before = rows(&store).await;
            assert_eq!(store.remove_audit(class, NOW).await.unwrap(), of_class as u64, "{class:?}");
            assert_eq!(before - rows(&store).await, of_class, "{class:?}");
        }
        assert_eq!(rows(&store).await, 0);
        classes.reverse();
    }
}

async fn what_is_not_sealed_or_not_old_stays(store: Opened) {
    let (mut old, new) = (event(AuditKind::Stopped), event(AuditKind::Stopped));
    old.at = OLD;
    old.subject = Some(subject(1));
    store.append_audit(vec![old, new]).await.unwrap();
    let calls = vec![call(1, OLD, 1, "docs"), call(2, NOW, 2, "docs")];
    store.append_blocks(&AuditBlock::pack(calls), &[shared(subject(2))], &[]).await.unwrap();
    for class in AuditClass::ALL {
        assert_eq!(store.remove_audit(class, NOW).await.unwrap(), 0, "not sealed");
    }
    seal_all(&store).await;
    for class in AuditClass::ALL {
        let goes = u64::from(matches!(class, AuditClass::Security | AuditClass::Block));
        assert_eq!(store.remove_audit(class, NOW).await.unwrap(), goes, "{class:?}");
    }
    assert_eq!((rows(&store).await, store.counts().await.unwrap().audit_subjects), (2, 1));
}

fn hold(number: u64, user: Option<u64>, server: Option<&str>, since: Timestamp) -> AuditHold {
    AuditHold {
        id: id(number),
        user: user.map(id),
        server: server.map(str::to_owned),
        since,
        until: Timestamp::from_micros(i64::MAX),
        reason: "a law suit".to_owned(),
        created_at: NOW,
    }
}

/// Calls of an hour share the name of whoever made them: it goes with the last of them, and not with the first.
async fn a_name_goes_when_no_call_has_it_any_more(store: Opened) {
    let until = OLD.plus(Duration::from_secs(3600));
    for (number, at) in [(1, OLD), (2, OLD.plus(MINUTE)), (3, NOW)] {
        let user = if number == 3 { 2 } else { 1 };
        let subjects = [subject(u8::try_from(user).unwrap()).shared_until(if user == 1 {
            until
        } else {
            NOW.plus(DAY)
        })];
        let calls = AuditBlock::pack(vec![call(number, at, user, "docs")]);
        store.append_blocks(&calls, &subjects, &[]).await.unwrap();
    }
    seal_all(&store).await;
    let remove = async |before| store.remove_audit(AuditClass::Block, before).await.unwrap();
    let subjects = async || store.counts().await.unwrap().audit_subjects;
    assert_eq!((remove(OLD.plus(MINUTE)).await, subjects().await), (1, 2), "the second call still has it");
    let listed = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(
        listed.iter().filter_map(|row| row.name.as_deref()).collect::<Vec<_>>(),
        ["person 2", "person 1"]
    );
    store.put_hold(hold(100, Some(1), None, OLD), event(AuditKind::AuditHeld)).await.unwrap();
    assert_eq!((remove(NOW).await, subjects().await), (0, 2), "held, with the name");
    store.end_hold(id(100), event(AuditKind::AuditHoldEnded)).await.unwrap();
    assert_eq!((remove(NOW).await, subjects().await), (1, 1));
}

async fn a_name_stays_while_a_block_that_began_before_has_it(store: Opened) {
    let (before, late) = (OLD.plus(Duration::from_secs(3600)), Duration::from_secs(3));
    let calls = vec![call(1, before.minus(late), 1, "docs"), call(2, before.plus(late), 2, "docs")];
    let subjects = [subject(1).shared_until(before), subject(2).shared_until(before.plus(DAY))];
    store.append_blocks(&AuditBlock::pack(calls), &subjects, &[]).await.unwrap();
    seal_all(&store).await;
    let remove = async |before| store.remove_audit(AuditClass::Block, before).await.unwrap();
    let subjects = async || store.counts().await.unwrap().audit_subjects;
    assert_eq!((remove(before).await, subjects().await), (0, 2));
    assert_eq!((remove(before.plus(MINUTE)).await, subjects().await), (1, 1));
}

/// While nodes are upgraded one after the other, the release before writes names without saying until when they are shared.
async fn a_name_that_the_release_before_wrote_goes_with_its_calls(store: Opened) {
    let calls = vec![call(1, OLD, 1, "docs"), call(2, OLD.plus(Duration::from_secs(3)), 2, "docs")];
    store.append_blocks(&AuditBlock::pack(calls), &[subject(1), subject(2)].map(shared), &[]).await.unwrap();
    store.tamper("UPDATE audit_subjects SET used_until = NULL").await;
    seal_all(&store).await;
    let remove = async |before| store.remove_audit(AuditClass::Block, before).await.unwrap();
    let subjects = async || store.counts().await.unwrap().audit_subjects;
    assert_eq!((remove(OLD).await, subjects().await), (0, 2));
    assert_eq!(
        (remove(OLD.plus(MINUTE)).await, subjects().await),
        (1, 2),
        "another call of the hour may have it"
    );
    assert_eq!((remove(NOW).await, subjects().await), (0, 0));
}

async fn what_is_held_stays_until_the_hold_ends(store: Opened) {
    let event_of = |user: u64| {
        let mut event = event(AuditKind::Stopped);
        (event.at, event.user) = (OLD, Some(id(user)));
        event
    };
    store.append_audit(vec![event_of(1), event_of(2)]).await.unwrap();
    let later = OLD.plus(Duration::from_secs(60));
    for block in [vec![call(1, OLD, 1, "docs"), call(2, OLD, 2, "docs")], vec![call(3, later, 2, "mail")]] {
        store.append_blocks(&AuditBlock::pack(block), &[], &[]).await.unwrap();
    }
    seal_all(&store).await;
    let first = hold(100, Some(1), None, Timestamp::from_micros(i64::MIN));
    store.put_hold(first.clone(), event(AuditKind::AuditHeld)).await.unwrap();
    store.put_hold(hold(101, None, Some("mail"), OLD), event(AuditKind::AuditHeld)).await.unwrap();
    assert_eq!(store.list_holds().await.unwrap()[0], first);
    let remove = async |class| store.remove_audit(class, NOW).await.unwrap();
    assert_eq!((remove(AuditClass::Security).await, remove(AuditClass::Block).await), (1, 0));
    assert!(store.end_hold(id(101), event(AuditKind::AuditHoldEnded)).await.unwrap());
    assert!(!store.end_hold(id(101), event(AuditKind::AuditHoldEnded)).await.unwrap());
    assert_eq!((remove(AuditClass::Security).await, remove(AuditClass::Block).await), (0, 1));
    assert!(store.end_hold(id(100), event(AuditKind::AuditHoldEnded)).await.unwrap());
    assert_eq!((remove(AuditClass::Security).await, remove(AuditClass::Block).await), (1, 1));
}

async fn a_person_is_forgotten_and_the_rows_stay_what_they_were(store: Opened) {
    let alice = person(&store, 1).await;
    assert!(connected(&store, 1, alice.id, "notes").await.account.is_some());
    let mut told = event(AuditKind::Stopped);
    (told.user, told.subject) = (Some(alice.id), Some(subject(9)));
    store.append_audit(vec![told]).await.unwrap();
    let calls = vec![call(1, NOW, 1, "docs"), call(2, NOW, 2, "docs")];
    store.append_blocks(&AuditBlock::pack(calls), &[subject(1), subject(2)].map(shared), &[]).await.unwrap();
    let before = store.unsealed_rows().await.unwrap();
    let mut forgotten = event(AuditKind::PersonForgotten);
    forgotten.at = NOW.plus(MINUTE);
    let forget = |in_spite_of_holds| Forget { user: alice.id, in_spite_of_holds, audit: forgotten.clone() };
    let hold = hold(100, Some(1), None, NOW);
    store.put_hold(hold, event(AuditKind::AuditHeld)).await.unwrap();
    assert_eq!(store.forget_person(forget(false), &|_, _| {}).await.unwrap(), None);
    let names = async || {
        let listed = store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
        listed.into_iter().filter_map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["person 9", "person 2", "person 1"], "what is held is not touched");
    assert!(store.find_user(alice.id).await.unwrap().unwrap().name.is_some());
    store.end_hold(id(100), event(AuditKind::AuditHoldEnded)).await.unwrap();
    let done = store.forget_person(forget(false), &|_, _| {}).await.unwrap();
    assert_eq!(done, Some(store::Forgotten { names: 2, in_log: false, unreadable: 0 }));
    let told = AuditFilter { kind: Some(AuditKind::PersonForgotten), ..AuditFilter::default() };
    assert_eq!(store.list_audit(told, None, 10).await.unwrap().len(), 1, "one event for what is done once");
    let after = store.unsealed_rows().await.unwrap();
    assert!(before.iter().all(|row| after.contains(row)), "what is sealed is as it was");
    assert_eq!(names().await, ["person 2"]);
    assert_eq!(store.find_user(alice.id).await.unwrap().unwrap().name, None);
    let connection = store.find_connection(alice.id, "notes").await.unwrap().unwrap();
    assert_eq!(connection.account, None, "nor by what they are called elsewhere");
}

async fn usage_counts_each_seal_once_on_however_many_nodes(store: Opened) {
    let hour = Duration::from_secs(3600);
    for (number, user) in (0..).zip([1, 2, 2]) {
        let at = NOW.plus(hour * u32::try_from(number).unwrap());
        let block = AuditBlock::pack(vec![
            call(number * 2 + 1, at, user, "docs"),
            call(number * 2 + 2, at, user, "mail"),
        ]);
        store.append_blocks(&block, &[], &[]).await.unwrap();
        seal_all(&store).await;
    }
    let mut refused = call(90, NOW, 1, "docs");
    (refused.outcome, refused.name) = (Outcome::Refused, Some("what a stranger made up"));
    let nobody = CallEvent { id: id(91), user: None, server: Some("open"), ..call(91, NOW, 1, "open") };
    store.append_blocks(&AuditBlock::pack(vec![refused, nobody]), &[], &[]).await.unwrap();
    store.append_audit(vec![event(AuditKind::SignIn)]).await.unwrap();
    seal_all(&store).await;
    let another = store.another().await;
    for _ in 0..8 {
        let (one, other) = tokio::join!(store.roll_up_usage(), another.roll_up_usage());
        one.unwrap();
        other.unwrap();
    }
    assert_eq!(store.roll_up_usage().await.unwrap(), 0);
    let all = async |by| store.usage(by, OLD, NOW.plus(9 * hour)).await.unwrap();
    let told = |lines: Vec<(UsageOf, store::Usage)>| -> Vec<_> {
        lines.into_iter().map(|(of, usage)| (of, usage.calls, usage.refused, usage.people)).collect()
    };
    let server = |name: &str| UsageOf::Server(name.to_owned());
    assert_eq!(
        told(all(UsageBy::Server).await),
        [(server("docs"), 4, 1, 2), (server("mail"), 3, 0, 2), (server("open"), 1, 0, 0)]
    );
    assert_eq!(
        told(all(UsageBy::Person).await),
        [
            (UsageOf::Person(Some(id(2))), 4, 0, 1),
            (UsageOf::Person(Some(id(1))), 3, 1, 1),
            (UsageOf::Person(None), 1, 0, 0)
        ]
    );
    let hours: Vec<_> = all(UsageBy::Hour).await.into_iter().map(|(_, usage)| usage.calls).collect();
    assert_eq!(hours, [4, 2, 2]);
    let tool = |server: &str, tool: &str| UsageOf::Tool(server.to_owned(), tool.to_owned());
    assert_eq!(
        told(all(UsageBy::Tool).await),
        [
            (tool("docs", "send"), 3, 0, 2),
            (tool("mail", "send"), 3, 0, 2),
            (tool("docs", ""), 1, 1, 1),
            (tool("open", "send"), 1, 0, 0),
        ]
    );
    let (_, usage) = all(UsageBy::Client).await.remove(0);
    assert_eq!((usage.calls, usage.bytes, usage.latencies), (8, 56, [0, 0, 8, 0, 0, 0, 0, 0]));
    // Equal to the audit.
    let listed = store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
    assert_eq!(listed.iter().filter(|row| row.kind.starts_with("call")).count(), 8);
    assert_eq!(store.remove_usage(NOW.plus(hour)).await.unwrap(), 4);
    assert_eq!(all(UsageBy::Hour).await.len(), 2);
}

async fn usage_counts_a_call_once_that_ends_after_it_was_settled(store: Opened) {
    let intent = CallIntent {
        id: id(1),
        at: NOW,
        user: id(1),
        client_id: "dcr_a".to_owned(),
        server: "docs".to_owned(),
        grant: id(3),
        method: "tools/call".to_owned(),
        called: Some("send".to_owned()),
        name: None,
        address: None,
    };
    store.append_intents([1; 16], &[intent], NOW).await.unwrap();
    assert_eq!(store.settle_intents(NOW.plus(2 * MINUTE), [5; 16]).await.unwrap(), 1);
    seal_all(&store).await;
    let ended = AuditEvent { id: id(2), server: Some("docs".to_owned()), ..event(AuditKind::CallEnded) };
    let batch = CallBatch { rows: &[ended], over: &[id(1)], late: &[id(1)], ..CallBatch::default() };
    assert_eq!(store.append_calls(batch).await.unwrap(), Appended::Done);
    seal_all(&store).await;
    while store.roll_up_usage().await.unwrap() > 0 {}
    let usage = store.usage(UsageBy::Server, OLD, NOW.plus(DAY)).await.unwrap();
    let told: Vec<_> = usage.iter().map(|(_, usage)| (usage.calls, usage.failed, usage.refused)).collect();
    assert_eq!(told, [(1, 1, 0)]);
}

async fn usage_counts_by_tools_and_prompts_and_whatever_clients_are_called(store: Opened) {
    // As long as a client's id may be, and a tool's name in the audit; and so that nothing of it can be packed.
    let mut number = 1_u64;
    let mut noise = |characters: usize| -> String {
        let step = |_| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0x1_0000 + u32::try_from(number >> 44).unwrap() % 0xFFFF).unwrap_or('x')
        };
        (0..characters).map(step).collect()
    };
    let clients = [0; 2].map(|_| format!("https://client.example/{}", noise(500)));
    let tool = noise(256);
    let called = |number, method, name| CallEvent { method, name, ..call(number, NOW, 1, "docs") };
    let mut calls = vec![
        called(1, "resources/read", Some("file:///of/one")),
        called(2, "resources/read", Some("file:///of/two")),
        called(3, "tasks/get", Some("a-task")),
        called(4, "prompts/get", Some("weekly")),
    ];
    calls.extend((5..).zip(&clients).map(|(number, client)| CallEvent {
        client_id: Some(client),
        ..called(number, "tools/call", Some(&tool))
    }));
    store.append_blocks(&AuditBlock::pack(calls), &[], &[]).await.unwrap();
    seal_all(&store).await;
    assert_eq!(store.roll_up_usage().await.unwrap(), 1);
    let all = async |by| store.usage(by, OLD, NOW.plus(MINUTE)).await.unwrap();
    let mut tools: Vec<_> =
        all(UsageBy::Tool).await.into_iter().map(|(of, usage)| (of, usage.calls)).collect();
    let Some(UsageOf::Tool(_, long)) = tools
        .iter()
        .map(|(of, _)| of.clone())
        .find(|of| matches!(of, UsageOf::Tool(_, tool) if tool.len() > 200))
    else {
        panic!("{tools:?}")
    };
    assert!(long.len() <= 256 && tool.starts_with(long.rsplit_once('~').unwrap().0), "{long}");
    tools.retain(|(of, _)| !matches!(of, UsageOf::Tool(_, tool) if *tool == long));
    let tool = |of| if let UsageOf::Tool(_, tool) = of { tool } else { String::new() };
    let mut named: Vec<_> = tools.into_iter().map(|(of, calls)| (tool(of), calls)).collect();
    named.sort();
    let named: Vec<_> = named.iter().map(|(tool, calls)| (tool.as_str(), *calls)).collect();
    assert_eq!(named, [("resources/read", 2), ("tasks/get", 1), ("weekly", 1)]);
    assert_eq!(all(UsageBy::Client).await.len(), 3, "each is one of its kind");
}
