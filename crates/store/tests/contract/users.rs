use store::{
    AuditKind, BrowserSessions as _, Engine, Queries as _, RevocationKind, SignInOutcome, StopCounts,
    UserRecord, Users as _,
};
use tokio::task::JoinSet;

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    a_person_is_found_by_id_by_subject_and_by_address,
    a_person_comes_back_as_they_went_in,
    signing_in_again_keeps_the_id_and_brings_the_rest_up_to_date,
    one_person_who_signs_in_everywhere_at_once_is_one_person,
    the_same_subject_of_another_connector_is_another_person,
    subjects_are_compared_to_the_byte,
    who_is_shut_out_does_not_sign_in,
    the_event_of_a_sign_in_names_the_person_as_known,
    who_is_blocked_has_nothing_left_and_may_be_let_in_again,
    a_person_who_never_signed_in_is_made_once_whoever_asks_first,
    who_is_linked_is_found_as_the_person_and_is_not_made,
    people_are_listed_by_their_connector_and_address,
    a_service_account_is_one_row_whoever_asks_for_it_first,
    a_service_account_never_signs_in_and_gets_no_emergency_login,
}

async fn a_person_comes_back_as_they_went_in(store: Opened) {
    let new = signing_in(1).user;
    let expected = UserRecord {
        id: new.id,
        connector: new.connector,
        subject: new.subject,
        name: new.name,
        email: new.email,
        groups: new.groups,
        created_at: NOW,
        last_sign_in_at: NOW,
        disabled_at: None,
    };
    assert_eq!(person(&store, 1).await, expected);
    assert_eq!(store.find_user(id(1)).await.unwrap(), Some(expected));
    assert_eq!(store.find_user(id(2)).await.unwrap(), None);
}

async fn signing_in_again_keeps_the_id_and_brings_the_rest_up_to_date(store: Opened) {
    let first = person(&store, 1).await;
    let mut again = signing_in(1);
    again.user.id = id(99);
    again.user.email = Some("ada@example.com".to_owned());
    again.user.groups.clear();
    again.session = session(2);
    again.audit.at = NOW.plus(DAY);
    let SignInOutcome::SignedIn(second) = store.sign_in(again).await.unwrap() else { panic!("refused") };
    let expected = UserRecord {
        email: Some("ada@example.com".to_owned()),
        groups: Vec::new(),
        last_sign_in_at: NOW.plus(DAY),
        ..first
    };
    assert_eq!(second, expected);
    let (opened, user) = store.find_browser_session(&hash("session", 2), NOW).await.unwrap().unwrap();
    assert_eq!((opened.user, user), (id(1), expected));
}

async fn one_person_who_signs_in_everywhere_at_once_is_one_person(store: Opened) {
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..32 {
        let node: Engine = nodes[caller as usize % 2].clone();
        let mut sign_in = signing_in(1);
        sign_in.user.id = id(caller);
        sign_in.session = session(caller);
        callers.spawn(async move { node.sign_in(sign_in).await.unwrap() });
    }
    let mut ids: Vec<_> = callers
        .join_all()
        .await
        .into_iter()
        .map(|outcome| {
            let SignInOutcome::SignedIn(user) = outcome else { panic!("{outcome:?}") };
            user.id
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.browser_sessions, counts.audit_events), (1, 32, 32));
}

async fn the_same_subject_of_another_connector_is_another_person(store: Opened) {
    person(&store, 1).await;
    let mut other = signing_in(1);
    other.user.id = id(2);
    other.user.connector = "partner".to_owned();
    other.session = session(2);
    let SignInOutcome::SignedIn(user) = store.sign_in(other).await.unwrap() else { panic!("refused") };
    assert_eq!(user.id, id(2));
}

async fn subjects_are_compared_to_the_byte(store: Opened) {
    for (number, subject) in ["ada", "ADA", "ada ", "a\u{301}da", "\u{e1}da"].into_iter().enumerate() {
        let mut sign_in = signing_in(number as u64);
        sign_in.user.subject = subject.to_owned();
        assert!(matches!(store.sign_in(sign_in).await.unwrap(), SignInOutcome::SignedIn(_)));
    }
    assert_eq!(store.counts().await.unwrap().users, 5);
}

