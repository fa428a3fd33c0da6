//! Revocation (attacks.md, 1.8): somebody else's token, no token at all, a record that fails, races.

use std::time::Duration;

use futures_util::future::join3;
use http::Method;
use store::AuditKind;
use testkit::client::TestClient;
use testkit::house::Plan;
use testkit::http::request;
use testkit::outcomes::{Verdict, rs401, tok400, tok401};

use crate::record;
use crate::steps::{Flow, Tokens, while_trying};

/// AS-187.
#[tokio::test]
async fn rv_01_another_client_s_token_stays_as_good_as_it_was() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let other = flow.house.client().await?;
    let confidential = flow.house.known_client("known-confidential")?;
    for stranger in [&other, &confidential] {
        for token in [&tokens.access, &tokens.refresh] {
            let mut fields = vec![("client_id", stranger.client_id.as_str()), ("token", token)];
            fields.extend(stranger.secret.as_deref().map(|secret| ("client_secret", secret)));
            let answer = flow.revoke(&fields).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let next = flow.lives(&tokens).await?;
    let events = flow.events(AuditKind::GrantRevoked, "token_of_another_client").await?;
    assert_eq!(events.len(), 4);
    for event in &events {
        assert_eq!(event.outcome, store::Outcome::Refused);
        assert_eq!(event.client_id.as_deref(), Some(flow.client.client_id.as_str()));
        assert!(event.detail.contains_key("asked_by") && event.address.is_some(), "{event:?}");
    }
    assert_eq!(flow.house.counts().await?.revocations, 0);
    flow.lives(&next).await?;
    flow.close().await
}

/// AS-189.
#[tokio::test]
async fn rv_02_what_is_no_token_of_ours_is_answered_as_revoked_and_changes_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let code = flow.code().await?;
    let id = flow.client.client_id.clone();
    let cut = &tokens.refresh[..tokens.refresh.len() - 1];
    let forged = format!("{cut}{}", if tokens.refresh.ends_with('A') { 'B' } else { 'A' });
    let unsigned = format!("{}.", tokens.access.rsplit_once('.').ok_or("not a JWT")?.0);
    let long = "x".repeat(60_000);
    for token in ["garbage", "skr_", &forged, &unsigned, &code.code, &id, "\u{1f6aa}", "a.b.c", &long] {
        let answer = flow.revoke(&[("client_id", &id), ("token", token)]).await?;
        assert_eq!(answer.status, 200, "{token}: {}", answer.text());
    }
    assert_eq!(flow.revoke(&[("client_id", &id), ("token", &"x".repeat(1_000_000))]).await?.status, 413);
    let missing: [&[(&str, &str)]; 4] = [
        &[("client_id", &id)],
        &[("client_id", &id), ("token", "")],
        &[("client_id", &id), ("token", &tokens.refresh), ("token", &tokens.refresh)],
        &[("client_id", &id), ("token_type_hint", "refresh_token")],
    ];
    for fields in missing {
        tok400(&flow.revoke(fields).await?, "invalid_request")
            .map_err(while_trying(&format!("{fields:?}")))?;
    }
    tok401(&flow.revoke(&[("token", &tokens.refresh)]).await?, false)?;
    tok401(&flow.revoke(&[("client_id", "nobody"), ("token", &tokens.refresh)]).await?, false)?;
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let url = format!("{}?client_id={id}&token={}", flow.at("/oauth/revoke"), tokens.refresh);
        let asked = request(method.clone(), &url, &[], bytes::Bytes::new())?;
        assert_eq!(flow.house.http.send(asked).await?.status, 405, "{method}");
    }
    assert_eq!(flow.house.counts().await?.revocations, 0);
    // A code is no token: it can still be redeemed.
    flow.redeemed(&code).await?;
    flow.lives(&tokens).await?;
    flow.close().await
}

