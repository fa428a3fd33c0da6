//! Signing in: each reason reached, and the rows of attacks.md, 1.7, that this role answers for.

use std::time::Duration;

use protocol::oauth::ErrorCode;
use protocol::world::{Clock, Timestamp};
use store::{AuditKind, Authorizations, BrowserSessions, Queries, StoreError};
use upstream::connectors::{ConnectorError, Denial, Malformation, Refusal};

use super::*;
use crate::test_house::*;
use crate::{Blame, ConsentReason, Next, Verdict};

struct Started {
    cookies: Cookies,
    page: LoginPage,
    state: String,
}

async fn asked(house: &House, changes: Changes<'_>) -> (Cookies, LoginPage) {
    let mut cookies = Cookies::default();
    let client = house.public_client();
    let Next::Login(page) = house.authorize(&mut cookies, request(&client, changes)).await.unwrap() else {
        panic!()
    };
    (cookies, *page)
}

async fn started(house: &House) -> Started {
    let (mut cookies, page) = asked(house, &[]).await;
    let state = house.press_login(&mut cookies, &page).await.unwrap();
    Started { cookies, page, state }
}

fn login_form(page: &LoginPage) -> LoginForm {
    LoginForm {
        address: String::new(),
        authorization: page.authorization.to_string(),
        connector: "fake".to_owned(),
        csrf: page.csrf.to_string(),
    }
}

async fn press(house: &House, form: LoginForm, cookies: &Cookies) -> LoginReason {
    house.server.start_login(form, cookies.browser()).await.unwrap_err().reason
}

async fn come_back(house: &House, started: &mut Started) -> LoginReason {
    house.call_back(&mut started.cookies, &started.state).await.unwrap_err().reason
}

macro_rules! login_reasons {
    () => {
        every_reason!(LoginReason {
            AddressUnknown,
            AlreadyDecided,
            CallbackMalformed,
            CallbackUnboundBrowser,
            CallbackUnknown,
            ClientBlocked,
            ClientGone,
            ConnectorMismatch,
            ConnectorUnknown,
            CsrfMismatch,
            EmergencyCodeUnknown,
            Expired,
            OtherBrowser,
            PersonDisabled,
            SealBroken,
            Store,
            Unknown,
            UpstreamMalformed,
            UpstreamNotAllowed,
            UpstreamRefused,
            UpstreamUnreachable,
        })
    };
}

#[tokio::test]
async fn each_reason_is_reached() {
    let house = House::new().await;
    let mut reached = login_reasons!();
    for (reason, name) in at_the_button(&house).await {
        assert_eq!(reached.reach(&reason), name);
    }
    for (reason, name) in at_the_callback(&house).await {
        assert_eq!(reached.reach(&reason), name);
    }
    reached.all_but(&["PersonDisabled", "Store"]);
    for (reason, code, blame) in [
        (LoginReason::PersonDisabled, ErrorCode::AccessDenied, Blame::User),
        (
            LoginReason::Store(StoreError::unavailable("gone")),
            ErrorCode::TemporarilyUnavailable,
            Blame::House,
        ),
        (LoginReason::UpstreamRefused(Refusal::ClientRefused), ErrorCode::AccessDenied, Blame::House),
        (LoginReason::UpstreamRefused(Refusal::ProviderError), ErrorCode::AccessDenied, Blame::Upstream),
        (LoginReason::UpstreamRefused(Refusal::AccessDenied), ErrorCode::AccessDenied, Blame::User),
        (LoginReason::UpstreamUnreachable, ErrorCode::TemporarilyUnavailable, Blame::Upstream),
        (LoginReason::SealBroken, ErrorCode::ServerError, Blame::House),
    ] {
        assert_eq!((reason.code(), reason.blame()), (code, blame));
    }
}

