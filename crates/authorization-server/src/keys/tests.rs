//! Keys at start: made once, opened ever after, never made over existing data.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use protocol::jose::{Algorithm, Expect};
use store::{AuditFilter, Engine, EngineConfig, Failpoint, KeysRecord, Queries};

use super::*;
use crate::test_house::*;

struct Record {
    clock: Arc<Still>,
    entropy: Arc<Counting>,
    store: Engine,
    _folder: tempfile::TempDir,
}

impl Record {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::Sqlite { path: folder.path().join("record.db"), synchronous_full: false };
        let store = Engine::open(config).await.unwrap();
        Self { clock: Arc::new(Still::new()), entropy: Arc::new(Counting::new()), store, _folder: folder }
    }

    fn master(&self) -> Masters {
        KeyRing::new(MasterKey::generate(&*self.entropy).0, Vec::new())
    }

    async fn load(&self, masters: &Masters) -> Result<Keys, KeysError> {
        let records = load_or_create(&self.store, masters, (&*self.clock, &*self.entropy), false).await?;
        open(masters, &records, self.clock.now())
    }

    async fn examine(&self, masters: &Masters, public_url: &str) -> Result<String, KeysError> {
        examine(&self.store, masters, &*self.clock, public_url, &[]).await
    }

    fn change<'a>(&'a self, masters: &'a Masters) -> Change<'a> {
        Change { store: &self.store, masters, clock: &*self.clock, entropy: &*self.entropy }
    }

    async fn records(&self) -> Vec<KeyRecord> {
        self.store.list_keys().await.unwrap()
    }

    async fn audited(&self, kind: AuditKind) -> usize {
        let filter = AuditFilter { kind: Some(kind), ..AuditFilter::default() };
        self.store.list_audit(filter, None, 1000).await.unwrap().len()
    }
}

type Masters = KeyRing<MasterKey>;

/// The new one, and the previous one.
fn both(new: &str, previous: &str) -> Masters {
    KeyRing::new(MasterKey::parse(new).unwrap(), vec![MasterKey::parse(previous).unwrap()])
}

fn only(text: &str) -> Masters {
    KeyRing::new(MasterKey::parse(text).unwrap(), Vec::new())
}

const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn ids(keys: &Keys) -> Vec<KeyId> {
    let macs = [&keys.client_ids, &keys.refresh_tokens, &keys.forms];
    macs.iter()
        .map(|ring| ring.active().id())
        .chain([keys.signing.active().id(), keys.sealing.active().id()])
        .collect()
}

#[tokio::test]
async fn keys_are_made_once_and_opened_ever_after() {
    let record = Record::new().await;
    let master = record.master();
    let made = record.load(&master).await.unwrap();
    let opened = record.load(&master).await.unwrap();
    assert_eq!(ids(&made), ids(&opened));
    assert_eq!(made.forms.active().mac("x", &[]), opened.forms.active().mac("x", &[]));
    assert_ne!(made.forms.active().mac("x", &[]), made.client_ids.active().mac("x", &[]));
    assert_eq!(made.jwks(), opened.jwks());
    assert_eq!(record.store.list_keys().await.unwrap().len(), KeyPurpose::ALWAYS.len());
    let filter = AuditFilter { kind: Some(AuditKind::KeyCreated), ..AuditFilter::default() };
    assert_eq!(record.store.list_audit(filter, None, 10).await.unwrap().len(), 6);
}

#[tokio::test]
async fn of_nodes_that_start_at_once_all_get_the_same_keys() {
    let record = Record::new().await;
    let master = Arc::new(record.master());
    let all = (0..8).map(|_| record.load(&master));
    let keys = futures_util::future::join_all(all).await;
    let first = ids(keys[0].as_ref().unwrap());
    assert!(keys.iter().all(|keys| ids(keys.as_ref().unwrap()) == first));
    assert_eq!(record.store.list_keys().await.unwrap().len(), 6);
}

/// ST-04 and P-15.
#[tokio::test]
async fn another_master_key_is_an_error_that_says_what_to_do() {
    let record = Record::new().await;
    let (right, wrong) = (record.master(), record.master());
    record.load(&right).await.unwrap();
    let error = record.load(&wrong).await.unwrap_err();
    assert!(matches!(error, KeysError::OtherMasterKey { .. }));
    let sentence = error.to_string();
    assert!(
        sentence.contains(&right.active().fingerprint().to_string())
            && sentence.contains(&wrong.active().fingerprint().to_string())
    );
    assert_eq!(record.store.list_keys().await.unwrap().len(), 6);
    assert!(record.examine(&wrong, ISSUER).await.is_err());
}

