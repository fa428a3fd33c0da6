use protocol::id::{Id, User};
use protocol::keys::KeyId;
use protocol::secret::Sealed;
use store::{
    AuditKind, AuthorizationState, Authorizations as _, ConnectingRecords as _, Connections as _,
    EmergencyLoginRecord, EmergencyLogins as _, Engine, KeyChange, KeyPurpose, KeyRecord, KeysRecord as _,
    NewKey, NewOfflineAccess, OfflineAccess as _, Queries as _, Replaced, SealedColumn, SealedRows as _,
    SignIn, TokensPlace, UpstreamClientRecord, UpstreamClients as _, Users as _,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;
use crate::{connections, upstream_clients};

contract! {
    keys_come_back_as_they_went_in,
    the_first_keys_are_stored_by_one_node_only,
    first_keys_are_refused_where_there_are_keys,
    a_key_is_retired_and_sealed_anew_but_keeps_its_purpose,
    a_fact_is_written_once,
    a_key_that_waits_comes_back_with_its_time,
    a_key_without_a_time_works_from_its_birth,
    of_all_who_rotate_at_once_one_makes_the_key,
    a_change_of_keys_is_whole_or_not_at_all,
    a_key_is_rewrapped_only_as_it_was_read,
    the_record_moves_to_a_master_key_when_every_key_has,
    sealed_values_are_listed_counted_and_swapped,
}

fn key(number: u8, purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        id: KeyId::from_bytes([number, 0, 255, 1]),
        purpose,
        sealed: Sealed::from_bytes(vec![number; 40]),
        created_at: NOW.plus(MINUTE * u32::from(number)),
        activates_at: NOW.plus(MINUTE * u32::from(number)),
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
    assert_eq!(store.list_keys().await.unwrap().len(), keys().len(), "all or none");
}

async fn a_fact_is_written_once(store: Opened) {
    assert_eq!(store.meta("public_url").await.unwrap(), None);
    assert!(store.put_meta("public_url", "https://mcp.example.com").await.unwrap());
    assert!(!store.put_meta("public_url", "https://other.example").await.unwrap());
    assert_eq!(store.meta("public_url").await.unwrap().as_deref(), Some("https://mcp.example.com"));
    assert_eq!(store.meta("PUBLIC_URL").await.unwrap(), None);
}

const MASTER: KeyId = KeyId::from_bytes([0xaa, 0, 0, 1]);
const OTHER_MASTER: KeyId = KeyId::from_bytes([0xbb, 0, 0, 2]);

/// As something sealed by this key looks.
fn sealed_by(key: KeyId, number: u8) -> Sealed {
    let mut bytes = vec![1];
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(&[number; 40]);
    Sealed::from_bytes(bytes)
}

fn change(withdraw: Vec<KeyId>, add: Vec<NewKey>) -> KeyChange {
    KeyChange { master: MASTER, withdraw, add, audit: vec![event(AuditKind::KeyRotated)], at: NOW.plus(DAY) }
}

async fn begun(store: &Opened) {
    store.put_keys(keys(), true).await.unwrap();
    store.put_meta("master_key", &MASTER.to_string()).await.unwrap();
}

async fn a_key_that_waits_comes_back_with_its_time(store: Opened) {
    begun(&store).await;
    let mut waiting = key(9, KeyPurpose::Signing);
    waiting.activates_at = waiting.created_at.plus(DAY);
    let add = NewKey { key: waiting.clone(), after: key(4, KeyPurpose::Signing).id };
    assert!(store.change_keys(change(vec![], vec![add])).await.unwrap());
    assert_eq!(store.list_keys().await.unwrap()[keys().len()], waiting);
    assert_eq!(store.counts().await.unwrap().audit_events, 1);
}

/// As a release before this column wrote it.
async fn a_key_without_a_time_works_from_its_birth(store: Opened) {
    begun(&store).await;
    store.tamper("UPDATE keys SET activates_at = NULL").await;
    assert_eq!(store.list_keys().await.unwrap(), keys());
}

async fn of_all_who_rotate_at_once_one_makes_the_key(store: Opened) {
    begun(&store).await;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..16_u8 {
        let node: Engine = nodes[usize::from(caller % 2)].clone();
        let add =
            NewKey { key: key(100 + caller, KeyPurpose::Signing), after: key(4, KeyPurpose::Signing).id };
        callers.spawn(async move { node.change_keys(change(vec![], vec![add])).await.unwrap() });
    }
    assert_eq!(callers.join_all().await.iter().filter(|made| **made).count(), 1);
    assert_eq!(store.list_keys().await.unwrap().len(), keys().len() + 1);
    assert_eq!(store.counts().await.unwrap().audit_events, 1, "who was late wrote nothing");
}

async fn a_change_of_keys_is_whole_or_not_at_all(store: Opened) {
    begun(&store).await;
    let old = key(4, KeyPurpose::Signing).id;
    let new = |number| NewKey { key: key(number, KeyPurpose::Signing), after: old };
    let other_master = KeyChange { master: OTHER_MASTER, ..change(vec![old], vec![new(9)]) };
    assert!(!store.change_keys(other_master).await.unwrap(), "the record is another master key's");
    let late = NewKey { after: key(3, KeyPurpose::Sealing).id, ..new(9) };
    assert!(!store.change_keys(change(vec![old], vec![late])).await.unwrap());
    let taken = NewKey { key: key(4, KeyPurpose::Signing), after: old };
    assert!(!store.change_keys(change(vec![], vec![taken])).await.unwrap(), "the id is taken");
    assert_eq!(store.list_keys().await.unwrap(), keys());
    assert_eq!(store.counts().await.unwrap().audit_events, 0);
    assert!(store.change_keys(change(vec![old], vec![new(9)])).await.unwrap());
    let all = store.list_keys().await.unwrap();
    assert_eq!((all[4].withdrawn_at, all[5].withdrawn_at), (Some(NOW.plus(DAY)), None));
    assert!(!store.change_keys(change(vec![old], vec![])).await.unwrap(), "withdrawn once");
}

async fn a_key_is_rewrapped_only_as_it_was_read(store: Opened) {
    begun(&store).await;
    let one = key(2, KeyPurpose::RefreshTokens);
    let (new, newer) = (sealed_by(OTHER_MASTER, 1), sealed_by(OTHER_MASTER, 2));
    assert!(store.rewrap_key(one.id, one.sealed.clone(), new.clone()).await.unwrap());
    assert!(!store.rewrap_key(one.id, one.sealed.clone(), newer).await.unwrap());
    assert_eq!(store.list_keys().await.unwrap()[2], KeyRecord { sealed: new, ..one });
}

async fn the_record_moves_to_a_master_key_when_every_key_has(store: Opened) {
    begun(&store).await;
    let mut all = keys();
    for (place, record) in all.iter_mut().enumerate() {
        record.sealed = sealed_by(if place == 0 { MASTER } else { OTHER_MASTER }, 1);
    }
    store.put_keys(all.clone(), false).await.unwrap();
    let move_it = || store.move_master_key(MASTER, OTHER_MASTER, event(AuditKind::MasterKeyRotated));
    assert!(!move_it().await.unwrap(), "one key is under the old one");
    assert!(!store.move_master_key(OTHER_MASTER, MASTER, event(AuditKind::MasterKeyRotated)).await.unwrap());
    all[0].sealed = sealed_by(OTHER_MASTER, 1);
    store.put_keys(all, false).await.unwrap();
    assert!(move_it().await.unwrap());
    assert!(!move_it().await.unwrap(), "moved once");
    assert_eq!(store.meta("master_key").await.unwrap(), Some(OTHER_MASTER.to_string()));
    assert_eq!(store.counts().await.unwrap().audit_events, 1);
}

/// What is listed is opened in the same context as by whoever reads the record (ST-02).
async fn stand_for_whom_they_were_sealed(store: &Opened) {
    let connection = store.find_connection(id(1), "notes").await.unwrap().unwrap();
    let connecting = store.find_connecting(hash("state", 2)).await.unwrap().unwrap();
    let offline = store.list_offline_access(id(2)).await.unwrap().pop().unwrap();
    let client = store.find_upstream_client("notes", upstream_clients::ISSUER).await.unwrap().unwrap();
    let former = store.list_former_upstream_clients("notes", upstream_clients::ISSUER).await.unwrap();
    store.put_authorization(asking(900), CAPS, NOW).await.unwrap();
    assert!(store.start_leg(id(900), leg(900), NOW).await.unwrap());
    let asked = store.find_authorization(id(900)).await.unwrap().unwrap();
    let (connector, user): (_, Id<User>) = (leg(900).connector, id(1));
    let owner = |context: &[&[u8]]| context.iter().map(|part| part.to_vec()).collect::<Vec<_>>();
    for (place, expected) in [
        ("authorizations.upstream_verifier", owner(&asked.leg_context(&connector))),
        ("connecting.verifier", owner(&connecting.context())),
        ("connections.access_token", owner(&connection.place().context(TokensPlace::ACCESS))),
        ("connections.refresh_token", owner(&connection.place().context(TokensPlace::REFRESH))),
        ("former_upstream_clients.sealed", owner(&former[0].context(UpstreamClientRecord::FORMER))),
        ("offline_access.sealed", owner(&offline.place().context())),
        ("upstream_clients.sealed", owner(&client.context(UpstreamClientRecord::CURRENT))),
    ] {
        let is_it = |column: &&SealedColumn| format!("{}.{}", column.table, column.column) == place;
        let column = *SealedColumn::ALL.iter().find(is_it).unwrap();
        let row = store.list_sealed(column, OTHER_MASTER, None).await.unwrap().pop().unwrap();
        assert_eq!(owner(&row.context(column)), expected, "{place}");
        assert!(expected.len() == 3 + row.owner.len() && row.owner.len() > 2, "{place}");
    }
    assert!(connection.place().context("x").contains(&user.as_bytes().as_slice()));
    assert!(store.deny(id(900), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
}

async fn sealed_values_are_listed_counted_and_swapped(store: Opened) {
    let [verifier, access, refresh, login, former, offline, client, column] = SealedColumn::ALL else {
        panic!("a new column: say here what stands in it")
    };
    let made = EmergencyLoginRecord {
        id: id(1),
        hash: hash("code", 1),
        user: person(&store, 1).await.id,
        sealed: sealed_by(MASTER, 7),
        created_at: NOW,
        expires_at: NOW.plus(MINUTE),
    };
    assert!(store.put_emergency_login(made, event(AuditKind::EmergencyLoginMade)).await.unwrap());
    let kept = NewOfflineAccess { id: id(2), user: id(2), sealed: sealed_by(MASTER, 7) };
    store.sign_in(SignIn { offline: Some(kept), ..signing_in(2) }).await.unwrap();
    connections::connected(&store, 1, id(1), "notes").await;
    assert!(store.put_connecting(connections::attempt(2, id(1), "notes"), 20).await.unwrap());
    assert!(store.put_upstream_client(upstream_clients::registered(1), None).await.unwrap());
    let kept = Some(upstream_clients::registered(1));
    let instead_of = Some(Replaced { client_id: "client 1".to_owned(), kept });
    assert!(store.put_upstream_client(upstream_clients::registered(2), instead_of).await.unwrap());
    stand_for_whom_they_were_sealed(&store).await;
    for column in [*verifier, *access, *refresh, *login, *former, *offline, *client] {
        assert_eq!(store.count_sealed(column, OTHER_MASTER).await.unwrap(), 1);
        let row = store.list_sealed(column, OTHER_MASTER, None).await.unwrap().pop().unwrap();
        assert!(store.swap_sealed(column, row, sealed_by(OTHER_MASTER, 8)).await.unwrap());
        assert_eq!(store.count_sealed(column, OTHER_MASTER).await.unwrap(), 0);
    }
    for number in 1..=150 {
        store.put_authorization(asking(number), CAPS, NOW).await.unwrap();
        let mut leg = leg(number);
        leg.verifier = sealed_by(if number % 3 == 0 { OTHER_MASTER } else { MASTER }, 7);
        assert!(store.start_leg(id(number), leg, NOW).await.unwrap());
    }
    assert_eq!(store.count_sealed(*column, OTHER_MASTER).await.unwrap(), 100);
    assert_eq!(store.count_sealed(*column, MASTER).await.unwrap(), 50);
    let mut after = None;
    let mut seen = 0;
    loop {
        let rows = store.list_sealed(*column, MASTER, after).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        seen += rows.len();
        for row in rows {
            assert_eq!(row.sealed, sealed_by(OTHER_MASTER, 7));
            assert!(store.swap_sealed(*column, row.clone(), sealed_by(MASTER, 8)).await.unwrap());
            assert!(!store.swap_sealed(*column, row, sealed_by(MASTER, 9)).await.unwrap(), "as it was read");
        }
    }
    assert_eq!(seen, 50);
    assert_eq!(store.count_sealed(*column, MASTER).await.unwrap(), 0);
    let record = store.find_authorization(id(3)).await.unwrap().unwrap();
    let AuthorizationState::UpstreamLeg(leg) = record.state else { panic!("{:?}", record.state) };
    assert_eq!(leg.verifier, sealed_by(MASTER, 8));
}
