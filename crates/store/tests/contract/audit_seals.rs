//! A row is sealed once, what it says is what is sealed, and both engines seal the same bytes.

use protocol::keys::KeyId;
use protocol::secret::Hash;
use store::{
    AuditBlock, AuditBlocks as _, AuditClass, AuditEvents as _, AuditFilter, AuditKind, AuditSeals as _,
    AuditSubject, CallEvent, Outcome, Queries as _, Seal, SealEntry, Sealing,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    rows_are_sealed_once_and_come_back_as_they_were_named,
    of_several_that_seal_at_once_one_does,
    a_row_is_hashed_by_all_it_says_and_by_nothing_else,
    a_seal_comes_back_as_it_went_in,
    both_engines_seal_the_same_bytes,
    what_cannot_be_read_keeps_nothing_else_from_being_read,
}

fn seal(before: Option<&Seal>, entries: Vec<SealEntry>) -> Seal {
    let sealing = Sealing {
        id: before.map_or(0, |seal| seal.sealing.id) + 1,
        previous: before.map_or(Hash::from_bytes([0; 32]), |seal| seal.digest),
        sealed_at: NOW,
        total: before.map_or(0, |seal| seal.sealing.total) + entries.len() as u64,
        cutoffs: "{\"calls\":7}".to_owned(),
        entries,
    };
    let digest = sealing.digest();
    Seal { sealing, digest, key: KeyId::from_bytes([1, 2, 3, 4]), signature: "a.b.c".to_owned() }
}

fn call(number: u64) -> CallEvent<'static> {
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
        method: "ping",
        name: None,
        status: 200,
        duration_ms: 1,
        bytes: 2,
    }
}

fn numbered(kind: AuditKind, number: u64) -> store::AuditEvent {
    let mut event = event(kind);
    event.id = id(number);
    event.subject = Some(AuditSubject { salt: [7; 16], name: Some("Ada".to_owned()), address: None });
    event.detail.insert("scope", "read ☃".to_owned());
    event
}

async fn filled(store: &Opened) {
    let kinds = [AuditKind::Stopped, AuditKind::SignIn, AuditKind::TokenIssued, AuditKind::Call];
    let events = (10..).zip(kinds).map(|(number, kind)| numbered(kind, number)).collect();
    store.append_audit(events).await.unwrap();
    store.append_blocks(&AuditBlock::pack(vec![call(1), call(2)]), &[], &[]).await.unwrap();
}

