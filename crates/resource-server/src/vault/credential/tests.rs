use super::*;
use crate::fixture::{PING, World, post, server, tools_call};
use crate::settings::ServerSettings;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn fixed(name: &str, scheme: Option<&str>, value: &str) -> Result<FixedCredential, FixedCredentialError> {
    FixedCredential::new(name, scheme, &secret(value))
}

async fn guarding(assertion: bool, credential: Credential) -> World {
    let files = ServerSettings { assertion, credential, ..server("files") };
    let notes = ServerSettings { low_risk: true, ..server("notes") };
    let world = World::with(|settings| settings.servers = vec![files, notes]).await;
    world.read().await;
    world
}

#[test]
fn a_fixed_credential_stands_in_its_header_behind_its_scheme() {
    for (name, scheme, header, value) in [
        ("Authorization", None, "authorization", "Bearer canary"),
        ("Authorization", Some("Basic"), "authorization", "Basic canary"),
        ("Authorization", Some(""), "authorization", "canary"),
        ("X-API-Key", None, "x-api-key", "canary"),
        ("X-API-Key", Some("Token"), "x-api-key", "Token canary"),
    ] {
        let made = fixed(name, scheme, "canary").unwrap();
        assert_eq!((made.name.as_str(), made.value.to_str().unwrap()), (header, value));
        assert!(!format!("{made:?}").contains("canary"), "{made:?}");
    }
}

#[test]
fn no_credential_stands_in_a_header_that_is_ours_or_of_the_connection() {
    for name in [
        "Host",
        "connection",
        "Mcp-Session-Id",
        "mcp-param-x",
        "Sekisho-Identity",
        "X-Forwarded-For",
        "Cookie",
    ] {
        assert_eq!(fixed(name, None, "k").unwrap_err(), FixedCredentialError::Taken, "{name}");
    }
    for name in ["", "a b", "é", "a:b"] {
        assert_eq!(fixed(name, None, "k").unwrap_err(), FixedCredentialError::Name, "{name}");
    }
    assert_eq!(fixed("x-key", Some("a b"), "k").unwrap_err(), FixedCredentialError::Scheme);
    for value in ["a\nb", "a\r\nx-admin: 1", "clé", "a\0"] {
        assert_eq!(fixed("x-key", None, value).unwrap_err(), FixedCredentialError::Value, "{value:?}");
    }
}

/// PX-05, for every form that P-14 knows: what the MCP server gets is what the house says, and never the client's token.
#[tokio::test]
async fn each_form_of_credential_is_sent_alone_or_beside_the_assertion() {
    let key = || Credential::Fixed(fixed("Authorization", None, "of-the-house").unwrap());
    for (assertion, credential, expected) in [
        (true, Credential::None, None),
        (false, Credential::None, None),
        (false, key(), Some("Bearer of-the-house")),
        (true, key(), Some("Bearer of-the-house")),
    ] {
        let world = guarding(assertion, credential).await;
        let token = world.token(|_| {});
        world.call(post(&token, PING)).await.unwrap();
        let seen = world.upstream.only();
        assert_eq!(seen.header("authorization"), expected);
        assert_eq!(seen.header("sekisho-identity").is_some(), assertion);
        assert!(!format!("{:?}", seen.headers).contains(&token));
    }
}

/// The list of tools that is read in a caller's name carries the same.
#[tokio::test]
async fn what_is_asked_beside_a_call_carries_the_same_credential() {
    let credential = Credential::Fixed(fixed("x-api-key", None, "of-the-house").unwrap());
    let world = guarding(false, credential).await;
    let reading = world.token(|claims| claims.scope = Some("read".to_owned()));
    let refused = world.call(post(&reading, &tools_call("look"))).await;
    assert!(refused.is_err(), "a tool that nobody knows writes");
    let seen = world.upstream.only();
    assert!(String::from_utf8_lossy(&seen.body).contains("tools/list"));
    assert_eq!((seen.header("x-api-key"), seen.header("sekisho-identity")), (Some("of-the-house"), None));
}
