//! The authorization endpoint: each reason reached, and the rules around them.

use std::time::Duration;

use protocol::oauth::Destination;
use protocol::oauth::ErrorCode::{
    self, InvalidRequest, InvalidScope, InvalidTarget, LoginRequired, UnsupportedResponseType,
};
use store::{KeysRecord as _, Queries, StoreError};
use upstream::connectors::Connector;

use super::*;
use crate::test_house::*;
use crate::{Blame, Settings};
use crate::{DocumentRules, UnknownHosts};

async fn page(house: &House, request: AuthorizationRequest) -> PageReason {
    match house.authorize(&mut Cookies::default(), request).await.unwrap_err() {
        AuthorizeError::Page { reason, .. } => reason,
        AuthorizeError::Redirect { reason, .. } => panic!("redirected: {reason}"),
    }
}

async fn redirect(house: &House, request: AuthorizationRequest) -> RedirectReason {
    match house.authorize(&mut Cookies::default(), request).await.unwrap_err() {
        AuthorizeError::Page { reason, .. } => panic!("page: {reason}"),
        AuthorizeError::Redirect { reason, state, to, .. } => {
            assert_eq!(to.as_str(), LOOPBACK);
            assert!(state.is_none() || state.as_deref() == Some("xyz"));
            reason
        }
    }
}

fn repeated(client: &str, name: &str) -> AuthorizationRequest {
    let mut all = parameters(client);
    let again = all.iter().find(|(kept, _)| *kept == name).unwrap().clone();
    all.push(again);
    let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    AuthorizationRequest::parse(&form(&all))
}

