//! Links between identities: who is whom, and what is left of either.

use store::{
    AuditKind, Engine, IdentityLinkRecord, IdentityLinks as _, LinkOutcome, Queries as _, Revocation,
    RevocationKind, SignInOutcome, StopCounts, UserRecord, Users as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    who_comes_as_a_linked_identity_is_the_person_with_the_groups_of_this_provider,
    a_link_ends_what_the_identity_had_of_its_own,
    a_link_is_undone_and_both_are_two_again,
    nobody_who_is_shut_out_gains_or_loses_a_link,
    a_link_leads_to_a_person_and_never_on,
    of_two_links_of_one_identity_made_at_once_one_is_made,
    a_person_is_found_by_what_is_linked_to_them,
}

/// Signs in as somebody of the other connector.
async fn partner(store: &Engine, number: u64) -> SignInOutcome {
    let mut other = signing_in(number);
    other.user.id = id(number + 100);
    other.user.connector = "partner".to_owned();
    other.user.subject = "7".to_owned();
    other.user.groups = vec!["partners".to_owned()];
    other.session = session(number + 100);
    store.sign_in(other).await.unwrap()
}

fn signed_in(outcome: SignInOutcome) -> UserRecord {
    let SignInOutcome::SignedIn(user) = outcome else { panic!("{outcome:?}") };
    user
}

fn link(user: &UserRecord) -> IdentityLinkRecord {
    IdentityLinkRecord {
        connector: "partner".to_owned(),
        subject: "7".to_owned(),
        user: user.id,
        created_at: NOW,
    }
}

fn ends(user: &UserRecord) -> Revocation {
    Revocation {
        kind: RevocationKind::User,
        id: user.id.to_string(),
        not_before: NOW,
        expires_at: NOW.plus(DAY),
    }
}

async fn linked(store: &Engine, user: &UserRecord) -> LinkOutcome {
    store.link_identity(link(user), None, event(AuditKind::IdentityLinked)).await.unwrap()
}

async fn who_comes_as_a_linked_identity_is_the_person_with_the_groups_of_this_provider(store: Opened) {
    let ada = person(&store, 1).await;
    assert_eq!(linked(&store, &ada).await, LinkOutcome::Linked(StopCounts::default()));
    let same = signed_in(partner(&store, 2).await);
    assert_eq!((same.id, same.connector.as_str(), same.subject.as_str()), (ada.id, "corp", "00u1"));
    assert_eq!(same.groups, ["partners"]);
    assert_eq!(store.counts().await.unwrap().users, 1);
    let event = &store.list_audit(store::AuditFilter::default(), None, 10).await.unwrap()[0];
    assert_eq!(
        (event.kind.as_str(), event.user),
        (AuditKind::SignIn.as_str(), Some(ada.id)),
        "the event names the person"
    );
    // And back: the groups are those of the provider of the last sign-in, not of both.
    let mut again = signing_in(1);
    again.session = session(3);
    assert_eq!(signed_in(store.sign_in(again).await.unwrap()).groups, ada.groups);
    assert_eq!(store.list_identity_links(ada.id).await.unwrap(), [link(&ada)]);
    assert_eq!(store.find_identity_link("partner", "7").await.unwrap(), Some(link(&ada)));
    assert_eq!(store.find_identity_link("partner", "8").await.unwrap(), None);
}

async fn a_link_ends_what_the_identity_had_of_its_own(store: Opened) {
    let ada = person(&store, 1).await;
    let own = signed_in(partner(&store, 2).await);
    granted(&store, 2, own.id).await;
    assert_eq!(linked(&store, &ada).await, LinkOutcome::Refused, "it is a person of its own");
    let outcome =
        store.link_identity(link(&ada), Some(ends(&own)), event(AuditKind::IdentityLinked)).await.unwrap();
    let expected = StopCounts { browser_sessions: 1, codes: 0, grants: 1 };
    assert_eq!(outcome, LinkOutcome::Linked(expected));
    assert_eq!(signed_in(partner(&store, 3).await).id, ada.id);
}

async fn a_link_is_undone_and_both_are_two_again(store: Opened) {
    let ada = person(&store, 1).await;
    linked(&store, &ada).await;
    partner(&store, 2).await;
    granted(&store, 2, ada.id).await;
    let undo = |link| store.unlink_identity(link, ends(&ada), event(AuditKind::IdentityUnlinked));
    let wrong = IdentityLinkRecord { subject: "8".to_owned(), ..link(&ada) };
    assert_eq!(undo(wrong).await.unwrap(), None);
    let ended = undo(link(&ada)).await.unwrap().unwrap();
    assert_eq!((ended.browser_sessions, ended.grants), (2, 1), "by which it was begun nobody knows");
    assert_eq!(undo(link(&ada)).await.unwrap(), None);
    assert_ne!(signed_in(partner(&store, 3).await).id, ada.id);
}

