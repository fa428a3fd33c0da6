//! Token exchange (RFC 8693) at the MCP server's own authorization server.

use protocol::oauth::{Scope, TokenEndpointAuthMethod};
use protocol::secret::Secret;
use serde_json::{Value, json};
use upstream::oauth_client::{Malformed, Obstacle, PreRegistered, SubjectTokenType, Target, TokenExchange};

use super::remote::{Remote, Reply, tokens};

#[tokio::test]
async fn what_the_person_has_elsewhere_buys_an_access_token_and_nothing_else() {
    let remote = Remote::honest().await;
    let client = remote.client_with(|settings| settings.scope = Scope::parse("read").unwrap());
    let subject = Secret::new("the.subject.token".to_owned());
    let mut said = tokens();
    said["issued_token_type"] = json!("urn:ietf:params:oauth:token-type:access_token");
    remote.says("/token", Reply::json(200, &said));
    let given = client.exchange(&subject, SubjectTokenType::Jwt, &Target::default(), None).await.unwrap();
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
        client.exchange(&subject, SubjectTokenType::IdToken, &Target::default(), None).await.err()
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

/// An organisation's token service has no metadata, and knows MCP servers by names of its own.
#[tokio::test]
async fn a_token_endpoint_that_the_operator_names_is_asked_and_nobody_else() {
    let remote = Remote::bare().await;
    let secret = std::sync::Arc::new(Secret::new("hush".to_owned()));
    let client = remote.client_with(|settings| {
        settings.authorization_server = Some("https://sts.example".to_owned());
        settings.token_endpoint = Some(remote.at("/sts/token"));
        settings.client = Some(PreRegistered {
            client_id: "us".to_owned(),
            client_secret: Some(secret),
            key: None,
            method: Some(TokenEndpointAuthMethod::ClientSecretPost),
        });
    });
    let target = Target { audience: Some("the-notes".to_owned()), without_resource: true };
    let exchange = TokenExchange::new(client, target).unwrap();
    assert_eq!(exchange.issuer(), "https://sts.example");
    remote.says("/sts/token", Reply::json(200, &tokens()));
    exchange.obtain(&Secret::new("the.subject.token".to_owned())).await.unwrap();
    assert_eq!(remote.paths(), ["/sts/token"]);
    let asked = remote.seen("/sts/token").remove(0);
    let field = |name: &str| asked.field(name);
    assert_eq!((field("audience").as_deref(), field("resource")), (Some("the-notes"), None));
    assert_eq!(
        (field("client_id").as_deref(), field("client_secret").as_deref()),
        (Some("us"), Some("hush"))
    );
    assert!(
        TokenExchange::new(remote.client(), Target::default()).is_err(),
        "for whom would an assertion be?"
    );
}