/// AS-187.
#[tokio::test]
async fn rv_02_no_hint_keeps_a_token_from_being_revoked() -> Verdict {
    for hint in ["access_token", "refresh_token", "id_token", "", "\u{1f6aa}"] {
        for by_access_token in [true, false] {
            let mut flow = Flow::new().await?;
            let tokens = flow.tokens().await?;
            let next = flow.lives(&tokens).await?;
            let token = if by_access_token { &tokens.access } else { &next.refresh };
            let fields =
                [("client_id", flow.client.client_id.as_str()), ("token", token), ("token_type_hint", hint)];
            assert_eq!(flow.revoke(&fields).await?.status, 200);
            flow.is_dead(&[&tokens, &next]).await?;
            // Ending twice is ending once.
            assert_eq!(flow.revoke(&fields).await?.status, 200);
            let event = flow.aud(AuditKind::GrantRevoked, "revoked_by_client").await?;
            assert!(event.user.is_some() && event.grant.is_some(), "{event:?}");
            flow.close().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn rv_02_an_expired_or_rotated_token_still_ends_its_grant() -> Verdict {
    for old in ["access", "refresh"] {
        let mut flow = Flow::new().await?;
        let first = flow.tokens().await?;
        let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
        flow.house.advance(Duration::from_secs(700)).await?;
        let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
        let token = if old == "access" { &first.access } else { &first.refresh };
        assert_eq!(
            flow.revoke(&[("client_id", &flow.client.client_id), ("token", token)]).await?.status,
            200
        );
        flow.is_dead(&[&third]).await?;
        flow.close().await?;
    }
    Ok(())
}

/// From now on the record takes no end of a grant.
fn break_record(flow: &Flow) -> Verdict {
    let trigger = "CREATE TRIGGER broken BEFORE UPDATE OF revoked_at ON grants BEGIN SELECT RAISE(ABORT, 'broken'); END";
    record::tamper(&flow.house, trigger)
}

/// AS-189.
#[tokio::test]
async fn rv_03_a_revocation_that_the_record_did_not_take_is_never_answered_as_done() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    break_record(&flow)?;
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    let answer = flow.revoke(&fields).await?;
    assert_eq!(
        (answer.status.as_u16(), answer.error().as_str()),
        (503, "temporarily_unavailable"),
        "{}",
        answer.text()
    );
    assert!(!answer.header("retry-after").is_empty());
    // It may live, and the client knows to try again.
    flow.calls(&tokens.access).await?;
    record::tamper(&flow.house, "DROP TRIGGER broken")?;
    assert_eq!(flow.revoke(&fields).await?.status, 200);
    flow.is_dead(&[&tokens]).await?;
    flow.house.close().await
}

#[tokio::test]
async fn rv_03_a_replay_that_the_record_did_not_take_note_of_gives_nothing_and_is_judged_again() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let first = flow.redeemed(&code).await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    flow.house.advance(Duration::from_secs(100)).await?;
    break_record(&flow)?;
    assert_eq!(flow.refresh(&first.refresh).await?.status, 503);
    assert_eq!(flow.redeem(&code).await?.status, 503);
    record::tamper(&flow.house, "DROP TRIGGER broken")?;
    let second = flow.lives(&second).await?;
    tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    flow.is_dead(&[&second]).await?;
    flow.house.close().await
}

#[tokio::test]
async fn a_token_that_the_record_did_not_take_is_not_handed_out() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let tokens = flow.tokens().await?;
    for trigger in [
        "CREATE TRIGGER no_grants BEFORE INSERT ON grants BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "CREATE TRIGGER no_rotation BEFORE UPDATE OF generation ON grants BEGIN SELECT RAISE(ABORT, 'broken'); END",
    ] {
        record::tamper(&flow.house, trigger)?;
    }
    for answer in [flow.redeem(&code).await?, flow.refresh(&tokens.refresh).await?] {
        assert_eq!(
            (answer.status.as_u16(), answer.error().as_str()),
            (503, "temporarily_unavailable"),
            "{}",
            answer.text()
        );
    }
    record::tamper(&flow.house, "DROP TRIGGER no_grants; DROP TRIGGER no_rotation")?;
    // Neither was used up, and neither is told of as done.
    assert_eq!(flow.house.audit(AuditKind::TokenIssued).await?.len(), 1);
    assert_eq!(flow.house.audit(AuditKind::TokenRefreshed).await?.len(), 0);
    flow.redeemed(&code).await?;
    flow.lives(&tokens).await?;
    flow.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_05_a_refresh_at_the_moment_of_a_revocation_leaves_no_living_token_on_sqlite() -> Verdict {
    raced(Plan::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_05_a_refresh_at_the_moment_of_a_revocation_leaves_no_living_token_on_postgres() -> Verdict {
    record::on_postgres(|url| raced(Plan { postgres: Some(url), ..Plan::default() })).await
}

async fn raced(plan: Plan) -> Verdict {
    let mut flow = Flow::with(plan).await?;
    let second: TestClient = TestClient { http: flow.house.http.another(), ..flow.client.clone() };
    for round in 0..40 {
        let tokens = flow.tokens().await?;
        let fields = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
        let (revoked, refreshed, called) = join3(
            flow.revoke(&fields),
            second.refresh(&tokens.refresh),
            flow.house.echo("notes", &tokens.access),
        )
        .await;
        assert_eq!(revoked?.status, 200);
        let called = called?.status;
        assert!(called == 200 || called == 401, "{called}");
        let answer = refreshed?;
        if answer.status == 200 {
            let next = Tokens::of(&answer)?;
            flow.is_dead(&[&next]).await.map_err(while_trying(&format!("round {round}")))?;
        } else {
            tok400(&answer, "invalid_grant")?;
        }
        rs401(&flow.house.echo("notes", &tokens.access).await?)?;
        tok400(&flow.refresh(&tokens.refresh).await?, "invalid_grant")?;
    }
    assert_eq!(flow.events(AuditKind::GrantRevoked, "revoked_by_client").await?.len(), 40);
    flow.house.close().await
}
