use protocol::id::{Id, User};
use protocol::oauth::ClientId;
use store::{
    AuditFilter, AuditKind, Clients as _, EndGrant, Engine, GrantRecord, Grants as _, Maintenance as _, Once,
    Queries as _, ReplayKind, Replays as _, RevocationKind, Revocations as _, Stand, StandOutcome,
    StandingGrants as _,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_standing_grant_is_made_once_and_found_again,
    of_many_who_ask_at_once_all_get_the_one_grant,
    a_grant_of_a_browser_flow_is_another_one,
    an_ended_grant_is_not_revived,
    a_thing_is_used_up_with_the_grant_or_not_at_all,
    whoever_is_disabled_gets_no_grant_and_nothing_is_used_up,
    a_blocked_client_gets_no_grant,
    a_stop_ends_it_and_names_it_to_the_nodes,
    use_is_marked_at_most_once_a_minute_unless_the_scope_grows,
    each_event_names_the_grant,
    a_sweep_takes_it_when_it_is_long_over,
}

fn standing(number: u64, user: Id<User>) -> GrantRecord {
    GrantRecord { scope: scope("read"), ..grant(number, user) }
}

fn asking_for(grant: GrantRecord) -> Stand {
    Stand { grant, once: None, audit: event(AuditKind::TokenIssued) }
}

fn with_jti(number: u64, user: Id<User>, jti: u64) -> Stand {
    let once = Once {
        kind: ReplayKind::AuthorizationGrant,
        hash: hash("jti", jti),
        expires_at: NOW.plus(5 * MINUTE),
    };
    Stand { once: Some(once), ..asking_for(standing(number, user)) }
}

async fn stood(store: &Engine, stand: Stand) -> GrantRecord {
    match store.stand(stand).await.unwrap() {
        StandOutcome::Standing(grant) => *grant,
        other @ (StandOutcome::Barred | StandOutcome::Used) => panic!("{other:?}"),
    }
}

fn ending(number: u64) -> EndGrant {
    EndGrant {
        grant: id(number),
        revocation: revocation(RevocationKind::Grant, &id::<()>(number).to_string()),
        audit: event(AuditKind::GrantRevoked),
    }
}

async fn a_standing_grant_is_made_once_and_found_again(store: Opened) {
    let user = person(&store, 1).await.id;
    let (client, resource) = (client_id(), request().resource);
    assert_eq!(store.find_standing(user, &client, &resource).await.unwrap(), None);
    assert_eq!(stood(&store, asking_for(standing(1, user))).await, standing(1, user));
    assert_eq!(stood(&store, asking_for(standing(2, user))).await, standing(1, user));
    assert_eq!(store.find_standing(user, &client, &resource).await.unwrap(), Some(standing(1, user)));
    assert_eq!(store.find_grant(id(1)).await.unwrap(), Some(standing(1, user)));
    assert_eq!(store.find_grant(id(2)).await.unwrap(), None);
    // Another client, and another person, have one of their own.
    let other = GrantRecord { client_id: ClientId::parse("other").unwrap(), ..standing(3, user) };
    assert_eq!(stood(&store, asking_for(other)).await.id, id(3));
    let another = person(&store, 2).await.id;
    assert_eq!(stood(&store, asking_for(standing(4, another))).await.id, id(4));
}

async fn of_many_who_ask_at_once_all_get_the_one_grant(store: Opened) {
    let user = person(&store, 1).await.id;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..32_usize {
        let node: Engine = nodes[caller % 2].clone();
        callers.spawn(async move { stood(&node, asking_for(standing(1 + caller as u64, user))).await.id });
    }
    let mut ids = callers.join_all().await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(store.counts().await.unwrap().grants, 1);
    let issued = AuditFilter { kind: Some(AuditKind::TokenIssued), ..AuditFilter::default() };
    assert_eq!(store.list_audit(issued, None, 100).await.unwrap().len(), 32);
}

async fn a_grant_of_a_browser_flow_is_another_one(store: Opened) {
    let user = person(&store, 1).await.id;
    granted(&store, 1, user).await;
    granted(&store, 2, user).await;
    assert_eq!(stood(&store, asking_for(standing(3, user))).await.id, id(3));
    granted(&store, 4, user).await;
    assert_eq!(store.counts().await.unwrap().grants, 4);
}

async fn an_ended_grant_is_not_revived(store: Opened) {
    let user = person(&store, 1).await.id;
    stood(&store, asking_for(standing(1, user))).await;
    assert!(store.end_grant(ending(1), NOW.plus(MINUTE)).await.unwrap());
    assert_eq!(store.find_standing(user, &client_id(), &request().resource).await.unwrap(), None);
    assert_eq!(stood(&store, asking_for(standing(2, user))).await.id, id(2));
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(NOW.plus(MINUTE)));
}

