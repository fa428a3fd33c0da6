//! Client authentication: each reason reached, and TK-13 .. TK-17 of attacks.md.

use protocol::oauth::ErrorCode;
use protocol::oauth::client_assertion::JWT_BEARER;

use super::*;
use crate::test_house::*;

/// An assertion of [`KEYED`] that nobody signed.
const FORGED: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9uZSJ9.eyJzdWIiOiJrZXllZCJ9.AAAA";

const WRONG: &str = "wrong-secret";

fn basic(id: &str, secret: &str) -> String {
    // Test data needs no escaping but in base64.
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{id}:{secret}").into_bytes();
    let encoded: String = bytes
        .chunks(3)
        .flat_map(|chunk| {
            let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            let digit = move |place: usize| {
                let value = usize::try_from(number >> (18 - 6 * place)).unwrap() & 63;
                if place > chunk.len() { '=' } else { char::from(DIGITS[value]) }
            };
            (0..4).map(digit)
        })
        .collect();
    format!("Basic {encoded}")
}

fn confidential(house: &House, method: &str) -> (String, String) {
    let json = format!(
        r#"{{"redirect_uris": ["https://client.example/cb"], "token_endpoint_auth_method": "{method}"}}"#
    );
    let (id, secret) = house.register(&json);
    (id, secret.unwrap())
}

async fn authenticate(
    house: &House,
    header: Option<&str>,
    body: Pairs<'_>,
) -> Result<String, NotAuthenticated> {
    let headers: Vec<&str> = header.into_iter().collect();
    let client = house.server.authenticate(&headers, &form(body), &caller()).await?;
    Ok(client.client().id().as_str().to_owned())
}

