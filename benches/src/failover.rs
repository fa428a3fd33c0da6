//! PostgreSQL falls under load and comes back: how soon everything works again, and whether a client that repeats what
//! failed gets through. A call is repeated as it was; so is a refresh, with the same refresh token; a sign-in begins anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::flows::{self, Flow};
use crate::load::{Connection, Target, now};
use crate::peer::Peer;
use crate::pin::Core;
use crate::postgres::Postgres;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Clients of each kind.
const CLIENTS: usize = 8;
/// How long the database is away: long enough that nobody believes any more what was read from it.
const AWAY: Duration = Duration::from_secs(8);
/// How long everybody works before and after.
const CALM: Duration = Duration::from_secs(4);
/// Between two pieces of work of one client, and before what failed is repeated.
const PAUSE: Duration = Duration::from_millis(20);
/// So long a client repeats what fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Call,
    Refresh,
    SignIn,
}

/// What the clients saw.
#[derive(Debug, Default)]
struct Log {
    /// What, when it was asked, when it was answered well, and by which client.
    good: Vec<(Work, Instant, Instant, usize)>,
    failed: usize,
    uncured: Vec<String>,
}

type Shared = Arc<Mutex<Log>>;

fn write(log: &Shared) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures several falls.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let mut server = Postgres::start(plan).await?;
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let setup = Setup { postgres: Some(server.url()), ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let flow = Arc::new(Flow::new(&product, &session));
    let (mut first, mut last) = ([(); 3].map(|()| Rounds::default()), Rounds::default());
    let (mut good, mut failed, mut uncured) = (0, 0, Vec::new());
    for _ in 0..plan.rounds {
        let (back, log) = fall(&mut server, &product, &flow).await?;
        let after = |work: Work| {
            let good = log.good.iter().filter(move |good| good.0 == work && good.1 >= back);
            good.map(|good| ((good.2 - back).as_secs_f64() * 1e3, good.3))
        };
        let works = [Work::Call, Work::Refresh, Work::SignIn];
        let mut slowest = 0.0_f64;
        for (work, rounds) in works.into_iter().zip(&mut first) {
            rounds.push(after(work).map(|good| good.0).fold(f64::INFINITY, f64::min));
            for client in 0..CLIENTS {
                let own = after(work).filter(|good| good.1 == client).map(|good| good.0);
                slowest = slowest.max(own.fold(f64::INFINITY, f64::min));
            }
        }
        last.push(slowest);
        good += log.good.len();
        failed += log.failed;
        uncured.extend(log.uncured);
    }
    let goal = "5 s";
    for (rounds, what) in first.iter().zip(["call", "refresh", "sign-in"]) {
        table.row(&format!("database back: first good {what}"), &rounds.show("ms", 0), goal);
    }
    table.row("database back: every client served again", &last.show("ms", 0), goal);
    uncured.iter().take(5).for_each(|why| anstream::eprintln!("{why}"));
    table.row(
        "errors that repeating does not cure",
        &format!("{} of {failed}; {good} good answers", uncured.len()),
        "none",
    );
    Ok(())
}

/// One fall under load; when the database was back, and what the clients saw.
async fn fall(server: &mut Postgres, product: &Product, flow: &Arc<Flow>) -> Outcome<(Instant, Log)> {
    let (log, stop) = (Shared::default(), CancellationToken::new());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        for work in [Work::Call, Work::Refresh, Work::SignIn] {
            let one = Client {
                target: product.target.clone(),
                flow: Arc::clone(flow),
                log: Arc::clone(&log),
                stop: stop.clone(),
                client,
            };
            clients.spawn(one.run(work));
        }
    }
    tokio::time::sleep(CALM).await;
    server.fall()?;
    tokio::time::sleep(AWAY).await;
    server.launch()?;
    server.ready().await?;
    let back = now();
    tokio::time::sleep(CALM * 2).await;
    stop.cancel();
    clients.join_all().await.into_iter().collect::<Outcome<Vec<()>>>()?;
    let log = std::mem::take(&mut *write(&log));
    Ok((back, log))
}

struct Client {
    target: Target,
    flow: Arc<Flow>,
    log: Shared,
    stop: CancellationToken,
    client: usize,
}

impl Client {
    async fn run(self, work: Work) -> Outcome<()> {
        let mut connection = Connection::open(&self.target).await?;
        let tokens = self.flow.run(&mut connection).await?;
        let call = calls::call(&format!("/{SERVER}/mcp"), Some(&flows::text(&tokens, "access_token")?));
        let mut refresh_token = flows::text(&tokens, "refresh_token")?;
        while !self.stop.is_cancelled() {
            let begin = now();
            loop {
                let asked = now();
                let done = match work {
                    Work::Call => connection.send(&call).await.and_then(|(parts, _)| good(parts.status)),
                    Work::Refresh => match self.flow.refresh(&mut connection, &refresh_token).await {
                        Ok(tokens) => flows::text(&tokens, "refresh_token").map(|next| refresh_token = next),
                        Err(why) => Err(why),
                    },
                    Work::SignIn => self.flow.run(&mut connection).await.map(drop),
                };
                let Err(why) = done else {
                    write(&self.log).good.push((work, asked, now(), self.client));
                    break;
                };
                write(&self.log).failed += 1;
                // Who is told that a refresh token or a token is no good does not repeat it. A sign-in begins anew.
                let final_word = work != Work::SignIn && (why.contains("400") || why.contains("401"));
                if final_word || begin.elapsed() > PATIENCE {
                    write(&self.log).uncured.push(why);
                    return Ok(());
                }
                tokio::time::sleep(PAUSE).await;
                connection = Connection::open(&self.target).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

fn good(status: StatusCode) -> Outcome<()> {
    if status.is_success() { Ok(()) } else { Err(format!("answered {status}")) }
}