/// A crash between the keys and the fingerprint: the keys themselves say whose they are.
#[tokio::test]
async fn the_master_key_is_told_apart_before_its_fingerprint_was_written() {
    let record = Record::new().await;
    let (right, wrong) = (record.master(), record.master());
    create(&record.store, right.active(), record.clock.now(), &*record.entropy).await.unwrap();
    assert!(matches!(record.load(&wrong).await.unwrap_err(), KeysError::OtherMasterKey { .. }));
    record.load(&right).await.unwrap();
    assert_eq!(record.store.meta(MASTER_KEY).await.unwrap(), Some(right.active().fingerprint().to_string()));
}

#[tokio::test]
async fn no_key_is_made_where_keys_or_data_were() {
    let record = Record::new().await;
    let master = record.master();
    record.store.put_meta(MASTER_KEY, &master.active().fingerprint().to_string()).await.unwrap();
    assert!(matches!(record.load(&master).await.unwrap_err(), KeysError::Gone));
    assert!(matches!(record.examine(&master, ISSUER).await.unwrap_err(), KeysError::Gone));
    assert!(record.store.list_keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_was_moved_or_changed_does_not_open() {
    let record = Record::new().await;
    let master = record.master();
    record.load(&master).await.unwrap();
    let mut keys = record.store.list_keys().await.unwrap();
    let (one, other) = (keys[0].sealed.clone(), keys[1].sealed.clone());
    (keys[0].sealed, keys[1].sealed) = (other, one);
    record.store.put_keys(keys, false).await.unwrap();
    assert!(matches!(record.load(&master).await.unwrap_err(), KeysError::Unopened { .. }));
}

#[tokio::test]
async fn a_retired_key_reads_and_a_withdrawn_one_is_gone() {
    let record = Record::new().await;
    let master = record.master();
    let before = record.load(&master).await.unwrap();
    let forms =
        |keys: &[KeyRecord]| keys.iter().find(|key| key.purpose == KeyPurpose::Forms).unwrap().clone();
    let mut old = forms(&record.store.list_keys().await.unwrap());
    old.retired_at = Some(record.clock.now());
    let id = KeyId::mint(&*record.entropy);
    let sealed = master.active().wrap(KeyPurpose::Forms.as_str(), id, &[7; 32], &*record.entropy);
    let young = KeyRecord { id, sealed, retired_at: None, ..old.clone() };
    record.store.put_keys(vec![old.clone(), young], false).await.unwrap();
    let keys = record.load(&master).await.unwrap();
    assert_eq!(keys.forms.active().id(), id);
    assert!(keys.forms.find(before.forms.active().id()).is_some());
    old.withdrawn_at = Some(record.clock.now());
    record.store.put_keys(vec![old], false).await.unwrap();
    let keys = record.load(&master).await.unwrap();
    assert!(keys.forms.find(before.forms.active().id()).is_none());
}

#[tokio::test]
async fn a_purpose_without_a_working_key_is_an_error() {
    let record = Record::new().await;
    let master = record.master();
    record.load(&master).await.unwrap();
    let mut keys = record.store.list_keys().await.unwrap();
    keys.retain(|key| key.purpose == KeyPurpose::Signing);
    keys[0].withdrawn_at = Some(record.clock.now());
    record.store.put_keys(keys, false).await.unwrap();
    assert!(matches!(record.load(&master).await.unwrap_err(), KeysError::Absent { purpose: "signing" }));
}

/// P-23.
#[tokio::test]
async fn a_record_belongs_to_the_public_url_of_its_first_start() {
    let record = Record::new().await;
    let master = record.master();
    // The record writes down about itself which releases may use it.
    let before = record.store.counts().await.unwrap();
    let sentence = record.examine(&master, ISSUER).await.unwrap();
    assert!(sentence.contains("first start"));
    assert_eq!(record.store.counts().await.unwrap(), before, "trying writes nothing");
    record.load(&master).await.unwrap();
    let world = (&*record.clock as &dyn Clock, &*record.entropy as &dyn Entropy);
    for _ in 0..2 {
        assert!(!claim_public_url(&record.store, ISSUER, &[], world).await.unwrap());
    }
    assert!(record.examine(&master, ISSUER).await.unwrap().starts_with("6 keys"));
    for moved in ["https://elsewhere.example", "https://mcp.example.com/"] {
        let error = claim_public_url(&record.store, moved, &[moved.to_owned()], world).await.unwrap_err();
        assert!(error.to_string().contains(ISSUER) && error.to_string().contains(moved));
        assert!(record.examine(&master, moved).await.is_err());
    }
}

fn states_of(records: &[KeyRecord], purpose: KeyPurpose, now: Timestamp) -> Vec<KeyState> {
    states(records, purpose, now).into_iter().map(|(_, state)| state).collect()
}

const MINUTE: Duration = Duration::from_secs(60);
const LEAD: Duration = Duration::from_secs(600);

/// AS-175.
#[tokio::test]
async fn a_signing_key_is_published_before_it_signs_and_read_until_its_last_token_is_over() {
    let record = Record::new().await;
    let masters = record.master();
    let first = record.load(&masters).await.unwrap().signing.active().id();
    let now = record.clock.now();
    let made = record.change(&masters).rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    let Rotated::Made { id: second, from } = made else { panic!("{made:?}") };
    assert!(from >= now.plus(LEAD));
    let records = record.records().await;
    let at = |after: Duration| {
        let keys = open(&masters, &records, now.plus(after)).unwrap();
        let published: Vec<KeyId> = keys.signing.iter().map(SigningKey::id).collect();
        (keys.signing.active().id(), published)
    };
    assert_eq!(at(Duration::ZERO), (first, vec![first, second]), "published at once");
    assert_eq!(at(LEAD - MINUTE), (first, vec![first, second]));
    assert_eq!(at(LEAD + MINUTE), (second, vec![second, first]));
    // An hour for the longest token, and five minutes for the clocks.
    assert_eq!(at(LEAD + 64 * MINUTE), (second, vec![second, first]));
    assert_eq!(at(LEAD + 66 * MINUTE), (second, vec![second]));
    assert_eq!(states_of(&records, KeyPurpose::Signing, now), [KeyState::Active, KeyState::Pending { from }]);
}

#[tokio::test]
async fn a_key_that_waits_is_not_doubled_but_can_be_passed() {
    let record = Record::new().await;
    let masters = record.master();
    record.load(&masters).await.unwrap();
    let change = record.change(&masters);
    let first = change.rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    let Rotated::Made { id, from } = first else { panic!("{first:?}") };
    let again = change.rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    assert_eq!(again, Rotated::Waiting { id, from });
    let at_once = change.rotate(KeyPurpose::Signing, When::AtOnce).await.unwrap();
    let Rotated::Made { id: passing, .. } = at_once else { panic!("{at_once:?}") };
    record.clock.advance(Duration::from_secs(1));
    assert_eq!(record.load(&masters).await.unwrap().signing.active().id(), passing);
}

#[tokio::test]
async fn what_has_no_end_is_read_for_ever_and_the_rest_until_it_is_over() {
    let record = Record::new().await;
    let masters = record.master();
    record.load(&masters).await.unwrap();
    for purpose in KeyPurpose::ALWAYS {
        record.change(&masters).rotate(purpose, When::AtOnce).await.unwrap();
    }
    let records = record.records().await;
    let day = Duration::from_secs(24 * 60 * 60);
    for (purpose, after, read) in [
        (KeyPurpose::ClientIds, 4000 * day, true),
        (KeyPurpose::Sealing, 4000 * day, true),
        (KeyPurpose::RefreshTokens, 365 * day, true),
        (KeyPurpose::RefreshTokens, 367 * day, false),
        (KeyPurpose::Forms, 90 * MINUTE, true),
        (KeyPurpose::Forms, 121 * MINUTE, false),
    ] {
        let states = states_of(&records, purpose, record.clock.now().plus(after));
        assert_eq!(states[0].is_read(), read, "{purpose:?} {after:?} {states:?}");
        assert_eq!(states[1], KeyState::Active);
    }
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_at_once_and_another_works() {
    let record = Record::new().await;
    let masters = record.master();
    let before = record.load(&masters).await.unwrap();
    for purpose in KeyPurpose::ALWAYS {
        let working = record.change(&masters).working_key(purpose).await.unwrap();
        assert!(record.change(&masters).withdraw(&[working]).await.unwrap());
    }
    record.clock.advance(Duration::from_millis(1));
    let after = record.load(&masters).await.unwrap();
    for (old, new) in ids(&before).iter().zip(ids(&after)) {
        assert_ne!(*old, new);
    }
    assert!(after.signing.find(before.signing.active().id()).is_none());
    assert_eq!(after.withdrawn, [before.signing.active().id()]);
    assert_eq!(after.jwks()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(record.audited(AuditKind::KeyWithdrawn).await, 6);
    assert_eq!(record.audited(AuditKind::KeyRotated).await, 6);
    let nowhere = KeyId::from_bytes([9; 4]);
    assert!(matches!(
        record.change(&masters).withdraw(&[nowhere]).await.unwrap_err(),
        KeysError::NoSuchKey(id) if id == nowhere
    ));
}

/// One who waits or only reads leaves no gap, so nothing is made for it.
#[tokio::test]
async fn a_key_that_does_not_work_is_withdrawn_without_another() {
    let record = Record::new().await;
    let masters = record.master();
    let first = record.load(&masters).await.unwrap().signing.active().id();
    let made = record.change(&masters).rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    let Rotated::Made { id: waiting, .. } = made else { panic!("{made:?}") };
    record.change(&masters).withdraw(&[waiting]).await.unwrap();
    record.clock.advance(2 * LEAD);
    assert_eq!(record.load(&masters).await.unwrap().signing.active().id(), first);
    assert_eq!(record.records().await.len(), 7);
}

async fn keeper(record: &Record, masters: Masters, settings: KeeperSettings) -> Keeper {
    let parts = KeeperParts {
        store: Arc::new(record.store.clone()),
        masters: Arc::new(masters),
        clock: Arc::clone(&record.clock) as _,
        entropy: Arc::clone(&record.entropy) as _,
    };
    Keeper::open(parts, settings).await.unwrap()
}

#[tokio::test]
async fn the_keeper_changes_the_keys_only_when_they_have_changed() {
    let record = Record::new().await;
    let keeper = keeper(&record, only(OLD), KeeperSettings::default()).await;
    let first = keeper.keys().load_full();
    keeper.read().await.unwrap();
    assert!(Arc::ptr_eq(&first, &keeper.keys().load_full()), "nothing has changed");
    let masters = only(OLD);
    record.change(&masters).rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    keeper.read().await.unwrap();
    let second = keeper.keys().load_full();
    assert_eq!(second.signing.iter().count(), 2);
    assert_eq!(second.signing.active().id(), first.signing.active().id());
    record.clock.advance(LEAD + MINUTE);
    keeper.read().await.unwrap();
    assert_ne!(keeper.keys().load().signing.active().id(), first.signing.active().id());
    record.clock.advance(66 * MINUTE);
    keeper.read().await.unwrap();
    assert_eq!(keeper.keys().load().signing.iter().count(), 1, "its last token is over");
}

/// Keys that were read before a change must not come after those that were read after it: what was withdrawn would count again.
#[tokio::test]
async fn a_reading_that_began_earlier_does_not_bring_earlier_keys_back() {
    let record = Record::new().await;
    let keeper = keeper(&record, only(OLD), KeeperSettings::default()).await;
    // Now and then the record has answered at once.
    let first = loop {
        let mut reading = Box::pin(keeper.read());
        let begun = std::future::poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending()));
        if begun.await {
            break reading;
        }
    };
    let masters = only(OLD);
    record.change(&masters).rotate(KeyPurpose::Signing, When::AfterLead(LEAD)).await.unwrap();
    let mut second = Box::pin(keeper.read());
    let mut is_over = false;
    for _ in 0..100 {
        if !is_over {
            let ended = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context)));
            is_over = ended.await.map(Result::unwrap).is_ready();
        }
        // So that it has the time for as many visits to the record as it needs.
        record.records().await;
    }
    first.await.unwrap();
    if !is_over {
        second.await.unwrap();
    }
    assert_eq!(keeper.keys().load().signing.iter().count(), 2);
}

