//! Codes: each reason reached by a request, and the rows TK-01 .. TK-17 of attacks.md.

use protocol::oauth::ErrorCode;
use protocol::world::Clock;
use store::{AuditKind, Grants, Queries, Revocation, RevocationKind, Revocations, StoreError};

use super::*;
use crate::test_house::*;
use crate::{Settings, TokenHeaders};

const VERIFIER: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

async fn client_and_code(house: &House) -> (String, String) {
    let client = house.public_client();
    let code = house.code(request(&client, &[])).await;
    (client, code)
}

/// Presents a code with some parameters changed or, if empty, left out.
async fn present(
    house: &House,
    client: &str,
    code: &str,
    changes: Changes<'_>,
) -> Result<TokenResponse, TokenError> {
    let mut all = vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", LOOPBACK),
    ];
    for (name, value) in changes {
        all.retain(|(kept, _)| kept != name);
        if !value.is_empty() {
            all.push((name, value));
        }
    }
    house.token(&all).await
}

fn refusal(answer: Result<TokenResponse, TokenError>) -> CodeRefusal {
    match answer {
        Err(TokenError::Code(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was redeemed"),
    }
}

/// AS-155.
#[tokio::test]
async fn each_reason_is_reached_by_a_request() {
    let house = House::new().await;
    let mut reached = every_reason!(CodeRefusal {
        Expired,
        KeyMismatch,
        OfAnotherClient,
        Person,
        ProofMissing,
        RedirectUriMismatch,
        Replayed,
        ResourceMismatch,
        TooManyAttempts,
        Unknown,
        VerifierMismatch,
        VerifierMissing,
    });
    let other = house.public_client();
    let wrong = "w".repeat(43);
    let table: &[(Changes<'_>, &str, ErrorCode)] = &[
        (&[("code", "skc_never-issued")], "Unknown", ErrorCode::InvalidGrant),
        (&[("client_id", &other)], "OfAnotherClient", ErrorCode::InvalidGrant),
        (&[("redirect_uri", "http://127.0.0.1:51235/cb")], "RedirectUriMismatch", ErrorCode::InvalidGrant),
        (&[("resource", VAULT)], "ResourceMismatch", ErrorCode::InvalidTarget),
        (&[("resource", "no uri")], "ResourceMismatch", ErrorCode::InvalidTarget),
        (&[("code_verifier", "")], "VerifierMissing", ErrorCode::InvalidGrant),
        (&[("code_verifier", "short")], "VerifierMismatch", ErrorCode::InvalidGrant),
        (&[("code_verifier", &wrong)], "VerifierMismatch", ErrorCode::InvalidGrant),
    ];
    for (changes, name, code) in table {
        let (client, good) = client_and_code(&house).await;
        let refused = refusal(present(&house, &client, &good, changes).await);
        assert_eq!((reached.reach(&refused), refused.code()), (*name, *code), "{changes:?}");
        // NOCONSUME: the legitimate holder still gets its tokens (D-2, TK-11).
        present(&house, &client, &good, &[]).await.unwrap();
        assert_eq!(reached.reach(&refusal(present(&house, &client, &good, &[]).await)), "Replayed");
    }
    let (client, code) = client_and_code(&house).await;
    for _ in 0..3 {
        refusal(present(&house, &client, &code, &[("code_verifier", &wrong)]).await);
    }
    assert_eq!(reached.reach(&refusal(present(&house, &client, &code, &[]).await)), "TooManyAttempts");
    let (client, code) = client_and_code(&house).await;
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(reached.reach(&refusal(present(&house, &client, &code, &[]).await)), "Expired");
    let (client, code) = client_and_code(&house).await;
    let elsewhere =
        AuthorizationServer::new(Settings { servers: Vec::new(), ..settings() }, house.server.parts.clone());
    let parameters = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    let refused = refusal(elsewhere.token(&TokenHeaders::default(), &form(&parameters), &caller()).await);
    assert_eq!(reached.reach(&refused), "Person");
    assert_eq!(refused.reason(), "server_gone");
    let [other, none] = without_the_key(&house).await;
    assert_eq!((reached.reach(&other), other.code()), ("KeyMismatch", ErrorCode::InvalidGrant));
    assert_eq!((reached.reach(&none), none.code()), ("ProofMissing", ErrorCode::InvalidDpopProof));
    reached.all_but(&[]);
}

/// RFC 9449, section 10: bound to a key that is not proved; and with none where one is demanded.
async fn without_the_key(house: &House) -> [CodeRefusal; 2] {
    let client = house.public_client();
    let code = house.code(request(&client, &[("dpop_jkt", &"A".repeat(43))])).await;
    let other = refusal(present(house, &client, &code, &[]).await);
    let mut strict = settings();
    for server in &mut strict.servers {
        server.dpop = DpopMode::Required;
    }
    let house = House::with(strict).await;
    let (client, code) = client_and_code(&house).await;
    [other, refusal(present(&house, &client, &code, &[]).await)]
}

/// AS-159, AS-160, AS-173.
#[tokio::test]
async fn a_code_buys_a_token_for_one_audience() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    let response = house.redeem(&client, &code).await.unwrap();
    assert_eq!((response.expires_in, response.scope.to_string()), (600, "read write".to_owned()));
    let tokens = Tokens::of(response);
    let claims = house.claims(&tokens.access_token);
    let now = house.clock.now().secs();
    assert_eq!(
        (claims.iss.as_str(), claims.aud.as_str(), claims.client_id.as_str()),
        (ISSUER, NOTES, client.as_str())
    );
    assert_eq!((claims.iat, claims.exp), (now, now + 600));
    let grant = house.store.find_grant(house.grant_of(&tokens)).await.unwrap().unwrap();
    assert_eq!((grant.user.to_string(), grant.generation), (claims.sub, 0));
    assert_eq!(grant.expires_at, house.clock.now().plus(Duration::from_secs(180 * 86_400)));
    assert_eq!(grant.idle_expires_at, house.clock.now().plus(Duration::from_secs(30 * 86_400)));
    let events = house.events(AuditKind::TokenIssued).await;
    assert_eq!((events.len(), events[0].grant), (1, Some(grant.id)));
    assert!(events[0].reference.is_some());
}

/// TK-10 and AZ-08.
///
/// AS-141.
#[tokio::test]
async fn the_redirect_uri_may_be_left_out_but_not_changed() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    present(&house, &client, &code, &[("redirect_uri", "")]).await.unwrap();
}

#[tokio::test]
async fn a_resource_may_be_repeated_if_it_is_the_granted_one() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    present(&house, &client, &code, &[("resource", "HTTPS://mcp.example.com:443/notes/mcp")]).await.unwrap();
}

