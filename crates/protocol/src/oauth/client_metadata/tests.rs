use serde_json::{Value, json};

use super::*;

fn policy() -> RedirectPolicy {
    RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() }
}

fn parse(body: &str) -> Result<ClientMetadata, MetadataError> {
    ClientMetadata::parse_registration(body.as_bytes(), &policy())
}

fn with(member: &str, value: Value) -> Result<ClientMetadata, MetadataError> {
    let mut body = json!({"redirect_uris": ["https://client.example.org/callback"]});
    body[member] = value;
    parse(&body.to_string())
}

fn flaw(member: &str, value: Value) -> MetadataFlaw {
    match with(member, value) {
        Err(MetadataError::InvalidClientMetadata(flaw)) => flaw,
        other => panic!("{other:?}"),
    }
}

/// RFC 7591, section 3.1, with redirect URIs as they are and members that are not used here.
const EXAMPLE: &str = r#"{
    "redirect_uris": ["https://client.example.org/callback", "https://client.example.org/callback2"],
    "client_name": "My Example Client",
    "client_name#ja-Jpan-JP": "\u30AF\u30E9\u30A4\u30A2\u30F3\u30C8\u540D",
    "token_endpoint_auth_method": "client_secret_basic",
    "logo_uri": "https://client.example.org/logo.png",
    "jwks_uri": "https://client.example.org/my_public_keys.jwks",
    "example_extension_parameter": "example_value"
}"#;

#[test]
fn the_example_of_the_standard_is_read() {
    let metadata = parse(EXAMPLE).unwrap();
    let uris: Vec<&str> = metadata.redirect_uris.iter().map(RedirectUri::as_str).collect();
    assert_eq!(uris, ["https://client.example.org/callback", "https://client.example.org/callback2"]);
    assert_eq!(metadata.client_name.as_deref(), Some("My Example Client"));
    assert_eq!(metadata.token_endpoint_auth_method, TokenEndpointAuthMethod::ClientSecretBasic);
    assert!(metadata.may_use(GrantType::AuthorizationCode) && !metadata.may_use(GrantType::RefreshToken));
    assert!(!metadata.all_loopback());
}

