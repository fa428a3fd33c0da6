//! Registration: each reason reached, and RG-05, RG-08, RG-19 .. RG-22 of attacks.md.

use futures_util::FutureExt as _;
use store::Queries;

use super::*;
use crate::test_house::*;

fn refused(house: &House, json: &str) -> RegisterError {
    house.server.register(json.as_bytes(), None).now_or_never().unwrap().unwrap_err()
}

/// AS-086.
#[tokio::test]
async fn each_reason_is_reached() {
    let house = House::new().await;
    let mut reached = every_reason!(RegisterError {
        Closed,
        Metadata,
        Store,
        TokenMissing,
        TokenRefused,
        TooLarge,
        Unserved
    });
    // Without repetition, so that compression has nothing to hold on to.
    let long: Vec<String> = (0..20_u32)
        .map(|n| {
            let noise: String =
                (0..8).map(|m| format!("{:08x}", (n * 8 + m).wrapping_mul(2_654_435_761))).collect();
            format!("\"https://{noise}.example/{n}\"")
        })
        .collect();
    let table = [
        ("null".to_owned(), "Metadata", ErrorCode::InvalidClientMetadata),
        ("{}".to_owned(), "Metadata", ErrorCode::InvalidRedirectUri),
        (
            r#"{"redirect_uris": ["http://client.example/cb"]}"#.to_owned(),
            "Metadata",
            ErrorCode::InvalidRedirectUri,
        ),
        (
            r#"{"redirect_uris": ["https://c.example/"], "grant_types": ["password"]}"#.to_owned(),
            "Metadata",
            ErrorCode::InvalidClientMetadata,
        ),
        (
            format!(r#"{{"redirect_uris": [{}]}}"#, long.join(",")),
            "TooLarge",
            ErrorCode::InvalidClientMetadata,
        ),
    ];
    for (json, name, code) in table {
        let error = refused(&house, &json);
        assert_eq!(
            (reached.reach(&error), error.code(), error.blame()),
            (name, code, Blame::Client),
            "{json}"
        );
    }
    // What protocol reads is what capabilities lists; the table stands behind it for the day when it is not.
    assert_eq!(RegisterError::Unserved.code(), ErrorCode::InvalidClientMetadata);
    // Who may register is tried from outside (RG-16).
    reached.all_but(&["Closed", "Store", "TokenMissing", "TokenRefused", "Unserved"]);
    assert_eq!(house.store.counts().await.unwrap().clients, 0);
}

/// P-4: registering writes nothing.
#[tokio::test]
async fn registering_does_not_visit_the_record() {
    let house = House::new().await;
    let before = house.store.counts().await.unwrap();
    let client = house.public_client();
    assert_eq!(house.store.counts().await.unwrap(), before);
    assert!(client.starts_with("dcr_"));
    assert!(client.len() <= 512, "{}", client.len());
}

/// RG-20.
///
/// AS-040.
#[tokio::test]
async fn a_public_client_gets_no_secret_and_a_confidential_one_gets_one_of_its_own() {
    let house = House::new().await;
    let json = r#"{"redirect_uris": ["https://c.example/cb"], "token_endpoint_auth_method": "none"}"#;
    assert_eq!(house.register(json).1, None);
    let json = r#"{"redirect_uris": ["https://c.example/cb"]}"#;
    let (first, second) = (house.register(json), house.register(json));
    // RG-22 and RG-19: the same metadata twice is two clients.
    assert_ne!(first.0, second.0);
    assert_ne!(first.1.unwrap(), second.1.unwrap());
}

/// RG-05 and RG-08: what belongs to the server is not read, and no scope is registered.
///
/// AS-084.
#[tokio::test]
async fn the_answer_shows_what_was_registered_and_nothing_that_was_not() {
    let house = House::new().await;
    let json = br#"{"redirect_uris": ["https://c.example/cb"], "client_id": "mine", "client_secret": "mine", "trusted": true,
        "scope": "read write admin", "registration_client_uri": "https://evil.example/"}"#;
    let response =
        serde_json::to_value(house.server.register(json, None).now_or_never().unwrap().unwrap()).unwrap();
    let mut members: Vec<&str> = response.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "client_id",
            "client_id_issued_at",
            "client_secret",
            "client_secret_expires_at",
            "grant_types",
            "redirect_uris",
            "response_types",
            "token_endpoint_auth_method",
        ]
    );
    assert_ne!(response["client_id"], "mine");
    assert_ne!(response["client_secret"], "mine");
    assert_eq!(response["client_secret_expires_at"], 0);
}

#[tokio::test]
async fn a_client_is_known_again_by_its_id_alone() {
    let house = House::new().await;
    let id = protocol::oauth::ClientId::parse(&house.public_client()).unwrap();
    let client = house.server.resolve(&id).await.unwrap();
    assert_eq!(client.metadata().client_name.as_deref(), Some("Tool"));
    let other = House::with(settings()).await;
    assert!(other.server.resolve(&id).await.is_ok(), "the same counted chance makes the same keys");
    let mut changed = id.as_str().to_owned();
    changed.pop();
    let changed = protocol::oauth::ClientId::parse(&changed).unwrap();
    assert!(house.server.resolve(&changed).await.is_err());
}
