//! Discovery: in which order, and what is never believed.

use std::time::Duration;

use serde_json::json;
use upstream::oauth_client::{OauthClientError, Obstacle};

use super::remote::{OPENID, RESOURCE, Remote, Reply, SERVER, begin, connect};

/// CL-002, CL-004, CL-008, CL-010: what is asked for, and nothing else.
#[tokio::test]
async fn documents_are_looked_for_where_each_revision_puts_them() {
    let remote = Remote::honest().await;
    begin(&remote.client()).await.unwrap();
    assert_eq!(remote.paths(), ["/mcp", "/.well-known/oauth-protected-resource/mcp", SERVER, "/register"]);

    // Not named: with the path, then without.
    let remote = Remote::honest().await;
    remote.says("/mcp", Reply::bare(401));
    remote.says(&format!("{RESOURCE}/mcp"), Reply::bare(404));
    let mut resource = remote.resource();
    resource["resource"] = json!(remote.origin);
    resource["authorization_servers"] = json!([remote.at("/tenant1")]);
    remote.says(RESOURCE, Reply::json(200, &resource));
    remote.says(
        "/tenant1/.well-known/openid-configuration",
        Reply::json(200, &remote.metadata(&remote.at("/tenant1"))),
    );
    begin(&remote.client()).await.unwrap();
    let paths = remote.paths();
    let tail = [
        "/.well-known/oauth-protected-resource/mcp",
        RESOURCE,
        "/.well-known/oauth-authorization-server/tenant1",
        "/.well-known/openid-configuration/tenant1",
        "/tenant1/.well-known/openid-configuration",
        "/register",
    ];
    assert_eq!(paths[1..], tail);

    // An issuer without a path.
    let remote = Remote::honest().await;
    remote.says(SERVER, Reply::bare(404));
    remote.says(OPENID, Reply::json(200, &remote.metadata(&remote.origin)));
    begin(&remote.client()).await.unwrap();
    assert_eq!(remote.paths()[2..4], [SERVER, OPENID]);
}

/// CL-001.
#[tokio::test]
async fn a_server_of_2025_03_26_needs_no_metadata_at_all() {
    let remote = Remote::honest().await;
    remote.says("/mcp", Reply::bare(401));
    remote.says(&format!("{RESOURCE}/mcp"), Reply::bare(404));
    remote.says(SERVER, Reply::bare(404));
    let client = remote.client();
    let begun = begin(&client).await.unwrap();
    assert!(begun.url.starts_with(&remote.at("/authorize?")), "{}", begun.url);
    assert_eq!((begun.leg.binding.issuer.as_str(), begun.leg.sends_iss), (remote.origin.as_str(), false));
    connect(&client, "code=c&state=s").await.unwrap();
    assert!(remote.seen(SERVER)[0].headers.contains_key("mcp-protocol-version"));

    // Its metadata at the root counts, if there is some.
    let remote = Remote::honest().await;
    remote.says(&format!("{RESOURCE}/mcp"), Reply::bare(404));
    remote.says("/mcp", Reply::bare(401));
    let begun = begin(&remote.client()).await.unwrap();
    assert!(begun.url.starts_with(&remote.at("/authorize?tenant=1&")));
}

/// CL-005, CL-006, CL-034; conformance `auth/resource-mismatch`.
#[tokio::test]
async fn metadata_of_another_resource_is_not_used() {
    let remote = Remote::honest().await;
    for other in [
        "https://evil.example/mcp".to_owned(),
        remote.origin.clone(),
        remote.at("/mcp/"),
        remote.at("/MCP"),
        remote.at("/mcp2"),
    ] {
        let mut resource = remote.resource();
        resource["resource"] = json!(other);
        remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
        assert_eq!(begin(&remote.client()).await.err(), Some(Obstacle::Resource.into()), "{other}");
        let meant = remote.client_with(|settings| settings.resource = Some(other.clone()));
        assert_eq!(begin(&meant).await.unwrap().leg.binding.resource, Some(other));
    }
}

