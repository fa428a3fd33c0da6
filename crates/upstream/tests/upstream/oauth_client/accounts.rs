//! Accounts at GitHub, Google and Atlassian: what each does in its own way.

use std::sync::Arc;

use http::Method;
use protocol::oauth::Scope;
use protocol::secret::Secret;
use serde_json::{Value, json};
use upstream::oauth_client::{
    Kind, OauthClient, OauthClientError, Obstacle, PreRegistered, Rejection, Revocated, Revoked, Tokens,
};

use super::remote::{Remote, Reply, begin, connect, parameter, tokens};

fn account(remote: &Remote, kind: Kind) -> OauthClient {
    remote.client_with(|settings| {
        settings.kind = kind;
        settings.authorization_server = Some(remote.origin.clone());
        settings.scope = Scope::parse("repo").unwrap();
        settings.client = Some(PreRegistered {
            client_id: "us".to_owned(),
            client_secret: Some(Arc::new(Secret::new("hush".to_owned()))),
            key: None,
            method: None,
        });
    })
}

async fn revoke(client: &OauthClient, tokens: &Tokens) -> Result<Revocated, OauthClientError> {
    let refresh_token = tokens.refresh_token.as_ref();
    client
        .revoke(Revoked { access_token: &tokens.access_token, refresh_token, binding: &tokens.binding })
        .await
}

#[tokio::test]
async fn github_tells_errors_with_status_200_scopes_with_commas_and_deletes_grants() {
    let remote = Remote::bare().await;
    let client = account(&remote, Kind::Github);
    let begun = begin(&client).await.unwrap();
    assert!(begun.url.starts_with(&remote.at("/login/oauth/authorize?")));
    assert_eq!(parameter(&begun.url, "resource"), None, "GitHub knows no resources");
    let place = "/login/oauth/access_token";
    let said = json!({"access_token": "gho_1", "token_type": "bearer", "scope": "repo,gist"});
    remote.says(place, Reply::json(200, &said));
    let given = connect(&client, "code=c&state=s").await.unwrap();
    assert_eq!((given.scope.to_string().as_str(), given.expires_in), ("gist repo", None));
    assert_eq!(remote.seen(place)[0].field("client_secret").as_deref(), Some("hush"));

    for (error, why) in [
        ("bad_verification_code", OauthClientError::from(Rejection::Grant)),
        ("bad_refresh_token", Rejection::Grant.into()),
        ("incorrect_client_credentials", Obstacle::Client.into()),
    ] {
        remote.says(place, Reply::json(200, &json!({"error": error})));
        assert_eq!(connect(&client, "code=c&state=s").await.err(), Some(why), "{error}");
    }

    let deletion = "/api/v3/applications/us/grant";
    for (status, done) in [(204, true), (404, true), (422, true), (401, false)] {
        remote.says(deletion, Reply::bare(status));
        assert_eq!(revoke(&client, &given).await.is_ok(), done, "{status}");
    }
    let sent = remote.seen(deletion).remove(0);
    assert_eq!((sent.method, sent.body.as_str()), (Method::DELETE, r#"{"access_token":"gho_1"}"#));
    assert_eq!(sent.headers["authorization"], "Basic dXM6aHVzaA==");
}

#[tokio::test]
async fn google_is_asked_for_offline_access_and_keeps_what_was_granted_before() {
    let remote = Remote::bare().await;
    let client = account(&remote, Kind::Google);
    let begun = begin(&client).await.unwrap();
    for (name, value) in [("access_type", "offline"), ("prompt", "consent")] {
        assert_eq!(parameter(&begun.url, name).as_deref(), Some(value), "{name}");
    }
    remote.says("/token", Reply::json(200, &tokens()));
    let given = connect(&client, &format!("code=c&state=s&iss={}", remote.origin)).await.unwrap();
    assert_eq!(given.scope.to_string(), "read", "CB-19: a person un-ticked the rest");
    remote.says("/revoke", Reply::json(400, &json!({"error": "invalid_token"})));
    assert_eq!(revoke(&client, &given).await, Ok(Revocated::Done));
    let asked = remote.seen("/revoke");
    assert_eq!(asked[0].field("token").as_deref(), Some("refresh-1"), "with it the grant ends");
    assert_eq!(asked[1].field("token").as_deref(), Some("access-1"));
}

#[tokio::test]
async fn atlassian_is_asked_in_json_and_refuses_in_its_own_words() {
    let remote = Remote::bare().await;
    let client = account(&remote, Kind::Atlassian);
    let begun = begin(&client).await.unwrap();
    for (name, value) in [("audience", "api.atlassian.com"), ("scope", "offline_access repo")] {
        assert_eq!(parameter(&begun.url, name).as_deref(), Some(value), "{name}");
    }
    let mut said = tokens();
    said["token_type"] = Value::Null;
    remote.says("/oauth/token", Reply::json(200, &said));
    let given = connect(&client, &format!("code=c&state=s&iss={}/", remote.origin)).await.unwrap();
    let sent: Value = serde_json::from_str(&remote.seen("/oauth/token")[0].body).unwrap();
    assert_eq!((&sent["client_secret"], &sent["code"]), (&json!("hush"), &json!("c")));
    for (status, error, why) in [
        (403, "unauthorized_client", OauthClientError::from(Rejection::Grant)),
        (403, "invalid_grant", Rejection::Grant.into()),
        (401, "access_denied", Obstacle::Client.into()),
    ] {
        remote.says("/oauth/token", Reply::json(status, &json!({"error": error})));
        let token = given.refresh_token.as_ref().unwrap();
        let refused = client.refresh(token, &given.binding, &given.scope).await;
        assert_eq!(refused.err(), Some(why), "{status} {error}");
    }
    assert_eq!(revoke(&client, &given).await, Ok(Revocated::NotOffered));
}
