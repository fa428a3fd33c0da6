//! Keys while Sekisho runs (attacks.md, ST-05, ST-16, F-29): rotated again and again, withdrawn, sealed anew, on two nodes
//! and beside one that hears of nothing.

use std::collections::HashSet;
use std::time::Duration;

use authorization_server::keys::{KeeperSettings, Resealed, Rotated, Sealing, When};
use protocol::keys::{KeyRing, MasterKey};
use store::{AuditKind, KeyPurpose, KeysRecord as _};
use testkit::house::{House, MASTER_KEY, Plan};
use testkit::outcomes::{Verdict, rs401, tok400};
use testkit::world::TestEntropy;

use crate::record;
use crate::steps::{Flow, Tokens, while_trying};

const LEAD: Duration = Duration::from_secs(120);
const OTHER_MASTER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn masters(first: &str, more: &[&str]) -> Result<KeyRing<MasterKey>, String> {
    let more = more.iter().map(|text_of| MasterKey::parse(text_of).map_err(text));
    Ok(KeyRing::new(MasterKey::parse(first).map_err(text)?, more.collect::<Result<_, _>>()?))
}

fn kid(token: &str) -> Result<String, String> {
    use base64::Engine as _;
    let header = token.split('.').next().unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).map_err(text)?;
    let header: serde_json::Value = serde_json::from_slice(&bytes).map_err(text)?;
    header["kid"].as_str().map(str::to_owned).ok_or_else(|| "no kid".to_owned())
}

/// How often what takes long is done; `SEKISHO_TEST_FACTOR` multiplies it.
fn times(usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "the environment says how long a test may take")]
    let factor = std::env::var("SEKISHO_TEST_FACTOR").ok().and_then(|factor| factor.parse().ok());
    usual * factor.unwrap_or(1)
}

async fn works(house: &House, tokens: &[(Tokens, Duration)]) -> Verdict {
    for (tokens, _) in tokens {
        let answer = house.echo("notes", &tokens.access).await?;
        if answer.status != 200 {
            return Err(format!("a token of key {}: {}", kid(&tokens.access)?, answer.status));
        }
    }
    Ok(())
}

/// Tokens of every key of the last ten minutes, at two nodes, while keys of all purposes change under load.
async fn rotated_again_and_again(postgres: String) -> Verdict {
    // The hands of the clock are set by the test; that of PostgreSQL is what it is.
    let keys = KeeperSettings { lead_time: LEAD, clocks_apart: None, ..KeeperSettings::default() };
    let mut flow = Flow::with(Plan { postgres: Some(postgres), keys, ..Plan::default() }).await?;
    let other = flow.house.second_node().await?;
    let stale = flow.house.second_node_with(|plan| plan.stale_keys = true).await?;
    let (masters, chance) = (masters(MASTER_KEY, &[])?, TestEntropy::seeded(77));
    let mut held = vec![(flow.tokens().await?, Duration::ZERO)];
    let mut kids = HashSet::new();
    let mut now = Duration::ZERO;
    for round in 0..times(12) {
        let last = held.last().ok_or("nothing is held")?.0.clone();
        let change = flow.house.change_keys(&masters, &chance);
        // Rotated while both nodes answer: by command on one, read on the other whenever it reads.
        let load = async || {
            for _ in 0..4 {
                works(&flow.house, &held).await?;
                works(&other, &held).await?;
            }
            Ok::<(), String>(())
        };
        let rotate = async || {
            for purpose in KeyPurpose::ALWAYS {
                change.rotate(purpose, When::AfterLead(LEAD)).await.map_err(text)?;
            }
            Ok::<(), String>(())
        };
        let (one, two, three, four) = tokio::join!(load(), load(), rotate(), rotate());
        one.and(two).and(three).and(four).map_err(while_trying(&format!("round {round}")))?;
        now += LEAD + Duration::from_secs(1);
        flow.house.advance(LEAD + Duration::from_secs(1)).await?;
        other.read().await?;
        // A key that the third node knows well, and no revocation of which it has not heard; but keys it has not read.
        stale.read().await?;
        let known = stale.echo("notes", &last.access).await?;
        assert_eq!(known.status, 503, "round {round}");
        held.retain(|(_, at)| now.saturating_sub(*at) < Duration::from_secs(600));
        works(&flow.house, &held).await?;
        works(&other, &held).await?;
        let renewed = Tokens::of(&flow.client.refresh(&last.refresh).await?)?;
        flow.keep(&renewed.access);
        flow.keep(&renewed.refresh);
        kids.insert(kid(&renewed.access)?);
        held.push((renewed, now));
    }
    assert_eq!(kids.len(), times(12), "each round had a key of its own");
    nobody_serves_who_cannot_know(&flow, &stale, &held).await?;
    withdrawn_everywhere(&flow, &other, &held).await?;
    stale.close().await?;
    other.close().await?;
    flow.close().await
}

