use std::sync::{Arc, Mutex};

use protocol::id::{Id, User};
use protocol::secret::Hash;
use store::{
    AuditKind, Authorizations as _, BrowserSessions as _, Consent, Ending, Failpoint, Grants as _,
    IdentityLinks as _, OfSession, Once, Queries as _, Reach, RedeemOutcome, ReplayKind, Revocation,
    RevocationKind, Revocations as _, SignIn, SignInOutcome, Signals as _, StopCounts, Users as _,
};

use crate::engines::{Opened, contract};
use crate::fixtures::*;

contract! {
    what_began_in_a_session_ends_with_it_and_nothing_else,
    what_began_in_an_unknown_session_ends_with_any_of_its_person,
    everything_of_a_person_ends,
    of_several_people_all_end_or_nobody_and_a_repeat_ends_nobody_who_came_later,
    the_people_of_an_address_are_those_of_the_connector_and_all_of_them,
    browser_sessions_end_alone,
    the_word_of_it_is_used_once,
    every_grant_that_ended_is_announced_before_the_answer_and_listed,
    of_a_redemption_and_an_ending_at_once_no_live_grant_is_left,
    of_a_yes_and_an_ending_at_once_no_good_code_is_left,
}

fn reach() -> Reach {
    Reach { not_before: NOW, expires_at: NOW.plus(60 * MINUTE) }
}

fn upstream(number: u64) -> Hash {
    hash("upstream", number)
}

fn once(number: u64) -> Once {
    Once { kind: ReplayKind::SecurityEvent, hash: hash("jti", number), expires_at: NOW.plus(MINUTE) }
}

fn of(session: Option<u64>, user: Option<Id<User>>) -> OfSession {
    OfSession { session: session.map(upstream), people: user.into_iter().collect() }
}

/// Somebody with a browser session that began in this session at the provider.
async fn signed_in(store: &Opened, person: u64, number: u64, session: Option<u64>) -> Id<User> {
    let begun =
        store::BrowserSessionRecord { upstream_session: session.map(upstream), ..self::session(number) };
    let outcome = store.sign_in(SignIn { session: begun, ..signing_in(person) }).await.unwrap();
    let SignInOutcome::SignedIn(user) = outcome else { panic!("{outcome:?}") };
    user.id
}

/// A code of that session.
async fn code(store: &Opened, number: u64, user: Id<User>, session: Option<u64>) {
    store.put_authorization(asking(number), CAPS, NOW).await.unwrap();
    let consent = Consent { upstream_session: session.map(upstream), ..consenting(number, user) };
    assert_eq!(store.consent(consent, NOW).await.unwrap(), store::ConsentOutcome::Consented);
}

/// A grant of that session.
async fn allowed(store: &Opened, number: u64, user: Id<User>, session: Option<u64>) {
    code(store, number, user, session).await;
    assert_eq!(store.redeem(redeeming(number, user), NOW).await.unwrap(), RedeemOutcome::Redeemed);
}

async fn lives(store: &Opened, number: u64) -> bool {
    store.find_grant(id(number)).await.unwrap().unwrap().revoked_at.is_none()
}

async fn is_signed_in(store: &Opened, number: u64) -> bool {
    store.find_browser_session(&hash("session", number), NOW).await.unwrap().is_some()
}

async fn end(store: &Opened, number: u64, ending: Ending) -> Option<StopCounts> {
    store.end_on_signal(once(number), ending, vec![event(AuditKind::SignalReceived)], NOW).await.unwrap()
}

fn ended(browser_sessions: u64, codes: u64, grants: u64) -> Option<StopCounts> {
    Some(StopCounts { browser_sessions, codes, grants })
}

