//! Consent: each reason reached, and the rows of attacks.md, 1.6, that this role answers for.

use std::time::Duration;

use protocol::oauth::ErrorCode;
use protocol::world::Clock;
use store::{AuditKind, Authorizations, Clients, StoreError};

use super::*;
use crate::test_house::*;
use crate::{Blame, Next, Settings};

async fn at_consent(house: &House) -> (Cookies, ConsentPage, String) {
    let (mut cookies, client) = (Cookies::default(), house.public_client());
    let page = house.to_consent(&mut cookies, request(&client, &[])).await;
    (cookies, page, client)
}

async fn refused(house: &House, form: ConsentForm, cookies: &Cookies) -> ConsentReason {
    house.server.decide_consent(form, cookies.browser()).await.unwrap_err().reason
}

#[tokio::test]
async fn each_reason_is_reached() {
    let house = House::new().await;
    let mut reached = every_reason!(ConsentReason {
        AlreadyDecided,
        ApprovalNeeded,
        ClientBlocked,
        ClientGone,
        ClientOutside,
        CsrfMismatch,
        Expired,
        LifeUnknown,
        LoginRequired,
        NotAdmitted,
        NothingTicked,
        OtherBrowser,
        PersonDisabled,
        ServerGone,
        StalePage,
        Store,
        TooManyWaiting,
        Unknown,
    });
    let (cookies, page, client) = at_consent(&house).await;
    let yes = House::consent_form(&page, Verdict::Allow);
    let rows = [
        (ConsentForm { csrf: String::new(), ..yes.clone() }, cookies.clone(), "CsrfMismatch"),
        (ConsentForm { scope: Vec::new(), ..yes.clone() }, cookies.clone(), "NothingTicked"),
        (ConsentForm { scope: vec!["admin".to_owned()], ..yes.clone() }, cookies.clone(), "NothingTicked"),
        (ConsentForm { life: Some("1".to_owned()), ..yes.clone() }, cookies.clone(), "LifeUnknown"),
        (ConsentForm { authorization: "x".to_owned(), ..yes.clone() }, cookies.clone(), "Unknown"),
        (yes.clone(), Cookies { session: None, ..cookies.clone() }, "LoginRequired"),
        (yes.clone(), Cookies { binding: None, ..cookies.clone() }, "OtherBrowser"),
    ];
    for (form, cookies, name) in rows {
        assert_eq!(reached.reach(&refused(&house, form, &cookies).await), name);
    }
    house.block(&client).await;
    assert_eq!(reached.reach(&refused(&house, yes.clone(), &cookies).await), "ClientBlocked");
    house.clock.advance(Duration::from_secs(600));
    assert_eq!(reached.reach(&refused(&house, yes, &cookies).await), "Expired");

    let (cookies, page, _) = at_consent(&house).await;
    let yes = House::consent_form(&page, Verdict::Allow);
    house.server.decide_consent(yes.clone(), cookies.browser()).await.unwrap();
    assert_eq!(reached.reach(&refused(&house, yes, &cookies).await), "AlreadyDecided");
    reached.reach(&decide_person(&record(&house, &page).await, None, None).unwrap_err());
    for (name, reason) in not_admitted(&house, &page).await {
        assert_eq!(reached.reach(&reason), name);
    }
    let found = found(&house, &page).await;
    let offer = house.server.offer(&found.facts()).await.unwrap();
    let yes = House::consent_form(&page, Verdict::Allow);
    let judged = decide_form(&yes, Judgement::Stale, &Scope::default(), &offer);
    assert_eq!(reached.reach(&judged.unwrap_err()), "StalePage");
    let gone: ConsentReason = crate::clients::ResolveError::Unknown.into();
    assert_eq!(reached.reach(&gone), "ClientGone");
    reached.all_but(&["ApprovalNeeded", "ClientOutside", "Store", "TooManyWaiting"]);
    let store = ConsentReason::Store(StoreError::unavailable("gone"));
    assert_eq!((store.code(), store.blame()), (ErrorCode::TemporarilyUnavailable, Blame::House));
}

async fn record(house: &House, page: &ConsentPage) -> AuthorizationRecord {
    house.store.find_authorization(page.authorization).await.unwrap().unwrap()
}

