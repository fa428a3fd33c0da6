//! Client authentication: two ways at once, broken headers, missing and superfluous secrets, the wrong way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::AuditKind;
use testkit::http::Answer;
use testkit::outcomes::{Verdict, tok400, tok401};

use crate::steps::{Code, Flow, basic, while_trying};

const KNOWN: &str = "known-confidential";
const SECRET: &str = "secret-of-the-known-client";

fn redeeming(code: &Code) -> Vec<(&str, &str)> {
    vec![("grant_type", "authorization_code"), ("code", &code.code), ("code_verifier", &code.verifier)]
}

/// AS-146.
#[tokio::test]
async fn tk_13_two_ways_of_authentication_at_once_are_one_too_many() -> Verdict {
    let mut flow = Flow::with_known(KNOWN).await?;
    let code = flow.code().await?;
    let before = flow.stored().await?;
    let header = basic(KNOWN, SECRET);
    let authorization = [("authorization", header.as_str())];
    let assertion = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "a.b.c"),
    ];
    let secret = [("client_id", KNOWN), ("client_secret", SECRET)];
    let in_header: [(&str, &[(&str, &str)]); 5] = [
        ("a secret in both places", &secret),
        ("an empty secret in the body", &[("client_secret", "")]),
        ("an assertion beside", &assertion),
        ("another client's id in the body", &[("client_id", "known-public")]),
        ("an assertion type alone", &assertion[..1]),
    ];
    for (what, more) in in_header {
        let fields = [redeeming(&code), more.to_vec()].concat();
        tok400(&flow.post(&authorization, &fields).await?, "invalid_request").map_err(while_trying(what))?;
    }
    let fields = [redeeming(&code), secret.to_vec(), assertion.to_vec()].concat();
    tok400(&flow.post(&[], &fields).await?, "invalid_request")?;
    assert_eq!(flow.stored().await?, before);
    flow.redeemed(&code).await?;
    flow.close().await
}

#[tokio::test]
async fn tk_14_broken_basic_credentials_are_refused_and_never_half_read() -> Verdict {
    let mut flow = Flow::with_known(KNOWN).await?;
    let code = flow.code().await?;
    let encoded = STANDARD.encode(format!("{KNOWN}:{SECRET}"));
    let of = |text: &str| STANDARD.encode(text);
    let unpadded = encoded.trim_end_matches('=').to_owned();
    let broken = [
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!!".to_owned(),
        format!("Basic {}*{}", &encoded[..8], &encoded[8..]),
        format!("Basic {} {}", &encoded[..8], &encoded[8..]),
        format!("Basic {encoded}===="),
        format!("Basic {}", of("no colon")),
        format!("Basic {}", of(&format!(":{SECRET}"))),
        format!("Basic {}", of(&format!("{KNOWN}:%zz"))),
        format!("Basic {}", of(&format!("{KNOWN}%:{SECRET}"))),
        format!("Basic {}", STANDARD.encode([0xff, 0xfe, b':', b'x'])),
        format!("Basic {}", of(&format!("{KNOWN}\0:{SECRET}"))),
        format!("Basic {}", of(&format!("{KNOWN}:{SECRET}\n"))),
    ];
    for header in &broken {
        let answer = flow.post(&[("authorization", header)], &redeeming(&code)).await?;
        tok401(&answer, true).map_err(while_trying(header))?;
    }
    if unpadded != encoded {
        tok401(
            &flow.post(&[("authorization", &format!("Basic {unpadded}"))], &redeeming(&code)).await?,
            true,
        )?;
    }
    for header in ["Bearer abc", "Digest x", "basicx abc", "=", ","] {
        tok401(&flow.post(&[("authorization", header)], &redeeming(&code)).await?, false)
            .map_err(while_trying(header))?;
    }
    let good = format!("Basic {encoded}");
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    tok400(&flow.post(&twice, &redeeming(&code)).await?, "invalid_request")?;
    // Not one of these used the code up; and the name of the scheme has no case.
    let any_case = format!("bAsIc {encoded}");
    let answer = flow.post(&[("authorization", &any_case)], &redeeming(&code)).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    flow.house.close().await
}

/// Tries to redeem with these credentials; NOSTORE.
async fn refused(flow: &Flow, code: &Code, credentials: &[(&str, &str)]) -> Result<Answer, String> {
    let before = flow.stored().await?;
    let answer = flow.post(&[], &[redeeming(code), credentials.to_vec()].concat()).await?;
    if flow.stored().await? == before { Ok(answer) } else { Err("something was stored".to_owned()) }
}

/// AS-037, AS-143.
#[tokio::test]
async fn tk_16_a_confidential_client_without_its_secret_is_nobody() -> Verdict {
    let mut flows = Vec::new();
    for method in ["client_secret_post", "client_secret_basic"] {
        flows.push(Flow::with_method(method).await?);
    }
    flows.push(Flow::with_known(KNOWN).await?);
    for mut flow in flows {
        let id = flow.client.client_id.clone();
        // A client that registered Basic is served by it.
        let header = basic(&id, flow.client.secret.as_deref().unwrap_or_default());
        let code = flow.code().await?;
        tok401(&refused(&flow, &code, &[("client_id", &id)]).await?, false)?;
        tok401(&refused(&flow, &code, &[("client_id", &id), ("client_secret", "")]).await?, false)?;
        tok401(&refused(&flow, &code, &[("client_id", &id), ("client_secret", "wrong")]).await?, false)?;
        for secret in ["", "wrong"] {
            tok401(&flow.post(&[("authorization", &basic(&id, secret))], &redeeming(&code)).await?, true)?;
        }
        let by_header = flow.post(&[("authorization", &header)], &redeeming(&code)).await?;
        let answer = if by_header.status == 200 { by_header } else { flow.redeem(&code).await? };
        assert_eq!(answer.status, 200, "{}", answer.text());
        flow.house.close().await?;
    }
    Ok(())
}