/// AS-176.
#[tokio::test]
async fn a_client_that_may_not_refresh_gets_no_refresh_token_and_a_short_grant() {
    let house = House::new().await;
    let client = r#"{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}"#;
    let client = house.register(client).0;
    let code = house.code(request(&client, &[])).await;
    let tokens = Tokens::of(house.redeem(&client, &code).await.unwrap());
    assert!(tokens.refresh_token.is_none());
    let grant = house.store.find_grant(house.grant_of(&tokens)).await.unwrap().unwrap();
    assert_eq!(grant.expires_at, house.clock.now().plus(Duration::from_secs(600)));
    let refused = house.refresh(&client, "skr_x").await.unwrap_err();
    assert_eq!(
        (refused.reason(), refused.code()),
        ("grant_type_not_registered", ErrorCode::UnauthorizedClient)
    );
}

async fn is_live(house: &House, tokens: &Tokens) -> bool {
    house.store.find_grant(house.grant_of(tokens)).await.unwrap().unwrap().revoked_at.is_none()
}

/// TK-01: early, nothing else changes; late, the family ends.
#[tokio::test]
async fn a_second_redemption_ends_the_family_only_when_it_is_late() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    let tokens = Tokens::of(house.redeem(&client, &code).await.unwrap());
    house.clock.advance(Duration::from_secs(10));
    assert_eq!(refusal(house.redeem(&client, &code).await), CodeRefusal::Replayed { ends: None });
    assert!(is_live(&house, &tokens).await);
    house.clock.advance(Duration::from_micros(1));
    let grant = house.grant_of(&tokens);
    assert_eq!(refusal(house.redeem(&client, &code).await), CodeRefusal::Replayed { ends: Some(grant) });
    assert!(!is_live(&house, &tokens).await);
    assert_eq!(house.refresh(&client, tokens.refresh()).await.unwrap_err().reason(), "grant_ended");
    let revocations = house.store.list_revocations(protocol::world::Timestamp::from_secs(0)).await.unwrap();
    assert_eq!((revocations[0].kind, revocations[0].id.clone()), (RevocationKind::Grant, grant.to_string()));
    let ended: Vec<_> =
        house.events(AuditKind::CodeReplayed).await.into_iter().filter(|e| e.grant.is_some()).collect();
    assert_eq!(ended.len(), 1);
}