/// What the page stands on.
async fn found(house: &House, page: &ConsentPage) -> Found {
    let (record, now) = (record(house, page).await, house.clock.now());
    let user = house.server.parts.store.find_user(page.account.user).await.unwrap().unwrap();
    let session = store::BrowserSessionRecord {
        hash: Hash::of(b"session"),
        user: user.id,
        created_at: now,
        authenticated_at: now,
        expires_at: now,
        upstream_session: None,
    };
    let (client, to) = house.server.client_of(&record).await.unwrap().unwrap();
    Found { client, record, session: Session { record: session, user }, to }
}

async fn not_admitted(house: &House, page: &ConsentPage) -> Vec<(&'static str, ConsentReason)> {
    let (record, now) = (record(house, page).await, house.clock.now());
    let session = |disabled: bool| Session {
        record: store::BrowserSessionRecord {
            hash: Hash::of(b"session"),
            user: page.account.user,
            created_at: now,
            authenticated_at: now,
            expires_at: now,
            upstream_session: None,
        },
        user: UserRecord {
            id: page.account.user,
            connector: "fake".to_owned(),
            subject: "alice-1".to_owned(),
            name: None,
            email: None,
            groups: vec!["dev".to_owned()],
            created_at: now,
            last_sign_in_at: now,
            disabled_at: disabled.then_some(now),
        },
    };
    let decide = |session, server: Option<&str>| {
        let server = server.and_then(|name| house.server.settings().server(name));
        decide_person(&record, Some(session), server).unwrap_err()
    };
    vec![
        ("NotAdmitted", decide(session(false), Some("vault"))),
        ("PersonDisabled", decide(session(true), Some("notes"))),
        ("ServerGone", decide(session(false), None)),
    ]
}

/// AS-128.
#[tokio::test]
async fn a_yes_gives_a_code_with_state_and_issuer() {
    let house = House::new().await;
    let (cookies, page, client) = at_consent(&house).await;
    let answer =
        house.server.decide_consent(House::consent_form(&page, Verdict::Allow), cookies.browser()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.to.as_str(), LOOPBACK);
    let AuthorizationResponse::Code { code, state, iss } = answer.response else { panic!() };
    assert_eq!((state.as_deref(), iss.as_str()), (Some("xyz"), ISSUER));
    assert!(code.reveal().starts_with("skc_"));
    let events = house.events(AuditKind::ConsentGiven).await;
    assert_eq!(events[0].detail.get("granted").map(String::as_str), Some("read write"));
    assert_eq!(events[0].reference.as_ref(), Some(&page.reference));
    let client = protocol::oauth::ClientId::parse(&client).unwrap();
    let row = house.store.find_client(&client).await.unwrap().unwrap();
    assert_eq!(row.name.as_deref(), Some("Tool"));
}

/// CS-13.
#[tokio::test]
async fn a_no_tells_the_client_and_ends_the_sign_in() {
    let house = House::new().await;
    let (cookies, page, _) = at_consent(&house).await;
    let no = House::consent_form(&page, Verdict::Deny);
    let answer = house.server.decide_consent(no.clone(), cookies.browser()).await.unwrap();
    let AuthorizationResponse::Error { code, .. } = answer.response else { panic!() };
    assert_eq!(code, ErrorCode::AccessDenied);
    assert!(matches!(refused(&house, no, &cookies).await, ConsentReason::AlreadyDecided));
    let yes = House::consent_form(&page, Verdict::Allow);
    assert!(matches!(refused(&house, yes, &cookies).await, ConsentReason::AlreadyDecided));
    assert_eq!(house.events(AuditKind::ConsentDenied).await.len(), 1);
}

#[tokio::test]
async fn of_many_presses_at_once_one_counts() {
    let house = House::new().await;
    let (cookies, page, _) = at_consent(&house).await;
    let presses = (0..16)
        .map(|_| house.server.decide_consent(House::consent_form(&page, Verdict::Allow), cookies.browser()));
    let answers = futures_util::future::join_all(presses).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let friendly = |error: &ConsentError| matches!(error.reason, ConsentReason::AlreadyDecided);
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(friendly));
}

