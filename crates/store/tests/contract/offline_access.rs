use protocol::id::{Id, User};
use protocol::secret::Sealed;
use store::{
    Asked, AuditKind, Maintenance as _, NewIdentity, NewOfflineAccess, OfflineAccess as _,
    OfflineAccessRecord, Queries as _, RevocationKind, Revocations as _, SignIn, SignInOutcome, Users as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    what_a_provider_gave_is_kept_and_replaced_by_the_next_sign_in,
    what_was_sealed_for_another_person_than_the_record_has_is_not_kept,
    what_does_not_open_goes_once_with_its_event,
    of_many_who_claim_it_one_does,
    a_claim_that_was_not_given_back_leaves_a_doubt,
    only_who_holds_the_claim_writes_what_the_provider_said,
    a_provider_that_is_silent_is_left_alone_for_a_while,
    it_goes_with_the_last_grant_or_at_once_with_a_stop,
}

fn sealed(number: u8) -> Sealed {
    Sealed::from_bytes(vec![1, 0, 0, 0, number, 9, 9, 9])
}

async fn signed_in(store: &Opened, number: u64, token: u8) -> Id<User> {
    let offline =
        Some(NewOfflineAccess { id: id(100 + u64::from(token)), user: id(number), sealed: sealed(token) });
    let session = session(u64::from(token));
    let outcome = store.sign_in(SignIn { offline, session, ..signing_in(number) }).await.unwrap();
    let SignInOutcome::SignedIn(user) = outcome else { panic!("{outcome:?}") };
    user.id
}

async fn kept(store: &Opened, user: Id<User>) -> Vec<OfflineAccessRecord> {
    store.list_offline_access(user).await.unwrap()
}

async fn only(store: &Opened, user: Id<User>) -> OfflineAccessRecord {
    let kept = kept(store, user).await;
    let [one] = kept.as_slice() else { panic!("{kept:?}") };
    one.clone()
}

async fn what_a_provider_gave_is_kept_and_replaced_by_the_next_sign_in(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let first = only(&store, ada).await;
    let expected = OfflineAccessRecord {
        id: id(101),
        user: ada,
        connector: "corp".to_owned(),
        subject: "00u1".to_owned(),
        sealed: sealed(1),
        checked_at: NOW,
        claimed_until: None,
        is_doubtful: false,
        rotates: true,
    };
    assert_eq!(first, expected);
    assert!(store.claim_offline_access(first, hash("claim", 1), NOW.plus(MINUTE)).await.unwrap());
    assert_eq!(signed_in(&store, 1, 2).await, ada);
    assert_eq!(only(&store, ada).await, OfflineAccessRecord { id: id(102), sealed: sealed(2), ..expected });
    // A sign-in that gives nothing takes nothing.
    store.sign_in(SignIn { session: session(3), ..signing_in(1) }).await.unwrap();
    assert_eq!(only(&store, ada).await.sealed, sealed(2));
    assert_eq!(kept(&store, signed_in(&store, 2, 4).await).await.len(), 1);
}

/// It was sealed for one person (ST-02): of two sign-ins that made them at once, that of the other keeps nothing.
async fn what_was_sealed_for_another_person_than_the_record_has_is_not_kept(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let other = Some(NewOfflineAccess { id: id(150), user: id(77), sealed: sealed(9) });
    let outcome =
        store.sign_in(SignIn { offline: other, session: session(9), ..signing_in(1) }).await.unwrap();
    assert!(matches!(outcome, SignInOutcome::SignedIn(user) if user.id == ada));
    assert_eq!(only(&store, ada).await.sealed, sealed(1));
}

async fn what_does_not_open_goes_once_with_its_event(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let seen = only(&store, ada).await;
    let before = store.counts().await.unwrap().audit_events;
    let forget = |seen: &OfflineAccessRecord| {
        store.forget_broken_offline_access(seen.clone(), event(AuditKind::SealBroken))
    };
    let newer = OfflineAccessRecord { sealed: sealed(2), ..seen.clone() };
    assert!(!forget(&newer).await.unwrap(), "it is another one by now");
    let forgotten = futures_util::future::join_all((0..4).map(|_| forget(&seen))).await;
    assert_eq!(forgotten.into_iter().filter(|gone| *gone.as_ref().unwrap()).count(), 1);
    assert_eq!(store.counts().await.unwrap().audit_events, before + 1);
    assert_eq!(kept(&store, ada).await, []);
}

async fn of_many_who_claim_it_one_does(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let seen = only(&store, ada).await;
    let claims = (0..16)
        .map(|number| store.claim_offline_access(seen.clone(), hash("claim", number), NOW.plus(MINUTE)));
    let claimed = futures_util::future::join_all(claims).await;
    assert_eq!(claimed.into_iter().filter(|claimed| *claimed.as_ref().unwrap()).count(), 1);
    assert_eq!(only(&store, ada).await.claimed_until, Some(NOW.plus(MINUTE)));
}

