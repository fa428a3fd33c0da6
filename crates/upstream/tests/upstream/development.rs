//! The connector without passwords walks the path of a real one: code, state, nonce, verifier, once, a minute.

use std::time::Duration;

use protocol::oauth::CodeVerifier;
use protocol::oauth::form::Form;
use protocol::world::Timestamp;
use upstream::connectors::development::{Development, DevelopmentSettings, Person};
use upstream::connectors::{
    Callback, Connector as _, ConnectorError, Identity, LegRequest, Malformation, Refusal,
};

use crate::provider::{NONCE, REDIRECT, VERIFIER};
use crate::world::{NOW, TestEntropy};

const OTHER_VERIFIER: &str = "another-verifier-0123456789-0123456789-0123456";
const REFUSED: ConnectorError = ConnectorError::Refused(Refusal::CodeRefused);

fn connector() -> Development {
    let person = |login: &str, groups: &[&str]| Person {
        login: login.to_owned(),
        name: format!("{login} of the examples"),
        email: Some(format!("{login}@example.com")),
        groups: groups.iter().map(ToString::to_string).collect(),
    };
    Development::new(DevelopmentSettings {
        id: "development".parse().unwrap(),
        title: "Example people".to_owned(),
        public_url: "http://localhost:8080".to_owned(),
        people: vec![person("ada", &["staff", "engineering", "staff"]), person("grace", &[])],
    })
}

async fn begin(connector: &Development, state: &str) -> String {
    let leg = LegRequest {
        state,
        nonce: NONCE,
        code_challenge: &CodeVerifier::parse(VERIFIER).unwrap().challenge(),
        redirect_uri: REDIRECT,
        login_hint: None,
        reauthenticate: false,
    };
    connector.start(leg).await.unwrap()
}

/// The query of the callback after `login` was picked on the page.
fn pick(connector: &Development, login: &str, state: &str) -> Result<String, ConnectorError> {
    let callback = connector.authorize(login, state, NOW, &TestEntropy::default())?;
    let (path, query) = callback.split_once('?').unwrap();
    assert_eq!(path, REDIRECT);
    Ok(query.to_owned())
}

struct Leg<'a> {
    redirect_uri: &'a str,
    nonce: &'a str,
    verifier: &'a str,
    now: Timestamp,
}

const LEG: Leg<'static> = Leg { redirect_uri: REDIRECT, nonce: NONCE, verifier: VERIFIER, now: NOW };

async fn come_back(connector: &Development, query: &str, leg: Leg<'_>) -> Result<Identity, ConnectorError> {
    let form = Form::parse(query.as_bytes()).unwrap();
    let callback = Callback {
        form: &form,
        redirect_uri: leg.redirect_uri,
        nonce: leg.nonce,
        code_verifier: &CodeVerifier::parse(leg.verifier).unwrap(),
        not_before_auth: None,
        now: leg.now,
    };
    connector.complete(callback).await
}

#[tokio::test]
async fn a_person_who_is_picked_is_signed_in() {
    let connector = connector();
    assert_eq!(begin(&connector, "s t&te").await, "http://localhost:8080/login/development?state=s+t%26te");
    let query = pick(&connector, "ada", "s t&te").unwrap();
    let expected = Identity {
        connector: "development".parse().unwrap(),
        subject: "ada".to_owned(),
        name: Some("ada of the examples".to_owned()),
        email: Some("ada@example.com".to_owned()),
        groups: vec!["engineering".to_owned(), "staff".to_owned()],
        authenticated_at: Some(NOW),
        session: None,
        offline: None,
    };
    assert_eq!(come_back(&connector, &query, LEG).await, Ok(expected));
}

#[tokio::test]
async fn nobody_of_that_name_is_refused_and_the_page_may_be_tried_again() {
    let connector = connector();
    begin(&connector, "s").await;
    for login in ["", "Ada", "ada ", "root"] {
        assert_eq!(pick(&connector, login, "s"), Err(ConnectorError::Refused(Refusal::UnknownPerson)));
    }
    assert!(pick(&connector, "grace", "s").is_ok());
}

#[tokio::test]
async fn a_state_that_no_leg_began_with_is_refused() {
    let connector = connector();
    begin(&connector, "s").await;
    let refused = Err(ConnectorError::Malformed(Malformation::CallbackIncomplete));
    assert_eq!(pick(&connector, "ada", "t"), refused);
}

#[tokio::test]
async fn a_code_is_good_once_for_a_minute() {
    let connector = connector();
    begin(&connector, "s").await;
    let query = pick(&connector, "ada", "s").unwrap();
    assert!(
        come_back(&connector, &query, Leg { now: NOW.plus(Duration::from_micros(59_999_999)), ..LEG })
            .await
            .is_ok()
    );
    assert_eq!(come_back(&connector, &query, LEG).await, Err(REFUSED));

    let query = pick(&connector, "ada", "s").unwrap();
    let late = Leg { now: NOW.plus(Duration::from_secs(60)), ..LEG };
    assert_eq!(come_back(&connector, &query, late).await, Err(REFUSED));
    assert_eq!(come_back(&connector, &query, LEG).await, Err(REFUSED), "whoever presents a code ends it");
}

#[tokio::test]
async fn a_code_is_bound_to_its_leg() {
    let connector = connector();
    begin(&connector, "s").await;
    let query = |connector: &Development| pick(connector, "ada", "s").unwrap();
    let other_state = query(&connector).replace("state=s", "state=t");
    assert_eq!(come_back(&connector, &other_state, LEG).await, Err(REFUSED));
    let other_verifier = Leg { verifier: OTHER_VERIFIER, ..LEG };
    assert_eq!(come_back(&connector, &query(&connector), other_verifier).await, Err(REFUSED));
    let other_redirect = Leg { redirect_uri: "https://mcp.example.com/login/callback/other", ..LEG };
    assert_eq!(come_back(&connector, &query(&connector), other_redirect).await, Err(REFUSED));
    let other_nonce = Leg { nonce: "another", ..LEG };
    let refused = Err(ConnectorError::Malformed(Malformation::IdTokenNonce));
    assert_eq!(come_back(&connector, &query(&connector), other_nonce).await, refused);
}

#[tokio::test]
async fn a_broken_callback_is_refused() {
    use Malformation::{CallbackIncomplete, CallbackRepeated};
    let connector = connector();
    for (query, malformation) in [
        ("state=s", CallbackIncomplete),
        ("code=c", CallbackIncomplete),
        ("code=c&code=c&state=s", CallbackRepeated),
        ("code=c&state=s&state=s", CallbackRepeated),
    ] {
        let refused = Err(ConnectorError::Malformed(malformation));
        assert_eq!(come_back(&connector, query, LEG).await, refused, "{query}");
    }
    assert_eq!(come_back(&connector, "code=invented&state=s", LEG).await, Err(REFUSED));
}

#[tokio::test]
async fn legs_that_are_never_finished_make_room_for_others() {
    let connector = connector();
    for number in 0..1001 {
        begin(&connector, &number.to_string()).await;
    }
    assert!(pick(&connector, "ada", "0").is_err());
    assert!(pick(&connector, "ada", "1").is_ok());
    assert!(pick(&connector, "ada", "1000").is_ok());
}

#[tokio::test]
async fn it_can_be_told_from_the_other_connectors() {
    let connector = connector();
    assert_eq!(connector.development().unwrap().people().len(), 2);
    assert_eq!(
        connector.check("https://mcp.example.com/x").await.unwrap(),
        "signs in 2 example people without a password"
    );
    assert!(!format!("{connector:?}").contains("nonce"));
}