/// CS-02 and CS-01: a form is good for its own sign-in, browser and person.
#[tokio::test]
async fn forms_cannot_be_swapped_between_tabs_or_sessions() {
    let house = House::new().await;
    let (mut cookies, one, _) = at_consent(&house).await;
    let other = house.public_client();
    let Next::Consent(two) = house.authorize(&mut cookies, request(&other, &[])).await.unwrap() else {
        panic!()
    };
    let swapped = ConsentForm { csrf: two.csrf.to_string(), ..House::consent_form(&one, Verdict::Allow) };
    assert!(matches!(refused(&house, swapped, &cookies).await, ConsentReason::CsrfMismatch));
    for page in [&one, &two] {
        let form = House::consent_form(page, Verdict::Allow);
        house.server.decide_consent(form, cookies.browser()).await.unwrap();
    }
    assert_eq!(house.events(AuditKind::AuthorizeRefused).await[0].reason.as_deref(), Some("csrf_mismatch"));
}

/// CS-07: the screen of one person gives no code to another.
#[tokio::test]
async fn a_page_shown_to_one_person_is_foreign_to_the_next() {
    let house = House::new().await;
    let (mut cookies, page, _) = at_consent(&house).await;
    house.connector.change(|who| who.subject = "bob-2".to_owned());
    let login = house.server.login_page(&page.authorization.to_string(), &cookies.browser()).await.unwrap();
    let state = house.press_login(&mut cookies, &login).await.unwrap();
    let during = house.consent_page(&cookies, &page.authorization.to_string()).await.unwrap_err();
    assert!(matches!(during.reason, ConsentReason::LoginRequired), "the one who is signing in comes first");
    let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
    cookies.session = Some(signed_in.set_session.reveal());
    let form = House::consent_form(&page, Verdict::Allow);
    assert!(matches!(refused(&house, form, &cookies).await, ConsentReason::CsrfMismatch));
    let bobs = house.consent_page(&cookies, &page.authorization.to_string()).await.unwrap();
    assert_ne!(bobs.account.user, page.account.user);
}

/// CS-05: the record is the only source; a form can untick and nothing else.
///
/// AS-168, AS-245.
#[tokio::test]
async fn what_is_ticked_is_what_is_granted() {
    let house = House::new().await;
    for (ticked, granted) in [(vec!["read"], "read"), (vec!["write", "admin", "write"], "write")] {
        let (cookies, page, client) = at_consent(&house).await;
        let form = House::consent_form(&page, Verdict::Allow);
        let form = ConsentForm { scope: ticked.into_iter().map(str::to_owned).collect(), ..form };
        let answer = house.server.decide_consent(form, cookies.browser()).await.unwrap();
        let AuthorizationResponse::Code { code, .. } = answer.response else { panic!() };
        let tokens = Tokens::of(house.redeem(&client, &code.reveal()).await.unwrap());
        assert_eq!(tokens.scope, granted);
        assert_eq!(house.claims(&tokens.access_token).scope.as_deref(), Some(granted));
    }
}

#[tokio::test]
async fn a_person_in_no_group_of_the_server_is_told_so_and_gets_nothing() {
    let house = House::new().await;
    let (mut cookies, client) = (Cookies::default(), house.public_client());
    let asked = request(&client, &[("resource", VAULT)]);
    let Next::Login(page) = house.authorize(&mut cookies, asked).await.unwrap() else { panic!() };
    let state = house.press_login(&mut cookies, &page).await.unwrap();
    let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
    cookies.session = Some(signed_in.set_session.reveal());
    let error = house.consent_page(&cookies, &signed_in.resume.to_string()).await.unwrap_err();
    assert_eq!((error.reason(), error.code()), ("not_admitted", ErrorCode::AccessDenied));
    assert_eq!(error.reference, page.reference);
    let events = house.events(AuditKind::AuthorizeRefused).await;
    assert_eq!(events[0].reason.as_deref(), Some("not_admitted"));
    assert_eq!(events[0].server.as_deref(), Some("vault"));
    assert!(events[0].user.is_some());

    house.connector.change(|alice| alice.groups = vec!["ops".to_owned()]);
    house.to_consent(&mut Cookies::default(), request(&client, &[("resource", VAULT)])).await;
}

