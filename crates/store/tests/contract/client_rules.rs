use store::{AuditKind, ClientRule, ClientRules as _, Clients as _, Queries as _, RevocationKind};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_rule_comes_back_as_it_went_in_and_goes,
    a_client_finds_its_own_rules_and_those_about_hosts_and_fingerprints,
    a_host_that_is_blocked_is_not_allowed_any_more,
    a_client_that_is_blocked_loses_what_it_was_allowed,
}

fn allow(client_id: &str, destination: &str) -> ClientRule {
    let client_id = protocol::oauth::ClientId::parse(client_id).unwrap();
    ClientRule::AllowClient { client_id, destination: destination.to_owned() }
}

fn all() -> Vec<ClientRule> {
    vec![
        allow(client_id().as_str(), "client.example"),
        ClientRule::AllowHost("good.example".to_owned()),
        ClientRule::BlockFingerprint(hash("fingerprint", 1)),
        ClientRule::BlockHost("bad.example".to_owned()),
    ]
}

async fn put(store: &Opened, rule: &ClientRule) -> bool {
    store.put_client_rule(rule.clone(), event(AuditKind::ClientApproved)).await.unwrap()
}

async fn a_rule_comes_back_as_it_went_in_and_goes(store: Opened) {
    for rule in all() {
        assert!(put(&store, &rule).await);
    }
    let events = store.counts().await.unwrap().audit_events;
    assert!(!put(&store, &all()[1]).await, "it was there");
    assert_eq!(store.counts().await.unwrap().audit_events, events, "and nothing is told");
    let listed: Vec<_> = store.list_client_rules().await.unwrap().into_iter().collect();
    assert_eq!(listed, all().into_iter().map(|rule| (rule, NOW)).collect::<Vec<_>>());
    for rule in all() {
        assert!(store.remove_client_rule(rule.clone(), event(AuditKind::ClientAllowed)).await.unwrap());
        assert!(!store.remove_client_rule(rule, event(AuditKind::ClientAllowed)).await.unwrap());
    }
    assert_eq!(store.list_client_rules().await.unwrap(), []);
}

async fn a_client_finds_its_own_rules_and_those_about_hosts_and_fingerprints(store: Opened) {
    for rule in all() {
        put(&store, &rule).await;
    }
    put(&store, &allow("another", "client.example")).await;
    let mut found = store.find_client_rules(&client_id()).await.unwrap();
    found.sort_by_key(|rule| all().iter().position(|known| known == rule));
    assert_eq!(found, all());
}

async fn a_host_that_is_blocked_is_not_allowed_any_more(store: Opened) {
    let host = "client.example".to_owned();
    put(&store, &ClientRule::AllowHost(host.clone())).await;
    put(&store, &ClientRule::BlockHost(host.clone())).await;
    let left = store.list_client_rules().await.unwrap();
    assert_eq!(left, [(ClientRule::BlockHost(host), NOW)]);
}

async fn a_client_that_is_blocked_loses_what_it_was_allowed(store: Opened) {
    put(&store, &allow(client_id().as_str(), "client.example")).await;
    put(&store, &allow("another", "client.example")).await;
    let blocked = revocation(RevocationKind::Client, client_id().as_str());
    store.block_client(client(), blocked, event(AuditKind::ClientBlocked)).await.unwrap();
    let left = store.list_client_rules().await.unwrap();
    assert_eq!(left, [(allow("another", "client.example"), NOW)]);
    let listed = store.list_clients(NOW).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.client.blocked_at).collect::<Vec<_>>(), [Some(NOW)]);
}