async fn nobody_who_is_shut_out_gains_or_loses_a_link(store: Opened) {
    let ada = person(&store, 1).await;
    let own = signed_in(partner(&store, 2).await);
    store.block_user(own.id, ends(&own), event(AuditKind::UserBlocked)).await.unwrap();
    let outcome =
        store.link_identity(link(&ada), Some(ends(&own)), event(AuditKind::IdentityLinked)).await.unwrap();
    assert_eq!(outcome, LinkOutcome::Refused, "who is shut out does not come in by a link");
    assert!(store.allow_user(own.id, event(AuditKind::UserAllowed)).await.unwrap());
    store.link_identity(link(&ada), Some(ends(&own)), event(AuditKind::IdentityLinked)).await.unwrap();
    // Shut out is who it is, whichever way they come.
    store.block_user(ada.id, ends(&ada), event(AuditKind::UserBlocked)).await.unwrap();
    let before = store.counts().await.unwrap();
    assert_eq!(partner(&store, 3).await, SignInOutcome::Disabled);
    assert_eq!(store.counts().await.unwrap(), before);
    let undone = store.unlink_identity(link(&ada), ends(&ada), event(AuditKind::IdentityUnlinked)).await;
    assert_eq!(undone.unwrap(), None, "or the identity would be free again");
    let other = IdentityLinkRecord { subject: "9".to_owned(), ..link(&ada) };
    let outcome = store.link_identity(other, None, event(AuditKind::IdentityLinked)).await.unwrap();
    assert_eq!(outcome, LinkOutcome::Refused);
}

async fn a_link_leads_to_a_person_and_never_on(store: Opened) {
    let (ada, bob) = (person(&store, 1).await, person(&store, 2).await);
    linked(&store, &ada).await;
    let try_link = async |connector: &str, subject: &str, to: &UserRecord, ends| {
        let link = IdentityLinkRecord {
            connector: connector.to_owned(),
            subject: subject.to_owned(),
            user: to.id,
            created_at: NOW,
        };
        store.link_identity(link, ends, event(AuditKind::IdentityLinked)).await.unwrap()
    };
    // To another as well; to oneself; somebody to whom others are linked; somebody who is not there.
    assert_eq!(try_link("partner", "7", &bob, None).await, LinkOutcome::Refused);
    assert_eq!(try_link("corp", "00u1", &ada, Some(ends(&ada))).await, LinkOutcome::Refused);
    assert_eq!(try_link("corp", "00u1", &bob, Some(ends(&ada))).await, LinkOutcome::Refused);
    let nobody = UserRecord { id: id(99), ..bob.clone() };
    assert_eq!(try_link("partner", "8", &nobody, None).await, LinkOutcome::Refused);
    // Bob is linked to Ada, so nothing is linked to Bob.
    assert!(matches!(try_link("corp", "00u2", &ada, Some(ends(&bob))).await, LinkOutcome::Linked(_)));
    assert_eq!(try_link("partner", "8", &bob, None).await, LinkOutcome::Refused);
    assert_eq!(store.list_identity_links(ada.id).await.unwrap().len(), 2);
}

async fn of_two_links_of_one_identity_made_at_once_one_is_made(store: Opened) {
    let (ada, bob) = (person(&store, 1).await, person(&store, 2).await);
    let (first, second) = tokio::join!(linked(&store, &ada), linked(&store, &bob));
    let made = [first, second].iter().filter(|one| matches!(one, LinkOutcome::Linked(_))).count();
    assert_eq!(made, 1);
    let mut links = store.list_identity_links(ada.id).await.unwrap();
    links.extend(store.list_identity_links(bob.id).await.unwrap());
    assert_eq!(links.len(), 1);
}

async fn a_person_is_found_by_what_is_linked_to_them(store: Opened) {
    let ada = person(&store, 1).await;
    let own = signed_in(partner(&store, 2).await);
    store.link_identity(link(&ada), Some(ends(&own)), event(AuditKind::IdentityLinked)).await.unwrap();
    let found = store.find_people("partner:7").await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [ada.id]);
}