/// CS-16: whatever is shown is part of the hash.
#[tokio::test]
async fn each_fact_that_is_shown_changes_the_hash_of_what_was_shown() {
    let house = House::new().await;
    let (_, page, _) = at_consent(&house).await;
    let mut found = found(&house, &page).await;
    let hash = async |server: &AuthorizationServer, found: &Found| {
        let offer = server.offer(&found.facts()).await.unwrap();
        page::shown(&found.record, &found.client, &found.session.user, &offer)
    };
    let mut seen = vec![hash(&house.server, &found).await];
    let changes: [fn(&mut Settings); 7] = [
        |settings| settings.servers[0].title.push('x'),
        |settings| settings.servers[0].scopes[0].words.english = None,
        |settings| settings.servers[0].scopes[0].words.japanese = Some("読む".to_owned()),
        |settings| settings.servers.push(server_for_all("more")),
        |settings| settings.consents.lives.clear(),
        |settings| settings.lifetimes.grant *= 2,
        |settings| settings.lifetimes.grant_idle *= 2,
    ];
    for change in changes {
        let mut changed = settings();
        change(&mut changed);
        let changed = AuthorizationServer::new(changed, house.server.parts.clone());
        seen.push(hash(&changed, &found).await);
    }
    found.record.request.redirect_uri.push('x');
    seen.push(hash(&house.server, &found).await);
    found.record.request.scope = Scope::parse("read").unwrap();
    seen.push(hash(&house.server, &found).await);
    found.record.request.resource = protocol::oauth::ResourceUri::parse(VAULT).unwrap();
    seen.push(hash(&house.server, &found).await);
    found.session.user.id = protocol::id::Id::from_bytes([7; 16]);
    seen.push(hash(&house.server, &found).await);
    let nameless =
        house.register(r#"{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}"#);
    let nameless = protocol::oauth::ClientId::parse(&nameless.0).unwrap();
    found.client = house.server.resolve(&nameless).await.unwrap();
    seen.push(hash(&house.server, &found).await);
    let all: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(all.len(), seen.len());
}

/// The operator renames the client, or changes what it may do, while the page is open.
#[tokio::test]
async fn a_yes_to_a_page_that_shows_what_is_no_longer_so_is_no_yes() {
    let house = House::new().await;
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(CONSOLE, &[])).await;
    let mut changed = settings();
    let id = protocol::oauth::ClientId::parse(CONSOLE).unwrap();
    let uris = [LOOPBACK.to_owned()];
    let renamed =
        crate::PreRegisteredClient::new(id, Some("Renamed"), &uris, None, &changed.redirects).unwrap();
    changed.clients = vec![renamed];
    let server = AuthorizationServer::new(changed, house.server.parts.clone());
    let form = House::consent_form(&page, Verdict::Allow);
    let error = server.decide_consent(form.clone(), cookies.browser()).await.unwrap_err();
    assert_eq!(error.reason(), "stale_page");
    house.server.decide_consent(form, cookies.browser()).await.unwrap();
}

#[tokio::test]
async fn a_no_counts_even_if_the_page_was_stale_but_not_if_it_is_foreign() {
    let house = House::new().await;
    let (_, page, _) = at_consent(&house).await;
    let found = found(&house, &page).await;
    let offer = house.server.offer(&found.facts()).await.unwrap();
    let form =
        |decision| ConsentForm { scope: vec!["read".to_owned()], ..House::consent_form(&page, decision) };
    let offered = Scope::parse("read write").unwrap();
    let decide = |decision, judgement| decide_form(&form(decision), judgement, &offered, &offer);
    assert_eq!(decide(Verdict::Deny, Judgement::Stale).unwrap(), Decided::Denied);
    assert_eq!(decide(Verdict::Deny, Judgement::Current).unwrap(), Decided::Denied);
    assert!(decide(Verdict::Deny, Judgement::Foreign).is_err());
    let read = Allowed { further: Vec::new(), life: None, scope: Scope::parse("read").unwrap() };
    assert_eq!(decide(Verdict::Allow, Judgement::Current).unwrap(), Decided::Allowed(read));
    assert!(decide(Verdict::Allow, Judgement::Foreign).is_err());
}

/// CB-13: a redirect URI that is gone from the configuration is not used for the answer either.
#[tokio::test]
async fn the_redirect_uri_is_verified_again_when_the_person_decides() {
    let house = House::new().await;
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(CONSOLE, &[])).await;
    let server =
        AuthorizationServer::new(Settings { clients: Vec::new(), ..settings() }, house.server.parts.clone());
    let form = House::consent_form(&page, Verdict::Allow);
    let error = server.decide_consent(form, cookies.browser()).await.unwrap_err();
    assert_eq!(error.reason(), "client_gone");
}