/// What can become of clients that are known by their documents.
async fn by_documents(house: &House) -> [(PageReason, &'static str, ErrorCode); 2] {
    for number in 0..20 {
        let asked = request(&format!("https://busy.example/{number}"), &[]);
        assert_eq!(page(house, asked).await.reason(), "client_document");
    }
    let busy = page(house, request("https://busy.example/20", &[])).await;
    let documents = DocumentRules { unknown_hosts: UnknownHosts::Refuse, ..DocumentRules::default() };
    let house = House::with(Settings { documents, ..settings() }).await;
    assert!(!house.server.metadata().client_id_metadata_document_supported);
    let refused = page(&house, request("https://client.example/id.json", &[])).await;
    [
        (busy, "ClientDocumentBusy", ErrorCode::TemporarilyUnavailable),
        (refused, "ClientHostRefused", ErrorCode::InvalidClient),
    ]
}

/// Whatever else is wrong, client and redirect URI come first (AZ-02).
fn page_table(
    client: &str,
    blocked: &str,
    long: &str,
) -> Vec<(AuthorizationRequest, &'static str, ErrorCode)> {
    vec![
        (request(blocked, &[]), "ClientBlocked", ErrorCode::InvalidClient),
        (request("", &[("client_id", "")]), "ClientIdMissing", ErrorCode::InvalidRequest),
        (repeated(client, "client_id"), "ClientIdRepeated", ErrorCode::InvalidRequest),
        (request("dcr_forged", &[("scope", "!\"")]), "ClientUnknown", ErrorCode::InvalidClient),
        (request("https://client.example/id.json", &[]), "ClientDocument", ErrorCode::InvalidClient),
        (request("https://client.example", &[]), "ClientUnknown", ErrorCode::InvalidClient),
        (request("no spaces", &[]), "ClientUnknown", ErrorCode::InvalidClient),
        (
            request(client, &[("redirect_uri", ""), ("response_type", "")]),
            "RedirectUriMissing",
            ErrorCode::InvalidRequest,
        ),
        (repeated(client, "redirect_uri"), "RedirectUriRepeated", ErrorCode::InvalidRequest),
        (
            request(client, &[("redirect_uri", "https://attacker.example/cb"), ("scope", "\"")]),
            "RedirectUriUnknown",
            ErrorCode::InvalidRequest,
        ),
        (
            request(client, &[("redirect_uri", "http://localhost:51234/cb")]),
            "RedirectUriUnknown",
            ErrorCode::InvalidRequest,
        ),
        (request(client, &[("state", long)]), "StateTooLong", ErrorCode::InvalidRequest),
    ]
}

#[tokio::test]
async fn each_reason_for_a_page_is_reached_by_a_request() {
    let pending = store::PendingCaps { per_address: 2, total: 10 };
    let house = House::with(Settings { pending, ..settings() }).await;
    let client = house.public_client();
    let mut reached = every_reason!(PageReason {
        ClientBlocked,
        ClientOutside,
        ClientDocument,
        ClientDocumentBusy,
        ClientHostRefused,
        ClientIdMissing,
        ClientIdRepeated,
        ClientUnknown,
        ClientWeaker,
        RedirectUriMissing,
        RedirectUriRepeated,
        RedirectUriUnknown,
        RequestUriExpired,
        RequestUriUnknown,
        RequestUriUsed,
        StateTooLong,
        Store,
        TooManyPending,
    });
    let blocked = house.public_client();
    house.block(&blocked).await;
    let long = "s".repeat(8 * 1024 + 1);
    let table = page_table(&client, &blocked, &long);
    for (asked, name, code) in table {
        let reason = page(&house, asked).await;
        assert_eq!((reached.reach(&reason), reason.code(), reason.blame()), (name, code, Blame::Client));
    }
    assert_eq!(house.store.counts().await.unwrap().authorizations, 0, "nothing that was refused is stored");

    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
    let reason = page(&house, request(&client, &[])).await;
    assert_eq!(
        (reached.reach(&reason), reason.code()),
        ("TooManyPending", ErrorCode::TemporarilyUnavailable)
    );
    for (reason, name, code) in by_documents(&house).await {
        assert_eq!((reached.reach(&reason), reason.code(), reason.blame()), (name, code, Blame::Client));
    }
    for (reason, name) in by_request_uris().await {
        assert_eq!((reached.reach(&reason), reason.code()), (name, ErrorCode::InvalidRequestUri));
    }
    // A document must have been there before: tests/attacks/cimd, CM-15.
    reached.all_but(&["ClientOutside", "ClientWeaker", "Store"]);

    let store = PageReason::Store(StoreError::unavailable("gone"));
    assert_eq!((store.code(), store.blame()), (ErrorCode::TemporarilyUnavailable, Blame::House));
}

/// RFC 9126, sections 2.2 and 7.3: each by a reason of its own. That one is over is not left to the record, which forgets it then.
async fn by_request_uris() -> Vec<(PageReason, &'static str)> {
    let house = House::new().await;
    let client = house.public_client();
    let fields = parameters(&client);
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let push = async || {
        let headers = crate::TokenHeaders::default();
        house.server.push(&headers, &form(&pairs), &caller()).await.unwrap().request_uri
    };
    let asked =
        |uri: &str| AuthorizationRequest::parse(&form(&[("client_id", &client), ("request_uri", uri)]));
    let (used, late) = (push().await, push().await);
    house.authorize(&mut Cookies::default(), asked(&used)).await.unwrap();
    let mut reasons = vec![
        (page(&house, asked(&used)).await, "RequestUriUsed"),
        (page(&house, asked(&format!("{late}AAAA"))).await, "RequestUriUnknown"),
    ];
    house.clock.advance(Duration::from_secs(90));
    reasons.push((page(&house, asked(&late)).await, "RequestUriExpired"));
    // Of what was used before a restore nobody knows.
    let old = push().await;
    let restored = protocol::world::Clock::now(&*house.clock).micros().to_string();
    house.store.put_meta("restored_at", &restored).await.unwrap();
    reasons.push((page(&house, asked(&old)).await, "RequestUriExpired"));
    reasons
}

/// What is changed in a good request, which reason that reaches, and what the client is told.
const REDIRECTED: &[(Changes<'static>, &str, ErrorCode)] = &[
    (&[("code_challenge", "short")], "CodeChallengeMalformed", InvalidRequest),
    (&[("code_challenge_method", "")], "CodeChallengeMalformed", InvalidRequest),
    (&[("code_challenge_method", "plain")], "CodeChallengeMalformed", InvalidRequest),
    (&[("code_challenge_method", "s256")], "CodeChallengeMalformed", InvalidRequest),
    (&[("code_challenge", "")], "CodeChallengeMissing", InvalidRequest),
    (&[("prompt", "none")], "LoginRequired", LoginRequired),
    (&[("max_age", "-1")], "MaxAgeMalformed", InvalidRequest),
    (&[("max_age", "+1")], "MaxAgeMalformed", InvalidRequest),
    (&[("max_age", "1e3")], "MaxAgeMalformed", InvalidRequest),
    (&[("max_age", "99999999999999999999")], "MaxAgeMalformed", InvalidRequest),
    (&[("prompt", "none login")], "PromptMalformed", InvalidRequest),
    (&[("request", "eyJ")], "RequestNotSupported", ErrorCode::RequestNotSupported),
    (
        &[("request_uri", "http://169.254.169.254/")],
        "RequestUriNotSupported",
        ErrorCode::RequestUriNotSupported,
    ),
    (&[("resource", "")], "ResourceMissing", InvalidTarget),
    (&[("resource", "https://mcp.example.com/other/mcp")], "ResourceUnknown", InvalidTarget),
    (&[("resource", "https://mcp.example.com/notes/mcp/")], "ResourceUnknown", InvalidTarget),
    (&[("resource", "https://mcp.example.com/notes/mcp#a")], "ResourceUnknown", InvalidTarget),
    (&[("resource", "http://mcp.example.com/notes/mcp")], "ResourceUnknown", InvalidTarget),
    (&[("resource", "/notes/mcp")], "ResourceUnknown", InvalidTarget),
    (&[("response_mode", "fragment")], "ResponseModeUnsupported", InvalidRequest),
    (&[("response_mode", "form_post")], "ResponseModeUnsupported", InvalidRequest),
    (&[("response_type", "")], "ResponseTypeMissing", InvalidRequest),
    (&[("response_type", "token")], "ResponseTypeUnsupported", UnsupportedResponseType),
    (&[("response_type", "code token")], "ResponseTypeUnsupported", UnsupportedResponseType),
    (&[("response_type", "CODE")], "ResponseTypeUnsupported", UnsupportedResponseType),
    (&[("scope", "read  write")], "ScopeMalformed", InvalidScope),
    (&[("scope", "re\"ad")], "ScopeMalformed", InvalidScope),
    (&[("scope", "admin")], "ScopeUnknown", InvalidScope),
    (&[("scope", "admin openid")], "ScopeUnknown", InvalidScope),
    (&[("dpop_jkt", "short")], "DpopJktMalformed", InvalidRequest),
];

/// AS-131.
#[tokio::test]
async fn each_reason_for_a_redirect_is_reached_by_a_request() {
    let house = House::with(Settings { default_server: None, ..settings() }).await;
    let client = house.public_client();
    let mut reached = every_reason!(RedirectReason {
        CodeChallengeMalformed,
        CodeChallengeMissing,
        ConsentRequired,
        DpopJktMalformed,
        GrantTypeNotRegistered,
        LoginRequired,
        MaxAgeMalformed,
        NotPushed,
        ParameterRepeated,
        PromptMalformed,
        RequestNotSupported,
        RequestUriNotSupported,
        ResourceMissing,
        ResourceSeveral,
        ResourceUnknown,
        ResponseModeUnsupported,
        ResponseTypeMissing,
        ResponseTypeUnsupported,
        ScopeMalformed,
        ScopeUnknown,
    });
    for (changes, name, code) in REDIRECTED {
        let reason = redirect(&house, request(&client, changes)).await;
        assert_eq!(
            (reached.reach(&reason), reason.code(), reason.blame()),
            (*name, *code, Blame::Client),
            "{changes:?}"
        );
    }
    let reason = redirect(&house, repeated(&client, "state")).await;
    assert_eq!((reached.reach(&reason), reason.code()), ("ParameterRepeated", InvalidRequest));
    let long = redirect(&house, request(&client, &[("prompt", &"p".repeat(257))])).await;
    assert_eq!(long, RedirectReason::PromptMalformed);
    let mut two = request(&client, &[]);
    two.resource.push(VAULT.to_owned());
    let reason = redirect(&house, two).await;
    assert_eq!((reached.reach(&reason), reason.code()), ("ResourceSeveral", InvalidTarget));
    assert_eq!(house.store.counts().await.unwrap().authorizations, 0, "nothing that was refused is stored");

    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    let refused = house.authorize(&mut cookies, request(&client, &[("prompt", "none")])).await.unwrap_err();
    let AuthorizeError::Redirect { reason, .. } = refused else { panic!("{refused}") };
    assert_eq!((reached.reach(&reason), reason.code()), ("ConsentRequired", ErrorCode::ConsentRequired));
    // Registration refuses such clients, so that only the table of grant types stands behind this one.
    let reason = RedirectReason::GrantTypeNotRegistered;
    assert_eq!(
        (reached.reach(&reason), reason.code()),
        ("GrantTypeNotRegistered", ErrorCode::UnauthorizedClient)
    );
    // tests/attacks/par.rs.
    reached.all_but(&["NotPushed"]);
}

/// AS-041, AS-119.
#[tokio::test]
async fn an_error_is_told_at_once_to_known_clients_and_to_this_machine_only() {
    let house = House::new().await;
    let client = house.public_client();
    let private = r#"{"redirect_uris": ["cursor://cb"], "token_endpoint_auth_method": "none"}"#;
    let private = house.register(private).0;
    let table = [
        (client.as_str(), LOOPBACK, false),
        (client.as_str(), REMOTE, true),
        (private.as_str(), "cursor://cb", true),
        (CONSOLE, LOOPBACK, false),
        (CONSOLE, REMOTE, false),
    ];
    for (client, uri, expected) in table {
        let asked = request(client, &[("redirect_uri", uri), ("scope", "\"")]);
        let refused = house.authorize(&mut Cookies::default(), asked).await.unwrap_err();
        let AuthorizeError::Redirect { act_first, to, .. } = refused else { panic!("{refused}") };
        assert_eq!((act_first, to.as_str()), (expected, uri), "{client}");
    }
}

/// AS-121, AS-232.
#[tokio::test]
async fn the_login_page_names_the_client_the_host_and_the_mcp_server() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let Next::Login(page) = house.authorize(&mut cookies, request(&client, &[])).await.unwrap() else {
        panic!()
    };
    assert_eq!(page.client.name.as_deref(), Some("Tool"));
    assert_eq!(page.client.vouched, crate::Vouching::Nobody);
    assert_eq!(page.client.destination, Destination::Loopback("127.0.0.1".to_owned()));
    assert_eq!((page.server.name.as_str(), page.server.title.as_str()), ("notes", "NOTES"));
    assert_eq!(page.connectors.len(), 2);
    assert_eq!(page.connectors[0].id, house.connector.id().as_str());
    let Next::Login(page) = house.authorize(&mut cookies, request(CONSOLE, &[])).await.unwrap() else {
        panic!()
    };
    assert_eq!(page.client.vouched, crate::Vouching::Operator);
}

#[tokio::test]
async fn the_browser_keeps_its_binding_and_a_made_up_one_is_replaced() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
    let first = cookies.binding.clone().unwrap();
    house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
    assert_eq!(cookies.binding.as_deref(), Some(first.as_str()), "a second tab does not end the first");
    for made_up in
        ["skb_short", "", &first.replace("skb_", "skl_"), &format!("{first}A"), &first.replace('_', " ")]
    {
        cookies.binding = Some(made_up.to_owned());
        house.authorize(&mut cookies, request(&client, &[])).await.unwrap();
        assert_ne!(cookies.binding.as_deref(), Some(made_up));
    }
}