async fn what_began_in_a_session_ends_with_it_and_nothing_else(store: Opened) {
    let ada = signed_in(&store, 1, 1, Some(7)).await;
    signed_in(&store, 1, 2, Some(8)).await;
    let bob = signed_in(&store, 3, 3, Some(9)).await;
    for (number, user, session) in [(1, ada, 7), (2, ada, 7), (3, ada, 8), (4, bob, 9)] {
        allowed(&store, number, user, Some(session)).await;
    }
    code(&store, 5, ada, Some(7)).await;
    code(&store, 6, ada, Some(8)).await;
    let found = store.find_browser_session(&hash("session", 1), NOW).await.unwrap().unwrap();
    assert_eq!(found.0.upstream_session, Some(upstream(7)));
    assert_eq!(end(&store, 1, Ending::Session(of(Some(7), Some(ada)), reach())).await, ended(1, 1, 2));
    let mut left = Vec::new();
    for number in 1..=4 {
        left.push(lives(&store, number).await);
    }
    assert_eq!(left, [false, false, true, true]);
    assert!(!is_signed_in(&store, 1).await && is_signed_in(&store, 2).await && is_signed_in(&store, 3).await);
    assert_eq!(store.redeem(redeeming(5, ada), NOW).await.unwrap(), RedeemOutcome::Lost);
    assert_eq!(store.redeem(redeeming(6, ada), NOW).await.unwrap(), RedeemOutcome::Redeemed);
}

async fn what_began_in_an_unknown_session_ends_with_any_of_its_person(store: Opened) {
    let ada = signed_in(&store, 1, 1, None).await;
    let bob = signed_in(&store, 2, 2, None).await;
    allowed(&store, 1, ada, None).await;
    allowed(&store, 2, bob, None).await;
    code(&store, 3, ada, None).await;
    assert_eq!(end(&store, 1, Ending::Session(of(Some(7), None), reach())).await, ended(0, 0, 0));
    assert!(lives(&store, 1).await);
    assert_eq!(end(&store, 2, Ending::Session(of(Some(7), Some(ada)), reach())).await, ended(1, 1, 1));
    assert!(!lives(&store, 1).await && lives(&store, 2).await);
    assert!(!is_signed_in(&store, 1).await && is_signed_in(&store, 2).await);
}

async fn everything_of_a_person_ends(store: Opened) {
    let ada = signed_in(&store, 1, 1, Some(7)).await;
    let bob = signed_in(&store, 2, 2, Some(9)).await;
    allowed(&store, 1, ada, Some(7)).await;
    allowed(&store, 2, ada, None).await;
    allowed(&store, 3, bob, Some(9)).await;
    let everything = || everything(&[ada]);
    assert_eq!(end(&store, 1, everything()).await, ended(1, 0, 2));
    assert_eq!(end(&store, 1, everything()).await, None);
    assert!(lives(&store, 3).await && is_signed_in(&store, 2).await);
}

fn everything(people: &[Id<User>]) -> Ending {
    let entry = |user: &Id<User>| revocation(RevocationKind::User, &user.to_string());
    Ending::Everything(people.iter().map(entry).collect(), reach())
}

async fn of_several_people_all_end_or_nobody_and_a_repeat_ends_nobody_who_came_later(store: Opened) {
    let mut people = Vec::new();
    for number in 1..=3 {
        let user = signed_in(&store, number, number, Some(number)).await;
        allowed(&store, number, user, Some(number)).await;
        people.push(user);
    }
    let later = signed_in(&store, 4, 4, None).await;
    let before = store.counts().await.unwrap();
    let signal = |people: &[Id<User>]| {
        let audit = people.iter().map(|_| event(AuditKind::SignalReceived)).collect();
        store.end_on_signal(once(1), everything(people), audit, NOW)
    };
    // However many writes it takes, the first that fails leaves nothing, so that the word is still good.
    store.fail_once_at(Failpoint::BeforeWrite, 1);
    assert!(signal(&people).await.is_err());
    assert_eq!(store.counts().await.unwrap(), before);
    // And no second one is needed.
    store.fail_once_at(Failpoint::BeforeWrite, 2);
    assert_eq!(signal(&people).await.unwrap(), ended(3, 0, 3));
    store.fail_at(None);
    for number in 1..=3 {
        assert!(!lives(&store, number).await && !is_signed_in(&store, number).await);
    }
    assert_eq!(store.list_revocations(NOW).await.unwrap().len(), 3);
    assert_eq!(store.counts().await.unwrap().audit_events, before.audit_events + 3);
    people.push(later);
    assert_eq!(signal(&people).await.unwrap(), None);
    assert!(is_signed_in(&store, 4).await);
}