/// TK-04: whoever merely saw a code, or guesses, logs nobody out.
#[tokio::test]
async fn a_replay_by_another_client_or_without_the_verifier_changes_nothing() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    let tokens = Tokens::of(house.redeem(&client, &code).await.unwrap());
    house.clock.advance(Duration::from_secs(30));
    let (other, wrong) = (house.public_client(), "w".repeat(43));
    let changes: [Changes<'_>; 3] =
        [&[("client_id", &other)], &[("code_verifier", &wrong)], &[("code_verifier", "")]];
    for change in changes {
        let refused = refusal(present(&house, &client, &code, change).await);
        assert_eq!(refused, CodeRefusal::Replayed { ends: None });
    }
    let near = format!("{}x", &code[..code.len() - 1]);
    assert_eq!(refusal(house.redeem(&client, &near).await), CodeRefusal::Unknown);
    assert!(is_live(&house, &tokens).await);
    house.refresh(&client, tokens.refresh()).await.unwrap();
}

/// TK-02.
#[tokio::test]
async fn of_many_redemptions_at_once_one_gets_tokens_and_keeps_them() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    let all = (0..32).map(|_| house.redeem(&client, &code));
    let (good, bad): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (1, 31));
    for answer in bad {
        assert_eq!(refusal(answer), CodeRefusal::Replayed { ends: None });
    }
    assert_eq!(house.store.counts().await.unwrap().grants, 1);
    for answer in good {
        let tokens = Tokens::of(answer.unwrap());
        house.refresh(&client, tokens.refresh()).await.unwrap();
    }
}

#[tokio::test]
async fn a_person_who_was_stopped_before_the_code_was_redeemed_gets_nothing() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    let user = house.events(AuditKind::ConsentGiven).await[0].user.unwrap();
    let now = house.clock.now();
    let revocation = Revocation {
        kind: RevocationKind::User,
        id: user.to_string(),
        not_before: now,
        expires_at: now.plus(Duration::from_secs(3600)),
    };
    let audit = house.server.event(AuditKind::Stopped, Outcome::Ok, now);
    house.store.stop(revocation, audit).await.unwrap();
    assert_eq!(refusal(house.redeem(&client, &code).await), CodeRefusal::Unknown);
    assert_eq!(house.store.counts().await.unwrap().grants, 0);
}

/// TK-31: no other token is a code.
#[tokio::test]
async fn tokens_of_another_kind_are_no_codes() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    for text in [tokens.refresh(), &tokens.access_token, &client, "", "\u{e9}"] {
        if !text.is_empty() {
            assert_eq!(refusal(house.redeem(&client, text).await), CodeRefusal::Unknown);
        }
    }
    assert_eq!(
        house.events(AuditKind::TokenRefused).await.len(),
        0,
        "whoever presents what never was is nobody"
    );
}

#[tokio::test]
async fn refused_attempts_at_a_real_code_are_written_down() {
    let house = House::new().await;
    let (client, code) = client_and_code(&house).await;
    refusal(present(&house, &client, &code, &[("code_verifier", "")]).await);
    let events = house.events(AuditKind::TokenRefused).await;
    assert_eq!((events.len(), events[0].reason.as_deref()), (1, Some("verifier_missing")));
    assert!(events[0].reference.is_some());
    assert_eq!(events[0].address.as_deref(), Some("192.0.2.7"));
}

#[test]
fn a_record_that_fails_is_told_as_that() {
    let away = TokenError::Store(StoreError::unavailable("gone"));
    assert_eq!((away.code(), away.blame()), (ErrorCode::TemporarilyUnavailable, crate::Blame::House));
}
