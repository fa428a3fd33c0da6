use protocol::keys::KeyId;
use protocol::secret::Sealed;
use store::{Engine, KeyPurpose, KeyRecord, KeysRecord as _};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    keys_come_back_as_they_went_in,
    the_first_keys_are_stored_by_one_node_only,
    first_keys_are_refused_where_there_are_keys,
    a_key_is_retired_and_sealed_anew_but_keeps_its_purpose,
    a_fact_is_written_once,
}

fn key(number: u8, purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        id: KeyId::from_bytes([number, 0, 255, 1]),
        purpose,
        sealed: Sealed::from_bytes(vec![number; 40]),
        created_at: NOW.plus(MINUTE * u32::from(number)),
        retired_at: None,
        withdrawn_at: None,
    }
}

fn keys() -> Vec<KeyRecord> {
    KeyPurpose::ALL.into_iter().zip(0..).map(|(purpose, number)| key(number, purpose)).collect()
}

async fn keys_come_back_as_they_went_in(store: Opened) {
    assert_eq!(store.list_keys().await.unwrap(), []);
    assert!(store.put_keys(keys(), true).await.unwrap());
    assert_eq!(store.list_keys().await.unwrap(), keys());
}

async fn the_first_keys_are_stored_by_one_node_only(store: Opened) {
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..8_u8 {
        let node: Engine = nodes[usize::from(caller % 2)].clone();
        callers
            .spawn(async move { node.put_keys(vec![key(caller, KeyPurpose::Signing)], true).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.iter().filter(|stored| **stored).count(), 1);
    assert_eq!(store.list_keys().await.unwrap().len(), 1);
}

async fn first_keys_are_refused_where_there_are_keys(store: Opened) {
    assert!(store.put_keys(vec![key(1, KeyPurpose::Signing)], false).await.unwrap());
    assert!(!store.put_keys(vec![key(2, KeyPurpose::Signing)], true).await.unwrap());
    assert_eq!(store.list_keys().await.unwrap(), [key(1, KeyPurpose::Signing)]);
}

async fn a_key_is_retired_and_sealed_anew_but_keeps_its_purpose(store: Opened) {
    store.put_keys(keys(), true).await.unwrap();
    let mut retired = key(4, KeyPurpose::Signing);
    retired.sealed = Sealed::from_bytes(vec![9; 60]);
    retired.retired_at = Some(NOW);
    retired.withdrawn_at = Some(NOW.plus(DAY));
    assert!(store.put_keys(vec![retired.clone()], false).await.unwrap());
    assert_eq!(store.list_keys().await.unwrap()[4], retired);
    assert!(store.put_keys(vec![key(9, KeyPurpose::Forms), key(4, KeyPurpose::Forms)], false).await.is_err());
    assert_eq!(store.list_keys().await.unwrap().len(), 5, "all or none");
}

async fn a_fact_is_written_once(store: Opened) {
    assert_eq!(store.meta("public_url").await.unwrap(), None);
    assert!(store.put_meta("public_url", "https://mcp.example.com").await.unwrap());
    assert!(!store.put_meta("public_url", "https://other.example").await.unwrap());
    assert_eq!(store.meta("public_url").await.unwrap().as_deref(), Some("https://mcp.example.com"));
    assert_eq!(store.meta("PUBLIC_URL").await.unwrap(), None);
}