/// AS-143.
#[tokio::test]
async fn tk_16_a_public_client_with_a_secret_is_not_believed_either() -> Verdict {
    for known in [None, Some("known-native")] {
        let mut flow = Flow::new().await?;
        if let Some(known) = known {
            flow.client = flow.house.known_client(known)?;
        }
        let id = flow.client.client_id.clone();
        let code = flow.code().await?;
        for secret in ["", "made up", SECRET] {
            tok401(&refused(&flow, &code, &[("client_id", &id), ("client_secret", secret)]).await?, false)?;
            tok401(&flow.post(&[("authorization", &basic(&id, secret))], &redeeming(&code)).await?, true)?;
        }
        flow.redeemed(&code).await?;
        flow.close().await?;
    }
    Ok(())
}

/// AS-038.
#[tokio::test]
async fn tk_17_only_the_registered_way_of_authentication_counts() -> Verdict {
    for method in ["client_secret_post", "client_secret_basic"] {
        let mut flow = Flow::with_method(method).await?;
        let (id, secret) = (flow.client.client_id.clone(), flow.client.secret.clone().ok_or("no secret")?);
        let header = basic(&id, &secret);
        let by_header = [("authorization", header.as_str())];
        let by_body = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
        let code = flow.code().await?;
        let tokens = async |flow: &Flow, right: bool, fields: Vec<(&str, &str)>, path: &str| {
            let as_post = (method == "client_secret_post") == right;
            let fields = if as_post { [fields, by_body.to_vec()].concat() } else { fields };
            let headers: &[(&str, &str)] = if as_post { &[] } else { &by_header };
            flow.house.http.post_form(&flow.at(path), headers, &fields).await
        };
        let basic_was_tried = method == "client_secret_post";
        tok401(&tokens(&flow, false, redeeming(&code), "/oauth/token").await?, basic_was_tried)?;
        let issued = tokens(&flow, true, redeeming(&code), "/oauth/token").await?;
        let issued = crate::steps::Tokens::of(&issued)?;
        let refresh = vec![("grant_type", "refresh_token"), ("refresh_token", issued.refresh.as_str())];
        tok401(&tokens(&flow, false, refresh.clone(), "/oauth/token").await?, basic_was_tried)?;
        // Nor may it end anything in that way.
        let token = vec![("token", issued.refresh.as_str())];
        tok401(&tokens(&flow, false, token.clone(), "/oauth/revoke").await?, basic_was_tried)?;
        flow.calls(&issued.access).await?;
        let next = crate::steps::Tokens::of(&tokens(&flow, true, refresh, "/oauth/token").await?)?;
        assert_eq!(tokens(&flow, true, token, "/oauth/revoke").await?.status, 200);
        testkit::outcomes::rs401(&flow.house.echo("notes", &next.access).await?)?;
        flow.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_known_is_told_so_and_may_register_again() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let genuine = flow.client.client_id.clone();
    let changed =
        format!("{}{}", &genuine[..genuine.len() - 1], if genuine.ends_with('A') { "B" } else { "A" });
    let long = format!("dcr_{}", "A".repeat(2040));
    for id in ["nobody", "dcr_", "dcr_AAAA", &changed, &long, "https://client.example/metadata.json"] {
        let answer = flow.post(&[], &[redeeming(&code), vec![("client_id", id)]].concat()).await?;
        tok401(&answer, false).map_err(while_trying(id))?;
    }
    for id in ["caf\u{e9}", "new\nline", &"x".repeat(2049)] {
        let answer = flow.post(&[], &[redeeming(&code), vec![("client_id", id)]].concat()).await?;
        tok401(&answer, false).map_err(while_trying(id))?;
    }
    flow.redeemed(&code).await?;
    flow.close().await
}

#[tokio::test]
async fn a_blocked_client_gets_nothing_for_a_good_code() -> Verdict {
    use store::{Clients as _, Revocation, RevocationKind};
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let code = flow.code().await?;
    let id = protocol::oauth::ClientId::parse(&flow.client.client_id).map_err(|error| error.to_string())?;
    let store = &flow.house.store;
    let record = store.find_client(&id).await.map_err(|error| error.to_string())?.ok_or("no row")?;
    let now = protocol::world::Clock::now(&*flow.house.clock);
    let entropy = testkit::world::TestEntropy::seeded(77);
    let audit = store::AuditEvent::new(
        protocol::id::Id::mint(now, &entropy),
        now,
        AuditKind::ClientBlocked,
        store::Outcome::Ok,
    );
    let expires_at = now.plus(std::time::Duration::from_secs(3600));
    let revocation =
        Revocation { kind: RevocationKind::Client, id: id.as_str().to_owned(), not_before: now, expires_at };
    store.block_client(record, revocation, audit).await.map_err(|error| error.to_string())?;
    tok401(&flow.redeem(&code).await?, false)?;
    tok401(&flow.refresh(&tokens.refresh).await?, false)?;
    testkit::outcomes::rs401(&flow.house.echo("notes", &tokens.access).await?)?;
    // Nor does it get as far as a page that asks for consent.
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
    let page = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    testkit::outcomes::page400(&page.answer)?;
    assert!(page.forms().is_empty(), "{}", page.words());
    flow.close().await
}
