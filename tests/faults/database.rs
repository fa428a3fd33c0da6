//! F-08: a database that is cut off, silent, locked up, or takes no writes. What needs it answers 503, soon; and all is well
//! within seconds of its return. What calls do meanwhile is F-23.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::Method;
use http_body_util::Full;
use testkit::client::Pkce;
use testkit::history::Answered;
use testkit::http::{form, request};
use testkit::outcomes::Verdict;
use testkit::wire::Fault;

use super::chance::{Stopwatch, say};
use super::players::{Issued, Players};
use super::town::Town;
use crate::record::on_postgres;

/// How soon what needs the record says that it is away.
const SOON: Duration = Duration::from_secs(2);
/// How soon everything works again when it is back.
const RECOVERY: Duration = Duration::from_secs(5);

type Asked = (&'static str, http::Request<Full<Bytes>>);

/// One request to each public endpoint that needs the record; `writes` alone if reading is possible.
fn each(players: &Players, held: &Issued, writes: bool) -> Result<Vec<Asked>, String> {
    let (issuer, client) = (&players.issuer, players.client.client_id.as_str());
    let typed = [("content-type", "application/x-www-form-urlencoded")];
    let post = |path: &str, fields: &[(&str, &str)]| {
        request(Method::POST, &format!("{issuer}{path}"), &typed, form(fields).into())
    };
    let refresh =
        [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", &held.tokens.refresh)];
    let challenge = Pkce::new("away").challenge;
    let authorize = players.client.authorization_request(&players.resource(), &challenge);
    let authorize = players.client.authorization_url(&authorize);
    let mut all = vec![
        ("refresh", post("/oauth/token", &refresh)?),
        ("authorize", request(Method::GET, &authorize, &[("sec-fetch-site", "none")], Bytes::new())?),
    ];
    if !writes {
        let code = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", "nobody-ever-issued-this-code"),
            ("code_verifier", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ];
        let revoke = [("client_id", client), ("token", held.tokens.refresh.as_str())];
        all.push(("code", post("/oauth/token", &code)?));
        all.push(("revoke", post("/oauth/revoke", &revoke)?));
    }
    Ok(all)
}

/// Asks all at once: each is 503 with `Retry-After`, soon, and says nothing of the database.
async fn all_away(players: &Players, held: &Issued, writes: bool) -> Verdict {
    let asked = each(players, held, writes)?.into_iter().map(async |(name, request)| {
        let watch = Stopwatch::start();
        let answer = players.http(0).send(request).await.map_err(|why| format!("{name}: {why}"))?;
        let took = watch.elapsed();
        let text = answer.text();
        let away = answer.status == 503 && !answer.header("retry-after").is_empty();
        if away && took <= SOON && !text.to_lowercase().contains("postgres") {
            return Ok(took);
        }
        Err(format!("{name}: {} after {took:?}: {text}", answer.status))
    });
    let took = join_all(asked).await.into_iter().collect::<Result<Vec<_>, String>>()?;
    say(&format!("f_08: 503 after at most {:?}", took.iter().max()));
    Ok(())
}

/// From the moment that the record is back.
async fn recovered(players: &Players, held: &Issued) -> Result<Issued, String> {
    let watch = Stopwatch::start();
    loop {
        // The documented retry: the same token again.
        let refreshed = players.refresh(0, held).await;
        if let (Answered::Tokens(_), Some(next)) = refreshed
            && players.call(0, &next).await == Answered::Done
        {
            say(&format!("f_08: back after {:?}", watch.elapsed()));
            return Ok(next);
        }
        if watch.elapsed() > RECOVERY {
            return Err(format!("not back within {RECOVERY:?}: {:?}", refreshed.0));
        }
        // As a client waits; a history of hundreds of refusals is more than the checker searches.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn away(fault: Fault) -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 1).await?;
        let players = town.players().await?;
        let mut held = players.family(0).await?;
        let wire = town.nodes[0].wire.as_ref().ok_or("no wire")?;
        for _ in 0..2 {
            wire.set(fault);
            all_away(&players, &held, false).await?;
            let alive = players.http(0).get(&format!("{}/healthz", players.issuer), &[]).await?;
            assert_eq!(alive.status, 200, "the process lives");
            let before = wire.accepted();
            wire.set(Fault::None);
            held = recovered(&players, &held).await?;
            // One pool's worth of connections and no more: nobody storms the door.
            assert!(wire.accepted() - before <= 16, "{} connections", wire.accepted() - before);
        }
        players.check(&town.record).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_what_needs_a_database_that_is_cut_off_says_so_soon_and_recovers() -> Verdict {
    away(Fault::Cut).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_what_needs_a_database_that_is_silent_says_so_soon_and_recovers() -> Verdict {
    away(Fault::Stall).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_what_needs_tables_that_somebody_holds_says_so_soon_and_recovers() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 1).await?;
        let players = town.players().await?;
        let held = players.family(0).await?;
        let hold = "BEGIN; LOCK TABLE authorizations, grants, audit_events IN ACCESS EXCLUSIVE MODE; \
                    SELECT pg_sleep(4); COMMIT";
        let asked = async {
            while town.record.rows(HELD).await?.is_empty() {}
            all_away(&players, &held, false).await
        };
        let (held_up, away) = join(town.record.rows(hold), asked).await;
        held_up?;
        away?;
        recovered(&players, &held).await?;
        players.check(&town.record).await
    })
    .await
}

const HELD: &str = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
    AND relation = 'grants'::regclass";

/// What ends all other connections to this database, so that the next ones take note of its settings.
const DISCONNECT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_08_what_writes_to_a_database_that_only_reads_says_so_soon_and_recovers() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 1).await?;
        let players = town.players().await?;
        let held = players.family(0).await?;
        let name = town.record.rows("SELECT current_database()").await?.remove(0);
        let set = async |value: &str| {
            let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
            town.record.rows(&format!("BEGIN READ WRITE; {alter}; COMMIT")).await?;
            town.record.rows(DISCONNECT).await
        };
        set("on").await?;
        all_away(&players, &held, true).await?;
        set("off").await?;
        recovered(&players, &held).await?;
        players.check(&town.record).await
    })
    .await
}
