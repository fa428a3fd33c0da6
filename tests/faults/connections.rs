//! F-15: very many calls at two nodes whose credential at a remote MCP server ends again and again, with refresh tokens that are
//! good once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use protocol::world::Clock;
use testkit::browser::Browser;
use testkit::client::mcp_request;
use testkit::http::{Answer, Http};
use testkit::outcomes::Verdict;
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::TestClock;

use super::chance::rounds;
use super::players::{Issued, Players};
use super::town::Town;
use crate::record::on_postgres;

/// Calls at once, over both nodes.
const MANY: usize = 200;
/// Generations of the credential that are seen, at least.
const GENERATIONS: usize = 3;
/// How long an access token of the provider is good.
const LIFE: Duration = Duration::from_secs(3);
const LINK: &str = "/connect/notes?for=";

/// Two nodes, the remote MCP server behind them, and a person who has connected an account there.
struct Scene {
    town: Town,
    players: Players,
    remote: RemoteServer,
    held: Issued,
}

impl Scene {
    async fn over(url: &str) -> Result<Self, String> {
        let clock = Arc::new(TestClock::real()) as Arc<dyn Clock>;
        // It registers us itself: who we are there must be known to both nodes.
        let remote = RemoteServer::start(clock, Knows::Dynamic).await?;
        let server = format!("url = \"{}\"\ncredential = \"connection\"", remote.url);
        let town = Town::serving(url, 2, &server).await?;
        let players = town.players().await?;
        let held = players.family(0).await?;
        let scene = Self { town, players, remote, held };
        scene.connect(0).await?;
        Ok(scene)
    }

    async fn echo(&self, node: usize) -> Result<Answer, String> {
        let echo = serde_json::json!({"name": "echo", "arguments": {}});
        let resource = self.players.resource();
        let request = mcp_request(&resource, &self.held.tokens.access, "tools/call", echo)?;
        self.players.http(node).send(request).await
    }

    /// So many calls at once at a node.
    async fn echoes(&self, node: usize, count: usize) -> Vec<Result<Answer, String>> {
        join_all((0..count).map(|_| self.echo(node))).await
    }

    /// The person opens the link that a client was told at a node, and comes back there.
    async fn connect(&self, node: usize) -> Verdict {
        let told = self.echo(node).await?.text();
        let at = told.find("http://localhost").filter(|_| told.contains(LINK));
        let link = told.get(at.ok_or_else(|| format!("no link: {told}"))?..).unwrap_or_default();
        let link: String = link.chars().take_while(|c| !matches!(c, ' ' | '"' | '\\')).collect();
        let mut browser = self.players.browser(node);
        let page = browser.open(&link).await?.page()?;
        let away = browser.submit(&page, page.form()?, None).await?.left()?;
        let back = Browser::new(Http::default()).open(away.as_str()).await?.left()?;
        let page = browser.open_from_elsewhere(back.as_str()).await?.page()?;
        if page.answer.status == StatusCode::OK { Ok(()) } else { Err(page.words()) }
    }

    async fn number(&self, sql: &str) -> Result<usize, String> {
        let rows = self.town.record.rows(sql).await?;
        rows.first().and_then(|row| row.parse().ok()).ok_or_else(|| format!("no number: {sql}"))
    }
}

/// No call sees an end, whatever the provider's tokens live, and each is exchanged once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_two_hundred_calls_at_two_nodes_refresh_once_for_each_end() -> Verdict {
    on_postgres(|url| async move {
        let scene = Scene::over(&url).await?;
        scene.remote.change(|held| held.lifetime = LIFE);
        scene.remote.end_access_tokens();
        let generation = "SELECT MAX(generation) FROM connections";
        while scene.number(generation).await? < GENERATIONS * rounds(1) {
            let (one, two) = tokio::join!(scene.echoes(0, MANY / 2), scene.echoes(1, MANY / 2));
            for answer in one.into_iter().chain(two) {
                let answer = answer?;
                assert!(answer.text().contains(&canary("ada")), "{} {}", answer.status, answer.text());
            }
        }
        let (counts, generation) = (scene.remote.counts(), scene.number(generation).await?);
        assert_eq!((counts.refreshes, counts.reuses, counts.refused), (generation, 0, 0));
        assert_eq!((counts.registrations, counts.codes), (1, 1));
        Ok(())
    })
    .await
}