async fn at_the_button(house: &House) -> Vec<(LoginReason, &'static str)> {
    let mut rows = Vec::new();
    let (cookies, page) = asked(house, &[]).await;
    let form = login_form(&page);
    let forged = LoginForm { csrf: "0".repeat(64), ..form.clone() };
    rows.push((press(house, forged, &cookies).await, "CsrfMismatch"));
    let elsewhere = LoginForm { connector: "nowhere".to_owned(), ..form.clone() };
    rows.push((press(house, elsewhere, &cookies).await, "ConnectorUnknown"));
    for address in
        ["jane@elsewhere.example", "jane", "@acme.example", "a b@acme.example", "jane@x.acme.example"]
    {
        let lost = LoginForm { connector: String::new(), address: address.to_owned(), ..form.clone() };
        rows.push((press(house, lost, &cookies).await, "AddressUnknown"));
    }
    for authorization in ["", "no-id", "00000000-0000-7000-8000-000000000000"] {
        let unknown = LoginForm { authorization: authorization.to_owned(), ..form.clone() };
        rows.push((press(house, unknown, &cookies).await, "Unknown"));
    }
    let (authorization, csrf) = (form.authorization.clone(), form.csrf.clone());
    let code = EmergencyForm { authorization, csrf, code: Secret::new("ske_none".to_owned()) };
    let error = house.server.emergency_login(code, cookies.browser(), &caller()).await.unwrap_err();
    rows.push((error.reason, "EmergencyCodeUnknown"));
    rows.push((press(house, form.clone(), &Cookies::default()).await, "OtherBrowser"));
    let (other, _) = asked(house, &[]).await;
    rows.push((press(house, form.clone(), &other).await, "OtherBrowser"));
    *house.connector.start.lock().unwrap() = Err(ConnectorError::Unreachable);
    rows.push((press(house, form.clone(), &cookies).await, "UpstreamUnreachable"));
    *house.connector.start.lock().unwrap() = Ok(());
    house.clock.advance(Duration::from_secs(600));
    rows.push((press(house, form, &cookies).await, "Expired"));

    let (mut cookies, page) = asked(house, &[]).await;
    let mut consent = Started { state: house.press_login(&mut cookies, &page).await.unwrap(), cookies, page };
    let signed_in = house.call_back(&mut consent.cookies, &consent.state).await.unwrap();
    consent.cookies.session = Some(signed_in.set_session.reveal());
    let shown = house.consent_page(&consent.cookies, &signed_in.resume.to_string()).await.unwrap();
    let no = House::consent_form(&shown, Verdict::Deny);
    house.server.decide_consent(no, consent.cookies.browser()).await.unwrap();
    rows.push((press(house, login_form(&consent.page), &consent.cookies).await, "AlreadyDecided"));
    rows
}

async fn at_the_callback(house: &House) -> Vec<(LoginReason, &'static str)> {
    let mut rows = Vec::new();
    let mut at = started(house).await;
    let twice = form(&[("state", &at.state), ("state", &at.state)]);
    for query in [form(&[("code", "c")]), form(&[("state", "")]), twice] {
        let error =
            house.server.complete_login("fake", query, at.cookies.browser(), &caller()).await.unwrap_err();
        rows.push((error.reason, "CallbackMalformed"));
    }
    let unknown = form(&[("state", "never-sent"), ("code", "c")]);
    let error =
        house.server.complete_login("fake", unknown, at.cookies.browser(), &caller()).await.unwrap_err();
    rows.push((error.reason, "CallbackUnknown"));
    let query = form(&[("state", &at.state), ("code", "c")]);
    let error =
        house.server.complete_login("other", query, at.cookies.browser(), &caller()).await.unwrap_err();
    rows.push((error.reason, "ConnectorMismatch"));
    let mut elsewhere =
        Started { cookies: Cookies::default(), page: asked(house, &[]).await.1, state: at.state.clone() };
    rows.push((come_back(house, &mut elsewhere).await, "CallbackUnboundBrowser"));
    assert_eq!(house.connector.times_asked(), 1, "the one sign-in before this, and nothing since");
    for (error, name) in [
        (ConnectorError::Malformed(Malformation::CallbackContradictory), "UpstreamMalformed"),
        (ConnectorError::NotAllowed(Denial::EmailDomain), "UpstreamNotAllowed"),
        (ConnectorError::Refused(Refusal::AccessDenied), "UpstreamRefused"),
        (ConnectorError::Unreachable, "UpstreamUnreachable"),
    ] {
        let good = std::mem::replace(&mut *house.connector.answer.lock().unwrap(), Err(error));
        rows.push((come_back(house, &mut at).await, name));
        *house.connector.answer.lock().unwrap() = good;
    }
    house.block(&client_of(house, &at.page).await).await;
    rows.push((come_back(house, &mut at).await, "ClientBlocked"));
    rows.push((gone(house).await, "ClientGone"));
    rows.push((broken(house).await, "SealBroken"));
    let mut late = started(house).await;
    house.clock.advance(Duration::from_secs(600));
    rows.push((come_back(house, &mut late).await, "Expired"));
    rows
}