/// AS-156, AS-185, AS-245.
#[tokio::test]
async fn scope_is_narrowed_to_what_the_server_knows_and_habits_are_ignored() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    let table = [
        ("", "read"),
        ("openid offline_access profile email", "read"),
        ("write", "write"),
        ("write read", "read write"),
        ("write admin openid", "write"),
    ];
    for (asked, offered) in table {
        let next = house.authorize(&mut cookies, request(&client, &[("scope", asked)])).await.unwrap();
        let Next::Consent(page) = next else { panic!("{asked}") };
        let scopes: Vec<_> = page.scopes.iter().map(|scope| scope.token.as_str()).collect();
        assert_eq!(scopes.join(" "), offered, "{asked}");
        assert!(page.scopes.iter().all(|scope| scope.ticked));
    }
}

/// AS-173.
#[tokio::test]
async fn a_resource_has_one_canonical_form_and_a_default() {
    let house = House::new().await;
    let client = house.public_client();
    for spelling in ["", "HTTPS://MCP.EXAMPLE.COM/notes/mcp", "https://mcp.example.com:443/notes/mcp", NOTES]
    {
        let asked = request(&client, &[("resource", spelling)]);
        let Next::Login(page) = house.authorize(&mut Cookies::default(), asked).await.unwrap() else {
            panic!()
        };
        assert_eq!(page.server.resource.as_str(), NOTES, "{spelling}");
    }
    let mut twice = request(&client, &[]);
    twice.resource.push("https://mcp.example.com:443/notes/mcp".to_owned());
    house.authorize(&mut Cookies::default(), twice).await.unwrap();
}