/// AS-082.
#[test]
fn defaults_are_those_of_the_standard() {
    let metadata =
        parse(r#"{"redirect_uris": ["http://127.0.0.1/cb"], "scope": null, "client_name": null}"#).unwrap();
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(metadata.response_types, [ResponseType::Code]);
    assert_eq!(metadata.token_endpoint_auth_method, TokenEndpointAuthMethod::ClientSecretBasic);
    assert_eq!(
        (metadata.application_type, metadata.client_name.clone(), metadata.scope.clone()),
        (None, None, None)
    );
    assert!(metadata.all_loopback());
}

#[test]
fn what_is_kept_is_read_back_as_the_same() {
    let body = json!({
        "redirect_uris": ["http://localhost:3118/callback", "cursor://anysphere.cursor-mcp/cb", "http://localhost:3118/callback"],
        "client_name": "\"Quoted\" \\ \u{1f512}",
        "client_uri": "https://client.example.org/#about",
        "grant_types": ["refresh_token", "authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "write read",
        "application_type": "native",
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "software_version": "2.1",
        "dpop_bound_access_tokens": true,
    });
    let metadata = parse(&body.to_string()).unwrap();
    assert_eq!(metadata.redirect_uris.len(), 2);
    assert_eq!(parse(&metadata.to_json()).unwrap(), metadata);
    assert_eq!(parse(&metadata.to_json()).unwrap().to_json(), metadata.to_json());
    assert_eq!(metadata.scope.map(|scope| scope.to_string()).as_deref(), Some("read write"));
}

/// RG-01.
#[test]
fn without_a_list_of_redirect_uris_nothing_is_registered() {
    for body in ["null", "[]", "\"x\"", "1", ""] {
        assert!(
            matches!(parse(body), Err(MetadataError::InvalidClientMetadata(MetadataFlaw::Json(_)))),
            "{body}"
        );
    }
    for (uris, flaw) in [
        ("null", RedirectUrisFlaw::NotAList),
        ("\"https://a.example/\"", RedirectUrisFlaw::NotAList),
        ("{}", RedirectUrisFlaw::NotAList),
        ("[1]", RedirectUrisFlaw::NotAList),
        ("[[\"https://a.example/\"]]", RedirectUrisFlaw::NotAList),
        ("[]", RedirectUrisFlaw::Number),
    ] {
        let error = parse(&format!("{{\"redirect_uris\":{uris}}}")).unwrap_err();
        assert_eq!(error, MetadataError::InvalidRedirectUri(flaw), "{uris}");
        assert_eq!(error.code(), ErrorCode::InvalidRedirectUri);
    }
    assert_eq!(parse("{}").unwrap_err(), RedirectUrisFlaw::NotAList.into());
}

/// RG-02.
#[test]
fn one_bad_redirect_uri_refuses_all() {
    for bad in
        ["https://a.example/#frag", "https://a.example/#", "http://a.example/", "javascript:alert(1)", ""]
    {
        let error = with("redirect_uris", json!(["https://a.example/", bad])).unwrap_err();
        assert!(matches!(error, MetadataError::InvalidRedirectUri(RedirectUrisFlaw::Refused(_))), "{bad}");
    }
}

/// RG-04.
#[test]
fn an_unsafe_scheme_in_a_link_is_refused_in_every_language() {
    for member in
        ["client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri", "logo_uri#fr", "tos_uri#ja-Jpan-JP"]
    {
        for link in
            ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://u@h/", "/about"]
        {
            assert!(matches!(flaw(member, json!(link)), MetadataFlaw::Link(_)), "{member} {link}");
        }
        assert!(with(member, json!("https://client.example.org/")).is_ok());
        assert!(with(member, json!("")).is_ok());
        assert_eq!(flaw(member, json!(5)), MetadataFlaw::WrongType);
    }
}

/// RG-05, RG-10.
///
/// AS-080.
#[test]
fn members_of_the_server_and_unknown_members_are_dropped() {
    let mut body = json!({"redirect_uris": ["https://client.example.org/callback"]});
    let plain = parse(&body.to_string()).unwrap();
    for member in [
        "client_id",
        "client_secret",
        "registration_access_token",
        "id",
        "tenant",
        "trusted",
        "skip_consent",
        "is_admin",
        "created_at",
        "sector_identifier_uri",
        "software_statement",
        "contacts",
    ] {
        body[member] = json!("http://169.254.169.254/");
    }
    let metadata = parse(&body.to_string()).unwrap();
    assert_eq!(metadata, plain);
    assert!(!metadata.to_json().contains("169.254"));
}

/// RG-07.
#[test]
fn grants_that_are_not_served_are_refused() {
    for grant in
        ["implicit", "password", "urn:ietf:params:oauth:grant-type:saml2-bearer", "CLIENT_CREDENTIALS", ""]
    {
        assert_eq!(flaw("grant_types", json!(["authorization_code", grant])), MetadataFlaw::GrantTypes);
    }
    assert_eq!(flaw("grant_types", json!(["refresh_token"])), MetadataFlaw::GrantTypes);
    assert_eq!(flaw("grant_types", json!([])), MetadataFlaw::GrantTypes);
    assert_eq!(flaw("grant_types", json!("authorization_code")), MetadataFlaw::WrongType);
    for types in [json!([]), json!(["token"]), json!(["code", "id_token"]), json!(["code token"])] {
        assert_eq!(flaw("response_types", types), MetadataFlaw::ResponseTypes);
    }
    for method in ["tls_client_auth", "client_secret_jwt", "NONE", ""] {
        assert_eq!(flaw("token_endpoint_auth_method", json!(method)), MetadataFlaw::TokenEndpointAuthMethod);
    }
}

/// RG-08.
#[test]
fn a_scope_is_read_or_refused() {
    let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    for bad in [many.join(" "), "a  b".to_owned(), "a\"b".to_owned(), "a\nb".to_owned()] {
        assert!(matches!(flaw("scope", json!(bad)), MetadataFlaw::Scope(_)));
    }
    assert_eq!(flaw("scope", json!(["read"])), MetadataFlaw::WrongType);
    assert_eq!(with("scope", json!("")).unwrap().scope, None);
}

/// AZ-10.
///
/// AS-039.
#[test]
fn a_web_application_does_not_redirect_to_this_machine() {
    for local in ["http://localhost:1/cb", "http://127.0.0.1/cb", "https://localhost/cb", "cursor://x/cb"] {
        let body = json!({"redirect_uris": [local], "application_type": "web"}).to_string();
        assert_eq!(parse(&body).unwrap_err(), RedirectUrisFlaw::LocalForWeb.into());
        let mut stale = parse(&body.replace("web", "native")).unwrap();
        assert!(stale.verify_redirect_uri(local).is_some());
        stale.application_type = Some(ApplicationType::Web);
        assert!(stale.verify_redirect_uri(local).is_none());
    }
    assert_eq!(flaw("application_type", json!("service")), MetadataFlaw::ApplicationType);
    assert!(with("application_type", json!("web")).is_ok());
}

/// RG-11.
///
/// AS-083.
#[test]
fn keys_come_in_one_way_and_public() {
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}]});
    assert!(with("jwks", keys.clone()).is_ok());
    assert_eq!(flaw("jwks", json!({"keys": null})), MetadataFlaw::InlineKeys);
    let both =
        json!({"redirect_uris": ["https://a.example/"], "jwks": keys, "jwks_uri": "https://a.example/jwks"});
    assert_eq!(parse(&both.to_string()).unwrap_err(), MetadataFlaw::KeysTwice.into());
}