async fn client_of(house: &House, page: &LoginPage) -> String {
    house.store.find_authorization(page.authorization).await.unwrap().unwrap().client_id.as_str().to_owned()
}

/// A row whose client is none: as if its key or its place in the configuration were gone (CB-13).
async fn gone(house: &House) -> LoginReason {
    let mut at = started(house).await;
    let mut record = house.store.find_authorization(at.page.authorization).await.unwrap().unwrap();
    record.client_id = protocol::oauth::ClientId::parse("dcr_gone").unwrap();
    at.state = replay(house, record, &at).await;
    come_back(house, &mut at).await
}

/// A row whose sealed verifier was made for another row (ST-02).
async fn broken(house: &House) -> LoginReason {
    let mut at = started(house).await;
    let record = house.store.find_authorization(at.page.authorization).await.unwrap().unwrap();
    at.state = replay(house, record, &at).await;
    come_back(house, &mut at).await
}

/// Stores the same sign-in under another id, with the leg of the first, and returns its `state`.
async fn replay(house: &House, record: AuthorizationRecord, at: &Started) -> String {
    let now = house.clock.now();
    let store::AuthorizationState::UpstreamLeg(mut leg) = record.state else { panic!() };
    let new = store::NewAuthorization {
        id: Id::mint(now, &*house.entropy),
        reference: record.reference,
        browser: record.browser,
        network: record.address.clone(),
        address: record.address,
        client_id: record.client_id,
        request: record.request,
        created_at: now,
        expires_at: record.expires_at,
    };
    let (id, state) = (new.id, format!("{}-again", at.state));
    leg.state_hash = protocol::secret::Hash::of(state.as_bytes());
    house
        .store
        .put_authorization(new, store::PendingCaps { per_address: 99, total: 999 }, now)
        .await
        .unwrap();
    assert!(house.store.start_leg(id, leg, now).await.unwrap());
    state
}

/// CB-01: another browser gets nothing, and nothing is asked of the identity provider.
#[tokio::test]
async fn a_callback_in_another_browser_is_refused_before_anything_is_asked() {
    let house = House::new().await;
    let mut at = started(&house).await;
    let (mut victim, _) = asked(&house, &[]).await;
    let error = house.call_back(&mut victim, &at.state).await.unwrap_err();
    assert_eq!(error.reason(), "callback_unbound_browser");
    assert_eq!(error.code(), ErrorCode::AccessDenied);
    assert_eq!(house.connector.times_asked(), 0);
    assert_eq!(house.store.counts().await.unwrap().browser_sessions, 0);
    let events = house.events(AuditKind::SignInRefused).await;
    assert_eq!(events[0].reason.as_deref(), Some("callback_unbound_browser"));
    assert_eq!(events[0].reference.as_ref(), Some(&at.page.reference));
    house.call_back(&mut at.cookies, &at.state).await.unwrap();
}

/// CB-02: neither the page nor the request sets the cookie of the leg.
#[tokio::test]
async fn the_cookie_of_the_leg_comes_with_the_press_of_the_button_only() {
    let house = House::new().await;
    let (mut cookies, page) = asked(&house, &[]).await;
    house.server.login_page(&page.authorization.to_string(), &cookies.browser()).await.unwrap();
    assert!(cookies.leg.is_none());
    house.press_login(&mut cookies, &page).await.unwrap();
    let first = cookies.leg.clone().unwrap();
    let client = house.public_client();
    let Next::Login(second) = house.authorize(&mut cookies, request(&client, &[])).await.unwrap() else {
        panic!()
    };
    house.press_login(&mut cookies, &second).await.unwrap();
    assert_eq!(cookies.leg.as_deref(), Some(first.as_str()), "a second tab does not end the first");
}

