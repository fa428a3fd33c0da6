use protocol::oauth::ResourceUri;
use store::{
    DeviceAuthorizationRecord, DeviceAuthorizations as _, Engine, Maintenance as _, PendingCaps,
    PutDeviceOutcome,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_device_authorization_comes_back_as_it_went_in,
    a_user_code_is_one_of_its_kind_while_it_is_kept,
    a_network_and_all_together_have_so_many_device_authorizations_and_no_more,
    a_device_authorization_is_claimed_at_most_once_and_in_time,
    of_several_polls_at_once_one_counts,
    a_sweep_takes_device_authorizations_that_are_over,
}

fn device(number: u64) -> DeviceAuthorizationRecord {
    DeviceAuthorizationRecord {
        device_code: hash("device", number),
        user_code: hash("user code", number),
        client_id: client_id(),
        address: "192.0.2.7".to_owned(),
        network: "192.0.2.7".to_owned(),
        resource: ResourceUri::parse("https://mcp.example.com/docs/mcp").unwrap(),
        server: "docs".to_owned(),
        scope: scope("read write"),
        created_at: NOW,
        expires_at: NOW.plus(10 * MINUTE),
        polled_at: None,
        authorization: None,
    }
}

async fn put(store: &Engine, number: u64) {
    assert_eq!(store.put_device(device(number), CAPS).await.unwrap(), PutDeviceOutcome::Stored);
}

async fn a_device_authorization_comes_back_as_it_went_in(store: Opened) {
    put(&store, 1).await;
    assert_eq!(store.find_device(hash("device", 1)).await.unwrap(), Some(device(1)));
    assert_eq!(store.find_device_by_user_code(hash("user code", 1)).await.unwrap(), Some(device(1)));
    assert_eq!(store.find_device(hash("user code", 1)).await.unwrap(), None);
    assert_eq!(store.find_device_by_user_code(hash("device", 1)).await.unwrap(), None);
}

async fn a_user_code_is_one_of_its_kind_while_it_is_kept(store: Opened) {
    put(&store, 1).await;
    let same = DeviceAuthorizationRecord { user_code: hash("user code", 1), ..device(2) };
    assert_eq!(store.put_device(same, CAPS).await.unwrap(), PutDeviceOutcome::UserCodeTaken);
    assert_eq!(store.find_device(hash("device", 2)).await.unwrap(), None);
}

async fn a_network_and_all_together_have_so_many_device_authorizations_and_no_more(store: Opened) {
    let caps = PendingCaps { per_address: 2, total: 3 };
    let elsewhere =
        |number| DeviceAuthorizationRecord { network: "198.51.100.1".to_owned(), ..device(number) };
    for (new, outcome) in [
        (device(1), PutDeviceOutcome::Stored),
        (device(2), PutDeviceOutcome::Stored),
        (device(3), PutDeviceOutcome::TooMany),
        (elsewhere(4), PutDeviceOutcome::Stored),
        (elsewhere(5), PutDeviceOutcome::TooMany),
    ] {
        assert_eq!(store.put_device(new, caps).await.unwrap(), outcome);
    }
    // What is over counts no more.
    let later = NOW.plus(10 * MINUTE);
    let late = DeviceAuthorizationRecord { created_at: later, expires_at: later.plus(MINUTE), ..device(6) };
    assert_eq!(store.put_device(late, caps).await.unwrap(), PutDeviceOutcome::Stored);
}

async fn a_device_authorization_is_claimed_at_most_once_and_in_time(store: Opened) {
    put(&store, 1).await;
    put(&store, 2).await;
    let late = device(2).expires_at;
    assert!(!store.claim_device(hash("device", 2), id(2), late).await.unwrap());
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 10..26_u64 {
        let node = nodes[caller as usize % 2].clone();
        callers.spawn(async move {
            node.claim_device(hash("device", 1), id(caller), NOW).await.unwrap().then_some(caller)
        });
    }
    let won: Vec<u64> = callers.join_all().await.into_iter().flatten().collect();
    let [winner] = won.as_slice() else { panic!("{won:?}") };
    let found = store.find_device(hash("device", 1)).await.unwrap().unwrap();
    assert_eq!(found.authorization, Some(id(*winner)));
}

async fn of_several_polls_at_once_one_counts(store: Opened) {
    put(&store, 1).await;
    for (before, now) in [(None, NOW), (Some(NOW), NOW.plus(MINUTE))] {
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            let node = store.engine.clone();
            callers.spawn(async move { node.poll_device(hash("device", 1), before, now).await.unwrap() });
        }
        assert_eq!(callers.join_all().await.into_iter().filter(|counted| *counted).count(), 1);
        assert_eq!(store.find_device(hash("device", 1)).await.unwrap().unwrap().polled_at, Some(now));
    }
    assert!(!store.poll_device(hash("device", 1), None, NOW.plus(DAY)).await.unwrap());
}

async fn a_sweep_takes_device_authorizations_that_are_over(store: Opened) {
    put(&store, 1).await;
    let end = device(1).expires_at;
    assert_eq!(store.sweep(end.plus(9 * MINUTE)).await.unwrap().device_authorizations, 0);
    assert_eq!(store.sweep(end.plus(11 * MINUTE)).await.unwrap().device_authorizations, 1);
    assert_eq!(store.find_device(hash("device", 1)).await.unwrap(), None);
}