/// RG-14.
#[test]
fn a_hostile_body_is_refused_quickly() {
    let uri = "https://a.example/";
    assert_eq!(with("redirect_uris", json!(vec![uri; 21])).unwrap_err(), RedirectUrisFlaw::Number.into());
    assert!(with("redirect_uris", json!(vec![uri; 20])).is_ok());
    let big = format!("{{\"a\":\"{}\"}}", "a".repeat(64 * 1024));
    assert_eq!(parse(&big).unwrap_err(), MetadataFlaw::TooLarge.into());
    for (body, reason) in [
        ("[".repeat(10_000), StrictJsonError::TooDeep),
        (
            r#"{"redirect_uris":["https://a.example/"],"redirect_uris":["https://b.example/"]}"#.into(),
            StrictJsonError::Repeated,
        ),
        (r#"{"redirect_uris":["https://a.example/"],"x":1,"\u0078":1}"#.into(), StrictJsonError::Repeated),
        (r#"{"redirect_uris":["https://a.example/"],"x":1e999}"#.into(), StrictJsonError::Malformed),
    ] {
        assert_eq!(parse(&body).unwrap_err(), MetadataFlaw::Json(reason).into());
    }
}

#[test]
fn a_request_is_answered_only_where_the_client_registered() {
    let metadata = parse(r#"{"redirect_uris": ["https://a.example/cb", "http://127.0.0.1/cb"]}"#).unwrap();
    let verified = metadata.verify_redirect_uri("http://127.0.0.1:51234/cb").unwrap();
    assert_eq!(verified.as_str(), "http://127.0.0.1:51234/cb");
    assert_eq!(verified.destination(), &Destination::Loopback("127.0.0.1".to_owned()));
    assert!(metadata.verify_redirect_uri("https://a.example/cb").is_some());
    assert!(metadata.verify_redirect_uri("https://a.example/cb2").is_none());
    assert!(metadata.verify_redirect_uri("").is_none());
}

#[test]
fn installations_of_the_same_software_have_the_same_fingerprint() {
    let fingerprint = |uri: &str, name: &str| {
        parse(&json!({"redirect_uris": [uri], "client_name": name}).to_string()).unwrap().fingerprint()
    };
    let one = fingerprint("http://localhost:3118/cb", "a");
    assert_eq!(one, fingerprint("http://localhost:3119/cb", "a"));
    assert_eq!(one, fingerprint("http://localhost/cb", "a"));
    assert_ne!(one, fingerprint("http://localhost/cc", "a"));
    assert_ne!(one, fingerprint("http://localhost/cb", "b"));
    assert_ne!(one, fingerprint("https://localhost/cb", "a"));
}