#[tokio::test]
async fn each_reason_is_reached() {
    let house = House::new().await;
    let mut reached = every_reason!(ClientRefusal {
        Assertion,
        Blocked,
        OtherMethod,
        Presented,
        SecretWrong,
        Store,
        Unknown
    });
    let public = house.public_client();
    let (post, secret) = confidential(&house, "client_secret_post");
    let (header, header_secret) = confidential(&house, "client_secret_basic");
    let blocked = house.public_client();
    house.block(&blocked).await;
    let good = basic(&header, &header_secret);
    let table: &[(Option<&str>, Pairs<'_>, &str, ErrorCode)] = &[
        (None, &[("client_id", &blocked)], "Blocked", ErrorCode::InvalidClient),
        (None, &[("client_id", "dcr_forged")], "Unknown", ErrorCode::InvalidClient),
        (None, &[("client_id", "never-heard-of")], "Unknown", ErrorCode::InvalidClient),
        (None, &[("client_id", "https://client.example/id")], "Unknown", ErrorCode::InvalidClient),
        (None, &[], "Presented", ErrorCode::InvalidClient),
        (Some("Basic !"), &[], "Presented", ErrorCode::InvalidClient),
        (Some(&good), &[("client_secret", "x")], "Presented", ErrorCode::InvalidRequest),
        (Some(&good), &[("client_id", &public)], "Presented", ErrorCode::InvalidRequest),
        (None, &[("client_id", &public), ("client_secret", "x")], "OtherMethod", ErrorCode::InvalidClient),
        (None, &[("client_id", &public), ("client_secret", "")], "OtherMethod", ErrorCode::InvalidClient),
        (None, &[("client_id", &post)], "OtherMethod", ErrorCode::InvalidClient),
        (
            None,
            &[("client_id", &header), ("client_secret", &header_secret)],
            "OtherMethod",
            ErrorCode::InvalidClient,
        ),
        (Some(&basic(&post, &secret)), &[], "OtherMethod", ErrorCode::InvalidClient),
        (Some(&basic(&public, "")), &[], "OtherMethod", ErrorCode::InvalidClient),
        (None, &[("client_id", &post), ("client_secret", WRONG)], "SecretWrong", ErrorCode::InvalidClient),
        (None, &[("client_id", &post), ("client_secret", "")], "SecretWrong", ErrorCode::InvalidClient),
        (
            None,
            &[("client_id", &post), ("client_secret", &header_secret)],
            "SecretWrong",
            ErrorCode::InvalidClient,
        ),
        (Some(&basic(&header, WRONG)), &[], "SecretWrong", ErrorCode::InvalidClient),
        (Some(&basic(&header, "")), &[], "SecretWrong", ErrorCode::InvalidClient),
        (Some(&basic(PORTAL.0, WRONG)), &[], "SecretWrong", ErrorCode::InvalidClient),
    ];
    for (header, body, name, code) in table {
        let error = authenticate(&house, *header, body).await.unwrap_err();
        assert_eq!(
            (reached.reach(&error.refusal), error.refusal.code()),
            (*name, *code),
            "{header:?} {body:?}"
        );
        // RFC 6749, section 5.2: the scheme is named exactly when it was tried.
        if code == &ErrorCode::InvalidClient {
            assert_eq!(error.basic_tried, header.is_some(), "{header:?}");
        }
    }
    // What an assertion is refused for stands beside `private_key_jwt`.
    reached.all_but(&["Assertion", "Store"]);
}

#[test]
fn a_record_that_is_away_is_nobodys_fault() {
    let store = ClientRefusal::Store(StoreError::unavailable("gone"));
    assert_eq!((store.code(), store.reason()), (ErrorCode::TemporarilyUnavailable, "store"));
}

#[tokio::test]
async fn a_client_with_a_key_is_believed_by_nothing_else() {
    let house = House::new().await;
    let assertion: Pairs<'_> = &[("client_assertion_type", JWT_BEARER), ("client_assertion", FORGED)];
    for (body, name) in [
        (assertion, "client_assertion_not_signed"),
        (&[("client_id", KEYED)], "client_other_method"),
        (&[("client_id", KEYED), ("client_secret", "x")], "client_other_method"),
    ] {
        let error = authenticate(&house, None, body).await.unwrap_err();
        assert_eq!((error.refusal.reason(), error.refusal.code()), (name, ErrorCode::InvalidClient));
        assert!(!error.basic_tried);
    }
}

/// AS-144.
#[tokio::test]
async fn each_method_lets_its_own_clients_in() {
    let house = House::new().await;
    let public = house.public_client();
    let (post, post_secret) = confidential(&house, "client_secret_post");
    let (header, header_secret) = confidential(&house, "client_secret_basic");
    let body = authenticate(&house, None, &[("client_id", &public)]).await;
    assert_eq!(body.unwrap(), public);
    let body = authenticate(&house, None, &[("client_id", &post), ("client_secret", &post_secret)]).await;
    assert_eq!(body.unwrap(), post);
    let good = basic(&header, &header_secret);
    assert_eq!(authenticate(&house, Some(&good), &[]).await.unwrap(), header);
    let lower = good.replace("Basic", "bAsIc");
    assert_eq!(authenticate(&house, Some(&lower), &[("client_id", &header)]).await.unwrap(), header);
}

#[tokio::test]
async fn a_client_of_the_operator_may_send_its_secret_in_header_or_body() {
    let house = House::new().await;
    let (id, secret) = PORTAL;
    assert_eq!(authenticate(&house, Some(&basic(id, secret)), &[]).await.unwrap(), id);
    assert_eq!(
        authenticate(&house, None, &[("client_id", id), ("client_secret", secret)]).await.unwrap(),
        id
    );
    assert!(authenticate(&house, None, &[("client_id", id)]).await.is_err());
    assert_eq!(authenticate(&house, None, &[("client_id", CONSOLE)]).await.unwrap(), CONSOLE);
    assert!(authenticate(&house, None, &[("client_id", CONSOLE), ("client_secret", secret)]).await.is_err());
}

#[tokio::test]
async fn no_refusal_says_a_secret() {
    let house = House::new().await;
    let (post, _) = confidential(&house, "client_secret_post");
    let error =
        authenticate(&house, None, &[("client_id", &post), ("client_secret", WRONG)]).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains(WRONG));
}
