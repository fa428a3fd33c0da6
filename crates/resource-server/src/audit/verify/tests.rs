//! Attacks ST-19: what is done to the audit behind the record's back is found, and which row it was done to.

use std::sync::Arc;

use protocol::jose::VerifyingKeys;
use store::{AuditEvents as _, AuditKind, AuditSeals as _, Outcome};

use super::super::sealer::{Round, Sealer};
use super::*;
use crate::fixture::{PING, World, post, tools_call};

/// A house with events and calls, all of them sealed.
async fn sealed() -> World {
    let world = World::new().await;
    let token = world.token(|_| {});
    for _ in 0..3 {
        world.answered(post(&token, PING)).await;
        world.answered(post(&token, &tools_call("writes"))).await;
    }
    world.audited().await;
    seal_all(&world).await;
    for number in 0..4 {
        event(&world, number).await;
        seal_all(&world).await;
    }
    event(&world, 4).await;
    event(&world, 5).await;
    event(&world, 6).await;
    seal_all(&world).await;
    world
}

async fn event(world: &World, second: u64) {
    let at = crate::fixture::START.plus(std::time::Duration::from_secs(100 + second));
    let id = Id::mint(at, &*world.entropy);
    let mut event = store::AuditEvent::new(id, at, AuditKind::GrantRevoked, Outcome::Ok);
    event.detail.insert("number", second.to_string());
    world.store.append_audit(vec![event]).await.unwrap();
}

/// An event of Alice's, with her name.
async fn named(world: &World, second: u64) {
    let at = crate::fixture::START.plus(std::time::Duration::from_secs(100 + second));
    let mut event =
        store::AuditEvent::new(Id::mint(at, &*world.entropy), at, AuditKind::Stopped, Outcome::Ok);
    let salt = *event.id.as_bytes();
    (event.user, event.subject) = (
        Some(world.alice),
        Some(store::AuditSubject { salt, name: Some("alice".to_owned()), address: None }),
    );
    world.store.append_audit(vec![event]).await.unwrap();
}

fn sealer(world: &World) -> Sealer {
    let (clock, entropy) = (Arc::clone(&world.clock) as _, Arc::clone(&world.entropy) as _);
    Sealer::new(Arc::clone(&world.store) as _, Arc::clone(&world.keys), clock, entropy)
}

async fn seal_all(world: &World) {
    while sealer(world).seal().await.unwrap() != Round::Nothing {}
}

fn keys(world: &World) -> VerifyingKeys {
    VerifyingKeys::of(world.keys.load().audit.as_ref().unwrap().iter())
}

async fn verified(world: &World, kept: Option<&SealClaims>) -> Findings {
    verify_audit(world.store.as_ref(), &keys(world), kept, &|_, _| {}).await.unwrap()
}

async fn checkpoint(world: &World) -> SealClaims {
    let seal = world.store.last_seal().await.unwrap().unwrap().seal;
    read_checkpoint(&keys(world), &seal.signature).unwrap()
}

fn tamper(world: &World, sql: &str) {
    rusqlite::Connection::open(world.record()).unwrap().execute_batch(sql).unwrap();
}

