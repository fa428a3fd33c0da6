//! The way to the provider and back: nothing is sent before it must be (CB-05, CB-16; RFC 9207).

use http::header::AUTHORIZATION;
use protocol::oauth::form::{Form, Parameter};
use protocol::oauth::{CodeVerifier, TokenEndpointAuthMethod};
use serde_json::json;
use upstream::connectors::{Connector as _, ConnectorError, LegRequest, Malformation, Refusal};
use url::Url;

use crate::provider::{
    Answer, CLIENT, CODE, DISCOVERY, NONCE, Provider, REDIRECT, TOKEN, VERIFIER, complete,
};

fn malformed(malformation: Malformation) -> ConnectorError {
    ConnectorError::Malformed(malformation)
}

#[tokio::test]
async fn the_authentication_request_carries_state_nonce_and_s256() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let code_challenge = CodeVerifier::parse(VERIFIER).unwrap().challenge();
    let leg = LegRequest {
        state: "s&t ate",
        nonce: NONCE,
        code_challenge: &code_challenge,
        redirect_uri: REDIRECT,
        login_hint: None,
        reauthenticate: false,
    };
    let url = oidc.start(leg).await.unwrap();
    let (endpoint, query) = url.split_once('?').unwrap();
    assert_eq!(endpoint, format!("{}/authorize", provider.issuer));
    let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let query: Vec<_> = query.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    let asked = [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid profile email"),
        ("state", "s&t ate"),
        ("nonce", NONCE),
        ("code_challenge", code_challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    assert_eq!(query, asked);

    let url = oidc.start(LegRequest { login_hint: Some("jane"), reauthenticate: true, ..leg }).await.unwrap();
    let url = Url::parse(&url).unwrap();
    let asked: Vec<_> = url.query_pairs().skip(9).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(asked, ["login_hint=jane", "prompt=login", "max_age=0"]);
}

#[tokio::test]
async fn the_code_is_redeemed_once_with_the_verifier_and_basic_authentication() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    let [request] = provider.seen(TOKEN).try_into().unwrap_or_else(|_| panic!("not one request"));
    let sent: Vec<_> = url::form_urlencoded::parse(request.body.as_bytes()).into_owned().collect();
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "a good/code"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(sent, expected);
    // RFC 6749, section 2.3.1: "sekisho+at+the+provider:hush%3A+hush" in base64.
    let authorization = request.headers.get(AUTHORIZATION).unwrap();
    assert_eq!(authorization, "Basic c2VraXNobythdCt0aGUrcHJvdmlkZXI6aHVzaCUzQStodXNo");
}

#[tokio::test]
async fn the_way_to_authenticate_is_what_is_configured_or_what_is_offered() {
    use TokenEndpointAuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public};
    let post = format!("client_id={}&client_secret=hush%3A+hush", CLIENT.replace(' ', "+"));
    let public = format!("client_id={}", CLIENT.replace(' ', "+"));
    for (configured, offered, has_header, tail) in [
        (None, json!(["client_secret_post", "client_secret_basic"]), true, ""),
        (None, json!(["private_key_jwt", "client_secret_post"]), false, post.as_str()),
        (Some(ClientSecretPost), json!(["client_secret_basic"]), false, post.as_str()),
        (Some(ClientSecretBasic), json!(["client_secret_post"]), true, ""),
        (Some(Public), json!(["client_secret_post"]), false, public.as_str()),
    ] {
        let provider = Provider::start().await;
        provider.change(|held| held.discovery["token_endpoint_auth_methods_supported"] = offered.clone());
        let (oidc, _) = provider.connector_with(|settings| {
            settings.authentication = configured;
            if configured == Some(Public) {
                settings.client_secret = None;
            }
        });
        complete(&oidc, CODE).await.unwrap();
        let request = provider.seen(TOKEN).remove(0);
        assert_eq!(request.headers.contains_key(AUTHORIZATION), has_header, "{configured:?} {offered}");
        assert!(request.body.ends_with(tail), "{}", request.body);
        assert_eq!(request.body.contains("client_id"), !tail.is_empty(), "{}", request.body);
    }
}

