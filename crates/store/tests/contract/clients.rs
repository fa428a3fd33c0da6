use store::{
    AuditKind, Authorizations as _, ClientRecord, Clients as _, ConsentOutcome, Grants as _, Queries as _,
    RevocationKind, Revocations as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_blocked_client_may_be_allowed_again,
    a_client_comes_back_as_it_went_in,
    a_second_consent_brings_the_client_up_to_date,
    a_blocked_client_takes_no_consent,
    a_client_nobody_consented_to_can_be_blocked,
    blocking_ends_what_the_client_has,
    client_ids_are_compared_to_the_byte,
}

fn blocking() -> store::Revocation {
    revocation(RevocationKind::Client, client_id().as_str())
}

async fn a_client_comes_back_as_it_went_in(store: Opened) {
    let user = person(&store, 1).await.id;
    assert_eq!(store.find_client(&client_id()).await.unwrap(), None);
    consented(&store, 1, user).await;
    assert_eq!(store.find_client(&client_id()).await.unwrap(), Some(client()));
}

async fn a_second_consent_brings_the_client_up_to_date(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    store.put_authorization(asking(2), CAPS, NOW).await.unwrap();
    let mut consent = consenting(2, user);
    let newer = ClientRecord {
        metadata: "{}".to_owned(),
        fingerprint: hash("fingerprint", 2),
        name: None,
        first_consented_at: NOW.plus(DAY),
        last_used_at: NOW.plus(DAY),
        ..client()
    };
    consent.client = newer.clone();
    store.consent(consent, NOW).await.unwrap();
    let expected = ClientRecord { first_consented_at: NOW, ..newer };
    assert_eq!(store.find_client(&client_id()).await.unwrap(), Some(expected));
}

async fn a_blocked_client_takes_no_consent(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    store.block_client(client(), blocking(), event(AuditKind::ClientBlocked)).await.unwrap();
    store.put_authorization(asking(2), CAPS, NOW).await.unwrap();
    let before = store.counts().await.unwrap();
    assert_eq!(store.consent(consenting(2, user), NOW).await.unwrap(), ConsentOutcome::ClientBlocked);
    assert_eq!(store.counts().await.unwrap(), before);
    let tombstone = store.find_client(&client_id()).await.unwrap().unwrap();
    assert_eq!(tombstone.blocked_at, Some(NOW));
}

async fn a_client_nobody_consented_to_can_be_blocked(store: Opened) {
    let user = person(&store, 1).await.id;
    store.block_client(client(), blocking(), event(AuditKind::ClientBlocked)).await.unwrap();
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    assert_eq!(store.consent(consenting(1, user), NOW).await.unwrap(), ConsentOutcome::ClientBlocked);
}

async fn blocking_ends_what_the_client_has(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    consented(&store, 2, user).await;
    let ended = store.block_client(client(), blocking(), event(AuditKind::ClientBlocked)).await.unwrap();
    assert_eq!(ended.grants, 1);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert_eq!(store.redeem(redeeming(2, user), NOW).await.unwrap(), store::RedeemOutcome::Lost);
    assert_eq!(store.list_revocations(NOW).await.unwrap(), [blocking()]);
    let again = store.block_client(client(), blocking(), event(AuditKind::ClientBlocked)).await.unwrap();
    assert_eq!(again.grants, 0);
}

async fn client_ids_are_compared_to_the_byte(store: Opened) {
    let user = person(&store, 1).await.id;
    consented(&store, 1, user).await;
    for other in ["DCR_AAECAw", "dcr_AAECAW", "dcr_AAECA"] {
        let other = protocol::oauth::ClientId::parse(other).unwrap();
        assert_eq!(store.find_client(&other).await.unwrap(), None);
    }
}

async fn a_blocked_client_may_be_allowed_again(store: Opened) {
    let user = person(&store, 1).await.id;
    assert!(!store.allow_client(&client_id(), event(AuditKind::ClientAllowed)).await.unwrap());
    store.block_client(client(), blocking(), event(AuditKind::ClientBlocked)).await.unwrap();
    assert!(store.allow_client(&client_id(), event(AuditKind::ClientAllowed)).await.unwrap());
    assert!(!store.allow_client(&client_id(), event(AuditKind::ClientAllowed)).await.unwrap(), "once");
    consented(&store, 1, user).await;
}