async fn the_people_of_an_address_are_those_of_the_connector_and_all_of_them(store: Opened) {
    let come = async |number: u64, connector: &str, email: Option<&str>| {
        let mut coming = SignIn { session: self::session(number), ..signing_in(number) };
        coming.user.connector = connector.to_owned();
        coming.user.email = email.map(str::to_owned);
        store.sign_in(coming).await.unwrap();
    };
    // More than whoever looks for somebody is shown.
    for number in 1..=12 {
        come(number, "idp", Some("Jane@example.com")).await;
    }
    come(13, "idp", Some("john@example.com")).await;
    come(14, "idp", None).await;
    come(15, "other", Some("jane@example.com")).await;
    let all: Vec<Id<User>> = (1..=12).map(id).collect();
    let found = async |email: &str| {
        let found = store.list_people_at("idp", email).await.unwrap();
        found.into_iter().map(|user| user.id).collect::<Vec<_>>()
    };
    assert_eq!(found("jane@Example.com").await, all);
    assert_eq!(found("").await, []);
    // John is linked to somebody of elsewhere: that is who has his address here, and theirs.
    let john: Id<User> = id(13);
    let link = store::IdentityLinkRecord {
        connector: "idp".to_owned(),
        subject: "00u13".to_owned(),
        user: id(15),
        created_at: NOW,
    };
    let ends = revocation(RevocationKind::User, &john.to_string());
    let outcome = store.link_identity(link, Some(ends), event(AuditKind::IdentityLinked)).await.unwrap();
    assert!(matches!(outcome, store::LinkOutcome::Linked(_)), "{outcome:?}");
    assert!(found("john@example.com").await.contains(&id(15)));
    assert_eq!(found("jane@example.com").await.last(), Some(&id(15)));
}

async fn browser_sessions_end_alone(store: Opened) {
    let ada = signed_in(&store, 1, 1, Some(7)).await;
    signed_in(&store, 1, 2, Some(8)).await;
    signed_in(&store, 1, 3, None).await;
    allowed(&store, 1, ada, Some(7)).await;
    let sessions = |session, user| Ending::BrowserSessions(of(session, user));
    assert_eq!(end(&store, 1, sessions(Some(7), None)).await, ended(1, 0, 0));
    assert_eq!(end(&store, 2, sessions(Some(9), Some(ada))).await, ended(1, 0, 0));
    assert!(is_signed_in(&store, 2).await && !is_signed_in(&store, 3).await);
    assert_eq!(end(&store, 3, sessions(None, Some(ada))).await, ended(1, 0, 0));
    assert_eq!(end(&store, 4, sessions(None, None)).await, ended(0, 0, 0));
    assert!(lives(&store, 1).await);
}

async fn the_word_of_it_is_used_once(store: Opened) {
    let ada = signed_in(&store, 1, 1, Some(7)).await;
    let endings = || {
        let session = || of(Some(7), Some(ada));
        [
            Ending::BrowserSessions(session()),
            everything(&[ada]),
            everything(&[]),
            Ending::Session(session(), reach()),
        ]
    };
    for (number, first) in endings().into_iter().enumerate() {
        let number = number as u64;
        assert!(end(&store, number, first).await.is_some());
        signed_in(&store, 1, 10 + number, Some(7)).await;
        for repeat in endings() {
            assert_eq!(end(&store, number, repeat).await, None);
        }
        assert!(is_signed_in(&store, 10 + number).await);
    }
    let over = Once { expires_at: NOW, ..once(9) };
    for ending in endings() {
        let audit = vec![event(AuditKind::SignalReceived)];
        assert_eq!(store.end_on_signal(over, ending, audit, NOW).await.unwrap(), None);
    }
    let events = store.counts().await.unwrap().audit_events;
    assert_eq!(events, 1 + 4 + 4, "sign-ins and what was done; no repeat");
}