async fn a_claim_that_was_not_given_back_leaves_a_doubt(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let seen = only(&store, ada).await;
    assert!(store.claim_offline_access(seen, hash("claim", 1), NOW.plus(MINUTE)).await.unwrap());
    let seen = only(&store, ada).await;
    assert!(seen.is_doubtful, "somebody asks, or asked and did not come back");
    assert!(store.claim_offline_access(seen.clone(), hash("claim", 2), NOW.plus(2 * MINUTE)).await.unwrap());
    // The first one comes after all: it holds nothing any more.
    let late = Asked::There(Some(sealed(7)), None);
    assert!(!store.answer_offline_access(seen.clone(), hash("claim", 1), late, NOW).await.unwrap());
    let silent = Asked::NoAnswer(NOW.plus(3 * MINUTE), false);
    assert!(store.answer_offline_access(seen, hash("claim", 2), silent, NOW).await.unwrap());
    let left = only(&store, ada).await;
    assert_eq!(
        (left.is_doubtful, left.sealed, left.claimed_until),
        (true, sealed(1), Some(NOW.plus(3 * MINUTE)))
    );
}

async fn only_who_holds_the_claim_writes_what_the_provider_said(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let person = NewIdentity {
        id: ada,
        connector: "corp".to_owned(),
        subject: "00u1".to_owned(),
        name: Some("Ada King".to_owned()),
        email: None,
        groups: vec!["math".to_owned()],
    };
    let seen = only(&store, ada).await;
    let there = || Asked::There(Some(sealed(2)), Some(Box::new(person.clone())));
    assert!(!store.answer_offline_access(seen.clone(), hash("claim", 1), there(), NOW).await.unwrap());
    assert_eq!(store.find_user(ada).await.unwrap().unwrap().name.as_deref(), Some("Ada Lovelace"));
    assert!(store.claim_offline_access(seen.clone(), hash("claim", 1), NOW.plus(MINUTE)).await.unwrap());
    let later = NOW.plus(MINUTE);
    assert!(store.answer_offline_access(seen.clone(), hash("claim", 1), there(), later).await.unwrap());
    let after = only(&store, ada).await;
    assert_eq!((after.sealed.clone(), after.checked_at, after.claimed_until), (sealed(2), later, None));
    assert!(!after.is_doubtful && after.rotates);
    let told = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!((told.name.as_deref(), told.groups), (Some("Ada King"), vec!["math".to_owned()]));
    // The same token again: this provider gives no other.
    assert!(store.claim_offline_access(after.clone(), hash("claim", 2), NOW.plus(DAY)).await.unwrap());
    let same = Asked::There(None, None);
    assert!(store.answer_offline_access(after.clone(), hash("claim", 2), same, later).await.unwrap());
    assert!(!only(&store, ada).await.rotates);
    let seen = only(&store, ada).await;
    assert!(store.claim_offline_access(seen.clone(), hash("claim", 3), NOW.plus(DAY)).await.unwrap());
    assert!(store.answer_offline_access(seen, hash("claim", 3), Asked::Useless, later).await.unwrap());
    assert_eq!(kept(&store, ada).await, []);
}

async fn a_provider_that_is_silent_is_left_alone_for_a_while(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let seen = only(&store, ada).await;
    assert!(store.claim_offline_access(seen.clone(), hash("claim", 1), NOW.plus(MINUTE)).await.unwrap());
    let silent = Asked::NoAnswer(NOW.plus(2 * MINUTE), true);
    assert!(store.answer_offline_access(seen.clone(), hash("claim", 1), silent, NOW).await.unwrap());
    let left = only(&store, ada).await;
    assert_eq!(
        (left.checked_at, left.claimed_until, left.is_doubtful),
        (NOW, Some(NOW.plus(2 * MINUTE)), true)
    );
    // By what was seen before nobody claims it.
    assert!(!store.claim_offline_access(seen, hash("claim", 2), NOW.plus(DAY)).await.unwrap());
}

async fn it_goes_with_the_last_grant_or_at_once_with_a_stop(store: Opened) {
    let ada = signed_in(&store, 1, 1).await;
    let bob = signed_in(&store, 2, 2).await;
    let chika = signed_in(&store, 3, 3).await;
    granted(&store, 1, ada).await;
    granted(&store, 2, bob).await;
    assert_eq!(
        store.sweep(NOW.plus(MINUTE)).await.unwrap().offline_access,
        0,
        "who has just signed in has none yet"
    );
    assert_eq!(store.sweep(NOW.plus(121 * MINUTE)).await.unwrap().offline_access, 1);
    assert_eq!(kept(&store, chika).await, []);
    let entry = revocation(RevocationKind::User, &ada.to_string());
    store.stop(entry, event(AuditKind::Stopped)).await.unwrap();
    assert_eq!((kept(&store, ada).await.len(), kept(&store, bob).await.len()), (0, 1));
    store
        .stop(revocation(RevocationKind::Issuer, "https://a.example"), event(AuditKind::Stopped))
        .await
        .unwrap();
    assert_eq!(kept(&store, bob).await, []);
}
