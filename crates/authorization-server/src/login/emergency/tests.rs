//! The way in for emergencies: for whom it was made, once, in time, and never by a row that somebody else wrote.

use std::time::Duration;

use protocol::world::Clock as _;
use store::{EmergencyLogins as _, Queries as _};

use super::*;
use crate::Next;
use crate::test_house::*;

const LIFE: Duration = Duration::from_secs(900);

/// Somebody who signed in before.
async fn known(house: &House) -> UserRecord {
    let (_, tokens) = house.tokens().await;
    let id = house.claims(&tokens.access_token).sub.parse().unwrap();
    store::Users::find_user(&*house.store, id).await.unwrap().unwrap()
}

async fn make(house: &House, user: &UserRecord) -> String {
    let keys = house.server.parts.keys.load();
    let emergency = Emergency {
        store: &*house.store,
        keys: &keys,
        clock: &*house.clock,
        entropy: &*house.server.parts.entropy,
    };
    emergency.make(user, LIFE, "the provider is away").await.unwrap().unwrap().code.reveal()
}

/// A sign-in that waits at the login page of a new browser.
async fn waiting(house: &House) -> (Cookies, LoginPage) {
    let mut cookies = Cookies::default();
    let client = house.public_client();
    match house.authorize(&mut cookies, request(&client, &[])).await.unwrap() {
        Next::Login(page) => (cookies, *page),
        other @ (Next::Answer(_) | Next::Approval(_) | Next::Consent(_)) => panic!("{other:?}"),
    }
}

async fn enter(
    house: &House,
    (cookies, page): &(Cookies, LoginPage),
    code: &str,
) -> Result<SignedIn, LoginError> {
    let form = EmergencyForm {
        authorization: page.authorization.to_string(),
        code: Secret::new(code.to_owned()),
        csrf: page.csrf.to_string(),
    };
    house.server.emergency_login(form, cookies.browser(), &caller()).await
}

#[tokio::test]
async fn a_code_signs_its_person_in_once_and_says_so_aloud() {
    let house = House::new().await;
    let user = known(&house).await;
    let code = make(&house, &user).await;
    let mut at = waiting(&house).await;
    assert!(at.1.has_emergency);
    let signed_in = enter(&house, &at, &code).await.unwrap();
    at.0.session = Some(signed_in.set_session.reveal());
    let consent = house.consent_page(&at.0, &signed_in.resume.to_string()).await.unwrap();
    assert_eq!(consent.account.user, user.id);
    for kind in [AuditKind::EmergencyLoginMade, AuditKind::EmergencySignIn] {
        let events = house.events(kind).await;
        assert_eq!(events.len(), 1, "{kind:?}");
        assert_eq!(events[0].user, Some(user.id));
    }
    let again = waiting(&house).await;
    assert!(!again.1.has_emergency);
    let reason = enter(&house, &again, &code).await.unwrap_err().reason;
    assert!(matches!(reason, LoginReason::EmergencyCodeUnknown), "{reason:?}");
    assert_eq!(
        house.events(AuditKind::SignInRefused).await[0].reason.as_deref(),
        Some("emergency_code_unknown")
    );
}

#[tokio::test]
async fn a_code_is_good_in_time_and_in_the_browser_of_the_page() {
    let house = House::new().await;
    let user = known(&house).await;
    let code = make(&house, &user).await;
    let here = waiting(&house).await;
    let elsewhere = (Cookies::default(), waiting(&house).await.1);
    let reason = enter(&house, &elsewhere, &code).await.unwrap_err().reason;
    assert!(matches!(reason, LoginReason::OtherBrowser), "{reason:?}");
    let mut foreign = waiting(&house).await;
    foreign.1.csrf = crate::pages::FormToken::new("n.00".to_owned());
    let reason = enter(&house, &foreign, &code).await.unwrap_err().reason;
    assert!(matches!(reason, LoginReason::CsrfMismatch), "{reason:?}");
    let wrong = enter(&house, &here, "ske_wrong").await.unwrap_err().reason;
    assert!(matches!(wrong, LoginReason::EmergencyCodeUnknown), "{wrong:?}");
    // None of this used it up.
    assert!(house.store.has_emergency_login(house.clock.now()).await.unwrap());
    house.clock.advance(LIFE);
    let late = waiting(&house).await;
    assert!(!late.1.has_emergency);
    assert!(enter(&house, &late, &code).await.is_err());
}

#[tokio::test]
async fn a_row_that_was_written_into_the_record_lets_nobody_in() {
    let house = House::new().await;
    let user = known(&house).await;
    let code = make(&house, &user).await;
    let (mut row, _) = house
        .store
        .find_emergency_login(&Hash::of(code.as_bytes()), house.clock.now())
        .await
        .unwrap()
        .unwrap();
    // The seal of a real one, beside a code that somebody thought of.
    row.id = Id::mint(house.clock.now(), &*house.server.parts.entropy);
    row.hash = Hash::of(b"thought of");
    let audit = house.server.event(AuditKind::EmergencyLoginMade, Outcome::Ok, house.clock.now());
    assert!(house.store.put_emergency_login(row, audit).await.unwrap());
    let sessions = house.store.counts().await.unwrap().browser_sessions;
    let at = waiting(&house).await;
    let reason = enter(&house, &at, "thought of").await.unwrap_err().reason;
    assert!(matches!(reason, LoginReason::SealBroken), "{reason:?}");
    assert_eq!(house.events(AuditKind::SealBroken).await.len(), 1);
    assert_eq!(house.store.counts().await.unwrap().browser_sessions, sessions);
}
