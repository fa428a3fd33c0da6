//! Devices: each reason reached, and what each side may and may not do.

use std::time::Duration;

use protocol::oauth::{AuthorizationResponse, ClientId, ErrorCode, ResourceUri, TokenResponse};
use protocol::world::Clock as _;
use store::{AuditKind, BrowserSessions as _, Consents as _, DeviceAuthorizations as _};

use super::page::done_url;
use super::*;
use crate::TokenHeaders;
use crate::grants::PersonRefusal;
use crate::test_house::*;
use crate::{ConsentAnswer, DeviceCodeRefusal, PreRegisteredClient, TokenError, Verdict};

const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
const MINUTE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(super::INTERVAL);

struct Begun {
    device_code: String,
    user_code: String,
}

async fn begin(house: &House, parameters: Pairs<'_>) -> Result<Begun, DeviceError> {
    let begun = house.server.device_authorization(&[], &form(parameters), &caller()).await?;
    assert_eq!(begun.verification_uri, "https://mcp.example.com/device");
    assert_eq!((begun.expires_in, begun.interval), (600, 5));
    Ok(Begun { device_code: begun.device_code.reveal(), user_code: begun.user_code.to_string() })
}

async fn begun(house: &House) -> Begun {
    begin(house, &[("client_id", CONSOLE), ("resource", NOTES), ("scope", "read write")]).await.unwrap()
}

async fn poll(house: &House, device_code: &str) -> Result<TokenResponse, TokenError> {
    house.token(&[GRANT, ("client_id", CONSOLE), ("device_code", device_code)]).await
}