async fn who_is_shut_out_does_not_sign_in(store: Opened) {
    person(&store, 1).await;
    store.tamper("UPDATE users SET disabled_at = 1").await;
    let before = store.counts().await.unwrap();
    let mut again = signing_in(1);
    again.session = session(2);
    assert_eq!(store.sign_in(again).await.unwrap(), SignInOutcome::Disabled);
    assert_eq!(store.counts().await.unwrap(), before);
    assert_eq!(store.find_browser_session(&hash("session", 1), NOW).await.unwrap(), None);
}

async fn the_event_of_a_sign_in_names_the_person_as_known(store: Opened) {
    person(&store, 1).await;
    let mut again = signing_in(1);
    again.user.id = id(99);
    again.audit.user = Some(id(99));
    again.session = session(2);
    store.sign_in(again).await.unwrap();
    let events = store.list_audit(store::AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.user).collect::<Vec<_>>(), [Some(id(1)), Some(id(1))]);
}

async fn a_person_is_found_by_id_by_subject_and_by_address(store: Opened) {
    let mut with_address = signing_in(1);
    with_address.user.email = Some("Ada@example.com".to_owned());
    let SignInOutcome::SignedIn(one) = store.sign_in(with_address).await.unwrap() else { panic!() };
    let two = person(&store, 2).await;
    let subject = format!("{}:{}", two.connector, two.subject);
    assert_eq!(store.find_people(&one.id.to_string()).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(store.find_people(&subject).await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(store.find_people("aDA@example.COM").await.unwrap(), std::slice::from_ref(&one));
    for nobody in ["", ":", "nobody@example.com", "00000000-0000-7000-8000-000000000000", &one.subject] {
        assert!(store.find_people(nobody).await.unwrap().is_empty(), "{nobody}");
    }
}

async fn who_is_blocked_has_nothing_left_and_may_be_let_in_again(store: Opened) {
    let ada = person(&store, 1).await.id;
    granted(&store, 1, ada).await;
    let entry = revocation(RevocationKind::User, &ada.to_string());
    assert!(!store.allow_user(ada, event(AuditKind::UserAllowed)).await.unwrap());
    let ended = store.block_user(ada, entry, event(AuditKind::UserBlocked)).await.unwrap();
    assert_eq!(ended, StopCounts { browser_sessions: 1, codes: 0, grants: 1 });
    assert_eq!(store.find_user(ada).await.unwrap().unwrap().disabled_at, Some(NOW));
    assert_eq!(store.sign_in(signing_in(1)).await.unwrap(), SignInOutcome::Disabled);
    assert!(store.allow_user(ada, event(AuditKind::UserAllowed)).await.unwrap());
    assert!(!store.allow_user(ada, event(AuditKind::UserAllowed)).await.unwrap(), "once");
    assert!(matches!(store.sign_in(signing_in(1)).await.unwrap(), SignInOutcome::SignedIn(_)));
}

fn account(number: u64, title: &str) -> store::NewServiceAccount {
    store::NewServiceAccount { id: id(number), name: "ci".to_owned(), title: title.to_owned() }
}

async fn a_service_account_is_one_row_whoever_asks_for_it_first(store: Opened) {
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let node: Engine = nodes[caller as usize % 2].clone();
        callers.spawn(async move { node.keep_service_account(account(caller, "CI"), NOW).await.unwrap() });
    }
    let mut kept = callers.join_all().await;
    kept.dedup();
    let [one] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((one.service_account(), one.name.as_deref()), (Some("ci"), Some("CI")));
    assert_eq!((one.connector.as_str(), one.subject.as_str()), (store::SERVICE_ACCOUNT, "ci"));
    let renamed = store.keep_service_account(account(99, "Builds"), NOW.plus(DAY)).await.unwrap();
    assert_eq!((renamed.id, renamed.name.as_deref(), renamed.created_at), (one.id, Some("Builds"), NOW));
    assert_eq!(store.find_people("service-account:ci").await.unwrap(), std::slice::from_ref(&renamed));
    assert_eq!(person(&store, 50).await.service_account(), None);
    // It is stopped as a person is.
    let entry = revocation(RevocationKind::User, &renamed.id.to_string());
    store.block_user(renamed.id, entry, event(AuditKind::UserBlocked)).await.unwrap();
    let again = store.keep_service_account(account(98, "Builds"), NOW).await.unwrap();
    assert_eq!(again.disabled_at, Some(NOW));
}

async fn a_service_account_never_signs_in_and_gets_no_emergency_login(store: Opened) {
    use store::EmergencyLogins as _;
    let kept = store.keep_service_account(account(1, "CI"), NOW).await.unwrap();
    let mut sign_in = signing_in(1);
    sign_in.user.connector = store::SERVICE_ACCOUNT.to_owned();
    sign_in.user.subject = "ci".to_owned();
    assert_eq!(store.sign_in(sign_in).await.unwrap(), SignInOutcome::Disabled);
    let mut stranger = signing_in(2);
    stranger.user.connector = store::SERVICE_ACCOUNT.to_owned();
    assert_eq!(store.sign_in(stranger).await.unwrap(), SignInOutcome::Disabled);
    let login = store::EmergencyLoginRecord {
        id: id(1),
        hash: hash("emergency", 1),
        user: kept.id,
        sealed: protocol::secret::Sealed::from_bytes(vec![1]),
        created_at: NOW,
        expires_at: NOW.plus(DAY),
    };
    assert!(!store.put_emergency_login(login, event(AuditKind::EmergencyLoginMade)).await.unwrap());
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.users, counts.browser_sessions), (1, 0));
}

