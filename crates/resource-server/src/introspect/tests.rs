//! Each reason of [`AskError`] reached, and the limits of an answer.

use protocol::oauth::ErrorCode;

use super::*;
use crate::fixture::{SOMEBODY, World, secret_of};

fn form(pairs: &[(&str, &str)]) -> Form {
    let text: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    Form::parse(text.join("&").as_bytes()).unwrap()
}

async fn ask(
    world: &World,
    name: &str,
    secret: &str,
    token: &str,
) -> Result<IntrospectionResponse, AskError> {
    let form = form(&[("client_id", name), ("client_secret", secret), ("token", token)]);
    world.server.introspect(&[], &form, SOMEBODY).await
}

#[tokio::test]
async fn each_reason_is_reached_and_tells_what_it_should() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let right = secret_of("files");
    let table = [
        (form(&[("token", &token)]), "credentials_malformed", ErrorCode::InvalidClient),
        (
            form(&[("client_id", "files"), ("client_secret", "x"), ("token", &token)]),
            "server_unknown",
            ErrorCode::InvalidClient,
        ),
        (
            form(&[("client_id", "files"), ("client_secret", &right)]),
            "token_missing",
            ErrorCode::InvalidRequest,
        ),
        (
            form(&[("client_id", "files"), ("client_secret", &right), ("token", "a"), ("token", "a")]),
            "parameter_repeated",
            ErrorCode::InvalidRequest,
        ),
    ];
    for (form, reason, code) in table {
        let error = world.server.introspect(&[], &form, SOMEBODY).await.unwrap_err();
        assert_eq!((error.reason(), error.code()), (reason, code));
        assert!(!format!("{error:?} {error}").contains(&right));
    }
    assert!(matches!(
        ask(&world, "files", &right, &token).await.unwrap(),
        IntrospectionResponse::Active(said) if said.groups == ["staff"]
    ));
    // `notes` is low-risk and goes on; `files` does not know enough.
    let stale = World::with(|_| {}).await;
    let error = ask(&stale, "files", &right, &token).await.unwrap_err();
    assert_eq!((error.reason(), error.code()), ("revocations_stale", ErrorCode::TemporarilyUnavailable));
    let token = stale.token(|claims| claims.aud = claims.aud.replace("files", "notes"));
    let answer = ask(&stale, "notes", &secret_of("notes"), &token).await.unwrap();
    assert!(matches!(answer, IntrospectionResponse::Active(_)));
}

/// AS-191: usable at the asking resource server, and its policy is part of that.
#[tokio::test]
async fn a_person_whom_the_policy_does_not_admit_has_no_active_token() {
    let world = World::new().await;
    let mallory = world.person("mallory", &["visitors"]).await;
    let token = world.token(|claims| claims.sub = mallory.to_string());
    let answer = ask(&world, "files", &secret_of("files"), &token).await.unwrap();
    assert_eq!(answer, IntrospectionResponse::Inactive);
}
