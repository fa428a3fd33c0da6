use protocol::id::{Id, User};
use protocol::oauth::ResourceUri;
use protocol::world::Timestamp;
use store::{
    AuditKind, AuthorizationState, Authorizations as _, BrowserSessions as _, Consent, ConsentKind,
    ConsentOutcome, ConsentRecord, Consents as _, Grants as _, Maintenance as _, RevocationKind,
    Revocations as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_no_ends_what_the_same_person_allowed_the_same_client_there,
    a_consent_comes_back_as_it_went_in,
    the_last_consent_of_a_kind_counts,
    a_consent_and_the_authorization_it_was_given_for_are_one_write,
    a_consent_in_advance_is_used_once_whoever_tries,
    a_remembered_consent_is_used_as_often_as_it_is_asked,
    a_consent_of_other_facts_or_that_is_over_or_gone_answers_nothing,
    a_stop_ends_the_consents_of_what_it_names,
    a_grant_that_ends_takes_its_consents_along,
    a_stop_leaves_no_code_of_a_consent_that_is_used_at_the_same_instant,
    consents_that_are_over_are_swept,
}

fn kept(user: Id<User>, kind: ConsentKind) -> ConsentRecord {
    let holder = if kind == ConsentKind::Person { ConsentRecord::NOBODY } else { hash("holder", 1) };
    ConsentRecord {
        user,
        client_id: client_id(),
        resource: request().resource,
        kind,
        holder,
        server: "docs".to_owned(),
        scope: scope("read"),
        facts: hash("facts", 1),
        shown: hash("shown", 1),
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW.plus(30 * DAY),
        grant_expires_at: NOW.plus(60 * DAY),
    }
}

async fn list(store: &Opened, user: Id<User>) -> Vec<ConsentRecord> {
    store.list_consents(user, &client_id(), &request().resource, NOW).await.unwrap()
}

async fn asked(store: &Opened, number: u64) {
    store.put_authorization(asking(number), CAPS, NOW).await.unwrap();
}

/// A yes on a page, that keeps these.
async fn given(store: &Opened, number: u64, user: Id<User>, kept: Vec<ConsentRecord>) -> ConsentOutcome {
    asked(store, number).await;
    store.consent(Consent { kept, ..consenting(number, user) }, NOW).await.unwrap()
}

/// An answer without a page.
async fn used(store: &Opened, number: u64, by: ConsentRecord, now: Timestamp) -> ConsentOutcome {
    asked(store, number).await;
    store.consent(Consent { by: Some(by.clone()), ..consenting(number, by.user) }, now).await.unwrap()
}

async fn a_consent_comes_back_as_it_went_in(store: Opened) {
    let user = person(&store, 1).await.id;
    let all: Vec<_> = ConsentKind::ALL.into_iter().map(|kind| kept(user, kind)).collect();
    assert_eq!(given(&store, 1, user, all.clone()).await, ConsentOutcome::Consented);
    assert_eq!(list(&store, user).await, all);
    let elsewhere = ResourceUri::parse("https://mcp.example.com/other/mcp").unwrap();
    assert!(store.list_consents(user, &client_id(), &elsewhere, NOW).await.unwrap().is_empty());
    assert!(list(&store, id(77)).await.is_empty());
    let end = NOW.plus(30 * DAY);
    let over = store.list_consents(user, &client_id(), &request().resource, end).await.unwrap();
    assert!(over.is_empty(), "one that is over is none");
}

async fn the_last_consent_of_a_kind_counts(store: Opened) {
    let user = person(&store, 1).await.id;
    let wide = ConsentRecord { scope: scope("read write"), ..kept(user, ConsentKind::Person) };
    given(&store, 1, user, vec![wide]).await;
    let narrow = ConsentRecord { facts: hash("facts", 2), ..kept(user, ConsentKind::Person) };
    given(&store, 2, user, vec![narrow.clone()]).await;
    assert_eq!(list(&store, user).await, [narrow]);
}