/// CL-009; conformance `auth/metadata-issuer-mismatch`.
#[tokio::test]
async fn metadata_of_another_issuer_is_not_used() {
    let remote = Remote::honest().await;
    for other in [
        format!("{}/", remote.origin),
        "https://evil.example".to_owned(),
        remote.origin.to_uppercase(),
        String::new(),
    ] {
        remote.says(SERVER, Reply::json(200, &remote.metadata(&other)));
        assert_eq!(begin(&remote.client()).await.err(), Some(Obstacle::Issuer.into()), "{other}");
    }
    assert!(remote.seen("/register").is_empty());
}

/// CL-012.
#[tokio::test]
async fn without_a_promise_of_s256_nobody_is_sent_there() {
    let remote = Remote::honest().await;
    for (methods, assumed) in [(json!(null), true), (json!([]), false), (json!(["plain"]), false)] {
        let mut metadata = remote.metadata(&remote.origin);
        metadata["code_challenge_methods_supported"] = methods;
        remote.says(SERVER, Reply::json(200, &metadata));
        let refused = begin(&remote.client()).await.err().unwrap();
        assert_eq!(refused, Obstacle::Pkce.into());
        assert!(refused.to_string().contains("`assume_pkce`"));
        let told = remote.client_with(|settings| settings.assume_pkce = true);
        assert_eq!(begin(&told).await.is_ok(), assumed, "what it denies is not assumed");
    }
}

/// CL-007: the configured one, or else the first.
#[tokio::test]
async fn of_several_authorization_servers_the_configured_one_is_taken() {
    let remote = Remote::honest().await;
    let second = remote.at("/second");
    let mut resource = remote.resource();
    resource["authorization_servers"] = json!([remote.origin, second]);
    remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
    remote.says(&format!("{SERVER}/second"), Reply::json(200, &remote.metadata(&second)));
    assert_eq!(begin(&remote.client()).await.unwrap().leg.binding.issuer, remote.origin);
    let configured = remote.client_with(|settings| settings.authorization_server = Some(second.clone()));
    assert_eq!(begin(&configured).await.unwrap().leg.binding.issuer, second);
    let other = remote.client_with(|settings| settings.authorization_server = Some(remote.at("/third")));
    assert_eq!(begin(&other).await.err(), Some(Obstacle::AuthorizationServer.into()));
}

/// CL-076, CL-078, CL-079, CL-080: a document leads nobody to where the operator did not name.
#[tokio::test]
async fn what_a_document_names_is_not_asked_unless_it_may_be() {
    let remote = Remote::honest().await;
    let inside = Remote::honest().await;
    let refused = async || begin(&remote.client()).await.err();
    let mut resource = remote.resource();
    resource["authorization_servers"] = json!([inside.origin]);
    remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
    assert_eq!(refused().await, Some(Obstacle::Address.into()), "another port of this machine");
    let named = format!(r#"Bearer resource_metadata="{}""#, inside.at(RESOURCE));
    remote.says("/mcp", Reply::bare(401).with("www-authenticate", &named));
    assert_eq!(refused().await, Some(Obstacle::Address.into()));
    for bad in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://mcp.example/",
        "https://u:p@mcp.example/",
        "//x",
    ] {
        let named = format!(r#"Bearer resource_metadata="{bad}""#);
        remote.says("/mcp", Reply::bare(401).with("www-authenticate", &named));
        assert_eq!(refused().await, Some(Obstacle::Address.into()), "{bad}");
    }
    assert!(inside.paths().is_empty(), "nobody was dialled");

    let remote = Remote::honest().await;
    for (name, bad) in [
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "http://as.example/authorize"),
        ("token_endpoint", "http://10.0.0.1/token"),
        ("registration_endpoint", "data:text/plain,x"),
        ("revocation_endpoint", "https://as.example/#x"),
    ] {
        let mut metadata = remote.metadata(&remote.origin);
        metadata[name] = json!(bad);
        remote.says(SERVER, Reply::json(200, &metadata));
        assert_eq!(begin(&remote.client()).await.err(), Some(Obstacle::Metadata.into()), "{name}");
    }
    let mut metadata = remote.metadata(&remote.origin);
    metadata["token_endpoint"] = json!(inside.at("/token"));
    remote.says(SERVER, Reply::json(200, &metadata));
    let query = format!("code=c&state=s&iss={}", remote.origin);
    assert_eq!(connect(&remote.client(), &query).await.err(), Some(Obstacle::Address.into()));
    assert!(inside.paths().is_empty(), "and no code was sent there");
}

