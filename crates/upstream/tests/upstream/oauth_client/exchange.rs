//! Token exchange (RFC 8693) at the MCP server's own authorization server.

use protocol::oauth::Scope;
use protocol::secret::Secret;
use serde_json::{Value, json};
use upstream::oauth_client::{Malformed, Obstacle, SubjectTokenType};

use super::remote::{Remote, Reply, tokens};

#[tokio::test]
async fn what_the_person_has_elsewhere_buys_an_access_token_and_nothing_else() {
    let remote = Remote::honest().await;
    let client = remote.client_with(|settings| settings.scope = Scope::parse("read").unwrap());
    let subject = Secret::new("the.subject.token".to_owned());
    let mut said = tokens();
    said["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
    remote.says("/token", Reply::json(200, &said));
    let given = client.exchange(&subject, SubjectTokenType::Jwt, None).await.unwrap();
    assert!(given.refresh_token.is_none(), "the next one is had with the subject token");
    let asked = remote.seen("/token").remove(0);
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "the.subject.token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", &remote.at("/mcp")),
        ("scope", "read"),
    ] {
        assert_eq!(asked.field(name).as_deref(), Some(value), "{name}");
    }
    let exchange = async |answer: Reply| {
        remote.says("/token", answer);
        client.exchange(&subject, SubjectTokenType::IdToken, None).await.err()
    };
    for other in [json!("urn:ietf:params:oauth:token-type:id-jag"), Value::String(String::new())] {
        said["issued_token_type"] = other;
        assert_eq!(exchange(Reply::json(200, &said)).await, Some(Malformed::IssuedType.into()));
    }
    let target = exchange(Reply::json(400, &json!({"error": "invalid_target"}))).await;
    assert_eq!(target, Some(Obstacle::Target.into()));
    let unsupported = exchange(Reply::json(400, &json!({"error": "unsupported_grant_type"}))).await;
    assert_eq!(unsupported, Some(Obstacle::Unsupported.into()));
}
