//! Keys at start: made once, opened ever after, never made over existing data.

use std::sync::Arc;

use store::{AuditFilter, Engine, EngineConfig, KeysRecord, Queries};

use super::*;
use crate::test_house::*;

struct Record {
    clock: Still,
    entropy: Counting,
    store: Engine,
    _folder: tempfile::TempDir,
}

impl Record {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::Sqlite { path: folder.path().join("record.db"), synchronous_full: false };
        let store = Engine::open(config).await.unwrap();
        Self { clock: Still::new(), entropy: Counting::new(), store, _folder: folder }
    }

    fn master(&self) -> MasterKey {
        MasterKey::generate(&self.entropy).0
    }

    async fn load(&self, master: &MasterKey) -> Result<Keys, KeysError> {
        load_or_create(&self.store, master, &self.clock, &self.entropy).await
    }
}

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
    assert_eq!(record.store.list_keys().await.unwrap().len(), KeyPurpose::ALL.len());
    let filter = AuditFilter { kind: Some(AuditKind::KeyCreated), ..AuditFilter::default() };
    assert_eq!(record.store.list_audit(filter, None, 10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn of_nodes_that_start_at_once_all_get_the_same_keys() {
    let record = Record::new().await;
    let master = Arc::new(record.master());
    let all = (0..8).map(|_| record.load(&master));
    let keys = futures_util::future::join_all(all).await;
    let first = ids(keys[0].as_ref().unwrap());
    assert!(keys.iter().all(|keys| ids(keys.as_ref().unwrap()) == first));
    assert_eq!(record.store.list_keys().await.unwrap().len(), 5);
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
        sentence.contains(&right.fingerprint().to_string())
            && sentence.contains(&wrong.fingerprint().to_string())
    );
    assert_eq!(record.store.list_keys().await.unwrap().len(), 5);
    assert!(examine(&record.store, &wrong, ISSUER).await.is_err());
}

/// A crash between the keys and the fingerprint: the keys themselves say whose they are.
#[tokio::test]
async fn the_master_key_is_told_apart_before_its_fingerprint_was_written() {
    let record = Record::new().await;
    let (right, wrong) = (record.master(), record.master());
    create(&record.store, &right, record.clock.now(), &record.entropy).await.unwrap();
    assert!(matches!(record.load(&wrong).await.unwrap_err(), KeysError::OtherMasterKey { .. }));
    record.load(&right).await.unwrap();
    assert_eq!(record.store.meta(MASTER_KEY).await.unwrap(), Some(right.fingerprint().to_string()));
}

#[tokio::test]
async fn no_key_is_made_where_keys_or_data_were() {
    let record = Record::new().await;
    let master = record.master();
    record.store.put_meta(MASTER_KEY, &master.fingerprint().to_string()).await.unwrap();
    assert!(matches!(record.load(&master).await.unwrap_err(), KeysError::Gone));
    assert!(matches!(examine(&record.store, &master, ISSUER).await.unwrap_err(), KeysError::Gone));
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
    let id = KeyId::mint(&record.entropy);
    let sealed = master.wrap(KeyPurpose::Forms.as_str(), id, &[7; 32], &record.entropy);
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
    let sentence = examine(&record.store, &master, ISSUER).await.unwrap();
    assert!(sentence.contains("first start"));
    assert_eq!(record.store.counts().await.unwrap().meta, 0, "trying writes nothing");
    record.load(&master).await.unwrap();
    claim_public_url(&record.store, ISSUER).await.unwrap();
    claim_public_url(&record.store, ISSUER).await.unwrap();
    assert!(examine(&record.store, &master, ISSUER).await.unwrap().starts_with("5 keys"));
    for moved in ["https://elsewhere.example", "https://mcp.example.com/"] {
        let error = claim_public_url(&record.store, moved).await.unwrap_err();
        assert!(error.to_string().contains(ISSUER) && error.to_string().contains(moved));
        assert!(examine(&record.store, &master, moved).await.is_err());
    }
}