fn told(found: &Findings) -> Vec<String> {
    found.faults.iter().map(|fault| fault.to_string().split(':').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_nobody_touched_is_what_was_sealed() {
    let world = sealed().await;
    let found = verified(&world, Some(&checkpoint(&world).await)).await;
    assert_eq!((found.count, found.expired, found.unsealed), (0, 0, 0), "{:?}", found.faults);
    assert_eq!((found.seals, found.rows), (6, 9), "a sign-in, a block, and seven events");
    event(&world, 8).await;
    assert_eq!(verified(&world, None).await.unsealed, 1);
}

#[tokio::test]
async fn st_19_an_event_that_was_altered_is_named() {
    let world = sealed().await;
    tamper(&world, "UPDATE audit_events SET detail = '{\"number\":\"9\"}' WHERE detail LIKE '%\"2\"%'");
    let found = verified(&world, None).await;
    let [Fault::Altered(4, row)] = found.faults.as_slice() else { panic!("{:?}", found.faults) };
    assert_eq!(
        (row.at, row.is_block),
        (crate::fixture::START.plus(std::time::Duration::from_secs(102)), false)
    );
    assert_eq!(found.rows, 8);
}

#[tokio::test]
async fn st_19_a_block_of_calls_that_was_altered_is_named() {
    let world = sealed().await;
    tamper(&world, "UPDATE audit_blocks SET packed = CAST(replace(packed, 'writes', 'writer') AS BLOB)");
    let found = verified(&world, None).await;
    let [Fault::Altered(1, row)] = found.faults.as_slice() else { panic!("{:?}", found.faults) };
    assert!(row.is_block);
}

#[tokio::test]
async fn st_19_a_row_that_was_removed_is_named() {
    let world = sealed().await;
    tamper(&world, "DELETE FROM audit_events WHERE detail LIKE '%\"5\"%'");
    let found = verified(&world, None).await;
    let [Fault::Removed(6, row)] = found.faults.as_slice() else { panic!("{:?}", found.faults) };
    assert_eq!(row.at, crate::fixture::START.plus(std::time::Duration::from_secs(105)));
}

#[tokio::test]
async fn st_19_rows_that_were_swapped_are_named() {
    let world = sealed().await;
    tamper(&world, "UPDATE audit_events SET seal_position = 2 - seal_position WHERE seal_id = 6");
    assert_eq!(told(&verified(&world, None).await), ["reordered", "reordered"]);
}

#[tokio::test]
async fn st_19_a_row_that_was_put_in_is_named() {
    let world = sealed().await;
    tamper(
        &world,
        "INSERT INTO audit_events (id, at, kind, outcome, detail, seal_id, seal_position) \
         VALUES (x'00000000000000000000000000000001', 7, 'sign_in', 'ok', '{}', 6, 3)",
    );
    assert_eq!(told(&verified(&world, None).await), ["put in"]);
}

/// With what was kept elsewhere even the end of it is found.
#[tokio::test]
async fn st_19_an_end_that_was_cut_off_is_found_by_a_checkpoint() {
    let world = sealed().await;
    let kept = checkpoint(&world).await;
    tamper(&world, "DELETE FROM audit_events WHERE seal_id = 6; DELETE FROM audit_seals WHERE id = 6");
    assert_eq!(verified(&world, None).await.count, 0, "by itself it is whole");
    assert_eq!(verified(&world, Some(&kept)).await.faults, [Fault::TailCut(5, 6)]);
    // And it goes on from there.
    event(&world, 9).await;
    seal_all(&world).await;
    assert_eq!(verified(&world, Some(&kept)).await.faults, [Fault::CheckpointDiffers(6)]);
    tamper(
        &world,
        "DELETE FROM audit_seals; UPDATE audit_events SET seal_id = NULL; UPDATE audit_blocks SET seal_id = NULL",
    );
    assert_eq!(verified(&world, Some(&kept)).await.faults, [Fault::TailCut(0, 6)]);
}

#[tokio::test]
async fn st_19_rows_left_behind_by_a_seal_that_was_removed_are_found() {
    let world = sealed().await;
    tamper(&world, "DELETE FROM audit_seals WHERE id = 6");
    assert_eq!(told(&verified(&world, None).await), ["cut off"]);
}

#[tokio::test]
async fn st_19_a_beginning_that_was_cut_off_is_found() {
    let world = sealed().await;
    tamper(
        &world,
        "UPDATE audit_seals SET previous = NULL WHERE id = 3; DELETE FROM audit_seals WHERE id < 3; \
         DELETE FROM audit_events WHERE seal_id < 3; DELETE FROM audit_blocks WHERE seal_id < 3",
    );
    assert_eq!(told(&verified(&world, None).await), ["removed"]);
}

#[tokio::test]
async fn st_19_a_seal_in_between_that_was_removed_is_found() {
    let world = sealed().await;
    tamper(
        &world,
        "UPDATE audit_seals SET previous = NULL WHERE id = 4; DELETE FROM audit_seals WHERE id = 3; \
         DELETE FROM audit_events WHERE seal_id = 3",
    );
    assert_eq!(told(&verified(&world, None).await), ["broken"]);
}

/// Whoever can write into the record, but has not the key, cannot seal.
#[tokio::test]
async fn st_19_what_was_sealed_anew_without_the_key_is_forged() {
    let world = sealed().await;
    let mut seal = world.store.last_seal().await.unwrap().unwrap().seal;
    seal.sealing.entries.pop();
    seal.sealing.total -= 1;
    seal.digest = seal.sealing.digest();
    tamper(
        &world,
        "DELETE FROM audit_seals WHERE id = 6; DELETE FROM audit_events WHERE detail LIKE '%\"6\"%'",
    );
    tamper(&world, "UPDATE audit_events SET seal_id = NULL WHERE seal_id = 6");
    assert!(world.store.put_seal(seal.clone()).await.unwrap());
    assert_eq!(told(&verified(&world, None).await), ["forged"]);
    // Nor with a key of its own.
    let other = World::new().await;
    let ring = other.keys.load();
    seal.signature = ring
        .audit
        .as_ref()
        .unwrap()
        .active()
        .sign("audit-seal+jwt", &claims(&seal.sealing, &seal.digest))
        .unwrap();
    tamper(
        &world,
        "DELETE FROM audit_seals WHERE id = 6; UPDATE audit_events SET seal_id = NULL WHERE seal_id = 6",
    );
    assert!(world.store.put_seal(seal).await.unwrap());
    assert_eq!(told(&verified(&world, None).await), ["forged"]);
}

#[tokio::test]
async fn st_19_a_seal_that_was_altered_is_found() {
    let world = sealed().await;
    tamper(&world, "UPDATE audit_seals SET sealed_at = sealed_at + 1 WHERE id = 4");
    assert_eq!(told(&verified(&world, None).await), ["altered", "forged"]);
}

/// ST-19: whatever one cell of a seal is made, it is a finding, and every other row is looked at.
#[tokio::test]
async fn st_19_a_seal_of_which_a_cell_cannot_be_read_is_found_and_the_others_are_verified() {
    let world = sealed().await;
    let record = rusqlite::Connection::open(world.record()).unwrap();
    record.execute_batch("CREATE TABLE kept AS SELECT * FROM audit_seals WHERE id = 3").unwrap();
    for (column, rows) in
        [("digest", 9), ("signature", 9), ("key_id", 9), ("previous_digest", 9), ("entries", 8)]
    {
        for value in ["x'00'", "zeroblob(50000000)", "NULL"] {
            let sql = format!("UPDATE OR IGNORE audit_seals SET {column} = {value} WHERE id = 3");
            if record.execute(&sql, []).unwrap() == 0 {
                continue;
            }
            let found = verified(&world, None).await;
            let is_told = matches!(found.faults[..], [Fault::SealAltered(3) | Fault::Unsigned(3)]);
            assert!(is_told, "{column} = {value}: {:?}", found.faults);
            assert_eq!((found.count, found.seals, found.rows), (1, 6, rows), "{column} = {value}");
        }
        let sql = format!("UPDATE audit_seals SET {column} = (SELECT {column} FROM kept) WHERE id = 3");
        record.execute(&sql, []).unwrap();
    }
    assert_eq!(verified(&world, None).await.count, 0, "the control");
}

/// B30: how many rows it has stands beside its entries, too.
#[tokio::test]
async fn st_19_a_seal_whose_count_was_changed_is_found() {
    let world = sealed().await;
    tamper(&world, "UPDATE audit_seals SET count = -1 WHERE id = 4");
    assert_eq!(verified(&world, None).await.faults, [Fault::SealAltered(4)]);
}

/// ST-19: a row of which nothing can be made is one that was altered.
#[tokio::test]
async fn st_19_a_row_that_cannot_be_read_is_named_and_the_others_are_verified() {
    for sql in [
        "UPDATE audit_blocks SET packed = x'ff00'",
        "UPDATE audit_blocks SET packed = zeroblob(50000000)",
        "UPDATE audit_events SET detail = CAST(x'ff' AS TEXT) WHERE detail LIKE '%\"3\"%'",
        "UPDATE audit_events SET detail = CAST(zeroblob(50000000) AS TEXT) WHERE detail LIKE '%\"3\"%'",
        "UPDATE audit_events SET id = x'ff' WHERE detail LIKE '%\"3\"%'",
    ] {
        let world = sealed().await;
        tamper(&world, sql);
        let found = verified(&world, None).await;
        assert_eq!((told(&found), found.rows), (vec!["altered".to_owned()], 8), "{sql}: {:?}", found.faults);
    }
}

/// What comes after a last seal that was altered is sealed all the same, and only that one is a finding.
#[tokio::test]
async fn st_19_a_last_seal_that_cannot_be_read_keeps_nothing_from_being_sealed() {
    for column in ["signature", "entries", "digest", "cutoffs", "total"] {
        let world = sealed().await;
        let before = crate::fixture::START.plus(std::time::Duration::from_secs(103));
        let cutoffs = Cutoffs::from([("security".to_owned(), before.micros())]);
        assert!(sealer(&world).seal_cutoffs(&cutoffs).await.unwrap());
        tamper(&world, "DELETE FROM audit_events WHERE detail LIKE '%\"1\"%' OR detail LIKE '%\"2\"%'");
        event(&world, 7).await;
        seal_all(&world).await;
        tamper(&world, &format!("UPDATE OR IGNORE audit_seals SET {column} = NULL WHERE id = 8"));
        if column == "digest" {
            tamper(&world, "UPDATE audit_seals SET digest = x'00' WHERE id = 8");
        }
        event(&world, 8).await;
        event(&world, 9).await;
        seal_all(&world).await;
        let found = verified(&world, None).await;
        assert_eq!(found.faults, [Fault::SealAltered(8)], "{column}");
        assert_eq!((found.seals, found.unsealed, found.expired), (9, 0, 2), "{column}");
    }
}

/// ST-19, P-18: who it was and from where is sealed as well, and may be forgotten all the same.
#[tokio::test]
async fn st_19_a_name_or_address_that_is_not_what_was_sealed_is_found() {
    let salted = "WHERE salt IS NOT NULL";
    for (sql, faults) in [
        ("UPDATE audit_subjects SET name = 'mallory@example.com' WHERE name IS NOT NULL", "altered"),
        (&format!("UPDATE audit_subjects SET address = '6.6.6.6' {salted}"), "altered"),
        (&format!("UPDATE audit_subjects SET salt = NULL {salted}"), "altered"),
        (&format!("UPDATE audit_subjects SET salt = x'00' {salted}"), "altered"),
        (
            &format!("UPDATE audit_subjects SET address = CAST(zeroblob(50000000) AS TEXT) {salted}"),
            "altered",
        ),
        (&format!("UPDATE audit_subjects SET name = NULL, address = NULL, salt = NULL {salted}"), "removed"),
        (&format!("DELETE FROM audit_subjects {salted}"), "removed"),
    ] {
        let world = sealed().await;
        tamper(&world, sql);
        let found = verified(&world, None).await;
        assert_eq!((told(&found), found.rows), (vec![faults.to_owned()], 9), "{sql}: {:?}", found.faults);
    }
}

#[tokio::test]
async fn a_name_that_was_forgotten_is_no_finding() {
    let world = sealed().await;
    let user = world.alice;
    let id = Id::mint(crate::fixture::START, &*world.entropy);
    let mut audit =
        store::AuditEvent::new(id, crate::fixture::START, AuditKind::PersonForgotten, Outcome::Ok);
    audit.user = Some(user);
    let forget = store::Forget { user, in_spite_of_holds: false, audit };
    store::AuditKeeping::forget_person(world.store.as_ref(), forget, &|_, _| {}).await.unwrap().unwrap();
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.forgotten, found.names_outside), (0, 1, 0), "{:?}", found.faults);
    // Who was forgotten once is not so for ever.
    named(&world, 4 * 60 * 60).await;
    world.clock.advance(std::time::Duration::from_secs(5 * 60 * 60));
    seal_all(&world).await;
    assert_eq!(verified(&world, None).await.count, 0);
    tamper(&world, "UPDATE audit_subjects SET name = NULL, address = NULL, salt = NULL");
    let found = verified(&world, None).await;
    assert_eq!(told(&found), ["removed".to_owned()], "{:?}", found.faults);
}

