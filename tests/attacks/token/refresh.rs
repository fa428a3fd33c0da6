//! Refresh tokens: rotated, repeated, replayed, too late, and refused before anything is written.

use std::time::Duration;

use authorization_server::Lifetimes;
use policy::Access;
use store::AuditKind;
use testkit::client::LOOPBACK_REDIRECT;
use testkit::house::Plan;
use testkit::outcomes::{Verdict, tok400, tok401};

use crate::steps::{Flow, Tokens, while_trying};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// AS-179.
#[tokio::test]
async fn tk_25_an_old_refresh_token_ends_the_family() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    assert_ne!(first.refresh, second.refresh);
    assert_ne!(first.access, second.access);
    flow.house.advance(secs(61)).await?;
    tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    flow.is_dead(&[&first, &second]).await?;
    let event = flow.aud(AuditKind::RefreshReused, "refresh_token_reused").await?;
    assert!(event.user.is_some() && event.grant.is_some(), "{event:?}");
    flow.close().await
}

/// AS-180.
#[tokio::test]
async fn tk_26_a_lost_answer_is_answered_again_with_the_same_successor() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let lost = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    // At once, and in the last moment of the window.
    for waits in [0, 60] {
        flow.house.advance(secs(waits)).await?;
        let again = Tokens::of(&flow.refresh(&first.refresh).await?)?;
        assert_eq!(again.refresh, lost.refresh, "the same successor");
        assert_ne!(again.access, lost.access, "a fresh access token");
        flow.calls(&again.access).await?;
    }
    assert_eq!(flow.events(AuditKind::RefreshRepeated, "").await?.len(), 2);
    assert_eq!(flow.events(AuditKind::TokenRefreshed, "").await?.len(), 1);
    // There is no second branch: the one successor goes on, and then the lost one is dead for good.
    let third = flow.lives(&lost).await?;
    tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    flow.is_dead(&[&third, &lost]).await?;
    flow.close().await
}

/// AS-180.
#[tokio::test]
async fn tk_26_a_repeat_after_the_window_is_a_replay() -> Verdict {
    let window = Plan { refresh_repeat: secs(5), ..Plan::default() };
    for (plan, waits) in [
        (Plan::default(), Duration::from_micros(60_000_001)),
        (window, Duration::from_micros(5_000_001)),
        // An operator may want none at all (product.md, P-3).
        (Plan { refresh_repeat: Duration::ZERO, ..Plan::default() }, Duration::ZERO),
    ] {
        let mut flow = Flow::with(plan).await?;
        let first = flow.tokens().await?;
        let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
        flow.house.advance(waits).await?;
        tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
        flow.is_dead(&[&second]).await?;
        flow.aud(AuditKind::RefreshReused, "refresh_token_reused").await?;
        flow.close().await?;
    }
    Ok(())
}

/// AS-179.
#[tokio::test]
async fn tk_27_an_old_refresh_token_after_its_successor_was_used_ends_the_family() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
    // The one before the last is within the window, and yet: its successor was used.
    tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    flow.is_dead(&[&first, &second, &third]).await?;
    flow.aud(AuditKind::RefreshReused, "refresh_token_reused").await?;
    flow.close().await
}

#[tokio::test]
async fn tk_29_a_restart_brings_no_refresh_token_back() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
    let Flow { house, client, browser, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    // Keys and rows are those of before: what is current goes on, what was lost on the way is given again.
    let again = Tokens::of(&client.refresh(&second.refresh).await?)?;
    assert_eq!(again.refresh, third.refresh);
    tok400(&client.refresh(&first.refresh).await?, "invalid_grant")?;
    for tokens in [&first, &second, &third, &again] {
        tok400(&client.refresh(&tokens.refresh).await?, "invalid_grant")?;
        testkit::outcomes::rs401(&house.echo("notes", &tokens.access).await?)?;
    }
    drop(browser);
    house.close().await
}

