//! The record and what stands in it (attacks.md, 1.14), as far as it can be seen from outside.

use std::time::Duration;

use testkit::house::Plan;
use testkit::outcomes::{Verdict, page, page400, tok400};

use crate::record;
use crate::steps::{Flow, while_trying};

/// One of everything: codes, tokens, cookies, secrets, a revocation, a replay, a refusal.
async fn everything(flow: &mut Flow) -> Verdict {
    let code = flow.code().await?;
    let tokens = flow.redeemed(&code).await?;
    let tokens = flow.lives(&tokens).await?;
    let unredeemed = flow.code().await?;
    tok400(&flow.client.redeem(&unredeemed.code, "wrong").await?, "invalid_grant")?;
    flow.house.advance(Duration::from_secs(30)).await?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    flow.is_dead(&[&tokens]).await?;
    let more = flow.tokens().await?;
    assert_eq!(
        flow.revoke(&[("client_id", &flow.client.client_id), ("token", &more.access)]).await?.status,
        200
    );
    // A sign-in under way, with everything sealed that it needs to come back.
    let mut browser = flow.house.browser();
    let pkce = flow.pkce();
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
    let login = browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    let form = login.form()?;
    let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
    let at_provider = browser.submit(&login, form, Some((&name, &value))).await?.page()?;
    flow.keep(at_provider.form()?.value("state").unwrap_or_default());
    for browser in [&browser, &flow.browser] {
        for value in browser.cookies.values().flatten().map(|(_, value)| value) {
            flow.keep(value);
        }
    }
    Ok(())
}

/// AS-243.
#[tokio::test]
async fn st_01_no_secret_stands_in_the_file_or_in_the_log_in_clear() -> Verdict {
    let mut flow = Flow::new().await?;
    everything(&mut flow).await?;
    // While it runs, with whatever is still in the log of writes; and again when it has stopped.
    for entry in std::fs::read_dir(flow.house.folder()).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        for secret in flow.secrets() {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret stands in {}", path.display());
        }
    }
    flow.close().await
}

#[tokio::test]
async fn st_01_the_search_for_secrets_finds_one_that_is_there() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    record::tamper(&flow.house, &format!("UPDATE users SET name = '{}'", tokens.refresh))?;
    assert!(flow.close().await.is_err());
    Ok(())
}

#[tokio::test]
async fn st_01_no_secret_stands_in_any_table_on_postgres() -> Verdict {
    record::on_postgres(|url| async move {
        let mut flow = Flow::with(Plan { postgres: Some(url.clone()), ..Plan::default() }).await?;
        everything(&mut flow).await?;
        let secrets = flow.secrets();
        assert!(secrets.len() > 15, "{}", secrets.len());
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        if let Some(found) = record::holds(&url, &secrets).await? {
            return Err(found);
        }
        assert!(
            record::holds(&url, &["Alice Tanaka"]).await?.is_some(),
            "the search would find what is there"
        );
        flow.close().await
    })
    .await
}

#[tokio::test]
async fn st_07_keys_are_compared_byte_for_byte() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    for spelled in [code.code.to_ascii_lowercase(), code.code.to_ascii_uppercase(), format!("{} ", code.code)]
    {
        if spelled != code.code {
            tok400(&flow.client.redeem(&spelled, &code.verifier).await?, "invalid_grant")?;
        }
    }
    flow.redeemed(&code).await?;
    for id in ["KNOWN-PUBLIC", "known-public ", "known-publi\u{107}"] {
        let url = format!("{}?client_id={}", flow.at("/oauth/authorize"), urlencoding(id));
        page400(&flow.house.http.get(&url, &[]).await?).map_err(while_trying(id))?;
    }
    flow.close().await
}

fn urlencoding(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn st_08_st_10_what_does_not_fit_or_is_no_text_is_refused_before_the_record() -> Verdict {
    for postgres in [false, true] {
        let run = |url: Option<String>| async move {
            let mut flow = Flow::with(Plan { postgres: url, ..Plan::default() }).await?;
            let before = flow.stored().await?;
            let resource = flow.house.resource("notes");
            let fields = flow.client.authorization_request(&resource, &flow.pkce().challenge);
            let stateless: Vec<(String, String)> =
                fields.iter().filter(|(name, _)| name != "state").cloned().collect();
            for (name, value) in [
                ("state", "a%ffb"),
                ("login_hint", "%ff%fe"),
                ("login_hint", "a%0"),
                ("scope", "%00"),
                ("resource", "%00"),
            ] {
                let url = format!("{}&{name}={value}", flow.client.authorization_url(&stateless));
                let answer = flow.house.http.get(&url, &[]).await?;
                let refused = answer.status.is_client_error() || answer.header("location").contains("error=");
                assert!(refused, "{name}={value}: {}", answer.status);
            }
            assert_eq!(flow.stored().await?, before);
            // NUL is text to a form and none to a record: it goes in and comes out where it is borne at all.
            for name in ["state", "login_hint", "prompt"] {
                let url = format!("{}&{name}=a%00b", flow.client.authorization_url(&stateless));
                let answer = flow.house.http.get(&url, &[]).await?;
                assert!(!answer.status.is_server_error(), "{name}: {}", answer.status);
            }
            // What is long, and within bounds, goes in and comes out whole.
            let state = "s\u{1f6aa}".repeat(1500);
            let mut long = stateless;
            long.push(("state".to_owned(), state.clone()));
            long.push(("login_hint".to_owned(), "h".repeat(20_000)));
            let page = flow.browser.open(&flow.client.authorization_url(&long)).await?.page()?;
            let consent = testkit::client::log_in(&mut flow.browser, page, "alice").await?;
            let callback = testkit::client::allow(&mut flow.browser, &consent).await?;
            assert_eq!(testkit::client::parameter(&callback, "state").as_deref(), Some(state.as_str()));
            flow.close().await
        };
        if postgres { record::on_postgres(|url| run(Some(url))).await? } else { run(None).await? }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_sealed_opens_in_its_own_row_only() -> Verdict {
    let flow = Flow::new().await?;
    let (mut first, mut second) = (flow.house.browser(), flow.house.browser());
    let mut pages = Vec::new();
    for browser in [&mut first, &mut second] {
        let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
        let login = browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
        let form = login.form()?;
        let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
        pages.push(browser.submit(&login, form, Some((&name, &value))).await?.page()?);
    }
    let swap = "UPDATE authorizations SET upstream_verifier = \
        (SELECT other.upstream_verifier FROM authorizations other WHERE other.id <> authorizations.id)";
    record::tamper(&flow.house, swap)?;
    let form = pages[0].form()?.with("login", "alice");
    let refused = first.submit(&pages[0], form, None).await?.page()?;
    page(&refused.answer, http::StatusCode::INTERNAL_SERVER_ERROR)?;
    let events = flow.house.audit(store::AuditKind::SealBroken).await?;
    assert!(events.len() == 1 && events[0].reason.as_deref() == Some("seal_broken"), "{events:?}");
    assert_eq!(flow.house.counts().await?.users, 0);
    flow.house.close().await
}

#[tokio::test]
async fn keys_whose_purpose_was_changed_do_not_open() -> Verdict {
    let flow = Flow::new().await?;
    record::tamper(&flow.house, "UPDATE keys SET purpose = 'forms' WHERE purpose = 'refresh_tokens'")?;
    let Flow { house, log, .. } = flow;
    let refused = house.restart().await;
    drop(log);
    match refused {
        Err(why) if !why.is_empty() => Ok(()),
        Err(_) => Err("it says nothing".to_owned()),
        Ok(_) => Err("it started".to_owned()),
    }
}