async fn a_consent_and_the_authorization_it_was_given_for_are_one_write(store: Opened) {
    let user = person(&store, 1).await.id;
    asked(&store, 1).await;
    assert!(store.deny(id(1), None, event(AuditKind::ConsentDenied), NOW).await.unwrap());
    let late = Consent { kept: vec![kept(user, ConsentKind::Person)], ..consenting(1, user) };
    assert_eq!(store.consent(late, NOW).await.unwrap(), ConsentOutcome::Lost);
    assert!(list(&store, user).await.is_empty());
}

async fn a_consent_in_advance_is_used_once_whoever_tries(store: Opened) {
    let user = person(&store, 1).await.id;
    let ahead = kept(user, ConsentKind::Ahead);
    given(&store, 1, user, vec![ahead.clone()]).await;
    let tries = (2..18).map(|number| used(&store, number, ahead.clone(), NOW));
    let outcomes = futures_util::future::join_all(tries).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == ConsentOutcome::Consented).count(), 1);
    assert!(list(&store, user).await.is_empty());
}

async fn a_remembered_consent_is_used_as_often_as_it_is_asked(store: Opened) {
    let user = person(&store, 1).await.id;
    let remembered = kept(user, ConsentKind::Person);
    given(&store, 1, user, vec![remembered.clone()]).await;
    let later = NOW.plus(MINUTE);
    for number in 2..4 {
        assert_eq!(used(&store, number, remembered.clone(), later).await, ConsentOutcome::Consented);
    }
    assert_eq!(list(&store, user).await, [ConsentRecord { last_used_at: later, ..remembered }]);
}

async fn a_consent_of_other_facts_or_that_is_over_or_gone_answers_nothing(store: Opened) {
    let user = person(&store, 1).await.id;
    let all: Vec<_> = ConsentKind::ALL.into_iter().map(|kind| kept(user, kind)).collect();
    given(&store, 1, user, all.clone()).await;
    let mut number = 1;
    for consent in all {
        let others = [
            ConsentRecord { facts: hash("facts", 2), ..consent.clone() },
            ConsentRecord { holder: hash("holder", 2), ..consent.clone() },
            ConsentRecord {
                resource: ResourceUri::parse("https://a.example/mcp").unwrap(),
                ..consent.clone()
            },
            ConsentRecord {
                client_id: protocol::oauth::ClientId::parse("other").unwrap(),
                ..consent.clone()
            },
        ];
        for other in others {
            number += 1;
            assert_eq!(used(&store, number, other, NOW).await, ConsentOutcome::Lost);
            let found = store.find_authorization(id(number)).await.unwrap().unwrap();
            assert_eq!(found.state, AuthorizationState::Pending, "the person can still be asked");
        }
        // The request is in time, the consent is not.
        let short = ConsentRecord { expires_at: NOW.plus(MINUTE), ..consent };
        number += 1;
        given(&store, number, user, vec![short.clone()]).await;
        number += 1;
        assert_eq!(used(&store, number, short, NOW.plus(MINUTE)).await, ConsentOutcome::Lost);
    }
}

async fn a_stop_ends_the_consents_of_what_it_names(store: Opened) {
    let user = person(&store, 1).await.id;
    let names = [
        (RevocationKind::Client, client_id().as_str().to_owned()),
        (RevocationKind::Issuer, "https://mcp.example.com".to_owned()),
        (RevocationKind::Resource, request().resource.as_str().to_owned()),
        (RevocationKind::Resource, "https://mcp.example.com/under-a-new-name".to_owned()),
        (RevocationKind::User, user.to_string()),
    ];
    for (number, (kind, name)) in (1..).zip(names) {
        // Two of them end the browser session too.
        if store.find_browser_session(&session(1).hash, NOW).await.unwrap().is_none() {
            person(&store, 1).await;
        }
        given(&store, number, user, vec![kept(user, ConsentKind::Person)]).await;
        let unrelated = revocation(RevocationKind::Client, "another");
        store.stop(unrelated, event(AuditKind::Stopped)).await.unwrap();
        assert_eq!(list(&store, user).await.len(), 1);
        let mut audit = event(AuditKind::Stopped);
        audit.server = (kind == RevocationKind::Resource).then(|| "docs".to_owned());
        store.stop(revocation(kind, &name), audit).await.unwrap();
        assert!(list(&store, user).await.is_empty(), "{kind:?}");
    }
}

