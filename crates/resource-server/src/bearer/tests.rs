use http::HeaderValue;

use super::*;
use crate::fixture::{self, ADDRESS, ISSUER, SOMEBODY, START, TestClock, World};
use crate::verdicts::SLACK;

fn headers(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

type Row<'a> = (&'a [&'a [u8]], Result<&'a str, &'a str>);

/// PX-01.
#[test]
fn one_header_with_one_token_is_taken_and_nothing_else() {
    let long = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    let just = format!("Bearer {}", "a".repeat(8 * 1024));
    let cases: &[Row<'_>] = &[
        (&[b"Bearer abc.def-_~+/="], Ok("abc.def-_~+/=")),
        (&[b"bearer abc"], Ok("abc")),
        (&[b"BEARER   abc  "], Ok("abc")),
        (&[just.as_bytes()], Ok(&just[7..])),
        (&[], Err("token_missing")),
        (&[b""], Err("token_missing")),
        (&[b"Basic dXNlcjpwdw=="], Err("token_missing")),
        (&[b"DPoP abc"], Ok("abc")),
        (&[b"DPoP"], Err("token_malformed")),
        (&[b"DPoPabc"], Err("token_missing")),
        (&[b"DPoP a, Bearer b"], Err("authorization_repeated")),
        (&[b"DPoP a", b"Bearer a"], Err("authorization_repeated")),
        (&[b"Bearerabc"], Err("token_missing")),
        (&[b"Bearer"], Err("token_malformed")),
        (&[b"Bearer  "], Err("token_malformed")),
        (&[b"Bearer a b"], Err("token_malformed")),
        (&[b"Bearer a\tb"], Err("token_malformed")),
        (&[b"Bearer caf\xc3\xa9"], Err("token_malformed")),
        (&[b"Bearer \"abc\""], Err("token_malformed")),
        (&[long.as_bytes()], Err("token_malformed")),
        (&[b"Bearer a, Bearer b"], Err("authorization_repeated")),
        (&[b"Bearer a,b"], Err("authorization_repeated")),
        (&[b"Bearer a", b"Bearer b"], Err("authorization_repeated")),
        (&[b"Basic a", b"Bearer b"], Err("authorization_repeated")),
        (&[b"Bearer a", b"Bearer a"], Err("authorization_repeated")),
    ];
    for (values, expected) in cases {
        let headers = headers(values);
        let found = present(&headers)
            .and_then(|presented| well_formed(presented.token))
            .map_err(|reason| reason.reason());
        assert_eq!(found, *expected, "{values:?}");
    }
}

const FILES: &str = "https://mcp.example.com/files/mcp";

fn named(resource: &str) -> [Identity; 1] {
    [Identity { issuer: ISSUER.to_owned(), resource: resource.to_owned(), until: None }]
}

fn files() -> [Identity; 1] {
    named(FILES)
}

/// P-23: while a house moves, tokens of the old name are good until a date, each name for its own resources.
/// P-20: from where too many bad tokens came, a token is read only if it was verified before.
#[tokio::test]
async fn a_suspect_is_served_with_known_tokens_and_no_other_is_verified() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let suspect = Caller { address: ADDRESS, is_suspect: &|| true };
    let (known, fresh) = (world.token(|_| {}), world.token(|claims| claims.iat += 1));
    assert!(bearer.verify(&known, &files(), &SOMEBODY).is_ok());
    assert!(bearer.verify(&known, &files(), &suspect).is_ok());
    for unknown in [fresh.clone(), format!("{fresh}x"), "a.b.c".to_owned()] {
        let refused = bearer.verify(unknown, &files(), &suspect).map_err(|reason| reason.reason());
        assert_eq!(refused.err(), Some("tokens_refused"));
    }
    assert!(bearer.verify(&fresh, &files(), &SOMEBODY).is_ok(), "it was not held against the token");
    // What is dead is told so, suspect or not.
    world.clock.advance(Duration::from_secs(3600));
    let over = bearer.verify(&known, &files(), &suspect).map_err(|reason| reason.reason());
    assert_eq!(over.err(), Some("token_expired"));
}

#[tokio::test]
async fn tokens_of_a_former_issuer_are_good_until_the_date_and_for_its_own_resources_only() {
    const OLD: &str = "https://old.example.com";
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let until = Some(world.clock.now().plus(Duration::from_secs(60)));
    let old = Identity { issuer: OLD.to_owned(), resource: format!("{OLD}/files/mcp"), until };
    let [new] = files();
    let both = [new, old];
    let token = world.token(|claims| {
        claims.iss = OLD.to_owned();
        claims.aud = format!("{OLD}/files/mcp");
    });
    assert!(bearer.verify(&token, &both, &SOMEBODY).is_ok());
    assert!(bearer.verify(world.token(|_| {}), &both, &SOMEBODY).is_ok());
    let mixed = world.token(|claims| claims.iss = OLD.to_owned());
    let mixed = bearer.verify(mixed, &both, &SOMEBODY).map_err(|reason| reason.reason());
    assert_eq!(mixed.err(), Some("token_of_another_resource"));
    let elsewhere = bearer.verify(&token, &files(), &SOMEBODY).map_err(|reason| reason.reason());
    assert_eq!(elsewhere.err(), Some("token_of_another_issuer"), "where it is not listed");
    world.clock.advance(Duration::from_secs(60));
    let late = bearer.verify(&token, &both, &SOMEBODY).map_err(|reason| reason.reason());
    assert_eq!(late.err(), Some("token_of_another_issuer"));
    assert!(bearer.verify(world.token(|_| {}), &both, &SOMEBODY).is_ok(), "the new name has no end");
}

#[tokio::test]
async fn a_good_token_says_who_calls() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let verdict = bearer.verify(world.token(|_| {}), &files(), &SOMEBODY).unwrap();
    let access = &verdict.access;
    assert_eq!((access.user, access.grant), (world.alice, world.grant));
    assert_eq!((access.client.as_str(), access.resource.as_str()), (fixture::CLIENT, FILES));
    assert_eq!(access.scope, Scope::parse("read write").unwrap());
    assert_eq!(access.issued_at, Timestamp::from_secs(START.secs()));
    let without_scope =
        bearer.verify(world.token(|claims| claims.scope = None), &files(), &SOMEBODY).unwrap();
    assert!(without_scope.access.scope.is_empty());
}

