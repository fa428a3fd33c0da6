//! Codes: replayed, forged, without their verifier, for somebody else's resource, from a record that was edited.

use std::time::Duration;

use store::{AuditKind, Grants as _, Maintenance as _};
use testkit::client::Pkce;
use testkit::house::Plan;
use testkit::outcomes::{Verdict, redir_at_once, tok400};

use crate::record;
use crate::steps::{Flow, Tokens, while_trying};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[tokio::test]
async fn tk_01_a_second_redemption_at_once_changes_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let tokens = flow.redeemed(&code).await?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    let tokens = flow.lives(&tokens).await?;
    // The last moment at which it may be an impatient client (attacks.md, D-3).
    flow.house.advance(secs(10)).await?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    flow.lives(&tokens).await?;
    assert_eq!(flow.events(AuditKind::CodeReplayed, "code_replayed").await?.len(), 2);
    assert_eq!(flow.house.audit(AuditKind::TokenIssued).await?.len(), 1);
    flow.close().await
}

/// AS-137.
#[tokio::test]
async fn tk_01_a_late_replay_with_the_right_verifier_ends_the_family() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let first = flow.redeemed(&code).await?;
    let second = flow.lives(&first).await?;
    flow.house.advance(secs(30)).await?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    flow.is_dead(&[&first, &second]).await?;
    let event = flow.aud(AuditKind::CodeReplayed, "code_replayed").await?;
    assert!(event.user.is_some() && event.grant.is_some() && event.reference.is_some(), "{event:?}");
    assert_eq!(event.client_id.as_deref(), Some(flow.client.client_id.as_str()));
    assert_eq!(event.address.as_deref(), Some("127.0.0.1"));
    // And it stays so: nothing can be brought back by trying on.
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    flow.is_dead(&[&first, &second]).await?;
    flow.close().await
}

/// AS-137.
#[tokio::test]
async fn tk_01_a_late_replay_that_is_not_the_holder_s_logs_nobody_out() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let tokens = flow.redeemed(&code).await?;
    flow.house.advance(secs(30)).await?;
    let other = flow.house.client().await?;
    let stranger = Pkce::new("a stranger").verifier;
    for (what, answer) in [
        ("another verifier", flow.client.redeem(&code.code, &stranger).await?),
        (
            "no verifier",
            flow.client.token(&[("grant_type", "authorization_code"), ("code", &code.code)]).await?,
        ),
        ("another client", other.redeem(&code.code, &code.verifier).await?),
    ] {
        tok400(&answer, "invalid_grant").map_err(while_trying(what))?;
    }
    flow.lives(&tokens).await?;
    assert!(flow.house.counts().await?.revocations == 0);
    flow.close().await
}

/// D-12; RFC 6749, section 5.2.
#[tokio::test]
async fn an_invalid_grant_is_400_and_challenges_nobody() -> Verdict {
    let flow = Flow::new().await?;
    for (grant_type, name) in [("authorization_code", "code"), ("refresh_token", "refresh_token")] {
        for value in ["skc_x", "skr_x", "x"] {
            let answer = flow.client.token(&[("grant_type", grant_type), (name, value)]).await?;
            tok400(&answer, "invalid_grant").map_err(while_trying(name))?;
            assert_eq!(answer.header("www-authenticate"), "", "{name}={value}");
        }
    }
    flow.close().await
}

#[tokio::test]
async fn tk_04_a_forged_code_that_only_looks_like_a_used_one_changes_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let tokens = flow.redeemed(&code).await?;
    flow.house.advance(secs(30)).await?;
    let genuine = code.code.clone();
    let last = if genuine.ends_with('A') { "B" } else { "A" };
    let cut = &genuine[..genuine.len() - 1];
    let swapped: String = genuine
        .chars()
        .map(|letter| {
            if letter.is_ascii_lowercase() {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect();
    for forged in [
        format!("{cut}{last}"),
        cut.to_owned(),
        format!("{genuine}A"),
        format!("{genuine} "),
        format!(" {genuine}"),
        swapped,
        genuine.replace("skc_", ""),
        "skc_".to_owned(),
        "x".repeat(60_000),
    ] {
        let answer = flow.client.redeem(&forged, &code.verifier).await?;
        tok400(&answer, "invalid_grant").map_err(while_trying(&forged))?;
    }
    assert_eq!(flow.house.audit(AuditKind::CodeReplayed).await?.len(), 0);
    flow.lives(&tokens).await?;
    flow.close().await
}

/// AS-135, AS-138.
#[tokio::test]
async fn tk_05_a_code_without_its_verifier_is_refused_and_not_used_up() -> Verdict {
    let mut flow = Flow::new().await?;
    for leave in [None, Some("")] {
        let code = flow.code().await?;
        let before = flow.stored().await?;
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code.code.as_str())];
        fields.extend(leave.map(|empty| ("code_verifier", empty)));
        tok400(&flow.client.token(&fields).await?, "invalid_grant")?;
        assert_eq!(flow.stored().await?, before);
        flow.redeemed(&code).await?;
    }
    let wrong = Pkce::new("wrong").verifier;
    let code = flow.code().await?;
    // What answers the challenge is the verifier, not the challenge, and not the verifier in another spelling.
    let upper = code.verifier.to_ascii_uppercase();
    for verifier in [wrong.as_str(), &upper] {
        tok400(&flow.client.redeem(&code.code, verifier).await?, "invalid_grant")?;
    }
    flow.redeemed(&code).await?;
    assert_eq!(flow.events(AuditKind::TokenRefused, "verifier_missing").await?.len(), 2);
    assert_eq!(flow.events(AuditKind::TokenRefused, "verifier_mismatch").await?.len(), 2);
    flow.close().await
}