/// What an older release wrote says nothing of names: that is told, and once it is over nothing passes for it.
#[tokio::test]
async fn st_19_names_of_before_they_were_sealed_are_counted_and_no_new_one_passes_for_such() {
    let world = World::new().await;
    event(&world, 0).await;
    seal_all(&world).await;
    let mut last = world.store.last_seal().await.unwrap().unwrap().seal;
    // The seal as an older release makes it.
    tamper(&world, "DELETE FROM audit_seals; UPDATE audit_events SET seal_id = NULL");
    last.sealing.cutoffs = "{}".to_owned();
    last.digest = last.sealing.digest();
    let keys_now = world.keys.load();
    let key = keys_now.audit.as_ref().unwrap().active();
    last.signature = key.sign("audit-seal+jwt", &claims(&last.sealing, &last.digest)).unwrap();
    assert!(world.store.put_seal(last).await.unwrap());
    named(&world, 1).await;
    tamper(&world, "UPDATE audit_subjects SET salt = NULL, name = 'mallory@example.com'");
    world.clock.advance(std::time::Duration::from_secs(200));
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.names_outside), (0, 1), "{:?}", found.faults);
    named(&world, 300).await;
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.names_outside), (0, 1), "{:?}", found.faults);
    tamper(&world, "UPDATE audit_subjects SET salt = NULL, name = 'mallory@example.com'");
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((told(&found), found.names_outside), (vec!["altered".to_owned()], 1), "{:?}", found.faults);
}