async fn a_grant_that_ends_takes_its_consents_along(store: Opened) {
    let user = person(&store, 1).await.id;
    let grant = granted(&store, 1, user).await;
    given(&store, 2, user, ConsentKind::ALL.map(|kind| kept(user, kind)).to_vec()).await;
    let end = || store::EndGrant {
        grant,
        revocation: revocation(RevocationKind::Grant, &grant.to_string()),
        audit: event(AuditKind::GrantRevoked),
    };
    assert!(store.end_grant(end(), NOW).await.unwrap());
    assert!(list(&store, user).await.is_empty());
    // A grant that ended before is nobody's word on what was allowed since.
    given(&store, 3, user, vec![kept(user, ConsentKind::Person)]).await;
    assert!(!store.end_grant(end(), NOW).await.unwrap());
    assert_eq!(list(&store, user).await.len(), 1);
}

async fn a_stop_leaves_no_code_of_a_consent_that_is_used_at_the_same_instant(store: Opened) {
    for round in 0..20_u64 {
        let user = person(&store, 1).await.id;
        let remembered = kept(user, ConsentKind::Person);
        given(&store, 1 + round * 10, user, vec![remembered.clone()]).await;
        let numbers: Vec<u64> = (2..6).map(|number| number + round * 10).collect();
        for number in &numbers {
            asked(&store, *number).await;
        }
        let uses = numbers.iter().map(|number| {
            let consent = Consent { by: Some(remembered.clone()), ..consenting(*number, user) };
            store.consent(consent, NOW)
        });
        let stop = store.stop(revocation(RevocationKind::User, &user.to_string()), event(AuditKind::Stopped));
        let (stopped, _) = futures_util::future::join(stop, futures_util::future::join_all(uses)).await;
        stopped.unwrap();
        for number in numbers {
            let found = store.find_authorization(id(number)).await.unwrap().unwrap();
            assert!(!matches!(found.state, AuthorizationState::Consented { .. }), "round {round}");
        }
        assert!(list(&store, user).await.is_empty());
    }
}

async fn consents_that_are_over_are_swept(store: Opened) {
    let user = person(&store, 1).await.id;
    given(&store, 1, user, ConsentKind::ALL.map(|kind| kept(user, kind)).to_vec()).await;
    assert_eq!(store.sweep(NOW.plus(30 * DAY)).await.unwrap().consents, 0);
    assert_eq!(store.sweep(NOW.plus(31 * DAY)).await.unwrap().consents, 3);
}

async fn a_no_ends_what_the_same_person_allowed_the_same_client_there(store: Opened) {
    let (ada, bob) = (person(&store, 1).await.id, person(&store, 2).await.id);
    let elsewhere = ConsentRecord {
        resource: ResourceUri::parse("https://mcp.example.com/other/mcp").unwrap(),
        ..kept(ada, ConsentKind::Person)
    };
    let all = ConsentKind::ALL.map(|kind| kept(ada, kind)).into_iter().chain([elsewhere.clone()]);
    given(&store, 1, ada, all.collect()).await;
    given(&store, 2, bob, vec![kept(bob, ConsentKind::Person)]).await;
    let deny =
        |number: u64, by: Option<Id<User>>| store.deny(id(number), by, event(AuditKind::ConsentDenied), NOW);
    // One that comes too late, or of nobody who is known, ends nothing.
    assert!(!deny(1, Some(ada)).await.unwrap());
    asked(&store, 3).await;
    assert!(deny(3, None).await.unwrap());
    assert_eq!(list(&store, ada).await.len(), 3);
    asked(&store, 4).await;
    assert!(deny(4, Some(ada)).await.unwrap());
    assert!(list(&store, ada).await.is_empty());
    let left = store.list_consents(ada, &client_id(), &elsewhere.resource, NOW).await.unwrap();
    assert_eq!((left.len(), list(&store, bob).await.len()), (1, 1));
}
