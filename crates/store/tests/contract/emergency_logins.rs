use protocol::secret::Sealed;
use store::{
    AuditKind, BrowserSessionRecord, BrowserSessions as _, EmergencyLoginRecord, EmergencyLogins as _,
    RevocationKind, Revocations as _, UseEmergencyLogin,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    an_emergency_login_comes_back_as_it_went_in,
    an_emergency_login_ends_in_time,
    an_emergency_login_is_for_somebody_who_may_come_in,
    an_emergency_login_is_used_at_most_once,
    a_stop_ends_the_emergency_logins_of_its_person_and_of_everybody,
}

async fn login(store: &Opened, number: u64) -> EmergencyLoginRecord {
    EmergencyLoginRecord {
        id: id(number),
        hash: hash("code", number),
        user: person(store, number).await.id,
        sealed: Sealed::from_bytes(vec![1, 2, 3]),
        created_at: NOW,
        expires_at: NOW.plus(MINUTE),
    }
}

fn using(login: &EmergencyLoginRecord, number: u64) -> UseEmergencyLogin {
    let session = BrowserSessionRecord { hash: hash("emergency", number), user: login.user, ..session(9) };
    UseEmergencyLogin { hash: login.hash, session, audit: event(AuditKind::EmergencySignIn) }
}

async fn put(store: &Opened, login: &EmergencyLoginRecord) -> bool {
    store.put_emergency_login(login.clone(), event(AuditKind::EmergencyLoginMade)).await.unwrap()
}

async fn an_emergency_login_comes_back_as_it_went_in(store: Opened) {
    assert!(!store.has_emergency_login(NOW).await.unwrap());
    let made = login(&store, 1).await;
    assert!(put(&store, &made).await);
    assert!(store.has_emergency_login(NOW).await.unwrap());
    let (found, user) = store.find_emergency_login(&made.hash, NOW).await.unwrap().unwrap();
    assert_eq!((found, user.id), (made.clone(), made.user));
    assert_eq!(store.find_emergency_login(&hash("code", 2), NOW).await.unwrap(), None);
}

async fn an_emergency_login_ends_in_time(store: Opened) {
    let made = login(&store, 1).await;
    assert!(put(&store, &made).await);
    assert_eq!(store.find_emergency_login(&made.hash, made.expires_at).await.unwrap(), None);
    assert!(!store.has_emergency_login(made.expires_at).await.unwrap());
    let mut late = using(&made, 1);
    late.audit.at = made.expires_at;
    assert!(!store.use_emergency_login(late).await.unwrap());
}

async fn an_emergency_login_is_for_somebody_who_may_come_in(store: Opened) {
    let made = login(&store, 1).await;
    assert!(!put(&store, &EmergencyLoginRecord { user: id(77), ..made.clone() }).await);
    // The row is one person's: a session of somebody else is not opened by it.
    assert!(put(&store, &made).await);
    let other = person(&store, 2).await.id;
    let mut of_another = using(&made, 1);
    of_another.session.user = other;
    assert!(!store.use_emergency_login(of_another).await.unwrap());
    assert_eq!(store.find_browser_session(&hash("emergency", 1), NOW).await.unwrap(), None);
}

async fn an_emergency_login_is_used_at_most_once(store: Opened) {
    let made = login(&store, 1).await;
    assert!(put(&store, &made).await);
    let uses = (0..32).map(|number| store.use_emergency_login(using(&made, number)));
    let opened = futures_util::future::join_all(uses).await;
    assert_eq!(opened.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 1);
    assert!(!store.has_emergency_login(NOW).await.unwrap());
    assert_eq!(store.find_emergency_login(&made.hash, NOW).await.unwrap(), None);
}

async fn a_stop_ends_the_emergency_logins_of_its_person_and_of_everybody(store: Opened) {
    let (ada, bob) = (login(&store, 1).await, login(&store, 2).await);
    assert!(put(&store, &ada).await && put(&store, &bob).await);
    let of_ada = revocation(RevocationKind::User, &ada.user.to_string());
    store.stop(of_ada, event(AuditKind::Stopped)).await.unwrap();
    assert_eq!(store.find_emergency_login(&ada.hash, NOW).await.unwrap(), None);
    assert!(!store.use_emergency_login(using(&ada, 1)).await.unwrap());
    assert!(store.find_emergency_login(&bob.hash, NOW).await.unwrap().is_some());
    let all = revocation(RevocationKind::Issuer, "https://mcp.example.com");
    store.stop(all, event(AuditKind::Stopped)).await.unwrap();
    assert!(!store.has_emergency_login(NOW).await.unwrap());
}