async fn a_thing_is_used_up_with_the_grant_or_not_at_all(store: Opened) {
    let user = person(&store, 1).await.id;
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..16_usize {
        let node: Engine = nodes[caller % 2].clone();
        callers.spawn(async move { node.stand(with_jti(1 + caller as u64, user, 7)).await.unwrap() });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome != StandOutcome::Used).count(), 1);
    let issued = AuditFilter { kind: Some(AuditKind::TokenIssued), ..AuditFilter::default() };
    assert_eq!(store.list_audit(issued, None, 100).await.unwrap().len(), 1, "losers leave no event");
    // Another thing is not touched by it, and one that is over is not used.
    stood(&store, with_jti(99, user, 8)).await;
    let mut over = with_jti(1, user, 9);
    over.grant.last_used_at = NOW.plus(5 * MINUTE);
    assert_eq!(store.stand(over).await.unwrap(), StandOutcome::Used);
}

async fn whoever_is_disabled_gets_no_grant_and_nothing_is_used_up(store: Opened) {
    let user = person(&store, 1).await.id;
    store.tamper("UPDATE users SET disabled_at = 1").await;
    assert_eq!(store.stand(with_jti(1, user, 1)).await.unwrap(), StandOutcome::Barred);
    assert_eq!(store.counts().await.unwrap().grants, 0);
    let end = NOW.plus(5 * MINUTE);
    assert!(store.use_once(ReplayKind::AuthorizationGrant, hash("jti", 1), end, NOW).await.unwrap());
}

async fn a_blocked_client_gets_no_grant(store: Opened) {
    let user = person(&store, 1).await.id;
    let entry = revocation(RevocationKind::Client, client_id().as_str());
    store.block_client(client(), entry, event(AuditKind::ClientBlocked)).await.unwrap();
    assert_eq!(store.stand(asking_for(standing(1, user))).await.unwrap(), StandOutcome::Barred);
}

async fn a_stop_ends_it_and_names_it_to_the_nodes(store: Opened) {
    let user = person(&store, 1).await.id;
    stood(&store, asking_for(standing(1, user))).await;
    let entry = revocation(RevocationKind::User, &user.to_string());
    assert_eq!(store.stop(entry, event(AuditKind::Stopped)).await.unwrap().grants, 1);
    let named = store.list_stopped_grants(NOW.minus(MINUTE)).await.unwrap();
    assert_eq!(named.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>(), [id::<()>(1).to_string()]);
    assert_eq!(stood(&store, asking_for(standing(2, user))).await.id, id(2));
}

async fn use_is_marked_at_most_once_a_minute_unless_the_scope_grows(store: Opened) {
    let user = person(&store, 1).await.id;
    let asked = async |after: std::time::Duration, words: &str| {
        let now = NOW.plus(after);
        let asked = GrantRecord {
            last_used_at: now,
            idle_expires_at: now.plus(30 * DAY),
            expires_at: now.plus(180 * DAY),
            scope: scope(words),
            ..standing(1, user)
        };
        stood(&store, asking_for(asked)).await;
        let found = store.find_grant(id(1)).await.unwrap().unwrap();
        (found.last_used_at, found.expires_at, found.scope.to_string())
    };
    let first = (NOW, NOW.plus(180 * DAY), "read".to_owned());
    assert_eq!(asked(std::time::Duration::ZERO, "read").await, first);
    assert_eq!(asked(MINUTE / 2, "read").await, first);
    let grown = NOW.plus(MINUTE / 2);
    let grown = (grown, grown.plus(180 * DAY), "read write".to_owned());
    assert_eq!(asked(MINUTE / 2, "write").await, grown);
    assert_eq!(asked(MINUTE, "read").await, grown, "what was asked for before stays said");
    let later = NOW.plus(2 * MINUTE);
    assert_eq!(asked(2 * MINUTE, "read").await, (later, later.plus(180 * DAY), "read write".to_owned()));
}

async fn each_event_names_the_grant(store: Opened) {
    let user = person(&store, 1).await.id;
    for number in 1..=3 {
        stood(&store, asking_for(standing(number, user))).await;
    }
    let issued = AuditFilter { kind: Some(AuditKind::TokenIssued), ..AuditFilter::default() };
    let rows = store.list_audit(issued, None, 100).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.grant == Some(id(1))));
}

async fn a_sweep_takes_it_when_it_is_long_over(store: Opened) {
    let user = person(&store, 1).await.id;
    stood(&store, asking_for(standing(1, user))).await;
    let swept = store.sweep(NOW.plus(180 * DAY)).await.unwrap();
    assert_eq!((swept.grants, swept.authorizations), (0, 0));
    let swept = store.sweep(NOW.plus(182 * DAY)).await.unwrap();
    assert_eq!((swept.grants, swept.authorizations), (1, 0), "no authorization went with it");
}