#[tokio::test]
async fn a_signing_key_that_grows_old_is_rotated_once_by_all_nodes_together() {
    let record = Record::new().await;
    let day = Duration::from_secs(24 * 60 * 60);
    let settings =
        KeeperSettings { signing_rotation: Some(day), lead_time: LEAD, ..KeeperSettings::default() };
    let mut nodes = Vec::new();
    for _ in 0..6 {
        nodes.push(keeper(&record, only(OLD), settings).await);
    }
    record.clock.advance(day - LEAD - MINUTE);
    futures_util::future::join_all(nodes.iter().map(Keeper::read)).await;
    assert_eq!(record.records().await.len(), 6, "not yet");
    record.clock.advance(2 * MINUTE);
    for _ in 0..3 {
        for read in futures_util::future::join_all(nodes.iter().map(Keeper::read)).await {
            read.unwrap();
        }
    }
    assert_eq!(record.records().await.len(), 7);
    assert_eq!(record.audited(AuditKind::KeyRotated).await, 1);
    let off = keeper(&record, only(OLD), KeeperSettings { signing_rotation: None, ..settings }).await;
    record.clock.advance(1000 * day);
    off.read().await.unwrap();
    assert_eq!(record.records().await.len(), 7, "off");
}

/// AS-170, product.md P-1: there is a key for RS256 only where one is asked for; from then on it lives as the other does.
#[tokio::test]
async fn a_key_for_rs256_is_made_where_it_is_needed_and_grows_old_like_the_other() {
    let record = Record::new().await;
    let day = Duration::from_secs(24 * 60 * 60);
    let of_rs256 = || async {
        let all = record.records().await;
        all.into_iter().filter(|key| key.purpose == KeyPurpose::SigningRs256).collect::<Vec<_>>()
    };
    let without = keeper(&record, only(OLD), KeeperSettings::default()).await;
    assert!(of_rs256().await.is_empty() && without.keys().load().signing_rs256.is_none());
    let settings = KeeperSettings {
        rs256: true,
        signing_rotation: Some(day),
        lead_time: LEAD,
        ..KeeperSettings::default()
    };
    let with = keeper(&record, only(OLD), settings).await;
    drop(keeper(&record, only(OLD), settings).await);
    let first = of_rs256().await;
    assert_eq!(first.len(), 1, "a second node makes no other");
    let keys = with.keys().load_full();
    let kinds =
        keys.jwks()["keys"].as_array().unwrap().iter().map(|key| key["alg"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds, ["ES256", "RS256"]);
    let ring = keys.signing_rs256.as_ref().unwrap();
    let claims = serde_json::json!({"sub": "alice"});
    let token = ring.active().sign("at+jwt", &claims).unwrap();
    let verified = |algorithm| {
        let expect = Expect { typ: Some(&["at+jwt"]), algorithms: &[algorithm] };
        keys.verifying().verify::<serde_json::Value>(&token, &expect)
    };
    assert_eq!(verified(Algorithm::Rs256).unwrap(), claims);
    assert!(verified(Algorithm::Ps256).is_err() && verified(Algorithm::Es256).is_err());
    record.clock.advance(day - LEAD);
    with.read().await.unwrap();
    record.clock.advance(LEAD + MINUTE);
    with.read().await.unwrap();
    assert_eq!(of_rs256().await.len(), 2);
    assert_ne!(with.keys().load().signing_rs256.as_ref().unwrap().active().id(), first[0].id);
    // What it signed counts no more, and another takes its place at once.
    let working = with.keys().load().signing_rs256.as_ref().unwrap().active().id();
    record.change(&only(OLD)).withdraw(&[working]).await.unwrap();
    with.read().await.unwrap();
    let keys = with.keys().load_full();
    assert!(keys.withdrawn.contains(&working));
    assert_ne!(keys.signing_rs256.as_ref().unwrap().active().id(), working);
}

/// ST-05: at every step of going over, each node opens everything, with either key first.
#[tokio::test]
async fn st_05_the_record_goes_over_to_another_master_key_row_by_row_and_back() {
    let record = Record::new().await;
    let before = ids(&record.load(&only(OLD)).await.unwrap());
    let forward = both(NEW, OLD);
    let all = record.records().await.len();
    // Broken off after each row in turn: what a crash leaves.
    for done in 1..=all {
        let key = &record.records().await[done - 1];
        let material = forward.unwrap(key.purpose.as_str(), key.id, &key.sealed).unwrap();
        let new = forward.active().wrap(key.purpose.as_str(), key.id, &material, &*record.entropy);
        record.store.rewrap_key(key.id, key.sealed.clone(), new).await.unwrap();
        assert_eq!(ids(&record.load(&forward).await.unwrap()), before);
        assert_eq!(ids(&record.load(&both(OLD, NEW)).await.unwrap()), before);
        for alone in [OLD, NEW] {
            let error = record.load(&only(alone)).await.err().map(|error| error.to_string());
            assert!(error.as_ref().is_none_or(|error| error.contains("previous_master_key")), "{error:?}");
        }
        assert_eq!(under_other_master(&record.records().await, forward.active().fingerprint()), all - done);
        let words = record.examine(&forward, ISSUER).await.unwrap();
        assert!(words.contains("is needed until"), "{words}");
    }
    let go = async |masters: &Masters| {
        let sealing = Sealing { change: record.change(masters), progress: &|_, _| {} };
        sealing.go_over_to_master().await.unwrap()
    };
    assert_eq!(go(&forward).await, Resealed { done: 0, broken: 0, finished: true });
    assert_eq!(ids(&record.load(&only(NEW)).await.unwrap()), before);
    assert!(matches!(record.load(&only(OLD)).await.unwrap_err(), KeysError::OtherMasterKey { .. }));
    assert!(record.examine(&forward, ISSUER).await.unwrap().contains("needed no more"));
    assert_eq!(record.audited(AuditKind::MasterKeyRotated).await, 1);
    assert_eq!(go(&both(OLD, NEW)).await, Resealed { done: 6, broken: 0, finished: true });
    assert_eq!(ids(&record.load(&only(OLD)).await.unwrap()), before, "and back");
    assert_eq!(go(&only(OLD)).await, Resealed { done: 0, broken: 0, finished: true });
}

/// Several nodes go over at once, and one of them makes a key meanwhile.
#[tokio::test]
async fn st_05_nodes_that_go_over_together_leave_one_master_key() {
    let record = Record::new().await;
    record.load(&only(OLD)).await.unwrap();
    let masters = both(NEW, OLD);
    let go = async || {
        let sealing = Sealing { change: record.change(&masters), progress: &|_, _| {} };
        sealing.go_over_to_master().await.unwrap();
    };
    let change = record.change(&masters);
    tokio::join!(go(), go(), async {
        for _ in 0..20 {
            change.rotate(KeyPurpose::Forms, When::AtOnce).await.unwrap();
        }
    });
    go().await;
    assert_eq!(under_other_master(&record.records().await, masters.active().fingerprint()), 0);
    record.load(&only(NEW)).await.unwrap();
}

/// A row that opens with neither key stays as it is, and the record stays the old key's.
#[tokio::test]
async fn st_05_a_key_that_was_damaged_is_told_and_kept() {
    let record = Record::new().await;
    record.load(&only(OLD)).await.unwrap();
    let mut damaged = record.records().await.remove(0);
    let mut bytes = damaged.sealed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    damaged.sealed = protocol::secret::Sealed::from_bytes(bytes);
    record.store.put_keys(vec![damaged.clone()], false).await.unwrap();
    let masters = both(NEW, OLD);
    let sealing = Sealing { change: record.change(&masters), progress: &|_, _| {} };
    assert_eq!(sealing.go_over_to_master().await.unwrap(), Resealed { done: 5, broken: 1, finished: false });
    assert_eq!(record.records().await[0].sealed, damaged.sealed);
    record.change(&masters).withdraw(&[damaged.id]).await.unwrap();
    let sealing = Sealing { change: record.change(&masters), progress: &|_, _| {} };
    let made = sealing.go_over_to_master().await.unwrap();
    assert!(made.finished && made.broken == 1, "{made:?}");
    record.load(&only(NEW)).await.unwrap();
}

/// P-23.
#[tokio::test]
async fn a_record_moves_to_another_public_url_if_its_own_is_listed_and_writes_it_down_once() {
    const NEW: &str = "https://new.example.com";
    let record = Record::new().await;
    let master = record.master();
    record.load(&master).await.unwrap();
    let world = (&*record.clock as &dyn Clock, &*record.entropy as &dyn Entropy);
    claim_public_url(&record.store, ISSUER, &[], world).await.unwrap();
    let former = [ISSUER.to_owned()];
    assert!(examine(&record.store, &master, &*record.clock, NEW, &former).await.is_ok());
    assert!(claim_public_url(&record.store, NEW, &former, world).await.unwrap());
    assert!(!claim_public_url(&record.store, NEW, &former, world).await.unwrap(), "moved already");
    assert!(
        !claim_public_url(&record.store, NEW, &[], world).await.unwrap(),
        "it belongs to the new one now"
    );
    assert!(claim_public_url(&record.store, ISSUER, &[], world).await.is_err(), "and to the old one no more");
    let filter = AuditFilter { kind: Some(AuditKind::HouseMoved), ..AuditFilter::default() };
    let events = record.store.list_audit(filter, None, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].detail["from"], ISSUER);
}

