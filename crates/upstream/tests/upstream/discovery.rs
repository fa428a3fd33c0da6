//! The provider's description of itself: believed only if exact, asked for once, kept (F-14).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use protocol::oauth::CodeVerifier;
use serde_json::{Value, json};
use upstream::connectors::oidc::{Oidc, OidcSettings, OidcSettingsError, Quirks};
use upstream::connectors::{Connector as _, ConnectorError, LegRequest, Malformation};
use upstream::egress::{Egress, FetchError, Limits};

use crate::provider::{Answer, CODE, DISCOVERY, KEYS, NONCE, Provider, REDIRECT, TOKEN, VERIFIER, complete};
use crate::world::{TestClock, fetcher};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn settings() -> OidcSettings {
    OidcSettings {
        id: "idp".parse().unwrap(),
        title: "The provider".to_owned(),
        issuer: "https://idp.example.com".to_owned(),
        client_id: "us".to_owned(),
        client_secret: None,
        authentication: None,
        scopes: Vec::new(),
        groups_claim: None,
        userinfo: false,
        email_domains: Vec::new(),
        required_claims: std::collections::BTreeMap::new(),
        offline: None,
        deadline: Duration::from_secs(10),
        quirks: Quirks::default(),
    }
}

async fn start(oidc: &Oidc) -> Result<String, ConnectorError> {
    let leg = LegRequest {
        state: "s",
        nonce: NONCE,
        code_challenge: &CodeVerifier::parse(VERIFIER).unwrap().challenge(),
        redirect_uri: REDIRECT,
        login_hint: None,
        reauthenticate: false,
    };
    oidc.start(leg).await
}