#[tokio::test]
async fn two_tabs_finish_in_either_order() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let Next::Login(one) = house.authorize(&mut cookies, request(&client, &[])).await.unwrap() else {
        panic!()
    };
    let Next::Login(two) = house.authorize(&mut cookies, request(&client, &[])).await.unwrap() else {
        panic!()
    };
    // The connector remembers one leg, so each comes back before the other sets out; the pages were both open.
    for page in [&two, &one] {
        let state = house.press_login(&mut cookies, page).await.unwrap();
        assert_eq!(house.call_back(&mut cookies, &state).await.unwrap().resume, page.authorization);
    }
}

/// P-10: signed in meanwhile in another tab, there is no second leg, and both tabs' consent pages stay good.
#[tokio::test]
async fn a_second_tab_goes_straight_to_consent_once_the_first_has_signed_in() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let Next::Login(two) = house.authorize(&mut cookies, request(&client, &[])).await.unwrap() else {
        panic!()
    };
    let one = house.to_consent(&mut cookies, request(&client, &[])).await;
    let started = house.server.start_login(login_form(&two), cookies.browser()).await.unwrap();
    assert_eq!(started.location, format!("/consent?authorization={}", two.authorization));
    assert!(started.set_leg.is_none());
    let two = house.consent_page(&cookies, &two.authorization.to_string()).await.unwrap();
    for page in [&one, &two] {
        let form = House::consent_form(page, Verdict::Allow);
        house.server.decide_consent(form, cookies.browser()).await.unwrap();
    }
    assert_eq!(house.connector.times_asked(), 1);
}

/// "Not you?": the page was shown to somebody, so its button signs in anew.
#[tokio::test]
async fn a_page_that_was_shown_to_somebody_signs_in_anew() {
    let house = House::new().await;
    let (mut cookies, client) = (Cookies::default(), house.public_client());
    let consent = house.to_consent(&mut cookies, request(&client, &[])).await;
    let page = house.server.login_page(&consent.authorization.to_string(), &cookies.browser()).await.unwrap();
    house.press_login(&mut cookies, &page).await.unwrap();
}

/// AZ-32: nor does a second tab's session stand in for a new proof.
#[tokio::test]
async fn a_second_tab_signs_in_anew_if_its_request_demands_it() {
    let house = House::new().await;
    let (mut cookies, client) = (Cookies::default(), house.public_client());
    let demanding = request(&client, &[("prompt", "login")]);
    let Next::Login(two) = house.authorize(&mut cookies, demanding).await.unwrap() else { panic!() };
    house.to_consent(&mut cookies, request(&client, &[])).await;
    house.press_login(&mut cookies, &two).await.unwrap();
}

/// AS-235.
#[tokio::test]
async fn a_callback_is_good_once() {
    let house = House::new().await;
    let mut at = started(&house).await;
    house.call_back(&mut at.cookies, &at.state).await.unwrap();
    assert_eq!(come_back(&house, &mut at).await.reason(), "callback_unknown");
    assert_eq!(house.store.counts().await.unwrap().browser_sessions, 1);
}

#[tokio::test]
async fn of_many_callbacks_at_once_one_signs_in() {
    let house = House::new().await;
    let at = started(&house).await;
    let mut browsers = vec![at.cookies.clone(); 16];
    let all = browsers.iter_mut().map(|cookies| house.call_back(cookies, &at.state));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(house.store.counts().await.unwrap().browser_sessions, 1);
}

#[tokio::test]
async fn a_second_press_replaces_the_leg_of_the_first() {
    let house = House::new().await;
    let mut at = started(&house).await;
    let second = house.press_login(&mut at.cookies, &at.page).await.unwrap();
    assert_eq!(come_back(&house, &mut at).await.reason(), "callback_unknown");
    house.call_back(&mut at.cookies, &second).await.unwrap();
}

