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

/// How long a claim on a connection holds.
const LEASE: Duration = Duration::from_secs(60);

impl Scene {
    /// The same calls, of which each is answered by somebody: the MCP server, or a clean refusal.
    fn counted(answers: Vec<Result<Answer, String>>) -> Result<Counted, String> {
        let mut counted = Counted::default();
        for answer in answers {
            let Ok(answer) = answer else {
                counted.cut += 1;
                continue;
            };
            let text = answer.text();
            if text.contains(&canary("ada")) {
                counted.done += 1;
            } else if answer.status == StatusCode::SERVICE_UNAVAILABLE
                && !answer.header("retry-after").is_empty()
            {
                counted.later += 1;
            } else if answer.status == StatusCode::OK && text.contains(LINK) {
                counted.asked += 1;
            } else {
                return Err(format!("{}: {text}", answer.status));
            }
        }
        Ok(counted)
    }

    /// Waits until a node has claimed the connection, and asks the provider.
    async fn claimed(&self) -> Verdict {
        let claimed = "SELECT COUNT(*) FROM connections WHERE claim IS NOT NULL";
        while self.number(claimed).await? == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// How calls ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    /// The person was asked to connect again.
    asked: usize,
    /// No answer: the node died.
    cut: usize,
    /// Done, as the right person.
    done: usize,
    /// Nothing was done, and it may be tried again.
    later: usize,
}

/// The second half of F-15: the provider has turned the refresh token, and the node that asked dies with the new one. The other
/// one shows the old one to nobody while that node may still write, and once afterwards; then the person is asked, at every
/// node, and can connect again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_a_node_that_dies_between_answer_and_write_leaves_one_question_to_the_person() -> Verdict {
    on_postgres(|url| async move {
        let scene = Scene::over(&url).await?;
        // Both hold what is good now.
        for node in [0, 1] {
            assert_eq!(Scene::counted(scene.echoes(node, 1).await)?.done, 1);
        }
        let gate = scene.remote.hold_refreshes();
        scene.remote.end_access_tokens();
        scene.town.nodes[0].die_at("after_token_answer", 1)?;
        let dying = scene.echoes(0, MANY / 2);
        let living = async {
            scene.claimed().await?;
            let calls = scene.echoes(1, MANY / 2);
            let death = async {
                gate.add_permits(1);
                while !scene.town.nodes[0].is_dead() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                // Whoever asks from now on is heard.
                gate.add_permits(MANY);
            };
            Ok::<_, String>(tokio::join!(calls, death).0)
        };
        let (dying, living) = tokio::join!(dying, living);
        assert_eq!(Scene::counted(dying)?, Counted { cut: MANY / 2, ..Counted::default() });
        assert_eq!(Scene::counted(living?)?, Counted { later: MANY / 2, ..Counted::default() });
        let counts = scene.remote.counts();
        assert_eq!((counts.refreshes, counts.refused), (1, 0), "the old one is shown to nobody");
        // The claim of the dead node runs out.
        scene.remote.change(|held| held.gate = None);
        let age = format!("UPDATE connections SET claimed_until = claimed_until - {}", LEASE.as_micros());
        scene.town.record.rows(&format!("{age} RETURNING 1")).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(Scene::counted(scene.echoes(1, MANY).await)?.asked, MANY);
        scene.town.nodes[0].start().await?;
        scene.players.reconnect(0);
        for node in [0, 1] {
            assert_eq!(Scene::counted(scene.echoes(node, MANY / 2).await)?.asked, MANY / 2);
        }
        let counts = scene.remote.counts();
        assert_eq!((counts.refreshes, counts.refused, counts.reuses), (1, 1, 1), "once, and never again");
        scene.connect(1).await?;
        for node in [0, 1] {
            assert_eq!(Scene::counted(scene.echoes(node, MANY / 2).await)?.done, MANY / 2);
        }
        assert_eq!(scene.remote.counts().refused, 1);
        Ok(())
    })
    .await
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