fn refusal(answer: Result<TokenResponse, TokenError>) -> DeviceCodeRefusal {
    match answer {
        Err(TokenError::DeviceCode(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a token was issued"),
    }
}

async fn enter(
    house: &House,
    cookies: &mut Cookies,
    user_code: &str,
) -> Result<DeviceEntered, DevicePageReason> {
    let entered = house.server.enter_user_code(user_code, &cookies.browser(), &caller()).await;
    let entered = entered.map_err(|error| error.reason)?;
    if let Some(binding) = &entered.set_binding {
        cookies.binding = Some(binding.expose(str::to_owned));
    }
    Ok(entered)
}

/// The person types the code, signs in, and decides.
async fn decide(house: &House, user_code: &str, verdict: Verdict) -> ConsentAnswer {
    let mut cookies = Cookies::default();
    let id = enter(house, &mut cookies, user_code).await.unwrap().authorization.to_string();
    let page = house.server.login_page(&id, &cookies.browser()).await.unwrap();
    assert_eq!(page.client.asked_from.as_deref(), Some("192.0.2.7"));
    let state = house.press_login(&mut cookies, &page).await.unwrap();
    let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
    cookies.session = Some(signed_in.set_session.reveal());
    let page = house.consent_page(&cookies, &id).await.unwrap();
    assert_eq!(page.client.asked_from.as_deref(), Some("192.0.2.7"));
    house.server.decide_consent(House::consent_form(&page, verdict), cookies.browser()).await.unwrap()
}

/// What was allowed to one device is no word on the next, whoever it belongs to (RFC 8628, section 5.4).
#[tokio::test]
async fn each_device_is_asked_about_and_offered_nothing_else() {
    let mut settings = settings();
    settings.servers.push(server_for_all("tickets"));
    let house = House::with(settings).await;
    for _ in 0..2 {
        let begun = begun(&house).await;
        let mut cookies = Cookies::default();
        let id = enter(&house, &mut cookies, &begun.user_code).await.unwrap().authorization.to_string();
        let login = house.server.login_page(&id, &cookies.browser()).await.unwrap();
        let state = house.press_login(&mut cookies, &login).await.unwrap();
        let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
        cookies.session = Some(signed_in.set_session.reveal());
        let page = house.consent_page(&cookies, &id).await.unwrap();
        assert!(page.further.is_empty());
        let yes = House::consent_form(&page, Verdict::Allow);
        house.server.decide_consent(yes, cookies.browser()).await.unwrap();
        // Nor is anything kept, which a page of ours could be the place of some day.
        let session = protocol::secret::Secret::new(cookies.session.unwrap()).hash();
        let now = house.clock.now();
        let (_, user) = house.store.find_browser_session(&session, now).await.unwrap().unwrap();
        let client = ClientId::parse(CONSOLE).unwrap();
        let resource = ResourceUri::parse(NOTES).unwrap();
        assert!(house.store.list_consents(user.id, &client, &resource, now).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_device_gets_tokens_once_when_a_person_allowed_it() {
    let house = House::new().await;
    let device = begun(&house).await;
    assert_eq!(refusal(poll(&house, &device.device_code).await), DeviceCodeRefusal::Pending);
    let answer = decide(&house, &device.user_code.to_ascii_lowercase(), Verdict::Allow).await;
    // What goes through the browser leads to our own page, and opens nothing.
    assert_eq!(answer.to.as_str(), "https://mcp.example.com/device/done?asked_from=192.0.2.7");
    let AuthorizationResponse::Code { code, .. } = answer.response else { panic!("no") };
    let code = code.reveal();
    let verifier = "v".repeat(43);
    for verifier in [&[][..], &[("code_verifier", verifier.as_str())]] {
        let mut all = vec![("grant_type", "authorization_code"), ("client_id", CONSOLE), ("code", &code)];
        all.extend_from_slice(verifier);
        assert_eq!(house.token(&all).await.unwrap_err().code(), ErrorCode::InvalidGrant);
    }
    house.clock.advance(INTERVAL);
    let tokens = poll(&house, &device.device_code).await.unwrap();
    assert_eq!(tokens.scope.to_string(), "read write");
    assert!(tokens.refresh_token.is_some());
    let claims = house.claims(&tokens.access_token.reveal());
    assert_eq!((claims.client_id.as_str(), claims.aud.as_str()), (CONSOLE, NOTES));
    assert_eq!(house.events(AuditKind::TokenIssued).await.len(), 1);
    house.clock.advance(INTERVAL);
    assert_eq!(refusal(poll(&house, &device.device_code).await), DeviceCodeRefusal::Used);
    assert!(matches!(
        enter(&house, &mut Cookies::default(), &device.user_code).await,
        Err(DevicePageReason::CodeUsed)
    ));
}

/// AS-202.
#[tokio::test]
async fn each_reason_of_a_device_code_is_reached() {
    let house = House::new().await;
    let mut reached = every_reason!(DeviceCodeRefusal {
        Denied,
        Expired,
        OfAnotherClient,
        Pending,
        Person,
        TooOften,
        Unknown,
        Used,
    });
    let mut reach = |refusal: DeviceCodeRefusal, name: &str, code: ErrorCode| {
        assert_eq!((reached.reach(&refusal), refusal.code()), (name, code));
    };
    let device = begun(&house).await;
    let code = device.device_code.as_str();
    reach(refusal(poll(&house, "skd_x").await), "Unknown", ErrorCode::InvalidGrant);
    let portal = [GRANT, ("client_id", PORTAL.0), ("client_secret", PORTAL.1), ("device_code", code)];
    reach(refusal(house.token(&portal).await), "OfAnotherClient", ErrorCode::InvalidGrant);
    reach(refusal(poll(&house, code).await), "Pending", ErrorCode::AuthorizationPending);
    reach(refusal(poll(&house, code).await), "TooOften", ErrorCode::SlowDown);
    house.clock.advance(Duration::from_millis(4500));
    reach(refusal(poll(&house, code).await), "Pending", ErrorCode::AuthorizationPending);
    let answer = decide(&house, &device.user_code, Verdict::Deny).await;
    assert!(matches!(answer.response, AuthorizationResponse::Error { code: ErrorCode::AccessDenied, .. }));
    house.clock.advance(INTERVAL);
    reach(refusal(poll(&house, code).await), "Denied", ErrorCode::AccessDenied);

    let late = begun(&house).await;
    house.clock.advance(10 * MINUTE);
    reach(refusal(poll(&house, &late.device_code).await), "Expired", ErrorCode::ExpiredToken);
    // Nobody came for what was allowed, while the device was told that it may.
    let forgotten = begun(&house).await;
    decide(&house, &forgotten.user_code, Verdict::Allow).await;
    house.clock.advance(11 * MINUTE);
    reach(refusal(poll(&house, &forgotten.device_code).await), "Expired", ErrorCode::ExpiredToken);

    let stopped = begun(&house).await;
    decide(&house, &stopped.user_code, Verdict::Allow).await;
    // The MCP server was taken out of the configuration meanwhile.
    let settings = crate::Settings { servers: Vec::new(), ..settings() };
    let elsewhere = AuthorizationServer::new(settings, house.server.parts.clone());
    let parameters = [GRANT, ("client_id", CONSOLE), ("device_code", &*stopped.device_code)];
    let refused = refusal(elsewhere.token(&TokenHeaders::default(), &form(&parameters), &caller()).await);
    assert_eq!(refused, DeviceCodeRefusal::Person(PersonRefusal::ServerGone));
    reach(refused, "Person", ErrorCode::InvalidGrant);
    house.clock.advance(INTERVAL);
    poll(&house, &stopped.device_code).await.unwrap();
    house.clock.advance(INTERVAL);
    reach(refusal(poll(&house, &stopped.device_code).await), "Used", ErrorCode::InvalidGrant);
    reached.all_but(&[]);
}

#[tokio::test]
async fn each_reason_at_the_device_endpoint_is_reached() {
    let mut settings = settings();
    settings.servers[1].device_flow = DeviceFlow::Off;
    settings.pending = PendingCaps { per_address: 1, total: 1000 };
    let house = House::with(settings).await;
    let mut reached = every_reason!(DeviceError {
        Client,
        GrantTypeNotRegistered,
        NotAllowed,
        ParameterRepeated,
        Store,
        Target,
        TooMany,
    });
    let stranger = house
        .register(
            r#"{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none", "grant_types":
            ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]}"#,
        )
        .0;
    let other = house.public_client();
    let (notes, console) = (("resource", NOTES), ("client_id", CONSOLE));
    for (parameters, name, code) in [
        (&[("client_id", PORTAL.0), notes][..], "Client", ErrorCode::InvalidClient),
        (&[("client_id", &other), notes], "GrantTypeNotRegistered", ErrorCode::UnauthorizedClient),
        (&[("client_id", &stranger), notes], "NotAllowed", ErrorCode::UnauthorizedClient),
        (&[console, ("resource", VAULT)], "NotAllowed", ErrorCode::UnauthorizedClient),
        (
            &[console, notes, ("scope", "read"), ("scope", "read")],
            "ParameterRepeated",
            ErrorCode::InvalidRequest,
        ),
        (&[console, notes, ("resource", VAULT)], "Target", ErrorCode::InvalidTarget),
        (&[console, notes, ("scope", "admin")], "Target", ErrorCode::InvalidScope),
    ] {
        let Err(error) = begin(&house, parameters).await else { panic!("{parameters:?}") };
        assert_eq!((reached.reach(&error), error.code()), (name, code), "{parameters:?}");
    }
    let narrowed = begin(&house, &[console, notes, ("scope", "read admin openid")]).await.unwrap();
    let hash = Secret::new(narrowed.device_code).hash();
    assert_eq!(house.store.find_device(hash).await.unwrap().unwrap().scope.to_string(), "read");
    let Err(error) = begin(&house, &[console, notes]).await else { panic!("one too many") };
    assert_eq!((reached.reach(&error), error.code()), ("TooMany", ErrorCode::TemporarilyUnavailable));
    reached.all_but(&["Store"]);
}

#[tokio::test]
async fn strangers_may_where_the_mcp_server_says_so() {
    let mut settings = settings();
    settings.servers[0].device_flow = DeviceFlow::Any;
    let house = House::with(settings).await;
    let stranger = house
        .register(
            r#"{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none", "grant_types":
            ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]}"#,
        )
        .0;
    let device = begin(&house, &[("client_id", &stranger), ("resource", NOTES)]).await.unwrap();
    decide(&house, &device.user_code, Verdict::Allow).await;
    let all = [GRANT, ("client_id", stranger.as_str()), ("device_code", &device.device_code)];
    assert!(house.token(&all).await.is_ok());
}

/// AS-203, RFC 8628, section 5.1: few guesses, from wherever they come; a right code is not among them.
#[tokio::test]
async fn user_codes_are_not_guessed() {
    let house = House::new().await;
    let device = begun(&house).await;
    for text in ["", "AAAA-AAAA", "WDJB-MJH", "' OR 1=1 --"] {
        let entered = enter(&house, &mut Cookies::default(), text).await;
        assert!(matches!(entered, Err(DevicePageReason::CodeUnknown)), "{text}");
    }
    let mut guessed = 0;
    while let Err(DevicePageReason::CodeUnknown) =
        enter(&house, &mut Cookies::default(), &UserCode::mint(&*house.entropy).to_string()).await
    {
        guessed += 1;
        assert!(guessed < 1000);
    }
    assert_eq!(guessed, 100);
    let entered = enter(&house, &mut Cookies::default(), &device.user_code).await;
    assert!(matches!(entered, Err(DevicePageReason::TooManyGuesses)), "not even the right one");
    house.clock.advance(MINUTE);
    assert!(enter(&house, &mut Cookies::default(), &device.user_code).await.is_ok());
}

#[tokio::test]
async fn a_user_code_leads_into_one_browser_and_is_over_in_time() {
    let house = House::new().await;
    let device = begun(&house).await;
    let (mut mine, mut theirs) = (Cookies::default(), Cookies::default());
    let first = enter(&house, &mut mine, &device.user_code).await.unwrap().authorization;
    assert_eq!(enter(&house, &mut mine, &device.user_code).await.unwrap().authorization, first);
    let other = enter(&house, &mut theirs, &device.user_code).await;
    assert!(matches!(other, Err(DevicePageReason::CodeUsed)));
    let late = begun(&house).await;
    house.clock.advance(10 * MINUTE);
    let entered = enter(&house, &mut theirs, &late.user_code).await;
    assert!(matches!(entered, Err(DevicePageReason::CodeUnknown)));
}

#[tokio::test]
async fn a_user_code_of_what_is_gone_leads_nowhere() {
    let house = House::new().await;
    let device = begun(&house).await;
    house.block(CONSOLE).await;
    let entered = enter(&house, &mut Cookies::default(), &device.user_code).await;
    assert!(matches!(entered, Err(DevicePageReason::ClientBlocked)));
    assert_eq!(poll(&house, &device.device_code).await.unwrap_err().code(), ErrorCode::InvalidClient);
}

/// No client can be called back at our page: it is of our own origin.
#[tokio::test]
async fn the_page_at_which_a_device_ends_is_no_redirect_uri_of_a_client() {
    let mut settings = settings();
    settings.redirects.own_origins = vec![ISSUER.to_owned()];
    let ours = done_url(&settings, "192.0.2.7");
    let id = protocol::oauth::ClientId::parse("sly").unwrap();
    let sly = PreRegisteredClient::new(id, None, std::slice::from_ref(&ours), None, &settings.redirects);
    assert!(sly.is_err());
    assert_eq!(asked_from(&settings, &ours), Some("192.0.2.7"));
    for other in [
        "https://evil.example/device/done?asked_from=x",
        "https://mcp.example.com.evil.example/device/done?asked_from=x",
    ] {
        assert_eq!(asked_from(&settings, other), None);
    }
}