/// What may be gone is said by a seal, and by nothing else.
#[tokio::test]
async fn rows_may_go_when_their_time_is_over_and_a_seal_says_so() {
    let world = sealed().await;
    let before = crate::fixture::START.plus(std::time::Duration::from_secs(103));
    tamper(&world, "DELETE FROM audit_events WHERE detail LIKE '%\"1\"%' OR detail LIKE '%\"2\"%'");
    assert_eq!(verified(&world, None).await.count, 2);
    let cutoffs = Cutoffs::from([("security".to_owned(), before.micros())]);
    assert!(sealer(&world).seal_cutoffs(&cutoffs).await.unwrap());
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.expired), (0, 2), "{:?}", found.faults);
    // It is of these two alone: of what is younger, or of another class, nothing may go.
    tamper(&world, "DELETE FROM audit_events WHERE detail LIKE '%\"3\"%'; DELETE FROM audit_blocks");
    assert_eq!(told(&verified(&world, None).await), ["removed", "removed"]);
    // And what the next seals say is the same.
    event(&world, 9).await;
    seal_all(&world).await;
    assert_eq!(verified(&world, None).await.expired, 2);
}

/// The same, as it is done while Sekisho runs.
#[tokio::test]
async fn what_is_too_old_is_removed_and_the_rest_is_what_was_sealed() {
    let world = sealed().await;
    world.clock.advance(std::time::Duration::from_secs(3600));
    let day = std::time::Duration::from_secs(86_400);
    let keeping = |classes: &[(AuditClass, std::time::Duration)]| {
        sealer(&world).keeping(super::super::Keep { classes: classes.to_vec(), usage: None })
    };
    assert_eq!(keeping(&[(AuditClass::Security, day)]).remove().await.unwrap(), 0);
    let half = std::time::Duration::from_secs(1800);
    let keep = vec![(AuditClass::Security, half), (AuditClass::Block, half), (AuditClass::Call, half)];
    assert_eq!(keeping(&keep).remove().await.unwrap(), 8, "the sign-in is kept");
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.expired, found.rows), (0, 8, 2), "{:?}", found.faults);
    // What may be gone stays so when a node with another configuration says less.
    keeping(&[(AuditClass::Security, day)]).remove().await.unwrap();
    assert_eq!(verified(&world, None).await.count, 0);
    // The one that tells of it is young.
    assert_eq!(keeping(&keep).remove().await.unwrap(), 0);
}