#[tokio::test]
async fn what_tokens_meant_is_forgotten_when_they_are_over() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    for _ in 0..4 {
        for _ in 0..SLACK {
            let iat = world.clock.now().secs();
            let token = world.token(|claims| (claims.iat, claims.exp) = (iat, iat + 600));
            assert!(bearer.verify(token, &files(), &SOMEBODY).is_ok());
        }
        world.clock.advance(Duration::from_secs(601));
    }
    assert!(bearer.verdicts.len() <= 2 * SLACK, "{} remembered", bearer.verdicts.len());
}

#[tokio::test]
async fn claims_that_are_not_right_are_refused() {
    type Change = fn(&mut AccessTokenClaims);
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let cases: &[(Change, &str)] = &[
        (|c| c.iss.push('/'), "token_of_another_issuer"),
        (|c| c.iss = "https://evil.example".to_owned(), "token_of_another_issuer"),
        (|c| c.aud = "https://mcp.example.com/notes/mcp".to_owned(), "token_of_another_resource"),
        (|c| c.aud.push('/'), "token_of_another_resource"),
        (|c| c.exp = c.iat - 1, "token_expired"),
        (|c| c.exp = c.iat, "token_expired"),
        (|c| c.iat += 61, "token_not_yet_issued"),
        (|c| c.sub = "alice".to_owned(), "token_invalid"),
        (|c| c.grant_id = String::new(), "token_invalid"),
        (|c| c.client_id = String::new(), "token_invalid"),
        (|c| c.scope = Some("read  write".to_owned()), "token_invalid"),
    ];
    for (index, (change, expected)) in cases.iter().enumerate() {
        let found = bearer.verify(world.token(change), &files(), &SOMEBODY).map_err(|reason| reason.reason());
        assert_eq!(found.err(), Some(*expected), "case {index}");
    }
    assert!(
        bearer.verify(world.token(|c| c.iat += 60), &files(), &SOMEBODY).is_ok(),
        "another node's clock may be ahead"
    );
}