async fn every_grant_that_ended_is_announced_before_the_answer_and_listed(store: Opened) {
    let ada = signed_in(&store, 1, 1, Some(7)).await;
    for number in 1..=3 {
        allowed(&store, number, ada, Some(7)).await;
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    store
        .on_revocation(Arc::new(move |revocation: &Revocation| ear.lock().unwrap().push(revocation.clone())));
    end(&store, 1, Ending::Session(of(Some(7), None), reach())).await.unwrap();
    let named = |revocations: &[Revocation]| {
        let mut ids: Vec<_> = revocations.iter().map(|one| (one.kind, one.id.clone())).collect();
        ids.sort();
        // A server of PostgreSQL tells us what we told it.
        ids.dedup();
        ids
    };
    let expected: Vec<_> =
        (1..=3).map(|number| (RevocationKind::Grant, id::<()>(number).to_string())).collect();
    assert_eq!(named(&heard.lock().unwrap()), expected);
    assert_eq!(named(&store.list_revocations(NOW).await.unwrap()), expected);
}

async fn of_a_redemption_and_an_ending_at_once_no_live_grant_is_left(store: Opened) {
    for number in 1..=10 {
        let ada = signed_in(&store, number, number, Some(number)).await;
        code(&store, number, ada, Some(number)).await;
        let ending = Ending::Session(of(Some(number), None), reach());
        let (redeemed, ended) =
            tokio::join!(store.redeem(redeeming(number, ada), NOW), end(&store, number, ending));
        redeemed.unwrap();
        assert!(ended.is_some());
        let grant = store.find_grant(id(number)).await.unwrap();
        assert!(grant.is_none_or(|grant| grant.revoked_at.is_some()), "{number}");
    }
}

/// The page was read while the person was signed in, and the yes is written when they are not.
async fn of_a_yes_and_an_ending_at_once_no_good_code_is_left(store: Opened) {
    let mut outcomes = Vec::new();
    for number in 1..=12 {
        let ada = signed_in(&store, number, number, Some(number)).await;
        store.put_authorization(asking(number), CAPS, NOW).await.unwrap();
        let consent = Consent { upstream_session: Some(upstream(number)), ..consenting(number, ada) };
        let ending = match number % 3 {
            0 => everything(&[ada]),
            1 => Ending::BrowserSessions(of(Some(number), Some(ada))),
            _ => Ending::Session(of(Some(number), Some(ada)), reach()),
        };
        let (yes, ended) = if number <= 3 {
            // One after the other, in the order that leaves something alive without the condition.
            let ended = end(&store, number, ending).await;
            (store.consent(consent, NOW).await.unwrap(), ended)
        } else {
            let (yes, ended) = tokio::join!(store.consent(consent, NOW), end(&store, number, ending));
            (yes.unwrap(), ended)
        };
        assert!(ended.is_some());
        let redeemed = store.redeem(redeeming(number, ada), NOW).await.unwrap();
        // The end of browser sessions alone leaves a code of before.
        let may_live = number % 3 == 1 && yes == store::ConsentOutcome::Consented;
        assert_eq!(redeemed == RedeemOutcome::Redeemed, may_live, "{number}: {yes:?}");
        outcomes.push(yes);
    }
    assert_eq!(outcomes[..3], [store::ConsentOutcome::SignedOut; 3]);
}
