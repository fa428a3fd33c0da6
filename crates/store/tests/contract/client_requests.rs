use protocol::id::User;
use store::{
    AuditKind, Authorizations as _, ClientRequest, ClientRequests as _, Maintenance as _, ParkOutcome,
    PendingCaps, PutOutcome, Queries as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    whoever_waits_is_listed_with_their_name_until_it_is_decided,
    a_sign_in_that_waits_lives_longer,
    one_person_waits_for_so_many,
    whoever_waits_takes_no_place_from_strangers,
    nobody_waits_for_what_is_over,
}

fn request(number: u64, user: protocol::id::Id<User>) -> ClientRequest {
    ClientRequest {
        authorization: id(number),
        reference: asking(number).reference,
        client_id: client_id(),
        fingerprint: hash("fingerprint", 1),
        name: None,
        metadata: "{}".to_owned(),
        destination: "client.example".to_owned(),
        server: "docs".to_owned(),
        user,
        created_at: NOW,
        expires_at: NOW.plus(60 * MINUTE),
    }
}

async fn park(store: &Opened, number: u64, user: protocol::id::Id<User>) -> ParkOutcome {
    store.park(request(number, user), 2, event(AuditKind::ClientRequested)).await.unwrap()
}

async fn whoever_waits_is_listed_with_their_name_until_it_is_decided(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    assert_eq!(park(&store, 1, user).await, ParkOutcome::Parked);
    let events = store.counts().await.unwrap().audit_events;
    assert_eq!(park(&store, 1, user).await, ParkOutcome::Parked);
    assert_eq!(store.counts().await.unwrap().audit_events, events, "a reload is told nobody");
    let listed = store.list_client_requests(NOW).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0].request, listed[0].person_name.as_deref()),
        (&request(1, user), Some("Ada Lovelace"))
    );
    let consent = store.consent(consenting(1, user), NOW).await.unwrap();
    assert_eq!(consent, store::ConsentOutcome::Consented);
    assert_eq!(store.list_client_requests(NOW).await.unwrap(), []);
}

async fn a_sign_in_that_waits_lives_longer(store: Opened) {
    let user = person(&store, 1).await.id;
    store.put_authorization(asking(1), CAPS, NOW).await.unwrap();
    park(&store, 1, user).await;
    let found = store.find_authorization(id(1)).await.unwrap().unwrap();
    assert_eq!(found.expires_at, NOW.plus(60 * MINUTE));
    assert_eq!(store.list_client_requests(NOW.plus(59 * MINUTE)).await.unwrap().len(), 1);
    assert_eq!(store.list_client_requests(NOW.plus(60 * MINUTE)).await.unwrap(), []);
    assert_eq!(store.sweep(NOW.plus(3 * 60 * MINUTE)).await.unwrap().client_requests, 1);
}

async fn one_person_waits_for_so_many(store: Opened) {
    let (ada, bob) = (person(&store, 1).await.id, person(&store, 2).await.id);
    for number in 1..=4 {
        store.put_authorization(asking(number), CAPS, NOW).await.unwrap();
    }
    assert_eq!(park(&store, 1, ada).await, ParkOutcome::Parked);
    assert_eq!(park(&store, 2, ada).await, ParkOutcome::Parked);
    assert_eq!(park(&store, 3, ada).await, ParkOutcome::TooMany);
    assert_eq!(park(&store, 4, bob).await, ParkOutcome::Parked);
    assert_eq!(store.list_client_requests(NOW).await.unwrap().len(), 3);
}

async fn whoever_waits_takes_no_place_from_strangers(store: Opened) {
    let user = person(&store, 1).await.id;
    let caps = PendingCaps { per_address: 1, total: 10 };
    assert_eq!(store.put_authorization(asking(1), caps, NOW).await.unwrap(), PutOutcome::Stored);
    assert_eq!(store.put_authorization(asking(2), caps, NOW).await.unwrap(), PutOutcome::TooMany);
    park(&store, 1, user).await;
    assert_eq!(store.put_authorization(asking(2), caps, NOW).await.unwrap(), PutOutcome::Stored);
}

async fn nobody_waits_for_what_is_over(store: Opened) {
    let user = person(&store, 1).await.id;
    assert_eq!(park(&store, 1, user).await, ParkOutcome::Lost);
    consented(&store, 1, user).await;
    assert_eq!(park(&store, 1, user).await, ParkOutcome::Lost);
    store.put_authorization(asking(2), CAPS, NOW).await.unwrap();
    let mut late = event(AuditKind::ClientRequested);
    late.at = asking(2).expires_at;
    assert_eq!(store.park(request(2, user), 2, late).await.unwrap(), ParkOutcome::Lost);
    assert_eq!(store.list_client_requests(NOW).await.unwrap(), []);
}