#[tokio::test]
async fn a_client_with_one_redirect_uri_need_not_name_it() {
    let house = House::new().await;
    let client =
        r#"{"redirect_uris": ["https://client.example/only"], "token_endpoint_auth_method": "none"}"#;
    let client = house.register(client).0;
    let asked = request(&client, &[("redirect_uri", "")]);
    let Next::Login(page) = house.authorize(&mut Cookies::default(), asked).await.unwrap() else { panic!() };
    assert_eq!(page.client.redirect_uri.as_str(), "https://client.example/only");
}

/// A person with two accounts is not caught in the one that may not.
#[tokio::test]
async fn whoever_may_not_use_the_server_may_sign_in_as_somebody_who_may() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let before = house.to_consent(&mut cookies, request(&client, &[])).await;
    let asked = request(&client, &[("resource", VAULT)]);
    let Next::Login(page) = house.authorize(&mut cookies, asked).await.unwrap() else { panic!() };
    assert_eq!(page.not_admitted.as_ref(), Some(&before.account));
    house.connector.change(|who| {
        who.subject = "alice-the-operator".to_owned();
        who.groups = vec!["ops".to_owned()];
    });
    let state = house.press_login(&mut cookies, &page).await.unwrap();
    let signed_in = house.call_back(&mut cookies, &state).await.unwrap();
    cookies.session = Some(signed_in.set_session.reveal());
    let page = house.consent_page(&cookies, &signed_in.resume.to_string()).await.unwrap();
    assert_ne!(page.account.user, before.account.user);
    let page = house.server.login_page(&page.authorization.to_string(), &cookies.browser()).await.unwrap();
    assert_eq!(page.not_admitted, None);
}

