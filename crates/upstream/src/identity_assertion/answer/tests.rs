//! Each answer here is good but for one thing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://mcp.example";
const NOW: i64 = 1_790_000_000;

fn wanted() -> Wanted {
    Wanted { resource: format!("{AUDIENCE}/notes/mcp"), scope: Scope::parse("read write").unwrap() }
}

fn assertion_text() -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "client_id": "us", "exp": NOW + 300});
    format!("{}.{}.c2ln", part(&json!({"typ": "oauth-id-jag+jwt", "alg": "ES256"})), part(&claims))
}

fn answer(content_type: &str, good: Value, changes: &[(&str, Value)]) -> Response<Bytes> {
    let mut body = good;
    for (name, value) in changes {
        body[*name] = value.clone();
    }
    let response = Response::builder().header(CONTENT_TYPE, content_type);
    response.body(Bytes::from(body.to_string())).unwrap()
}

fn exchanged(content_type: &str, changes: &[(&str, Value)]) -> Result<Secret, Trouble> {
    let good = json!({"access_token": assertion_text(), "issued_token_type": ID_JAG, "token_type": "N_A", "scope": "read"});
    let wanted = wanted();
    let now = Timestamp::from_secs(NOW);
    let expected =
        ExpectedAssertion { audience: AUDIENCE, client_id: "us", issuer: ISSUER, now, wanted: &wanted };
    assertion(&answer(content_type, good, changes), &expected)
}

fn redeemed(content_type: &str, changes: &[(&str, Value)]) -> Result<Granted, Trouble> {
    let good = json!({"access_token": "a-token", "token_type": "bearer", "expires_in": 600, "scope": "read"});
    granted(&answer(content_type, good, changes), &wanted())
}

#[test]
fn a_good_answer_is_taken() {
    let token = exchanged("application/json; charset=utf-8", &[("token_type", json!("n_a"))]).unwrap();
    assert_eq!(token.reveal().as_str(), assertion_text());
    let granted = redeemed("application/json", &[]).unwrap();
    assert_eq!(granted.access_token.reveal().as_str(), "a-token");
    assert_eq!(granted.expires_in, Some(Duration::from_secs(600)));
    assert_eq!(granted.scope.to_string(), "read");
    // RFC 6749, section 5.1: what is not said is what was asked for.
    assert_eq!(redeemed("application/json", &[("scope", Value::Null)]).unwrap().scope, wanted().scope);
}

#[test]
fn an_answer_with_one_thing_wrong_is_none() {
    let long = "x".repeat(LONGEST + 1);
    for (name, lie) in [
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:access_token")),
        ("token_type", json!("Bearer")),
        ("scope", json!("read admin")),
        ("scope", json!("read \"")),
        ("access_token", json!("")),
    ] {
        let refused = exchanged("application/json", &[(name, lie.clone())]).err();
        assert_eq!(refused, Some(Trouble::OtherAnswer), "{name}: {lie}");
    }
    for (name, lie) in [
        ("token_type", json!("DPoP")),
        ("scope", json!("read admin")),
        ("access_token", json!("")),
        ("access_token", json!(long)),
        ("access_token", json!("a token")),
        ("access_token", json!("a\r\nx-evil: 1")),
        ("access_token", json!("tök")),
    ] {
        let refused = redeemed("application/json", &[(name, lie.clone())]).err();
        assert_eq!(refused, Some(Trouble::OtherAnswer), "{name}: {lie}");
    }
    for other in ["text/html", "text/json", "application/jwt"] {
        assert_eq!(exchanged(other, &[]).err(), Some(Trouble::OtherAnswer), "{other}");
        assert_eq!(redeemed(other, &[]).err(), Some(Trouble::OtherAnswer), "{other}");
    }
}