#[tokio::test]
async fn a_document_of_another_issuer_is_refused() {
    let provider = Provider::start().await;
    for issuer in [format!("{}/", provider.issuer), "https://other.example".to_owned(), String::new()] {
        provider.change(|held| held.discovery["issuer"] = json!(issuer));
        let (oidc, _) = provider.connector();
        assert_eq!(
            start(&oidc).await,
            Err(ConnectorError::Malformed(Malformation::DiscoveryIssuer)),
            "{issuer}"
        );
        assert!(complete(&oidc, CODE).await.is_err());
    }
    assert!(provider.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn what_is_not_a_document_is_refused() {
    let provider = Provider::start().await;
    let honest = provider.change_and_read(|held| held.discovery.clone());
    let with = |name: &str, value: Value| {
        let mut changed = honest.clone();
        changed[name] = value;
        Answer::json(&changed)
    };
    for answer in [
        Answer { body: "<html>".to_owned(), ..Answer::json(&json!({})) },
        Answer { content_type: "text/html", ..Answer::json(&honest) },
        Answer { body: format!("{honest}{}", " ".repeat(100_000)), ..Answer::json(&honest) },
        Answer { status: 302, ..Answer::json(&honest) },
        Answer { status: 201, ..Answer::json(&honest) },
        Answer::status(404),
        Answer::json(&json!([])),
        with("token_endpoint", Value::Null),
        with("token_endpoint", json!("/token")),
        with("token_endpoint", json!("http://provider.example/token")),
        with("authorization_endpoint", json!("javascript:alert(1)")),
        with("jwks_uri", json!("file:///etc/passwd")),
        with("userinfo_endpoint", json!("http://10.0.0.1/userinfo")),
        with("token_endpoint_auth_methods_supported", json!("client_secret_basic")),
    ] {
        let shown = format!("{} {} {:.200}", answer.status, answer.content_type, answer.body);
        provider.change(|held| drop(held.answers.insert(DISCOVERY, answer)));
        let (oidc, _) = provider.connector();
        assert_eq!(start(&oidc).await, Err(ConnectorError::Malformed(Malformation::Discovery)), "{shown}");
    }
}

/// A provider on paper: whatever is asked for, this comes.
#[derive(Debug)]
struct Paper(Value);

impl Egress for Paper {
    fn fetch(&self, _: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        let response = Response::builder().header("content-type", "application/json; charset=utf-8");
        let response = response.body(Bytes::from(self.0.to_string())).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

#[tokio::test]
async fn no_endpoint_is_less_protected_than_the_issuer() {
    let issuer = "https://idp.example.com/tenant/";
    for (member, endpoint, refused) in [
        ("token_endpoint", "https://elsewhere.example.com/token", false),
        ("token_endpoint", "http://127.0.0.1/token", true),
        ("jwks_uri", "http://localhost/keys", true),
        ("userinfo_endpoint", "http://[::1]/userinfo", true),
        ("authorization_endpoint", "http://idp.example.com/authorize", true),
        ("authorization_endpoint", "https://idp.example.com/authorize#fragment", true),
    ] {
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": "https://idp.example.com/authorize",
            "token_endpoint": "https://idp.example.com/token",
            "jwks_uri": "https://idp.example.com/keys",
        });
        document[member] = json!(endpoint);
        let settings = OidcSettings { issuer: issuer.to_owned(), ..settings() };
        let oidc = Oidc::new(settings, Arc::new(Paper(document)), Arc::new(TestClock::default())).unwrap();
        let started = start(&oidc).await.map(|_| ());
        let malformed = Err(ConnectorError::Malformed(Malformation::Discovery));
        assert_eq!(started, if refused { malformed } else { Ok(()) }, "{endpoint}");
    }
}

#[tokio::test]
async fn a_document_is_asked_for_once_an_hour_whoever_waits() {
    let provider = Provider::start().await;
    let (oidc, clock) = provider.connector();
    let many = futures_util::future::join_all((0..20).map(|_| start(&oidc))).await;
    assert!(many.iter().all(Result::is_ok));
    clock.advance(HOUR - Duration::from_micros(1));
    start(&oidc).await.unwrap();
    assert_eq!(provider.seen(DISCOVERY).len(), 1);
    clock.advance(Duration::from_micros(1));
    start(&oidc).await.unwrap();
    assert_eq!(provider.seen(DISCOVERY).len(), 2);
}

#[tokio::test]
async fn the_last_document_serves_for_a_day_while_the_provider_is_down() {
    for status in [429, 500, 503] {
        let provider = Provider::start().await;
        let (oidc, clock) = provider.connector();
        start(&oidc).await.unwrap();
        provider.change(|held| drop(held.answers.insert(DISCOVERY, Answer::status(status))));
        clock.advance(HOUR);
        start(&oidc).await.unwrap();
        clock.advance(22 * HOUR);
        start(&oidc).await.unwrap();
        clock.advance(HOUR);
        assert_eq!(start(&oidc).await, Err(ConnectorError::Unreachable));
        provider.change(|held| drop(held.answers.remove(DISCOVERY)));
        clock.advance(Duration::from_secs(5));
        start(&oidc).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_document_does_not_hide_behind_the_last_right_one() {
    let provider = Provider::start().await;
    let (oidc, clock) = provider.connector();
    start(&oidc).await.unwrap();
    provider.change(|held| held.discovery["issuer"] = json!("https://other.example"));
    clock.advance(HOUR);
    assert_eq!(start(&oidc).await, Err(ConnectorError::Malformed(Malformation::DiscoveryIssuer)));
}

#[tokio::test]
async fn a_failure_is_not_tried_again_for_five_seconds() {
    let provider = Provider::start().await;
    provider.change(|held| drop(held.answers.insert(DISCOVERY, Answer::status(500))));
    let (oidc, clock) = provider.connector();
    let many = futures_util::future::join_all((0..20).map(|_| start(&oidc))).await;
    assert!(many.iter().all(|answer| *answer == Err(ConnectorError::Unreachable)));
    assert_eq!(provider.seen(DISCOVERY).len(), 1);
    clock.advance(Duration::from_secs(5));
    provider.change(|held| drop(held.answers.remove(DISCOVERY)));
    start(&oidc).await.unwrap();
    assert_eq!(provider.seen(DISCOVERY).len(), 2);
}

#[tokio::test]
async fn a_silent_provider_costs_one_deadline_whoever_waits() {
    for (path, asked) in [(DISCOVERY, 1), (KEYS, 1), (TOKEN, 20)] {
        let provider = Provider::start().await;
        let (oidc, _) = provider.connector();
        let silence = provider.change_and_read(|held| {
            held.silent = Some(path);
            Arc::clone(&held.silence)
        });
        let many = futures_util::future::join_all((0..20).map(|_| complete(&oidc, CODE)));
        let (many, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(11), many), async {
            silence.notified().await;
            tokio::time::pause();
        });
        assert!(many.unwrap().iter().all(|answer| *answer == Err(ConnectorError::Unreachable)));
        assert_eq!(provider.seen(path).len(), asked, "{path}");
        tokio::time::resume();
        if path != TOKEN {
            // Who comes next is told at once.
            assert_eq!(complete(&oidc, CODE).await, Err(ConnectorError::Unreachable));
            assert_eq!(provider.seen(path).len(), asked, "{path}");
        }
    }
}

#[tokio::test]
async fn slow_answers_together_cost_no_more_than_one_deadline() {
    let provider = Provider::start().await;
    provider.change(|held| held.delay = Duration::from_secs(4));
    let (oidc, _) = provider.connector();
    tokio::time::pause();
    // Discovery and token come within eight seconds, each in time; the keys would be there after twelve.
    assert_eq!(complete(&oidc, CODE).await, Err(ConnectorError::Unreachable));
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn the_outage_of_one_provider_does_not_touch_another() {
    let down = Provider::start().await;
    down.change(|held| drop(held.answers.insert(DISCOVERY, Answer::status(500))));
    let up = Provider::start().await;
    let ((down, _), (up, _)) = (down.connector(), up.connector());
    assert_eq!(start(&down).await, Err(ConnectorError::Unreachable));
    complete(&up, CODE).await.unwrap();
}

#[tokio::test]
async fn the_check_says_what_was_found() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let sentence = oidc.check(REDIRECT).await.unwrap();
    assert!(sentence.contains(&provider.issuer) && sentence.contains("advertises PKCE S256"), "{sentence}");

    provider.change(|held| held.discovery["code_challenge_methods_supported"] = json!(["plain"]));
    let (oidc, _) = provider.connector();
    let sentence = oidc.check(REDIRECT).await.unwrap();
    assert!(sentence.contains("PKCE without S256"), "{sentence}");

    provider.change(|held| drop(held.answers.insert(KEYS, Answer::status(404))));
    let (oidc, _) = provider.connector();
    assert_eq!(oidc.check(REDIRECT).await, Err(ConnectorError::Malformed(Malformation::KeySet).into()));

    for (answer, words) in [
        (Answer::status(404), "answers 404; look at `issuer`"),
        (Answer::json(&json!([])), "no discovery document; look at `issuer`"),
    ] {
        provider.change(|held| drop(held.answers.insert(DISCOVERY, answer)));
        let (oidc, _) = provider.connector();
        let said = oidc.check(REDIRECT).await.unwrap_err().to_string();
        let place = format!("the issuer: {}/.well-known/openid-configuration ", provider.issuer);
        assert!(said.starts_with(&place) && said.contains(words), "{said}");
    }
}

#[test]
fn settings_that_cannot_work_or_admit_everybody_are_refused() {
    use protocol::oauth::TokenEndpointAuthMethod::{ClientSecretBasic, None as Public};
    type Change = fn(&mut OidcSettings);
    let cases: [(OidcSettingsError, Change); 11] = [
        (OidcSettingsError::Issuer, |settings| settings.issuer = "not a url".to_owned()),
        (OidcSettingsError::Issuer, |settings| settings.issuer = "http://idp.example.com".to_owned()),
        (OidcSettingsError::Issuer, |settings| settings.issuer = "https://idp.example.com/?x".to_owned()),
        (OidcSettingsError::Issuer, |settings| settings.issuer = "https://idp.example.com/#x".to_owned()),
        (OidcSettingsError::Issuer, |settings| settings.issuer = "https://user@idp.example.com".to_owned()),
        (OidcSettingsError::Issuer, |settings| settings.issuer = "ftp://idp.example.com".to_owned()),
        (OidcSettingsError::ClientId, |settings| settings.client_id = String::new()),
        (OidcSettingsError::Authentication, |settings| settings.authentication = Some(ClientSecretBasic)),
        (OidcSettingsError::Authentication, |settings| {
            settings.authentication = Some(Public);
            settings.client_secret = Some(protocol::secret::Secret::new("secret".to_owned()));
        }),
        (OidcSettingsError::AdmitsEverybody, |settings| {
            settings.issuer = "https://accounts.google.com".to_owned()
        }),
        (OidcSettingsError::AdmitsEverybody, |settings| {
            settings.issuer = "https://accounts.google.com/".to_owned()
        }),
    ];
    let make = |change: &dyn Fn(&mut OidcSettings)| {
        let mut settings = settings();
        change(&mut settings);
        Oidc::new(settings, fetcher(), Arc::new(TestClock::default())).err()
    };
    assert_eq!(make(&|_| {}), None);
    assert_eq!(make(&|settings| settings.issuer = "http://[::1]:8080/realms/one".to_owned()), None);
    for (index, (error, change)) in cases.into_iter().enumerate() {
        assert_eq!(make(&change), Some(error), "{index}");
    }
    let restricted = |settings: &mut OidcSettings| {
        settings.issuer = "https://accounts.google.com".to_owned();
        settings.required_claims.insert("hd".to_owned(), vec!["example.com".to_owned()]);
    };
    assert_eq!(make(&restricted), None);
}