fn made(number: u64) -> store::NewIdentity {
    store::NewIdentity { groups: Vec::new(), ..signing_in(number).user }
}

async fn a_person_who_never_signed_in_is_made_once_whoever_asks_first(store: Opened) {
    let nodes = [store.engine.clone(), store.another().await];
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let node: Engine = nodes[caller as usize % 2].clone();
        let new = store::NewIdentity { id: id(caller + 1), ..made(1) };
        callers.spawn(async move { node.make_person(new, event(AuditKind::PersonMade)).await.unwrap() });
    }
    let mut kept = callers.join_all().await;
    kept.dedup();
    let [one] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((one.groups.len(), one.created_at), (0, NOW));
    assert_eq!(store.find_person(&one.connector, &one.subject).await.unwrap().as_ref(), Some(one));
    let told = store.list_audit(store::AuditFilter::default(), None, 20).await.unwrap();
    assert_eq!(told.iter().filter(|row| row.kind == "person_made").count(), 1, "once, with the person");
    // Signing in by a browser later is the same person, who stays as they are if they are made again.
    let SignInOutcome::SignedIn(later) = store.sign_in(signing_in(1)).await.unwrap() else {
        panic!("refused")
    };
    assert_eq!(later.id, one.id);
    assert!(!later.groups.is_empty());
    assert_eq!(store.make_person(made(1), event(AuditKind::PersonMade)).await.unwrap(), later);
}

async fn who_is_linked_is_found_as_the_person_and_is_not_made(store: Opened) {
    use store::IdentityLinks as _;
    let (ada, new) = (person(&store, 1).await, made(2));
    let link = store::IdentityLinkRecord {
        connector: new.connector.clone(),
        subject: new.subject.clone(),
        user: ada.id,
        created_at: NOW,
    };
    store.link_identity(link, None, event(AuditKind::IdentityLinked)).await.unwrap();
    assert_eq!(store.find_person(&new.connector, &new.subject).await.unwrap().as_ref(), Some(&ada));
    assert_eq!(store.make_person(new, event(AuditKind::PersonMade)).await.unwrap(), ada);
    assert_eq!(store.counts().await.unwrap().users, 1);
    assert_eq!(store.find_person("okta", "nobody").await.unwrap(), None);
}

async fn people_are_listed_by_their_connector_and_address(store: Opened) {
    let with = async |number: u64, connector: &str, address: &str| {
        let email = Some(address.to_owned());
        let new = store::NewIdentity { connector: connector.to_owned(), email, ..made(number) };
        store.make_person(new, event(AuditKind::PersonMade)).await.unwrap().id
    };
    let (one, two) = (with(1, "corp", "ada@example.com").await, with(2, "corp", "Ada@Example.com").await);
    with(3, "partner", "ada@example.com").await;
    let listed = async |connector: &str, address: &str| {
        let having = store.list_by_address(connector, address).await.unwrap();
        having.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("corp", "ADA@example.com").await, [one, two]);
    assert_eq!(listed("partner", "ada@example.com").await.len(), 1);
    assert_eq!(listed("corp", "nobody@example.com").await, []);
}
