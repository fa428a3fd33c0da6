use protocol::id::{Id, Reference};
use store::{AuditEvents as _, AuditFilter, AuditKind, AuditRow, AuditSubject, Outcome, Queries as _};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    an_event_comes_back_as_it_went_in,
    pages_are_stable_while_events_arrive,
    the_list_is_narrowed_by_each_filter_and_by_all,
    an_event_sent_twice_is_one_event,
    personal_data_is_written_once_and_can_be_blotted_out,
    an_event_of_a_newer_release_is_still_listed,
    no_list_carries_a_hash_or_a_seal,
}

fn full() -> store::AuditEvent {
    let mut event = event(AuditKind::TokenRefused);
    event.outcome = Outcome::Refused;
    event.reason = Some("code_replayed");
    event.reference = Some(Reference::parse("K7Q2-9XWD").unwrap());
    event.user = Some(id(7));
    event.client_id = Some("dcr_AAECAw".to_owned());
    event.server = Some("docs".to_owned());
    event.grant = Some(id(8));
    event.subject = Some(AuditSubject {
        salt: [3; 16],
        name: Some("Ada ☃".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    });
    event.detail.insert("method", "tools/call".to_owned());
    event
}

async fn list(store: &Opened, filter: AuditFilter) -> Vec<Id<protocol::id::AuditEvent>> {
    store.list_audit(filter, None, 100).await.unwrap().iter().map(|row| row.id).collect()
}

async fn an_event_comes_back_as_it_went_in(store: Opened) {
    let sent = full();
    store.append_audit(vec![sent.clone()]).await.unwrap();
    let expected = AuditRow {
        id: sent.id,
        at: sent.at,
        kind: "token_refused".to_owned(),
        outcome: Outcome::Refused,
        reason: Some("code_replayed".to_owned()),
        reference: sent.reference,
        user: sent.user,
        client_id: sent.client_id,
        server: sent.server,
        grant: sent.grant,
        name: Some("Ada ☃".to_owned()),
        address: Some("192.0.2.7".to_owned()),
        detail: [("method".to_owned(), "tools/call".to_owned())].into(),
        sealed: false,
    };
    assert_eq!(store.list_audit(AuditFilter::default(), None, 10).await.unwrap(), [expected]);
    store.append_audit(Vec::new()).await.unwrap();
}

async fn pages_are_stable_while_events_arrive(store: Opened) {
    // Many at the same instant: the id decides.
    let events: Vec<_> = (0..25).map(|_| event(AuditKind::Call)).collect();
    store.append_audit(events.clone()).await.unwrap();
    let mut expected: Vec<_> = events.iter().map(|event| event.id).collect();
    expected.reverse();
    let (mut seen, mut page) = (Vec::new(), None);
    loop {
        let rows = store.list_audit(AuditFilter::default(), page, 10).await.unwrap();
        let Some(last) = rows.last() else { break };
        page = Some((last.at, last.id));
        seen.extend(rows.iter().map(|row| row.id));
        let mut newer = event(AuditKind::Call);
        newer.at = NOW.plus(MINUTE);
        store.append_audit(vec![newer]).await.unwrap();
    }
    assert_eq!(seen, expected);
}

async fn the_list_is_narrowed_by_each_filter_and_by_all(store: Opened) {
    let wanted = full();
    let mut early = event(AuditKind::Call);
    early.at = NOW.minus(DAY);
    store.append_audit(vec![early.clone(), wanted.clone(), event(AuditKind::Call)]).await.unwrap();
    let none = AuditFilter::default;
    let narrow = [
        AuditFilter { kind: Some(AuditKind::TokenRefused), ..none() },
        AuditFilter { user: Some(id(7)), ..none() },
        AuditFilter { client_id: Some("dcr_AAECAw".to_owned()), ..none() },
        AuditFilter { server: Some("docs".to_owned()), ..none() },
        AuditFilter { reference: wanted.reference.clone(), ..none() },
        AuditFilter {
            kind: Some(AuditKind::TokenRefused),
            user: Some(id(7)),
            client_id: Some("dcr_AAECAw".to_owned()),
            server: Some("docs".to_owned()),
            reference: wanted.reference.clone(),
            since: Some(NOW),
            until: Some(NOW.plus(MINUTE)),
        },
    ];
    for filter in narrow {
        assert_eq!(list(&store, filter.clone()).await, [wanted.id], "{filter:?}");
    }
    assert_eq!(list(&store, AuditFilter { until: Some(NOW), ..none() }).await, [early.id]);
    assert_eq!(list(&store, AuditFilter { since: Some(NOW), ..none() }).await.len(), 2);
    let nobody = AuditFilter { user: Some(id(9)), reference: wanted.reference, ..none() };
    assert_eq!(list(&store, nobody).await, []);
}

async fn an_event_sent_twice_is_one_event(store: Opened) {
    let batch = vec![full(), event(AuditKind::Call)];
    store.append_audit(batch.clone()).await.unwrap();
    store.append_audit(batch).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.audit_events, counts.audit_subjects), (2, 1));
}

async fn personal_data_is_written_once_and_can_be_blotted_out(store: Opened) {
    store.append_audit(vec![full(), full()]).await.unwrap();
    assert_eq!(store.counts().await.unwrap().audit_subjects, 1);
    store.tamper("DELETE FROM audit_subjects").await;
    let rows = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.name.is_none() && row.address.is_none()));
}

async fn an_event_of_a_newer_release_is_still_listed(store: Opened) {
    store.append_audit(vec![full()]).await.unwrap();
    store.tamper("UPDATE audit_events SET kind = 'device_approved'").await;
    let rows = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(rows[0].kind, "device_approved");
}

async fn no_list_carries_a_hash_or_a_seal(store: Opened) {
    drop(store);
    let lists = store::statements().into_iter().filter(|statement| statement.name.starts_with("AUDIT"));
    let mut seen = 0;
    for statement in lists {
        seen += 1;
        let (columns, _) = statement.sql.split_once(" FROM ").unwrap();
        for secret in ["hash", "seed", "sealed", "verifier", "digest", "signature"] {
            assert!(!columns.contains(secret), "{} selects {secret}", statement.name);
        }
    }
    assert_eq!(seen, 8);
}