/// AZ-40: the session's id is new at every sign-in, and the old one ends.
#[tokio::test]
async fn a_sign_in_opens_a_session_and_ends_the_one_before() {
    let house = House::new().await;
    let mut at = started(&house).await;
    let first = house.call_back(&mut at.cookies, &at.state).await.unwrap();
    assert_eq!(first.expires_at, house.clock.now().plus(Duration::from_secs(12 * 3600)));
    let first = first.set_session.reveal();
    at.cookies.session = Some(first.clone());
    let page =
        house.server.login_page(&at.page.authorization.to_string(), &at.cookies.browser()).await.unwrap();
    let state = house.press_login(&mut at.cookies, &page).await.unwrap();
    let second = house.call_back(&mut at.cookies, &state).await.unwrap().set_session.reveal();
    assert_ne!(first, second);
    let found = |text: String| {
        let hash = Secret::new(text).hash();
        let house = &house;
        async move { house.store.find_browser_session(&hash, house.clock.now()).await.unwrap() }
    };
    assert!(found(first).await.is_none());
    assert!(found(second).await.is_some());
}

#[tokio::test]
async fn a_sign_in_is_written_down_with_its_reference() {
    let house = House::new().await;
    let mut at = started(&house).await;
    house.call_back(&mut at.cookies, &at.state).await.unwrap();
    let events = house.events(AuditKind::SignIn).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reference.as_ref(), Some(&at.page.reference));
    assert_eq!(events[0].name.as_deref(), Some("alice@example.com"));
    assert!(events[0].user.is_some());
}

/// AZ-32: a demand for a new proof reaches the identity provider, and its word is what the session remembers.
#[tokio::test]
async fn reauthentication_is_demanded_verified_and_remembered() {
    let house = House::new().await;
    let asked_at = house.clock.now().secs();
    for (changes, since) in [
        ([("prompt", "login")], Some(asked_at)),
        ([("max_age", "60")], Some(asked_at - 60)),
        ([("prompt", "consent")], None),
    ] {
        let (mut cookies, page) = asked(&house, &changes).await;
        let state = house.press_login(&mut cookies, &page).await.unwrap();
        assert_eq!(house.connector.was_reauthentication_demanded(), since.is_some());
        let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
        assert_eq!(house.connector.not_before.lock().unwrap().map(Timestamp::secs), since);
        cookies.session = Some(signed_in.set_session.reveal());
        house.consent_page(&cookies, &signed_in.resume.to_string()).await.unwrap();
    }
}

/// AZ-32, the way around: with an old session straight to the consent page.
#[tokio::test]
async fn an_old_session_does_not_get_past_a_demand_for_a_new_proof() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    house.clock.advance(Duration::from_secs(30));
    let asked = request(&client, &[("prompt", "login")]);
    let Next::Login(page) = house.authorize(&mut cookies, asked).await.unwrap() else { panic!() };
    let refused = house.consent_page(&cookies, &page.authorization.to_string()).await.unwrap_err();
    assert!(matches!(refused.reason, ConsentReason::LoginRequired));
}

#[test]
fn the_providers_clock_may_be_wrong_in_both_directions() {
    let house_now = Timestamp::from_secs(1000);
    let who = |at: Option<i64>| upstream::connectors::Identity {
        connector: "fake".parse().unwrap(),
        subject: "s".to_owned(),
        name: None,
        email: None,
        groups: Vec::new(),
        authenticated_at: at.map(Timestamp::from_secs),
        session: None,
        offline: None,
    };
    let at = |said, since: Option<i64>| {
        callback::authenticated_at(&who(said), since.map(Timestamp::from_secs), house_now).secs()
    };
    assert_eq!(at(Some(900), None), 900);
    assert_eq!(at(Some(1100), None), 1000, "not later than now");
    assert_eq!(at(Some(990), Some(995)), 995, "the connector verified it, give or take its clock");
    assert_eq!(at(None, None), 0, "nobody said, so it is too old for whoever asks");
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    house.server.sign_out(&cookies.browser()).await.unwrap();
    let next = house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
    assert!(matches!(next, Next::Login(_)));
    house.server.sign_out(&Cookies::default().browser()).await.unwrap();
}

/// AS-236.
#[tokio::test]
async fn a_session_lives_on_while_it_is_used_and_ends_without_use() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    for _ in 0..3 {
        house.clock.advance(Duration::from_secs(11 * 3600));
        let next = house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
        assert!(matches!(next, Next::Consent(_)));
    }
    house.clock.advance(Duration::from_secs(12 * 3600));
    let next = house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
    assert!(matches!(next, Next::Login(_)));
}