/// F-14.
#[tokio::test]
async fn what_was_learnt_is_kept_for_a_while_and_serves_on_while_nobody_answers() {
    let remote = Remote::honest().await;
    let client = remote.client();
    begin(&client).await.unwrap();
    remote.clock.advance(Duration::from_secs(59 * 60));
    begin(&client).await.unwrap();
    assert_eq!(remote.seen(SERVER).len(), 1);
    remote.says(SERVER, Reply::bare(503));
    remote.clock.advance(Duration::from_secs(2 * 60));
    begin(&client).await.unwrap();
    assert_eq!(remote.seen(SERVER).len(), 2);
    remote.clock.advance(Duration::from_secs(24 * 60 * 60));
    let error = begin(&client).await.err().unwrap();
    assert!(matches!(error, OauthClientError::Unreachable(_)) && error.is_passing());
}

/// A deployment that fails must sign nobody out.
#[tokio::test]
async fn metadata_that_is_away_for_a_while_ends_no_credential() {
    let remote = Remote::honest().await;
    let second = remote.at("/second");
    let mut resource = remote.resource();
    resource["authorization_servers"] = json!([second]);
    remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
    remote.says(&format!("{SERVER}/second"), Reply::json(200, &remote.metadata(&second)));
    let client = remote.client();
    let given = connect(&client, &format!("code=c&state=s&iss={second}")).await.unwrap();
    let token = given.refresh_token.unwrap();
    for (path, reply) in [
        ("/mcp", Reply::bare(404)),
        ("/.well-known/oauth-protected-resource/mcp", Reply::bare(404)),
        (SERVER, Reply::bare(404)),
    ] {
        remote.says(path, reply);
        remote.clock.advance(Duration::from_secs(2 * 60 * 60));
        let refused = client.refresh(&token, &given.binding, &given.scope).await.err();
        assert!(refused.is_none_or(|refused| !refused.ends_credential()), "{path}: {refused:?}");
    }
}

/// CL-011, CL-026; conformance `auth/authorization-server-migration`.
#[tokio::test]
async fn when_the_authorization_server_moves_nothing_of_the_old_one_is_shown_to_the_new_one() {
    let remote = Remote::honest().await;
    let client = remote.client();
    let given = connect(&client, &format!("code=c&state=s&iss={}", remote.origin)).await.unwrap();
    let second = remote.at("/second");
    let mut resource = remote.resource();
    resource["authorization_servers"] = json!([second]);
    remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &resource));
    remote.says(&format!("{SERVER}/second"), Reply::json(200, &remote.metadata(&second)));
    let registered = json!({"client_id": "registered-at-second", "token_endpoint_auth_method": "none"});
    remote.says("/register", Reply::json(201, &registered));
    client.look_again().await.unwrap();
    let before = remote.seen("/token").len();
    let moved =
        client.refresh(&given.refresh_token.unwrap(), &given.binding, &given.scope).await.err().unwrap();
    assert!(moved.ends_credential());
    assert_eq!(remote.seen("/token").len(), before, "the old credential goes nowhere");
    let begun = begin(&client).await.unwrap();
    assert_eq!(begun.leg.binding.client_id, "registered-at-second");
}