/// It goes on for hours in a large record, and what is too old is removed every hour: that is no tampering, and the seal that says
/// so is looked at too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_it_is_verified_was_not_taken_away() {
    let world = sealed().await;
    world.clock.advance(std::time::Duration::from_secs(3600));
    let half = std::time::Duration::from_secs(1800);
    let keep = vec![(AuditClass::Security, half), (AuditClass::Block, half), (AuditClass::Call, half)];
    let sealer = sealer(&world).keeping(super::super::Keep { classes: keep, usage: None });
    let here = tokio::runtime::Handle::current();
    let after_the_first = |seal: u64, _: u64| {
        if seal == 1 {
            let removed = tokio::task::block_in_place(|| here.block_on(sealer.remove())).unwrap();
            assert_eq!(removed, 8);
        }
    };
    let found = verify_audit(world.store.as_ref(), &keys(&world), None, &after_the_first).await.unwrap();
    assert_eq!((found.count, found.seals), (0, 7), "{:?}", found.faults);
    // What goes and no seal says so is still found.
    tamper(&world, "DELETE FROM audit_events WHERE kind = 'sign_in'");
    assert_eq!(verified(&world, None).await.count, 1);
}

/// Of several nodes that seal at once one seals each row.
#[tokio::test]
async fn nodes_that_seal_at_once_seal_each_row_once() {
    let world = World::new().await;
    for number in 0..40 {
        event(&world, number).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let sealer = sealer(&world);
        tasks.spawn(async move { sealer.seal().await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    seal_all(&world).await;
    let found = verified(&world, None).await;
    assert_eq!((found.count, found.rows, found.unsealed), (0, 41, 0), "{:?}", found.faults);
}

/// F-13: by a clock that is not that of the record nothing is sealed, and above all nothing is removed.
#[tokio::test]
async fn f_13_a_node_with_a_wrong_clock_removes_nothing() {
    let world = World::new().await;
    let freshness = Arc::new(protocol::world::Freshness::for_ever());
    let year = std::time::Duration::from_secs(365 * 24 * 3600);
    let keep = super::super::Keep { classes: vec![(AuditClass::Security, year)], usage: None };
    let here = sealer(&world).keeping(keep).by_the_clock_of(Arc::clone(&freshness));
    event(&world, 0).await;
    seal_all(&world).await;
    event(&world, 1).await;
    world.clock.advance(10 * year);
    freshness.note_clock(true);
    assert_eq!(here.remove().await.unwrap(), 0);
    assert_eq!(here.seal().await.unwrap(), Round::Nothing);
    freshness.note_clock(false);
    assert_eq!(here.seal().await.unwrap(), Round::Sealed(1), "the control");
    assert_eq!(here.remove().await.unwrap(), 2);
}

/// F-20: sealed by a release that knows the kind not yet, or keeps it for another time.
#[test]
fn f_20_of_which_class_a_row_was_sealed_is_no_part_of_what_it_says() {
    let (at, id, hash) = (crate::fixture::START, Id::from_bytes([7; 16]), Hash::of(b"row"));
    let sealed = SealEntry { class: AuditClass::Security, at, id, hash };
    assert!(is_as_sealed(&SealEntry { class: AuditClass::Token, ..sealed }, &sealed));
    assert!(!is_as_sealed(&SealEntry { hash: Hash::of(b"another"), ..sealed }, &sealed));
    assert!(!is_as_sealed(&SealEntry { id: Id::from_bytes([8; 16]), ..sealed }, &sealed));
}