#[tokio::test]
async fn tk_32_a_refresh_that_is_refused_changes_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let ledger = flow.house.resource("ledger");
    let before = flow.stored().await?;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
    let attempts: [(&str, &str, &str); 9] = [
        ("resource", &ledger, "invalid_target"),
        ("resource", "nonsense", "invalid_target"),
        ("scope", "admin", "invalid_scope"),
        ("scope", "read write admin", "invalid_scope"),
        ("scope", "read  write", "invalid_scope"),
        ("scope", " read", "invalid_scope"),
        ("scope", "read\"", "invalid_scope"),
        ("scope", "READ", "invalid_scope"),
        ("refresh_token", "twice", "invalid_request"),
    ];
    for (name, value, error) in attempts {
        let answer = flow.client.token(&[refresh.as_slice(), &[(name, value)]].concat()).await?;
        tok400(&answer, error).map_err(while_trying(value))?;
    }
    let with_secret =
        [refresh.as_slice(), &[("client_id", &flow.client.client_id), ("client_secret", "x")]].concat();
    tok401(&flow.post(&[], &with_secret).await?, false)?;
    tok401(&flow.post(&[], &refresh).await?, false)?;
    assert_eq!(flow.stored().await?, before);
    assert_eq!(flow.house.audit(AuditKind::TokenRefreshed).await?.len(), 0);
    flow.lives(&tokens).await?;
    flow.close().await
}

/// AS-181.
#[tokio::test]
async fn a_narrowed_refresh_narrows_the_access_token_and_not_the_grant() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let narrow =
        [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str()), ("scope", "read")];
    let answer = flow.client.token(&narrow).await?;
    let narrowed = Tokens::of(&answer)?;
    assert_eq!(
        (answer.json()["scope"].as_str(), narrowed.claims()?["scope"].as_str()),
        (Some("read"), Some("read"))
    );
    let call = serde_json::json!({"name": "write", "arguments": {}});
    assert_eq!(flow.house.call("notes", &narrowed.access, "tools/call", call).await?.status, 403);
    let whole = Tokens::of(&flow.refresh(&narrowed.refresh).await?)?;
    assert_eq!(whole.claims()?["scope"], "read write");
    flow.house.close().await
}

fn short(grant: u64, idle: u64) -> Plan {
    let lifetimes = Lifetimes { grant: secs(grant), grant_idle: secs(idle), ..Lifetimes::default() };
    Plan { lifetimes, ..Plan::default() }
}

#[tokio::test]
async fn tk_39_in_the_last_seconds_of_a_grant_tokens_are_short_and_then_there_are_none() -> Verdict {
    for (waits, expires_in) in [
        (secs(700), Some(300)),
        (secs(997), Some(3)),
        (secs(999), Some(1)),
        (Duration::from_millis(999_001), Some(1)),
        (Duration::from_millis(999_999), Some(1)),
        (secs(1000), None),
        (secs(1001), None),
        (secs(1_000_000_000), None),
    ] {
        let mut flow = Flow::with(short(1000, 1000)).await?;
        let tokens = flow.tokens().await?;
        flow.house.advance(waits).await?;
        let answer = flow.refresh(&tokens.refresh).await?;
        let what = format!("{waits:?}: {} {}", answer.status, answer.text());
        match expires_in {
            Some(seconds) => {
                assert_eq!(answer.json()["expires_in"], seconds, "{what}");
                let claims = Tokens::of(&answer)?.claims()?;
                let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
                assert_eq!(life, Some(seconds), "{what}");
            }
            None => tok400(&answer, "invalid_grant").map_err(while_trying(&what))?,
        }
        flow.house.close().await?;
    }
    Ok(())
}

/// AS-183.
#[tokio::test]
async fn a_grant_ends_when_it_was_not_used_and_lives_on_while_it_is() -> Verdict {
    // Used each time in the last moment, a grant lives on; a moment later it is gone.
    let mut flow = Flow::with(short(1_000_000, 1000)).await?;
    let mut tokens = flow.tokens().await?;
    for _ in 0..5 {
        flow.house.advance(Duration::from_millis(999_999)).await?;
        tokens = flow.lives(&Tokens { access: fresh(&flow, &tokens).await?, ..tokens }).await?;
    }
    flow.house.advance(secs(1000)).await?;
    tok400(&flow.refresh(&tokens.refresh).await?, "invalid_grant")?;
    // A repeat does not count as use: it cannot keep a grant alive.
    flow.close().await
}

/// An access token by a repeat of the refresh that gave these, so that the refresh token stays unused.
async fn fresh(flow: &Flow, tokens: &Tokens) -> Result<String, String> {
    let answer = flow.refresh(&tokens.refresh).await?;
    let next = Tokens::of(&answer)?;
    let again = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    if next.refresh == again.refresh { Ok(again.access) } else { Err("two successors".to_owned()) }
}

