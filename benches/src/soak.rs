//! `cargo xtask soak MINUTES`: the same people do everything over and over at a low rate, and nothing may grow but what is
//! kept on purpose.
//!
//! Grants are kept for a day after their end, as evidence, and revocations until no token that they name can be alive: those
//! rows grow with what is done, as the audit does. That they go is a matter of `store`'s contract; a clock set forward does not
//! show it, since what is removed for good is not removed by a time of day that just jumped (`protocol::world::Steady`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use store::Engine;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::Http;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::flows::text;
use crate::load::{Connection, Target, Template, count, now};
use crate::peer::Peer;
use crate::pin::{self, Core};
use crate::product::{Product, SERVER, Setup, rows};
use crate::samples::Series;
use crate::{Outcome, calls, flows, streams};

/// People, each with a client of their own.
const PEOPLE: usize = 8;
const EVERY: Duration = Duration::from_secs(5);
/// Between two calls of one person.
const PAUSE: Duration = Duration::from_millis(150);
/// Tokens end many times over in a run, and so must what is remembered of them.
const LIVES: &str = "[tokens]\naccess_token = \"1m\"\n";

/// What was done.
#[derive(Debug, Default)]
struct Done {
    sign_ins: AtomicUsize,
    calls: AtomicUsize,
    refreshes: AtomicUsize,
    revocations: AtomicUsize,
    streams: AtomicUsize,
    registrations: AtomicUsize,
    refusals: AtomicUsize,
    begun_anew: AtomicUsize,
}

fn one_more(of: &AtomicUsize) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// Runs for so many minutes and prints the table.
pub(crate) async fn run(minutes: u64) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let people = (0..PEOPLE).map(|number| {
        format!(
            "[[identity_provider.person]]\nlogin = \"person-{number}\"\nname = \"Person {number}\"\n\
             email = \"person-{number}@example.com\"\n"
        )
    });
    let more = people.chain([LIVES.to_owned()]).collect();
    let setup = Setup { more, ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let record = product.record().await?;
    let (done, stop) = (Arc::<Done>::default(), CancellationToken::new());
    let mut people = JoinSet::new();
    for number in 0..PEOPLE {
        let person = Person {
            number,
            issuer: product.peer.url.clone(),
            target: product.target.clone(),
            done: Arc::clone(&done),
            stop: stop.clone(),
        };
        people.spawn(person.live());
    }
    let (begin, length) = (now(), Duration::from_secs(minutes * 60));
    let mut watch = Watch::new();
    let mut ticks = tokio::time::interval(EVERY);
    while begin.elapsed() < length {
        tokio::select! {
            _ = ticks.tick() => watch.sample(&product, &record).await?,
            Some(ended) = people.join_next() => {
                ended.map_err(|error| error.to_string())??;
                return Err("a person stopped working".to_owned());
            }
        }
    }
    stop.cancel();
    people.join_all().await.into_iter().collect::<Outcome<Vec<()>>>()?;
    print(minutes, &done, &watch);
    Ok(())
}

fn print(minutes: u64, done: &Done, watch: &Watch) {
    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let cores = pin::cores();
    anstream::println!(
        "`cargo xtask soak {minutes}`: {cores} cores. Sign-ins {}, calls {}, \
         refreshes {}, streams {}, revocations {}, registrations {}, refused calls {}; sign-ins begun anew {}. A sample \
         every {} s; the change is the mean of the last quarter against that of the third.\n",
        of(&done.sign_ins),
        of(&done.calls),
        of(&done.refreshes),
        of(&done.streams),
        of(&done.revocations),
        of(&done.registrations),
        of(&done.refusals),
        of(&done.begun_anew),
        EVERY.as_secs()
    );
    let rows: String = watch.all.iter().map(Series::row).collect();
    anstream::println!(
        "| measure | at first | at half | at last | range of the second half | change | verdict |\n\
         |---|---|---|---|---|---|---|\n{rows}"
    );
}

struct Watch {
    all: Vec<Series>,
}

impl Watch {
    fn new() -> Self {
        let all = vec![
            Series::flat("RSS", " MiB", 1),
            Series::flat("descriptors", "", 0),
            Series::flat("threads", "", 0),
            Series::kept("rows: authorizations", ""),
            Series::flat("rows: browser sessions", "", 0),
            Series::flat("rows: clients", "", 0),
            Series::kept("rows: grants", ""),
            Series::kept("rows: revocations", ""),
            Series::flat("rows: users", "", 0),
            Series::kept("rows: keys", ""),
            Series::kept("rows: audit events", ""),
            Series::kept("rows: personal data of the audit", ""),
            Series::kept("bytes of the file", " KiB"),
            Series::flat("bytes of its log", " KiB", 0),
            Series::kept("CPU used so far", " s"),
        ];
        Self { all }
    }