#[tokio::test]
async fn a_code_is_dead_after_three_failed_attempts() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    for malformed in ["short", &"v".repeat(129), "not~base64url but+wrong"] {
        tok400(&flow.client.redeem(&code.code, malformed).await?, "invalid_grant")
            .map_err(while_trying(malformed))?;
    }
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    assert_eq!(flow.house.counts().await?.grants, 0);
    flow.close().await
}

/// AS-139.
#[tokio::test]
async fn tk_07_no_client_gets_a_code_without_a_challenge_so_no_verifier_can_come_from_nowhere() -> Verdict {
    for client in ["known-public", "known-confidential"] {
        let mut flow = Flow::with_known(client).await?;
        let resource = flow.house.resource("notes");
        let mut fields = flow.client.authorization_request(&resource, "");
        fields.retain(|(name, _)| !name.starts_with("code_challenge"));
        let answer = flow.house.http.get(&flow.client.authorization_url(&fields), &[]).await?;
        let (to, issuer) = (flow.client.redirect_uri.clone(), flow.house.issuer.clone());
        redir_at_once(&answer, &to, "invalid_request", Some("state-of-the-test"), &issuer)?;
        assert_eq!(flow.house.counts().await?.authorizations, 0);
        // A confidential client's secret does not stand in for the verifier.
        let code = flow.code().await?;
        tok400(
            &flow.client.token(&[("grant_type", "authorization_code"), ("code", &code.code)]).await?,
            "invalid_grant",
        )?;
        flow.redeemed(&code).await?;
        flow.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn tk_08_a_row_that_nobody_of_ours_wrote_buys_nothing() -> Verdict {
    let request =
        |change: &str| format!("UPDATE authorizations SET request = {change} WHERE state = 'consented'");
    for edit in [
        request("replace(request, '\"code_challenge\":', '\"no_challenge\":')"),
        request("replace(request, '\"code_challenge\":\"', '\"code_challenge\":\"x')"),
        request("json_set(request, '$.code_challenge', '')"),
        request("json_set(request, '$.code_challenge', NULL)"),
        request("json_set(request, '$.code_challenge', json('{\"method\":\"plain\",\"challenge\":\"x\"}'))"),
        request("json_set(request, '$.resource', 'https://elsewhere.example/mcp')"),
        request("'{}'"),
        "UPDATE authorizations SET state = 'approved' WHERE state = 'consented'".to_owned(),
        "UPDATE authorizations SET shown = NULL WHERE state = 'consented'".to_owned(),
        "UPDATE authorizations SET attempts = -1 WHERE state = 'consented'".to_owned(),
    ] {
        let mut flow = Flow::new().await?;
        let code = flow.code().await?;
        record::tamper(&flow.house, &edit)?;
        tok400(&flow.redeem(&code).await?, "invalid_grant").map_err(while_trying(&edit))?;
        assert_eq!(flow.house.counts().await?.grants, 0, "{edit}");
    }
    Ok(())
}

/// AS-141.
#[tokio::test]
async fn tk_10_a_redirect_uri_must_be_that_of_the_request_if_it_comes() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let redeem =
        [("grant_type", "authorization_code"), ("code", &code.code), ("code_verifier", &code.verifier)];
    let before = flow.stored().await?;
    for other in ["http://127.0.0.1:51235/callback", "http://127.0.0.1:51234/callback/"] {
        let fields = [redeem.as_slice(), &[("redirect_uri", other)]].concat();
        tok400(&flow.client.token(&fields).await?, "invalid_grant").map_err(while_trying(other))?;
    }
    assert_eq!(flow.stored().await?, before);
    // OAuth 2.1 dropped the parameter (section 10.2).
    Tokens::of(&flow.client.token(&redeem).await?)?;
    flow.house.close().await
}

/// AS-159.
#[tokio::test]
async fn tk_11_a_resource_that_was_not_granted_is_refused_and_the_code_not_used_up() -> Verdict {
    let mut flow = Flow::new().await?;
    let (notes, ledger) = (flow.house.resource("notes"), flow.house.resource("ledger"));
    let with_fragment = format!("{notes}#x");
    let upper = notes.replace("/notes/", "/NOTES/");
    for wrong in [
        &ledger,
        &with_fragment,
        &upper,
        &format!("{notes}/"),
        "notes",
        "https://elsewhere.example/notes/mcp",
    ] {
        let code = flow.code().await?;
        let redeem =
            [("grant_type", "authorization_code"), ("code", &code.code), ("code_verifier", &code.verifier)];
        let before = flow.stored().await?;
        let alone = [redeem.as_slice(), &[("resource", wrong)]].concat();
        let beside = [redeem.as_slice(), &[("resource", &notes), ("resource", wrong)]].concat();
        for fields in [alone, beside] {
            tok400(&flow.client.token(&fields).await?, "invalid_target").map_err(while_trying(wrong))?;
        }
        assert_eq!(flow.stored().await?, before, "{wrong}");
        flow.redeemed(&code).await?;
    }
    // The same resource, named as often and in whatever case of scheme and host, is the one that was granted.
    let code = flow.code().await?;
    let spelled = notes.replace("http://localhost", "HTTP://LocalHost");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code.code),
        ("code_verifier", &code.verifier),
        ("resource", &notes),
        ("resource", &spelled),
    ];
    let tokens = Tokens::of(&flow.client.token(&fields).await?)?;
    assert_eq!(tokens.claims()?["aud"], notes.as_str());
    flow.house.close().await
}