/// Who cannot know what was withdrawn serves nobody and issues nothing, rather than something wrong.
async fn nobody_serves_who_cannot_know(flow: &Flow, stale: &House, held: &[(Tokens, Duration)]) -> Verdict {
    let newest = held.last().ok_or("nothing is held")?.0.clone();
    assert_eq!(stale.echo("notes", &newest.access).await?.status, 503);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", newest.refresh.as_str())];
    let fields = [&fields[..], &[("client_id", flow.client.client_id.as_str())]].concat();
    let answer = stale.http.post_form(&format!("{}/oauth/token", stale.issuer), &[], &fields).await?;
    assert_eq!(answer.error(), "temporarily_unavailable", "{}", answer.text());
    Ok(())
}

/// Withdrawn by a command: refused on both nodes as soon as each has read, by itself.
async fn withdrawn_everywhere(flow: &Flow, other: &House, held: &[(Tokens, Duration)]) -> Verdict {
    let (masters, chance) = (masters(MASTER_KEY, &[])?, TestEntropy::seeded(82));
    let change = flow.house.change_keys(&masters, &chance);
    let working = change.working_key(KeyPurpose::Signing).await.map_err(text)?;
    let leaked: Vec<&(Tokens, Duration)> = held
        .iter()
        .filter(|(tokens, _)| kid(&tokens.access).is_ok_and(|kid| kid == working.to_string()))
        .collect();
    assert!(!leaked.is_empty(), "the newest token is of the key that works");
    assert!(change.withdraw(&[working]).await.map_err(text)?);
    for house in [&flow.house, other] {
        for (tokens, _) in &leaked {
            while house.echo("notes", &tokens.access).await?.status == 200 {
                tokio::task::yield_now().await;
            }
            rs401(&house.echo("notes", &tokens.access).await?)?;
        }
        let jwks = house.http.get(&format!("{}/oauth/jwks", house.issuer), &[]).await?.text();
        assert!(!jwks.contains(&working.to_string()), "{jwks}");
        for (tokens, _) in held {
            if kid(&tokens.access)? != working.to_string() {
                assert_eq!(house.echo("notes", &tokens.access).await?.status, 200);
            }
        }
    }
    Ok(())
}

/// AS-175.
#[tokio::test(flavor = "multi_thread")]
async fn f_29_keys_rotate_under_load_and_no_token_is_refused_before_its_time() -> Verdict {
    record::on_postgres(rotated_again_and_again).await
}