    async fn sample(&mut self, product: &Product, record: &Engine) -> Outcome<()> {
        let rows = rows(record).await?;
        let (file, log) = product.bytes();
        let number = |rows: u64| count(usize::try_from(rows).unwrap_or_default());
        let values = [
            product.peer.rss_mib()?,
            product.peer.descriptors()?,
            product.peer.threads()?,
            number(rows.authorizations),
            number(rows.browser_sessions),
            number(rows.clients),
            number(rows.grants),
            number(rows.revocations),
            number(rows.users),
            number(rows.keys),
            number(rows.audit_events),
            number(rows.audit_subjects),
            number(file) / 1024.0,
            number(log) / 1024.0,
            product.peer.cpu_seconds()?,
        ];
        let shown: Vec<String> = values.iter().map(|value| format!("{value:.0}")).collect();
        anstream::eprintln!("{}", shown.join(" "));
        for (series, value) in self.all.iter_mut().zip(values) {
            series.push(value);
        }
        Ok(())
    }
}

struct Person {
    number: usize,
    issuer: String,
    target: Target,
    done: Arc<Done>,
    stop: CancellationToken,
}

impl Person {
    async fn live(self) -> Outcome<()> {
        let port = self.target.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let http = Http::via(port.ok_or("odd address")?);
        let client = TestClient::register(&http, &self.issuer, LOOPBACK_REDIRECT).await?;
        let mut browser = Browser::new(http.clone());
        for round in self.number.. {
            if self.stop.is_cancelled() {
                break;
            }
            let mut connection = Connection::open(&self.target).await?;
            let registered = connection.send(&flows::registration()).await?;
            expect(registered.0.status, StatusCode::CREATED)?;
            one_more(&self.done.registrations);
            let login = format!("person-{}", self.number);
            let resource = format!("{}/{SERVER}/mcp", self.issuer);
            match client.obtain_tokens(&mut browser, &login, &resource).await {
                Ok(tokens) => {
                    one_more(&self.done.sign_ins);
                    self.work(&client, &mut connection, &tokens, round).await?;
                }
                // Told in the table: none is expected.
                Err(why) => {
                    anstream::eprintln!("a sign-in begins anew: {why}");
                    one_more(&self.done.begun_anew);
                }
            }
        }
        Ok(())
    }

    /// Calls, a stream, a refresh, more calls; and one of three ends.
    async fn work(
        &self,
        client: &TestClient,
        connection: &mut Connection,
        tokens: &serde_json::Value,
        round: usize,
    ) -> Outcome<()> {
        let path = format!("/{SERVER}/mcp");
        let mut access_token = text(tokens, "access_token")?;
        let mut stream = streams::open_one(&self.target, &calls::stream(&path, &access_token)).await?;
        one_more(&self.done.streams);
        self.calls(connection, &calls::call(&path, Some(&access_token))).await?;
        let refreshed = client.refresh(&text(tokens, "refresh_token")?).await?;
        expect(refreshed.status, StatusCode::OK)?;
        one_more(&self.done.refreshes);
        let refresh_token = text(&refreshed.json(), "refresh_token")?;
        access_token = text(&refreshed.json(), "access_token")?;
        self.calls(connection, &calls::call(&path, Some(&access_token))).await?;
        let nonsense = calls::call(&path, Some("nonsense"));
        expect(connection.send(&nonsense).await?.0.status, StatusCode::UNAUTHORIZED)?;
        one_more(&self.done.refusals);
        // Some are revoked with an open stream, which then ends; some streams are left by the client; some grants just end.
        if round.is_multiple_of(3) {
            let fields = [("token", refresh_token.as_str()), ("client_id", client.client_id.as_str())];
            let answer =
                client.http.post_form(&format!("{}/oauth/revoke", self.issuer), &[], &fields).await?;
            expect(answer.status, StatusCode::OK)?;
            one_more(&self.done.revocations);
            stream.ended(Duration::from_secs(5)).await?;
        }
        Ok(())
    }

    async fn calls(&self, connection: &mut Connection, call: &Template) -> Outcome<()> {
        for _ in 0..8 {
            tokio::time::sleep(PAUSE).await;
            let (parts, _) = connection.send(call).await?;
            expect(parts.status, StatusCode::OK)?;
            one_more(&self.done.calls);
        }
        Ok(())
    }
}

fn expect(status: StatusCode, wanted: StatusCode) -> Outcome<()> {
    if status == wanted { Ok(()) } else { Err(format!("answered {status}, not {wanted}")) }
}