/// TK-31: no other kind of token is an access token, though the same key signed it.
#[tokio::test]
async fn other_kinds_of_token_are_refused() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let keys = world.keys.load();
    for typ in ["JWT", "rt+jwt", "sekisho-identity+jwt", "id_token+jwt", ""] {
        let token = keys.signing.active().sign(typ, &world.claims()).unwrap();
        let found = bearer.verify(&token, &files(), &SOMEBODY).map_err(|reason| reason.reason());
        assert_eq!(found.err(), Some("token_invalid"), "{typ}");
    }
    for token in [
        "skr_AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "ska_code",
        "a.b.c",
        "..",
        "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    ] {
        let found = bearer.verify(token, &files(), &SOMEBODY).map_err(|reason| reason.reason());
        assert_eq!(found.err(), Some("token_invalid"), "{token}");
    }
}

/// ST-14, as far as it is ours: the rest is the verifier's.
#[tokio::test]
async fn a_token_of_another_key_or_with_a_changed_byte_is_refused() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let foreign = fixture::keys(&*world.entropy);
    let token = foreign.signing.active().sign("at+jwt", &world.claims()).unwrap();
    assert_eq!(
        bearer.verify(&token, &files(), &SOMEBODY).map_err(|r| r.reason()).err(),
        Some("token_invalid")
    );
    let token = world.token(|_| {});
    assert!(bearer.verify(&token, &files(), &SOMEBODY).is_ok());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let changed = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    assert_eq!(
        bearer.verify(&changed, &files(), &SOMEBODY).map_err(|r| r.reason()).err(),
        Some("token_invalid")
    );
}

#[tokio::test]
async fn a_remembered_verdict_is_judged_anew_at_every_call() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let token = world.token(|_| {});
    let first = bearer.verify(&token, &files(), &SOMEBODY).unwrap();
    assert!(Arc::ptr_eq(&first, &bearer.verify(&token, &files(), &SOMEBODY).unwrap()), "verified once");
    let elsewhere =
        bearer.verify(&token, &named("https://mcp.example.com/notes/mcp"), &SOMEBODY).map_err(|r| r.reason());
    assert_eq!(elsewhere.err(), Some("token_of_another_resource"));
    world.clock.advance(Duration::from_secs(599));
    assert!(bearer.verify(&token, &files(), &SOMEBODY).is_ok());
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(
        bearer.verify(&token, &files(), &SOMEBODY).map_err(|r| r.reason()).err(),
        Some("token_expired")
    );
}

/// I-13.
#[tokio::test]
async fn setting_the_clock_back_wakes_no_token_up() {
    let world = World::new().await;
    let bearer = Bearer::new(Arc::clone(&world.keys), Arc::clone(&world.clock) as _);
    let token = world.token(|_| {});
    assert!(bearer.verify(&token, &files(), &SOMEBODY).is_ok());
    world.clock.advance(Duration::from_secs(600));
    world.clock.set(START);
    assert_eq!(
        bearer.verify(&token, &files(), &SOMEBODY).map_err(|r| r.reason()).err(),
        Some("token_expired")
    );
}

#[test]
fn a_key_that_was_withdrawn_is_worth_nothing_though_its_tokens_are_remembered() {
    let entropy = fixture::TestEntropy::default();
    let keys = Arc::new(ArcSwap::from_pointee(fixture::keys(&entropy)));
    let bearer = Bearer::new(Arc::clone(&keys), TestClock::new() as _);
    let claims = AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: protocol::id::Id::<protocol::id::User>::mint(START, &entropy).to_string(),
        aud: FILES.to_owned(),
        client_id: fixture::CLIENT.to_owned(),
        grant_id: protocol::id::Id::<protocol::id::Grant>::mint(START, &entropy).to_string(),
        scope: None,
        iat: START.secs(),
        exp: START.secs() + 600,
        jti: "jti".to_owned(),
        cnf: None,
        service_account: None,
        act: None,
    };
    let token = keys.load().signing.active().sign("at+jwt", &claims).unwrap();
    assert!(bearer.verify(&token, &files(), &SOMEBODY).is_ok());
    keys.store(Arc::new(fixture::keys(&entropy)));
    assert_eq!(
        bearer.verify(&token, &files(), &SOMEBODY).map_err(|r| r.reason()).err(),
        Some("token_invalid")
    );
}