/// Of one file, and of one server: whoever signed in before goes on, whichever master key is first.
async fn going_over(plan: Plan) -> Verdict {
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    let (forward, chance) = (masters(OTHER_MASTER, &[MASTER_KEY])?, TestEntropy::seeded(78));
    // Sealed anew while people sign in.
    let go = Sealing { change: flow.house.change_keys(&forward, &chance), progress: &|_, _| {} };
    let made = go.go_over_to_master().await.map_err(text)?;
    assert_eq!(made, Resealed { done: 6, broken: 0, finished: true });
    assert_eq!(flow.house.echo("notes", &tokens.access).await?.status, 200, "what runs goes on");
    let Flow { mut client, house, log, .. } = flow;
    // A node that starts with the old one alone says so and makes nothing; with both, or the new one, it goes on.
    let house = house
        .restart_with(|plan| plan.master_keys = vec![OTHER_MASTER.to_owned(), MASTER_KEY.to_owned()])
        .await?;
    client.http = house.http.clone();
    let renewed = Tokens::of(&client.refresh(&tokens.refresh).await?)?;
    let house = house.restart_with(|plan| plan.master_keys = vec![OTHER_MASTER.to_owned()]).await?;
    client.http = house.http.clone();
    assert_eq!(house.echo("notes", &renewed.access).await?.status, 200);
    assert_eq!(house.audit(AuditKind::MasterKeyRotated).await?.len(), 1);
    let keys = house.store.list_keys().await.map_err(text)?;
    let refused = house.restart_with(|plan| plan.master_keys = vec![MASTER_KEY.to_owned()]).await;
    assert!(refused.is_err_and(|why| why.contains("master key is not the one of this record")));
    assert_eq!(keys.len(), KeyPurpose::ALWAYS.len());
    drop(log);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn st_05_the_record_goes_over_to_another_master_key_while_people_work() -> Verdict {
    going_over(Plan::default()).await?;
    record::on_postgres(|url| going_over(Plan { postgres: Some(url), ..Plan::default() })).await
}

/// A sign-in that is under way when the sealing key changes and its value is sealed anew comes to its end.
#[tokio::test]
async fn st_05_what_is_sealed_anew_opens_where_it_stands_and_the_old_key_may_go() -> Verdict {
    let flow = Flow::new().await?;
    let mut browser = flow.house.browser();
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
    let login = browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    let form = login.form()?;
    let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
    let at_provider = browser.submit(&login, form, Some((&name, &value))).await?.page()?;
    let (masters, chance) = (masters(MASTER_KEY, &[])?, TestEntropy::seeded(79));
    let change = flow.house.change_keys(&masters, &chance);
    let old = change.working_key(KeyPurpose::Sealing).await.map_err(text)?;
    let made = change.rotate(KeyPurpose::Sealing, When::AtOnce).await.map_err(text)?;
    assert!(matches!(made, Rotated::Made { .. }));
    flow.house.advance(Duration::from_secs(1)).await?;
    let resealed = Sealing { change, progress: &|_, _| {} }.reseal().await.map_err(text)?;
    assert_eq!(resealed, Resealed { done: 1, broken: 0, finished: true });
    assert!(change.withdraw(&[old]).await.map_err(text)?);
    flow.house.read().await?;
    let consent =
        browser.submit(&at_provider, at_provider.form()?.with("login", "alice"), None).await?.page()?;
    assert!(consent.answer.status.is_success(), "{}", consent.answer.status);
    assert_eq!(flow.house.counts().await?.users, 1);
    assert_eq!(flow.house.audit(AuditKind::Resealed).await?.len(), 1);
    flow.house.close().await
}

/// A value that was copied into another row: sealing anew does not make it that row's, says so, and leaves it.
#[tokio::test]
async fn st_02_what_was_moved_is_not_sealed_anew_where_it_does_not_belong() -> Verdict {
    let flow = Flow::new().await?;
    for _ in 0..2 {
        let mut browser = flow.house.browser();
        let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
        let login = browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
        let form = login.form()?;
        let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
        browser.submit(&login, form, Some((&name, &value))).await?.page()?;
    }
    let copy = "UPDATE authorizations SET upstream_verifier = \
        (SELECT upstream_verifier FROM authorizations ORDER BY id DESC LIMIT 1)";
    record::tamper(&flow.house, copy)?;
    let (masters, chance) = (masters(MASTER_KEY, &[])?, TestEntropy::seeded(80));
    let change = flow.house.change_keys(&masters, &chance);
    change.rotate(KeyPurpose::Sealing, When::AtOnce).await.map_err(text)?;
    flow.house.advance(Duration::from_secs(1)).await?;
    let resealed = Sealing { change, progress: &|_, _| {} }.reseal().await.map_err(text)?;
    assert_eq!((resealed.done, resealed.broken), (1, 1), "the row it was taken from is as it was");
    let told = flow.house.audit(AuditKind::SealBroken).await?;
    assert_eq!(told.len(), 1);
    assert!(told.iter().all(|row| row.detail["place"] == "authorizations.upstream_verifier"), "{told:?}");
    flow.house.close().await
}

/// A key that leaked takes the refresh tokens it made with it, and nothing else.
#[tokio::test]
async fn a_withdrawn_key_of_refresh_tokens_sends_people_to_sign_in_again() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (masters, chance) = (masters(MASTER_KEY, &[])?, TestEntropy::seeded(81));
    let change = flow.house.change_keys(&masters, &chance);
    let working = change.working_key(KeyPurpose::RefreshTokens).await.map_err(text)?;
    assert!(change.withdraw(&[working]).await.map_err(text)?);
    flow.house.advance(Duration::from_millis(1)).await?;
    assert_eq!(flow.house.echo("notes", &tokens.access).await?.status, 200);
    tok400(&flow.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    let again = flow.tokens().await?;
    Tokens::of(&flow.client.refresh(&again.refresh).await?)?;
    flow.close().await
}