async fn rows_are_sealed_once_and_come_back_as_they_were_named(store: Opened) {
    filled(&store).await;
    let rows = store.unsealed_rows().await.unwrap();
    let classes: Vec<AuditClass> = rows.iter().map(|row| row.class).collect();
    let [security, sign_in, token, call, block] =
        [AuditClass::Security, AuditClass::SignIn, AuditClass::Token, AuditClass::Call, AuditClass::Block];
    assert_eq!(classes, [security, sign_in, token, call, block]);
    assert_eq!(store.outside_seals().await.unwrap().unsealed, 5);
    let first = seal(None, rows.clone());
    assert!(store.put_seal(first.clone()).await.unwrap());
    assert!(store.unsealed_rows().await.unwrap().is_empty());
    let sealed = store.sealed_rows(1).await.unwrap();
    assert_eq!(sealed.iter().map(|row| row.entry).collect::<Vec<_>>(), rows);
    assert_eq!(sealed.iter().map(|row| row.position).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let listed = store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    assert!(listed.iter().all(|row| row.sealed) && listed.len() == 6);
    // Under another seal they do not go.
    assert!(!store.put_seal(seal(Some(&first), rows)).await.unwrap());
    assert_eq!(store.outside_seals().await.unwrap(), store::Outside::default());
    store.tamper("UPDATE audit_events SET seal_id = 2 WHERE kind = 'stopped'").await;
    assert_eq!(store.outside_seals().await.unwrap().foreign, 1);
}

async fn of_several_that_seal_at_once_one_does(store: Opened) {
    filled(&store).await;
    let another = store.another().await;
    let rows = store.unsealed_rows().await.unwrap();
    let (one, other) = tokio::join!(
        store.put_seal(seal(None, rows.clone())),
        another.put_seal(Seal { signature: "d.e.f".to_owned(), ..seal(None, rows[..2].to_vec()) })
    );
    let mut done = [one.unwrap(), other.unwrap()];
    done.sort_unstable();
    assert_eq!(done, [false, true]);
    assert_eq!(store.list_seals(0, 10).await.unwrap().len(), 1);
}

async fn a_row_is_hashed_by_all_it_says_and_by_nothing_else(store: Opened) {
    filled(&store).await;
    let before = store.unsealed_rows().await.unwrap();
    // Whom a name belongs to may be forgotten.
    store.tamper("UPDATE audit_subjects SET name = NULL, address = NULL").await;
    assert_eq!(store.unsealed_rows().await.unwrap(), before);
    for column in ["kind", "outcome", "reason", "reference", "client_id", "server", "detail"] {
        store
            .tamper(&format!(
                "UPDATE audit_events SET {column} = '{{}}' WHERE kind = 'sign_in' OR kind = '{{}}'"
            ))
            .await;
        let now = store.unsealed_rows().await.unwrap();
        let differ = before.iter().zip(&now).filter(|(one, other)| one.hash != other.hash).count();
        assert_eq!(differ, 1, "{column}");
    }
    let hashes: Vec<Hash> = store.unsealed_rows().await.unwrap().iter().map(|row| row.hash).collect();
    for column in ["user_id", "grant_id", "subject_id"] {
        store.tamper(&format!("UPDATE audit_events SET {column} = NULL WHERE kind = 'token_issued'")).await;
    }
    let now: Vec<Hash> = store.unsealed_rows().await.unwrap().iter().map(|row| row.hash).collect();
    assert_eq!(hashes.iter().zip(&now).filter(|(one, other)| one != other).count(), 1);
    store.tamper("UPDATE audit_blocks SET first_at = first_at - 1").await;
    assert_ne!(store.unsealed_rows().await.unwrap()[4].hash, now[4]);
}

async fn a_seal_comes_back_as_it_went_in(store: Opened) {
    filled(&store).await;
    assert_eq!(store.last_seal().await.unwrap(), None);
    let rows = store.unsealed_rows().await.unwrap();
    let first = seal(None, rows[..2].to_vec());
    let second = seal(Some(&first), rows[2..].to_vec());
    let third = seal(Some(&second), Vec::new());
    for seal in [&first, &second, &third] {
        assert!(store.put_seal(seal.clone()).await.unwrap());
    }
    assert_eq!(store.last_seal().await.unwrap().map(|found| found.seal).as_ref(), Some(&third));
    let found = store.list_seals(0, 10).await.unwrap();
    assert!(found.iter().all(store::FoundSeal::is_whole));
    assert_eq!(found.iter().map(|found| found.count).collect::<Vec<_>>(), [2, 3, 0]);
    let seals = |found: Vec<store::FoundSeal>| found.into_iter().map(|found| found.seal).collect::<Vec<_>>();
    assert_eq!(seals(found), [first, second.clone(), third.clone()]);
    assert_eq!(seals(store.list_seals(1, 1).await.unwrap()), [second]);
    assert_eq!(third.sealing.read_cutoffs()["calls"], 7);
}

/// A record that moved from one engine to the other is still what was sealed.
async fn both_engines_seal_the_same_bytes(store: Opened) {
    filled(&store).await;
    let digest = seal(None, store.unsealed_rows().await.unwrap()).digest;
    let text: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, "e28cb74d244d3cfbd8980df3cadc53e8b22bc4551fcf63b8067f754bf96d86da");
}

/// ST-19: whatever was done to one, the others can be looked at.
async fn what_cannot_be_read_keeps_nothing_else_from_being_read(store: Opened) {
    filled(&store).await;
    let rows = store.unsealed_rows().await.unwrap();
    let first = seal(None, rows[..2].to_vec());
    let second = seal(Some(&first), rows[2..].to_vec());
    assert!(store.put_seal(first.clone()).await.unwrap() && store.put_seal(second.clone()).await.unwrap());
    let (hex, huge) = if store.is_postgres() {
        ("'\\xff'", "decode(repeat('00', 5000000), 'hex')")
    } else {
        ("x'ff'", "zeroblob(50000000)")
    };
    for column in ["previous_digest", "entries", "digest", "key_id", "signature"] {
        for value in ["NULL", hex, huge] {
            if store
                .try_tamper(&format!("UPDATE audit_seals SET {column} = {value} WHERE id = 1"))
                .await
                .is_err()
            {
                continue;
            }
            let found = store.list_seals(0, 10).await.unwrap();
            let unreadable: Vec<_> = found.iter().map(|found| found.unreadable.clone()).collect();
            assert_eq!(unreadable, [vec![column], vec![]], "{value}");
            assert_eq!(found[1].seal, second);
        }
        store.tamper("DELETE FROM audit_seals").await;
        store.tamper("UPDATE audit_events SET seal_id = NULL").await;
        store.tamper("UPDATE audit_blocks SET seal_id = NULL").await;
        assert!(
            store.put_seal(first.clone()).await.unwrap() && store.put_seal(second.clone()).await.unwrap()
        );
    }
    // The same of the rows under it.
    let kind = "UPDATE audit_blocks SET packed = ";
    store.tamper(&format!("{kind}{huge}")).await;
    let now = store.sealed_rows(2).await.unwrap();
    let entries: Vec<SealEntry> = now.iter().map(|row| row.entry).collect();
    assert_eq!((&entries[..2], entries.len()), (&rows[2..4], 3));
    assert_ne!(entries[2].hash, rows[4].hash);
    let told = store.audit_under_seal(2).await.unwrap();
    assert_eq!(told.iter().map(|row| row.is_unreadable()).collect::<Vec<_>>(), [false, false, true]);
}