/// AS-134.
#[tokio::test]
async fn a_code_expires_to_the_second() -> Verdict {
    for (waits, good) in [(Duration::from_millis(59_999), true), (secs(60), false), (secs(61), false)] {
        let mut flow = Flow::new().await?;
        let code = flow.code().await?;
        flow.house.advance(waits).await?;
        let answer = flow.redeem(&code).await?;
        if good {
            Tokens::of(&answer)?;
        } else {
            tok400(&answer, "invalid_grant")?;
            assert_eq!(flow.house.counts().await?.grants, 0);
            flow.aud(AuditKind::TokenRefused, "code_expired").await?;
        }
        flow.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn st_11_sweeping_never_makes_a_replay_succeed() -> Verdict {
    let day = 24 * 60 * 60;
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let mut tokens = flow.redeemed(&code).await?;
    for _ in 0..8 {
        flow.house.advance(secs(20 * day)).await?;
        tokens = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
        flow.house
            .store
            .sweep(protocol::world::Clock::now(&*flow.house.clock))
            .await
            .map_err(|error| error.to_string())?;
    }
    // 160 days on, the code is still known for what it is.
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    flow.is_dead(&[&tokens]).await?;
    flow.house.advance(secs(400 * day)).await?;
    flow.house
        .store
        .sweep(protocol::world::Clock::now(&*flow.house.clock))
        .await
        .map_err(|error| error.to_string())?;
    assert_eq!(flow.house.counts().await?.grants, 0);
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    tok400(&flow.refresh(&tokens.refresh).await?, "invalid_grant")?;
    flow.close().await
}

#[tokio::test]
async fn the_hash_of_what_was_shown_stands_with_the_grant() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let page = flow.consent(&pkce.challenge).await?;
    let shown =
        page.form()?.value("csrf").and_then(|csrf| csrf.split_once('.')).map(|(shown, _)| shown.to_owned());
    let callback = testkit::client::allow(&mut flow.browser, &page).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let tokens = Tokens::of(&flow.client.redeem(&code, &pkce.verifier).await?)?;
    let id = tokens.claims()?["grant_id"].as_str().unwrap_or_default().parse().map_err(|_| "no grant id")?;
    let grant =
        flow.house.store.find_grant(id).await.map_err(|error| error.to_string())?.ok_or("no grant")?;
    let kept: String = grant.shown.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Some(kept), shown);
    flow.house.close().await
}

#[tokio::test]
async fn a_client_that_did_not_register_refresh_gets_no_refresh_token() -> Verdict {
    let mut flow = Flow::with(Plan::default()).await?;
    let metadata = serde_json::json!({
        "client_name": "Short-lived",
        "redirect_uris": [testkit::client::LOOPBACK_REDIRECT],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "none",
    });
    flow.client =
        testkit::client::TestClient::register_with(&flow.house.http, &flow.house.issuer, &metadata).await?;
    let code = flow.code().await?;
    let answer = flow.redeem(&code).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json().get("refresh_token").is_none(), "{}", answer.text());
    // Nor may it use another's way: the grant type is refused before anything is looked at.
    tok400(&flow.client.refresh("skr_x").await?, "unauthorized_client")?;
    flow.close().await
}
