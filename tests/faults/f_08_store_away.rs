//! F-08: the record is away. Whoever asks is told so in time and may come back; nothing hangs, nothing is served that
//! cannot be known, and all goes on by itself when it is back.

use std::time::Duration;

use testkit::house::Plan;
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use super::proxy::{Mode, Proxy};
use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

/// How soon everybody is answered.
const IN_TIME: Duration = Duration::from_secs(2);
/// How soon it works again.
const AGAIN: Duration = Duration::from_secs(5);

async fn in_time(what: &str, answer: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    tokio::time::timeout(IN_TIME, answer).await.map_err(|_| format!("{what} is not answered in time"))?
}

/// 503 with the time to come back, and no word of what is behind.
fn is_away(what: &str, answer: &Answer) -> Verdict {
    let said = answer.text();
    let tells = ["postgres", "sql", "127.0.0.1", "connection", "timed out", "panicked"];
    let told = tells.iter().find(|word| said.to_ascii_lowercase().contains(**word));
    if answer.status != 503 || answer.header("retry-after").is_empty() || told.is_some() {
        return Err(format!("{what}: {} {:?} {said}", answer.status, answer.headers));
    }
    Ok(())
}

/// Everything public that needs the record is refused; what needs none is not.
async fn is_refused(flow: &Flow, tokens: &Tokens) -> Verdict {
    let house = &flow.house;
    let pkce = flow.pkce();
    let fields = flow.client.authorization_request(&house.resource("notes"), &pkce.challenge);
    let authorize = flow.client.authorization_url(&fields);
    let revoke = [("client_id", flow.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    is_away("a refresh", &in_time("a refresh", flow.refresh(&tokens.refresh)).await?)?;
    is_away("a code", &in_time("a code", flow.client.redeem("skc_unknown", &pkce.verifier)).await?)?;
    is_away("a revocation", &in_time("a revocation", flow.revoke(&revoke)).await?)?;
    is_away("an authorization", &in_time("an authorization", house.http.get(&authorize, &[])).await?)?;
    let ready = in_time("readiness", house.http.get(&flow.at("/readyz"), &[])).await?;
    assert_eq!(ready.status, 503, "{}", ready.text());
    for path in ["/healthz", "/.well-known/oauth-authorization-server"] {
        let answer = in_time(path, house.http.get(&flow.at(path), &[])).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    // A call by a token that was checked a moment ago may be served until knowledge of revocations is too old; it is
    // answered in time in any case.
    in_time("a call", house.echo("notes", &tokens.access)).await.map(drop)
}

async fn works_again(flow: &Flow) -> Verdict {
    let again = async {
        loop {
            let ready = flow.house.http.get(&flow.at("/readyz"), &[]).await?;
            if ready.status == 200 {
                return Ok::<_, String>(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AGAIN, again).await.map_err(|_| "it is back and we are not".to_owned())?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_everybody_is_told_in_time_that_the_record_is_away_and_all_goes_on_when_it_is_back() -> Verdict {
    on_postgres(|url| async move {
        let proxy = Proxy::before(&url).await.map_err(|error| error.to_string())?;
        let mut flow = Flow::with(Plan { postgres: Some(proxy.url()), ..Plan::default() }).await?;
        let mut tokens = flow.tokens().await?;
        for (away, rounds) in [(Mode::Cut, 1), (Mode::Stall, 1), (Mode::Cut, 3)] {
            proxy.set(away);
            for _ in 0..rounds {
                is_refused(&flow, &tokens).await.map_err(|why| format!("{away:?}: {why}"))?;
            }
            proxy.set(Mode::Carry);
            works_again(&flow).await?;
            // The same token, which nobody has used meanwhile: nothing of what was refused was done.
            tokens = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
            flow.calls(&tokens.access).await?;
        }
        let thefts = flow.house.audit(store::AuditKind::RefreshReused).await?;
        assert!(thefts.is_empty(), "{thefts:?}");
        flow.close().await
    })
    .await
}