/// AZ-26: exactly at the limit it comes back whole.
#[tokio::test]
async fn a_state_of_8_kib_is_kept_byte_for_byte() {
    let house = House::new().await;
    let client = house.public_client();
    let state = "é".repeat(4 * 1024);
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(&client, &[("state", &state)])).await;
    let form = House::consent_form(&page, crate::Verdict::Deny);
    let answer = house.server.decide_consent(form, cookies.browser()).await.unwrap();
    let protocol::oauth::AuthorizationResponse::Error { state: returned, iss, .. } = answer.response else {
        panic!()
    };
    assert_eq!((returned.as_deref(), iss.as_str()), (Some(state.as_str()), ISSUER));
}

/// AZ-32: an old session is no answer to a demand for a new proof.
#[tokio::test]
async fn prompt_and_max_age_send_a_person_who_is_signed_in_to_sign_in_again() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let now = protocol::world::Clock::now(&*house.clock);
    house.connector.change(|alice| alice.authenticated_at = Some(now));
    house.to_consent(&mut cookies, request(&client, &[])).await;
    house.clock.advance(Duration::from_secs(100));
    let table: &[(Changes<'_>, bool)] = &[
        (&[], false),
        (&[("prompt", "consent")], false),
        (&[("max_age", "101")], false),
        (&[("max_age", "99")], true),
        (&[("max_age", "0")], true),
        (&[("prompt", "login")], true),
        (&[("prompt", "select_account")], true),
    ];
    for (changes, signs_in) in table {
        let next = house.authorize(&mut cookies, request(&client, changes)).await.unwrap();
        assert_eq!(matches!(next, Next::Login(_)), *signs_in, "{changes:?}");
    }
    let asked = request(&client, &[("prompt", "none"), ("max_age", "5")]);
    let refused = house.authorize(&mut cookies, asked).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::LoginRequired);
}

#[tokio::test]
async fn a_session_that_nobody_dated_is_too_old_for_any_max_age() {
    let house = House::new().await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    house.to_consent(&mut cookies, request(&client, &[])).await;
    let next = house.authorize(&mut cookies, request(&client, &[("max_age", "3600")])).await.unwrap();
    assert!(matches!(next, Next::Login(_)));
}

#[tokio::test]
async fn refusals_of_a_known_client_are_written_down_and_of_nobody_are_not() {
    let house = House::new().await;
    let client = house.public_client();
    let anonymous = page(&house, request("dcr_forged", &[])).await;
    assert_eq!(anonymous.reason(), "client_unknown");
    page(&house, request(&client, &[("redirect_uri", "https://attacker.example/")])).await;
    assert!(house.events(AuditKind::AuthorizeRefused).await.is_empty());
    let refused =
        house.authorize(&mut Cookies::default(), request(&client, &[("scope", "\"")])).await.unwrap_err();
    let events = house.events(AuditKind::AuthorizeRefused).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason.as_deref(), Some("scope_malformed"));
    assert_eq!(events[0].reference.as_ref(), Some(refused.reference()));
    assert_eq!(events[0].client_id.as_deref(), Some(client.as_str()));
    assert_eq!(events[0].address.as_deref(), Some("192.0.2.7"));
}
