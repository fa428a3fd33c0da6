use protocol::secret::Sealed;
use store::{Replaced, UpstreamClientRecord, UpstreamClients as _};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    of_two_nodes_that_register_one_is_kept,
    a_registration_is_replaced_and_forgotten_by_its_client_id_only,
    what_a_registration_takes_the_place_of_is_kept_with_it_or_not_at_all,
}

pub(crate) const ISSUER: &str = "https://as.example";

pub(crate) fn registered(number: u8) -> UpstreamClientRecord {
    UpstreamClientRecord {
        id: id(u64::from(number)),
        server: "notes".to_owned(),
        issuer: ISSUER.to_owned(),
        client_id: format!("client {number}"),
        sealed: Sealed::from_bytes(vec![1, 0, 0, 0, number]),
        created_at: NOW,
    }
}

async fn kept(store: &Opened) -> Option<UpstreamClientRecord> {
    store.find_upstream_client("notes", ISSUER).await.unwrap()
}

async fn of_two_nodes_that_register_one_is_kept(store: Opened) {
    let puts = (1..9).map(|number| store.put_upstream_client(registered(number), None));
    let put = futures_util::future::join_all(puts).await;
    assert_eq!(put.into_iter().filter(|put| *put.as_ref().unwrap()).count(), 1);
    assert!(kept(&store).await.is_some());
    assert_eq!(store.find_upstream_client("notes", "https://as.example/").await.unwrap(), None);
    assert_eq!(store.find_upstream_client("ledger", ISSUER).await.unwrap(), None);
}

async fn a_registration_is_replaced_and_forgotten_by_its_client_id_only(store: Opened) {
    let old = || Some(Replaced { client_id: "client 1".to_owned(), kept: None });
    assert!(!store.put_upstream_client(registered(2), old()).await.unwrap());
    assert!(store.put_upstream_client(registered(1), None).await.unwrap());
    assert!(store.put_upstream_client(registered(2), old()).await.unwrap());
    assert!(!store.put_upstream_client(registered(3), old()).await.unwrap());
    assert_eq!(kept(&store).await, Some(registered(2)));
    assert!(!store.forget_upstream_client("notes", ISSUER, "client 1").await.unwrap());
    assert!(store.forget_upstream_client("notes", ISSUER, "client 2").await.unwrap());
    assert_eq!(kept(&store).await, None);
}

async fn what_a_registration_takes_the_place_of_is_kept_with_it_or_not_at_all(store: Opened) {
    let kept = || UpstreamClientRecord { id: id(11), ..registered(1) };
    let old = || Some(Replaced { client_id: "client 1".to_owned(), kept: Some(kept()) });
    let former = async || store.list_former_upstream_clients("notes", ISSUER).await.unwrap();
    assert!(!store.put_upstream_client(registered(2), old()).await.unwrap());
    assert_eq!(former().await, []);
    assert!(store.put_upstream_client(registered(1), None).await.unwrap());
    assert!(store.put_upstream_client(registered(2), old()).await.unwrap());
    assert!(!store.put_upstream_client(registered(3), old()).await.unwrap());
    assert_eq!(former().await, [kept()]);
    assert!(store.list_former_upstream_clients("ledger", ISSUER).await.unwrap().is_empty());
    assert!(store.forget_upstream_client("notes", ISSUER, "client 1").await.unwrap());
    assert_eq!(former().await, []);
    assert_eq!(self::kept(&store).await, Some(registered(2)));
}