/// What may be done to keys.
#[derive(Clone, Copy, Debug)]
enum Deed {
    GoOver,
    Rotate,
    Start,
    Withdraw,
}

impl Record {
    async fn try_to(&self, deed: Deed, masters: &Masters, first: KeyId) -> Result<(), KeysError> {
        match deed {
            Deed::GoOver => {
                let sealing = Sealing { change: self.change(masters), progress: &|_, _| {} };
                sealing.go_over_to_master().await.map(drop)
            }
            Deed::Rotate => self.change(masters).rotate(KeyPurpose::Signing, When::AtOnce).await.map(drop),
            Deed::Start => self.load(masters).await.map(drop),
            Deed::Withdraw => self.change(masters).withdraw(&[first]).await.map(drop),
        }
    }
}

/// F-11: the record fails at the first, the second, … use in the middle of a change of keys: before a read, before a write,
/// or after a write whose answer is lost. What is there then is the old or the new, and it can be done again.
#[tokio::test]
async fn f_11_a_change_of_keys_that_breaks_off_leaves_the_old_or_the_new() {
    for deed in [Deed::GoOver, Deed::Rotate, Deed::Start, Deed::Withdraw] {
        for failpoint in [Failpoint::BeforeRead, Failpoint::BeforeWrite, Failpoint::AfterCommit] {
            let mut broke = 0;
            for spared in 0..12 {
                let record = Record::new().await;
                let before = ids(&record.load(&only(OLD)).await.unwrap());
                let (masters, first) = (both(NEW, OLD), before[3]);
                record.store.fail_once_at(failpoint, spared + 1);
                broke += u32::from(record.try_to(deed, &masters, first).await.is_err());
                record.store.fail_at(None);
                let between = format!("{deed:?} {failpoint:?} after {spared}");
                let records = record.records().await;
                let withdrawn = records.iter().filter(|key| key.withdrawn_at.is_some()).count();
                match deed {
                    Deed::GoOver | Deed::Start => assert_eq!((records.len(), withdrawn), (6, 0), "{between}"),
                    Deed::Rotate => assert!(matches!(records.len(), 6 | 7) && withdrawn == 0, "{between}"),
                    // Never withdrawn without another, never another without being withdrawn.
                    Deed::Withdraw => assert_eq!(records.len(), 6 + withdrawn, "{between}"),
                }
                let opened = record.load(&masters).await.unwrap();
                assert_eq!(ids(&opened)[..3], before[..3], "{between}: no fresh key");
                // Once more, and it is done.
                record.try_to(deed, &masters, first).await.unwrap();
                record.try_to(Deed::GoOver, &masters, first).await.unwrap();
                assert_eq!(ids(&record.load(&only(NEW)).await.unwrap())[..3], before[..3], "{between}");
            }
            // A start over a record that is there writes nothing that could fail.
            let may_fail =
                !matches!((deed, failpoint), (Deed::Start, Failpoint::BeforeWrite | Failpoint::AfterCommit));
            assert_eq!(broke > 0, may_fail, "{deed:?} {failpoint:?}");
        }
    }
}

/// F-11 at the very first start: broken off anywhere, the next start makes the keys or finds them, once.
#[tokio::test]
async fn f_11_a_first_start_that_breaks_off_makes_its_keys_once() {
    for failpoint in [Failpoint::BeforeRead, Failpoint::BeforeWrite, Failpoint::AfterCommit] {
        for spared in 0..8 {
            let record = Record::new().await;
            record.store.fail_once_at(failpoint, spared + 1);
            let broken = record.load(&only(OLD)).await;
            record.store.fail_at(None);
            let made = ids(&record.load(&only(OLD)).await.unwrap());
            assert_eq!(record.records().await.len(), 6);
            assert!(broken.is_err() || ids(&broken.unwrap()) == made);
            assert!(record.load(&only(NEW)).await.is_err(), "it is the first master key's from then on");
        }
    }
}