#[tokio::test]
async fn a_provider_that_offers_no_way_we_have_is_not_sent_the_secret() {
    let provider = Provider::start().await;
    provider
        .change(|held| held.discovery["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]));
    let (oidc, _) = provider.connector();
    assert_eq!(complete(&oidc, CODE).await, Err(ConnectorError::Refused(Refusal::ClientRefused)));
    assert!(provider.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn a_broken_callback_is_refused_before_anything_is_asked() {
    use Malformation::{CallbackContradictory, CallbackIncomplete, CallbackRepeated};
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let long = format!("code={}&state=s", "c".repeat(4097));
    for (query, malformation) in [
        ("code=c&error=access_denied&state=s", CallbackContradictory),
        ("code=c&code=c&state=s", CallbackRepeated),
        ("code=c&code=d&state=s", CallbackRepeated),
        ("error=access_denied&error=access_denied&state=s", CallbackRepeated),
        ("code=c&state=s&state=s", CallbackRepeated),
        ("code=c&state=s&iss=x&iss=x", CallbackRepeated),
        ("code=c", CallbackIncomplete),
        ("state=s", CallbackIncomplete),
        ("code=&state=s", CallbackIncomplete),
        ("", CallbackIncomplete),
        (&long, CallbackIncomplete),
    ] {
        assert_eq!(complete(&oidc, query).await, Err(malformed(malformation)), "{query}");
    }
    assert!(provider.seen(TOKEN).is_empty());
    assert!(provider.seen(DISCOVERY).is_empty());
}

/// AS-237.
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_the_token_request() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let slash = format!("{CODE}&iss={}/", provider.issuer);
    let other = format!("{CODE}&iss=https://other.example");
    let denied = "error=access_denied&state=s&iss=https://other.example";
    for query in [slash.as_str(), &other, denied] {
        assert_eq!(complete(&oidc, query).await, Err(malformed(Malformation::IssuerMismatch)), "{query}");
    }
    assert!(provider.seen(TOKEN).is_empty());
    complete(&oidc, &format!("{CODE}&iss={}", provider.issuer)).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_iss_is_refused_if_the_provider_says_that_it_sends_it() {
    let provider = Provider::start().await;
    provider.change(|held| held.discovery["authorization_response_iss_parameter_supported"] = json!(true));
    let (oidc, _) = provider.connector();
    assert_eq!(complete(&oidc, CODE).await, Err(malformed(Malformation::IssuerMissing)));
    assert_eq!(
        complete(&oidc, "error=access_denied&state=s").await,
        Err(malformed(Malformation::IssuerMissing))
    );
    assert!(provider.seen(TOKEN).is_empty());
    complete(&oidc, &format!("{CODE}&iss={}", provider.issuer)).await.unwrap();
}

#[tokio::test]
async fn an_error_of_the_provider_is_told_in_our_words_and_costs_no_token_request() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let description = format!("error_description=%3Cscript%3E%0D%0A{}", "x".repeat(100_000));
    for (error, told) in [
        ("access_denied", ConnectorError::Refused(Refusal::AccessDenied)),
        ("server_error", ConnectorError::Unreachable),
        ("temporarily_unavailable", ConnectorError::Unreachable),
        ("login_required", ConnectorError::Refused(Refusal::ProviderError)),
        ("%3Cscript%3E", ConnectorError::Refused(Refusal::ProviderError)),
    ] {
        let refused = complete(&oidc, &format!("error={error}&state=s&{description}")).await.unwrap_err();
        assert_eq!(refused, told);
        assert!(!refused.to_string().contains("script"));
        assert!(refused.to_string().len() < 200);
    }
    assert!(provider.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn a_refusing_token_endpoint_is_told_by_whose_fault_it_is() {
    let json = |status, error: &str| Answer { status, ..Answer::json(&json!({"error": error})) };
    for (answer, told) in [
        (json(400, "invalid_grant"), ConnectorError::Refused(Refusal::CodeRefused)),
        (json(400, "invalid_client"), ConnectorError::Refused(Refusal::ClientRefused)),
        (json(401, "invalid_client"), ConnectorError::Refused(Refusal::ClientRefused)),
        (json(400, "unauthorized_client"), ConnectorError::Refused(Refusal::ClientRefused)),
        (json(400, "something <b>else</b>"), ConnectorError::Refused(Refusal::ProviderError)),
        (Answer::status(401), ConnectorError::Refused(Refusal::ClientRefused)),
        (Answer::status(404), ConnectorError::Refused(Refusal::ProviderError)),
        (Answer::status(429), ConnectorError::Unreachable),
        (Answer::status(500), ConnectorError::Unreachable),
        (Answer::status(503), ConnectorError::Unreachable),
        (Answer::status(302), malformed(Malformation::TokenResponse)),
        (Answer::status(200), malformed(Malformation::TokenResponse)),
        (Answer { body: "{".to_owned(), ..Answer::json(&json!({})) }, malformed(Malformation::TokenResponse)),
        (
            Answer::json(&json!({"access_token": "a", "token_type": "Bearer"})),
            malformed(Malformation::TokenResponse),
        ),
        (Answer::json(&json!({"id_token": 7})), malformed(Malformation::TokenResponse)),
        (
            Answer { body: "x".repeat(200_000), ..Answer::json(&json!({})) },
            malformed(Malformation::TokenResponse),
        ),
    ] {
        let provider = Provider::start().await;
        let status = answer.status;
        provider.change(|held| drop(held.answers.insert(TOKEN, answer)));
        let (oidc, _) = provider.connector();
        assert_eq!(complete(&oidc, CODE).await, Err(told), "{status}");
        assert_eq!(provider.seen(TOKEN).len(), 1, "a code is sent once, whatever comes back");
    }
}

#[test]
fn the_form_of_these_tests_reads_an_empty_code_as_none() {
    assert!(matches!(Form::parse(b"code=&state=s").unwrap().get("code"), Parameter::Absent));
}
