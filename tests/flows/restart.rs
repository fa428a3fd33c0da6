//! A restart: what was dead stays dead, what was alive lives on (attacks.md, F-06 in small).

use std::time::Duration;

use testkit::client::TestClient;
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, page400, rs401, tok400};

use crate::record::on_postgres;
use crate::steps::{Code, Flow, Tokens};

#[tokio::test]
async fn a_restart_brings_nothing_back_and_loses_nothing_on_sqlite() -> Verdict {
    restarted(Plan::default()).await
}

#[tokio::test]
async fn a_restart_brings_nothing_back_and_loses_nothing_on_postgres() -> Verdict {
    on_postgres(|url| restarted(Plan { postgres: Some(url), ..Plan::default() })).await
}

/// What may not come back.
struct Dead {
    tokens: Vec<Tokens>,
    codes: Vec<Code>,
    decided: testkit::browser::Page,
}

async fn kill(flow: &mut Flow) -> Result<Dead, String> {
    // Revoked; replayed by code; replayed by refresh token; tried too often; expired.
    let revoked = flow.tokens().await?;
    assert_eq!(
        flow.revoke(&[("client_id", &flow.client.client_id), ("token", &revoked.access)]).await?.status,
        200
    );
    let replayed = flow.code().await?;
    let by_code = flow.redeemed(&replayed).await?;
    flow.house.advance(Duration::from_secs(30)).await?;
    tok400(&flow.redeem(&replayed).await?, "invalid_grant")?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    let third = Tokens::of(&flow.refresh(&second.refresh).await?)?;
    tok400(&flow.refresh(&first.refresh).await?, "invalid_grant")?;
    let tried = flow.code().await?;
    for _ in 0..3 {
        tok400(&flow.client.redeem(&tried.code, "wrong").await?, "invalid_grant")?;
    }
    let expired = flow.code().await?;
    flow.house.advance(Duration::from_secs(61)).await?;
    let pkce = flow.pkce();
    let decided = flow.consent(&pkce.challenge).await?;
    testkit::client::deny(&mut flow.browser, &decided).await?;
    Ok(Dead {
        tokens: vec![revoked, by_code, first, second, third],
        codes: vec![replayed, tried, expired],
        decided,
    })
}

impl Dead {
    async fn stays(
        &self,
        house: &House,
        client: &TestClient,
        browser: &mut testkit::browser::Browser,
    ) -> Verdict {
        for tokens in &self.tokens {
            rs401(&house.echo("notes", &tokens.access).await?)?;
            tok400(&client.refresh(&tokens.refresh).await?, "invalid_grant")?;
        }
        for code in &self.codes {
            tok400(&client.redeem(&code.code, &code.verifier).await?, "invalid_grant")?;
        }
        let form = self.decided.form()?.with("decision", "allow");
        page400(&browser.submit(&self.decided, form, None).await?.page()?.answer)
    }
}

async fn restarted(plan: Plan) -> Verdict {
    let mut flow = Flow::with(plan).await?;
    let dead = kill(&mut flow).await?;
    let living = flow.tokens().await?;
    let unredeemed = flow.code().await?;
    let pkce = flow.pkce();
    let undecided = flow.consent(&pkce.challenge).await?;
    let Flow { house, client, mut browser, log, .. } = flow;
    drop(log);
    dead.stays(&house, &client, &mut browser).await?;
    let mut house = house;
    for _ in 0..2 {
        house = house.restart().await?;
        dead.stays(&house, &client, &mut browser).await?;
    }
    assert_eq!(house.echo("notes", &living.access).await?.status, 200);
    Tokens::of(&client.refresh(&living.refresh).await?)?;
    Tokens::of(&client.redeem(&unredeemed.code, &unredeemed.verifier).await?)?;
    let callback = testkit::client::allow(&mut browser, &undecided).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    Tokens::of(&client.redeem(&code, &pkce.verifier).await?)?;
    house.close().await
}