#[tokio::test]
async fn a_grant_ends_in_all_however_much_it_is_used() -> Verdict {
    let mut flow = Flow::with(short(2500, 1000)).await?;
    let mut tokens = flow.tokens().await?;
    for _ in 0..2 {
        flow.house.advance(secs(900)).await?;
        tokens = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    }
    flow.house.advance(secs(699)).await?;
    let last = flow.refresh(&tokens.refresh).await?;
    assert_eq!(last.json()["expires_in"], 1, "{}", last.text());
    flow.house.advance(secs(1)).await?;
    tok400(&flow.refresh(&Tokens::of(&last)?.refresh).await?, "invalid_grant")?;
    flow.close().await
}

#[tokio::test]
async fn a_person_who_left_the_group_gets_no_new_token() -> Verdict {
    let mut flow = Flow::new().await?;
    (flow.login, flow.server) = ("chika", "ledger");
    let tokens = flow.tokens().await?;
    let next = flow.lives(&tokens).await?;
    let Flow { house, client, log, .. } = flow;
    drop(log);
    let house = house
        .restart_with(|plan| {
            plan.servers =
                vec![("notes", Access::Everyone), ("ledger", Access::Groups(vec!["audit".to_owned()]))];
        })
        .await?;
    let before = house.counts().await?.revocations;
    tok400(&client.refresh(&next.refresh).await?, "invalid_grant")?;
    assert_eq!(house.echo("ledger", &next.access).await?.status, 403);
    let refused = house.audit(AuditKind::TokenRefused).await?;
    assert!(refused.iter().any(|event| event.reason.as_deref() == Some("not_admitted")), "{refused:?}");
    // The rule may change back: nothing was ended.
    assert_eq!(house.counts().await?.revocations, before);
    let house = house
        .restart_with(|plan| {
            plan.servers =
                vec![("notes", Access::Everyone), ("ledger", Access::Groups(vec!["finance".to_owned()]))];
        })
        .await?;
    Tokens::of(&client.refresh(&next.refresh).await?)?;
    // A server that is gone has no tokens at all.
    let house = house.restart_with(|plan| plan.servers.truncate(1)).await?;
    tok400(&client.refresh(&next.refresh).await?, "invalid_grant")?;
    assert_eq!(house.echo("ledger", &next.access).await?.status, 404);
    house.close().await
}

/// AS-177.
#[tokio::test]
async fn a_refresh_token_of_another_client_changes_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let next = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    flow.house.advance(secs(100)).await?;
    let other =
        testkit::client::TestClient::register(&flow.house.http, &flow.house.issuer, LOOPBACK_REDIRECT)
            .await?;
    let known = flow.house.known_client("known-native")?;
    for stranger in [&other, &known] {
        // Neither the living one nor the old one, which in its owner's hands would end the family.
        for token in [&next.refresh, &tokens.refresh] {
            tok400(&stranger.refresh(token).await?, "invalid_grant")?;
        }
    }
    assert_eq!(flow.house.audit(AuditKind::RefreshReused).await?.len(), 0);
    flow.lives(&next).await?;
    flow.close().await
}

/// AS-184.
#[tokio::test]
async fn a_refresh_token_that_was_changed_anywhere_is_none() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let next = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    flow.house.advance(secs(100)).await?;
    for place in 4..tokens.refresh.len() {
        let mut changed = tokens.refresh.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).map_err(|error| error.to_string())?;
        let answer = flow.client.refresh(&changed).await?;
        tok400(&answer, "invalid_grant").map_err(while_trying(&changed))?;
    }
    for odd in
        ["skr_", "skr", "", " ", &tokens.refresh[..40], &format!("{}A", tokens.refresh), &"A".repeat(60_000)]
    {
        let answer = flow.client.refresh(odd).await?;
        let error = if odd.is_empty() { "invalid_request" } else { "invalid_grant" };
        tok400(&answer, error).map_err(while_trying(odd))?;
    }
    // Not one of them was taken for the old token of this grant, which would have ended it.
    assert_eq!(flow.house.audit(AuditKind::RefreshReused).await?.len(), 0);
    flow.lives(&next).await?;
    flow.close().await
}

#[tokio::test]
async fn a_record_that_was_set_back_is_told_from_theft() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
    crate::record::tamper(&flow.house, "UPDATE grants SET generation = 1")?;
    tok400(&flow.refresh(&third.refresh).await?, "invalid_grant")?;
    let set_back = flow.aud(AuditKind::RefreshSetBack, "refresh_token_set_back").await?;
    assert!(set_back.user.is_some() && set_back.grant.is_some(), "{set_back:?}");
    assert_eq!(flow.house.audit(AuditKind::RefreshReused).await?.len(), 0);
    assert_eq!(flow.house.counts().await?.revocations, 0);
    flow.close().await
}
