//! F-33: random sequences of what clients and people do, on SQLite and on two nodes over PostgreSQL, with time passing and
//! nodes restarting in between. Every answer is the one of the reference model.
//!
//! A sequence that is answered otherwise is shrunk, and its seed is kept in `tests/model.regressions`, which is tried first
//! in every later run.

mod machines;
mod reference;

use std::collections::HashMap;
use std::time::Duration;

use authorization_server::{Blocked, ClientAdministration, ClientPolicy, Standing};
use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner,
};
use protocol::oauth::ClientId;
use protocol::world::Clock as _;
use store::Maintenance as _;
use testkit::browser::{Browser, Page, Place};
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient, deny, log_in, parameter};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::{Verdict, rs401, tok400, tok401};

use self::reference::{Bought, Decided, Reference, Time, Who};
use crate::faults::chance::{Chance, rounds};
use crate::faults::invariants;
use crate::record::{Record, on_postgres};

const CLIENTS_GO: Time = 90 * 24 * 60 * 60;

/// One step. Numbers are of what there is, modulo how many there are; without any the step does nothing.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The administrator approves of a client.
    Admit(usize),
    /// The operator lets somebody in again: the person, or a service account.
    Allow(usize),
    Approve(usize),
    Authorize(usize),
    /// The administrator blocks a client that needs no browser.
    Bar(usize),
    /// The administrator blocks a client.
    Block(usize),
    Call(usize),
    Deny(usize),
    /// An agent exchanges an access token for one of its own.
    Exchange(usize),
    /// The identity provider says that the person may.
    IdJag {
        again: bool,
    },
    /// The person logs out at the identity provider.
    LogOut,
    /// A machine asks for a token.
    Machine,
    Pass(u64),
    Redeem {
        code: usize,
        by_another: bool,
        right: bool,
    },
    Refresh {
        token: usize,
        by_another: bool,
    },
    Register,
    Restart,
    RevokeAccess {
        token: usize,
        by_another: bool,
    },
    RevokeRefresh {
        token: usize,
        by_another: bool,
    },
    /// The operator stops somebody.
    Stop {
        who: usize,
        block: bool,
    },
    Sweep,
    SwitchNode,
    /// The administrator takes it back.
    Unbar(usize),
    Unblock(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // The latest are tried most: a uniform choice would seldom go far with one.
    let of = || prop_oneof![3 => Just(usize::MAX), 2 => any::<usize>()];
    let rarely = || prop::bool::weighted(0.15);
    let times = [1, 5, 9, 10, 11, 30, 59, 60, 61, 599, 600, 601, 3_599, 3_600, 86_400, 2_592_000];
    prop_oneof![
        2 => of().prop_map(Step::Admit),
        2 => any::<usize>().prop_map(Step::Allow),
        1 => any::<usize>().prop_map(Step::Bar),
        3 => of().prop_map(Step::Exchange),
        3 => prop::bool::weighted(0.3).prop_map(|again| Step::IdJag { again }),
        1 => Just(Step::LogOut),
        2 => Just(Step::Machine),
        2 => (any::<usize>(), prop::bool::weighted(0.6)).prop_map(|(who, block)| Step::Stop { who, block }),
        2 => any::<usize>().prop_map(Step::Unbar),
        3 => of().prop_map(Step::Approve),
        4 => of().prop_map(Step::Authorize),
        1 => of().prop_map(Step::Block),
        4 => of().prop_map(Step::Call),
        1 => of().prop_map(Step::Deny),
        4 => prop::sample::select(times.to_vec()).prop_map(Step::Pass),
        5 => (of(), rarely(), prop::bool::weighted(0.8))
            .prop_map(|(code, by_another, right)| Step::Redeem { code, by_another, right }),
        6 => (of(), rarely()).prop_map(|(token, by_another)| Step::Refresh { token, by_another }),
        1 => Just(Step::Register),
        1 => Just(Step::Restart),
        1 => (of(), rarely()).prop_map(|(token, by_another)| Step::RevokeAccess { token, by_another }),
        1 => (of(), rarely()).prop_map(|(token, by_another)| Step::RevokeRefresh { token, by_another }),
        1 => Just(Step::Sweep),
        2 => Just(Step::SwitchNode),
        1 => of().prop_map(Step::Unblock),
    ]
}

/// An authorization as the client and the person's browser know it.
struct Asked {
    client: usize,
    page: Page,
    pkce: Pkce,
    code: Option<String>,
}

/// The real thing, beside its model.
struct Pair {
    model: Reference,
    nodes: Vec<Option<House>>,
    at: usize,
    browser: Browser,
    clients: Vec<TestClient>,
    asked: Vec<Asked>,
    /// Access tokens, numbered as in the model.
    access: Vec<String>,
    /// Refresh tokens: grant and generation.
    refresh: Vec<(usize, u32)>,
    texts: HashMap<(usize, u32), String>,
    record: Record,
    /// Rows were removed, or codes taken back: the invariants, which count them, are not asked again.
    swept: bool,
    /// Speaks of the person, and says that they logged out.
    provider: OpenIdProvider,
    /// ID-JAGs that bought a token.
    used: Vec<String>,
    /// How many things of the identity provider's there were.
    minted: usize,
}

/// What an administrator decides about a client.
#[derive(Clone, Copy, Debug)]
enum Decision {
    Approve,
    Block,
    Unblock,
}

/// An administrator is asked about every client.
fn asking() -> ClientPolicy {
    ClientPolicy { loopback: Standing::Ask, ..ClientPolicy::everybody() }
}

/// Whether it is the page on which a person decides.
fn decides(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

fn pick(number: usize, count: usize) -> Option<usize> {
    match count {
        0 => None,
        _ if number == usize::MAX => Some(count - 1),
        _ => Some(number % count),
    }
}

impl Pair {
    async fn new(postgres: Option<String>) -> Result<Self, String> {
        let (two, url) = (postgres.is_some(), postgres.clone());
        let mut plan = Plan { postgres, client_policy: asking(), ..Plan::default() };
        let provider = machines::provider(&mut plan).await?;
        let first = House::with(plan).await?;
        let second = if two { Some(first.second_node().await?) } else { None };
        let browser = first.browser();
        let file = first.folder().join("record.db");
        let record = url.map_or(Record::Sqlite(file), Record::Postgres);
        let nodes = [Some(first), second].into_iter().filter(Option::is_some).collect();
        let mut pair = Self {
            model: Reference::default(),
            nodes,
            at: 0,
            browser,
            clients: Vec::new(),
            asked: Vec::new(),
            access: Vec::new(),
            refresh: Vec::new(),
            texts: HashMap::new(),
            record,
            swept: false,
            provider,
            used: Vec::new(),
            minted: 0,
        };
        for client in 0..2 {
            pair.register().await?;
            pair.administer(client, Decision::Approve).await?;
        }
        Ok(pair)
    }

    fn house(&self) -> Result<&House, String> {
        self.nodes[self.at].as_ref().ok_or_else(|| "no node".to_owned())
    }

    fn client(&self, number: usize, by_another: bool) -> Result<(usize, TestClient), String> {
        let number = if by_another { (number + 1) % self.clients.len() } else { number };
        Ok((number, TestClient { http: self.house()?.http.clone(), ..self.clients[number].clone() }))
    }

    /// The person's browser, at the node that is asked now.
    fn browser(&self) -> Result<Browser, String> {
        let mut browser = self.house()?.browser();
        browser.cookies.clone_from(&self.browser.cookies);
        Ok(browser)
    }

    async fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Admit(number) => self.administer(number, Decision::Approve).await,
            Step::Allow(number) => self.allow(number).await,
            Step::Approve(number) => self.decide(number, true).await,
            Step::Authorize(number) => self.authorize(number).await,
            Step::Bar(number) => self.bar(number, true).await,
            Step::Block(number) => self.administer(number, Decision::Block).await,
            Step::Call(number) => self.call(number).await,
            Step::Deny(number) => self.decide(number, false).await,
            Step::Exchange(number) => self.exchange(number).await,
            Step::IdJag { again } => self.id_jag(again).await,
            Step::LogOut => self.log_out().await,
            Step::Machine => self.machine().await,
            Step::Pass(seconds) => self.pass(seconds).await,
            Step::Redeem { code, by_another, right } => self.redeem(code, by_another, right).await,
            Step::Refresh { token, by_another } => self.refresh(token, by_another).await,
            Step::Register => self.register().await,
            Step::Restart => self.restart().await,
            Step::RevokeAccess { token, by_another } => self.revoke_access(token, by_another).await,
            Step::RevokeRefresh { token, by_another } => self.revoke_refresh(token, by_another).await,
            Step::Stop { who, block } => self.stop(who, block).await,
            Step::Sweep => self.sweep().await,
            Step::SwitchNode => {
                self.at = (self.at + 1) % self.nodes.len();
                Ok(())
            }
            Step::Unbar(number) => self.bar(number, false).await,
            Step::Unblock(number) => self.administer(number, Decision::Unblock).await,
        }
    }

    /// What an administrator does at the command line.
    async fn administer(&mut self, number: usize, decision: Decision) -> Verdict {
        let number = pick(number, self.clients.len()).ok_or("no client")?;
        if matches!(decision, Decision::Block) {
            self.takes_codes_back().await?;
        }
        let entropy = self.entropy().await?;
        let desk = ClientAdministration(self.stopping(&entropy)?);
        let id = ClientId::parse(&self.clients[number].client_id).map_err(|error| error.to_string())?;
        let done = match decision {
            Decision::Approve => desk.approve_client(&id, "loopback", None).await.map(drop),
            Decision::Block => desk.block(&Blocked::Client(id), None).await.map(drop),
            Decision::Unblock => desk.unblock(&Blocked::Client(id), None).await.map(drop),
        };
        done.map_err(|error| error.to_string())?;
        match decision {
            Decision::Approve => self.model.approve(number),
            Decision::Block => self.model.block(number),
            Decision::Unblock => self.model.unblock(number),
        }
        self.hear().await
    }

    async fn register(&mut self) -> Verdict {
        let house = self.house()?;
        let client = TestClient::register(&house.http, &house.issuer, LOOPBACK_REDIRECT).await?;
        self.clients.push(client);
        Ok(())
    }

    async fn authorize(&mut self, number: usize) -> Verdict {
        let number = pick(number, self.clients.len()).ok_or("no client")?;
        let (number, client) = self.client(number, false)?;
        let pkce = Pkce::new(&format!("model {}", self.asked.len()));
        let fields = client.authorization_request(&self.house()?.resource("notes"), &pkce.challenge);
        let mut browser = self.browser()?;
        let is_stopped = self.model.is_stopped(Who::Alice);
        if is_stopped && !self.model.is_approved(number) {
            // They are told so before they are made to wait.
            return Ok(());
        }
        let page = browser.open(&client.authorization_url(&fields)).await?.page()?;
        if self.model.is_blocked(number) {
            return if page.answer.status == 400 {
                Ok(())
            } else {
                Err(format!("blocked: {}", page.words()))
            };
        }
        // Who waits for too many clients is told so at once.
        let page = if page.forms().is_empty() { page } else { log_in(&mut browser, page, "alice").await? };
        self.browser.cookies = browser.cookies;
        if is_stopped {
            let refused = page.answer.status.is_client_error() && !decides(&page);
            return if refused {
                Ok(())
            } else {
                Err(format!("signed in although stopped: {}", page.words()))
            };
        }
        self.model.ask(number);
        self.asked.push(Asked { client: number, page, pkce, code: None });
        Ok(())
    }

    async fn decide(&mut self, number: usize, yes: bool) -> Verdict {
        let Some(number) = pick(number, self.asked.len()) else { return Ok(()) };
        let mut browser = self.browser()?;
        let mut page = self.asked[number].page.clone();
        if !self.model.is_signed_in() {
            // They are asked to sign in, and nothing is decided.
            let place = match page.form() {
                Ok(form) if decides(&page) => {
                    browser.submit(&page, form, Some(("decision", "allow"))).await?
                }
                Ok(_) | Err(_) => return Ok(()),
            };
            return match place {
                Place::Page(page) if !decides(&page) => Ok(()),
                place @ (Place::Page(_) | Place::Left(_)) => Err(format!("decided by nobody: {place:?}")),
            };
        }
        if !decides(&page) {
            // It waited for an administrator: try again.
            page = browser.open(page.url.as_str()).await?.page()?;
        }
        let place = match (decides(&page), yes) {
            (false, _) => Place::Page(page),
            (true, true) => browser.submit(&page, page.form()?, Some(("decision", "allow"))).await?,
            (true, false) => deny(&mut browser, &page).await?,
        };
        match (self.model.decide(number, yes), place) {
            (Decided::Counts, Place::Left(callback)) if yes => {
                self.asked[number].code = Some(parameter(&callback, "code").ok_or("no code")?);
                Ok(())
            }
            (Decided::Counts, Place::Left(callback))
                if parameter(&callback, "error").as_deref() == Some("access_denied") =>
            {
                Ok(())
            }
            // Decided before, or too late: our own page, and nothing happens.
            (Decided::Refused, Place::Page(page)) if page.answer.status.is_client_error() => Ok(()),
            (Decided::NotYet, Place::Page(page)) if page.words().contains("sekisho clients approve") => {
                Ok(())
            }
            (must, place) => Err(format!("a decision that is {must:?} came to {place:?}")),
        }
    }

    /// What a token request brought, beside what it must bring.
    fn bought(&mut self, answer: &Answer, must: Bought) -> Verdict {
        let Some(held) = must else { return tok400(answer, "invalid_grant") };
        let json = answer.json();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let both = text("access_token").zip(text("refresh_token"));
        let (access, refresh) = both.ok_or_else(|| format!("tokens must come: {}", answer.text()))?;
        self.access.push(access);
        match self.texts.get(&held) {
            Some(known) if *known == refresh => Ok(()),
            Some(_) => Err(format!("two refresh tokens of {held:?}")),
            None => {
                self.texts.insert(held, refresh);
                self.refresh.push(held);
                Ok(())
            }
        }
    }

    async fn redeem(&mut self, number: usize, by_another: bool, right: bool) -> Verdict {
        let codes: Vec<usize> = (0..self.asked.len()).filter(|at| self.asked[*at].code.is_some()).collect();
        let Some(number) = pick(number, codes.len()).map(|at| codes[at]) else { return Ok(()) };
        let asked = &self.asked[number];
        let (who, client) = self.client(asked.client, by_another)?;
        let verifier = if right { asked.pkce.verifier.clone() } else { Pkce::new("a stranger").verifier };
        let answer = client.redeem(asked.code.as_deref().unwrap_or_default(), &verifier).await?;
        if self.model.is_blocked(who) {
            return tok401(&answer, false);
        }
        let must = self.model.redeem(number, who, right);
        self.bought(&answer, must)
    }

    async fn refresh(&mut self, number: usize, by_another: bool) -> Verdict {
        let Some(number) = pick(number, self.refresh.len()) else { return Ok(()) };
        let (grant, generation) = self.refresh[number];
        let (who, client) = self.client(self.owner(grant), by_another)?;
        let answer = client.refresh(&self.texts[&(grant, generation)]).await?;
        if self.model.is_blocked(who) {
            return tok401(&answer, false);
        }
        let must = self.model.refresh(grant, generation, who);
        self.bought(&answer, must)
    }

    fn owner(&self, grant: usize) -> usize {
        self.model.client_of(grant)
    }

    async fn revoke(&mut self, grant: usize, token: &str, by_another: bool) -> Verdict {
        let (who, client) = self.client(self.owner(grant), by_another)?;
        let fields = [("client_id", client.client_id.as_str()), ("token", token)];
        let answer = client.http.post_form(&format!("{}/oauth/revoke", client.issuer), &[], &fields).await?;
        if self.model.is_blocked(who) {
            return tok401(&answer, false);
        }
        if answer.status != 200 {
            return Err(format!("a revocation: {} {}", answer.status, answer.text()));
        }
        self.model.revoke(grant, who);
        self.hear().await
    }

    async fn revoke_access(&mut self, number: usize, by_another: bool) -> Verdict {
        let Some(number) = pick(number, self.access.len()) else { return Ok(()) };
        // Of the others nobody who registered here is the client.
        let Some(grant) = self.model.code_grant_of(number) else { return Ok(()) };
        let token = self.access[number].clone();
        self.revoke(grant, &token, by_another).await
    }

    async fn revoke_refresh(&mut self, number: usize, by_another: bool) -> Verdict {
        let Some(number) = pick(number, self.refresh.len()) else { return Ok(()) };
        let held = self.refresh[number];
        let token = self.texts[&held].clone();
        self.revoke(held.0, &token, by_another).await
    }

    /// All nodes hear of what was withdrawn, as they do within T.
    async fn hear(&self) -> Verdict {
        for house in self.nodes.iter().flatten() {
            house.advance(Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn pass(&mut self, seconds: u64) -> Verdict {
        self.model.pass(seconds);
        self.house()?.advance(Duration::from_secs(seconds)).await?;
        self.hear().await
    }

    /// What has expired is removed from the record, and nobody can tell. (A client that was not used for 90 days goes too.)
    async fn sweep(&mut self) -> Verdict {
        if self.model.now() >= CLIENTS_GO {
            return Ok(());
        }
        self.invariants().await?;
        self.swept = true;
        let house = self.house()?;
        house.store.sweep(house.clock.now()).await.map(drop).map_err(|error| error.to_string())
    }

    async fn call(&self, number: usize) -> Verdict {
        let Some(number) = pick(number, self.access.len()) else { return Ok(()) };
        // Whoever ended a family by using something twice did not wait for the other node.
        self.hear().await?;
        let answer = self.house()?.echo("notes", &self.access[number]).await?;
        match (self.model.call(number), answer.status.as_u16()) {
            (true, 200) => Ok(()),
            (false, _) => rs401(&answer),
            (true, _) => Err(format!("a call must go through: {} {}", answer.status, answer.text())),
        }
    }

    async fn restart(&mut self) -> Verdict {
        let house = self.nodes[self.at].take().ok_or("no node")?;
        self.nodes[self.at] = Some(house.restart().await?);
        Ok(())
    }

    async fn invariants(&self) -> Verdict {
        if self.swept { Ok(()) } else { invariants::hold(&self.record).await }
    }

    /// Everything that was ever issued is tried, and the record is looked at.
    async fn close(mut self) -> Verdict {
        for number in 0..self.access.len() {
            self.call(number).await?;
        }
        self.invariants().await?;
        while let Some(house) = self.nodes.pop().flatten() {
            house.close().await?;
        }
        Ok(())
    }
}

async fn equal(steps: &[Step], postgres: Option<String>) -> Verdict {
    let mut pair = Pair::new(postgres).await?;
    for (number, step) in steps.iter().enumerate() {
        pair.take(*step).await.map_err(|why| format!("step {number}, {step:?}: {why}"))?;
    }
    pair.close().await
}

fn runner(test: &'static str, cases: usize) -> TestRunner {
    let chance = Chance::new(test);
    let seed: Vec<u8> = (0..32).map(|_| u8::try_from(chance.below(256)).unwrap_or_default()).collect();
    let config = Config {
        cases: u32::try_from(cases).unwrap_or(u32::MAX),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("model.regressions"))),
        // Before the test run ends the test.
        max_shrink_time: 60_000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn searched(test: &'static str, cases: usize, on_postgres_too: bool) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let result = runner(test, cases).run(&prop::collection::vec(step(), 1..60), |steps| {
        let verdict = runtime.block_on(async {
            if on_postgres_too {
                on_postgres(|url| async { equal(&steps, Some(url)).await }).await
            } else {
                equal(&steps, None).await
            }
        });
        verdict.map_err(TestCaseError::fail)
    });
    result.map_err(|error| error.to_string())
}

#[test]
fn f_33_every_answer_is_the_one_of_the_reference_model_on_sqlite() -> Verdict {
    searched("f_33 on sqlite", rounds(120), false)
}

#[test]
fn f_33_every_answer_is_the_one_of_the_reference_model_on_two_nodes_over_postgres() -> Verdict {
    searched("f_33 on postgres", rounds(40), true)
}

/// The control: a model that is wrong in one second is found to be.
#[test]
fn f_33_a_difference_of_one_second_is_found() -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut pair = Pair::new(None).await?;
        for step in
            [Step::Authorize(0), Step::Approve(0), Step::Redeem { code: 0, by_another: false, right: true }]
        {
            pair.take(step).await?;
        }
        pair.take(Step::Pass(599)).await?;
        pair.take(Step::Call(0)).await?;
        pair.model.pass(1);
        let found = pair.take(Step::Call(0)).await;
        assert!(found.is_err(), "the token is over by the model alone, and nobody noticed");
        Ok(())
    })
}

/// The control of each guard: a model that does not know that somebody was stopped, blocked or logged out is found to be wrong.
#[test]
fn f_33_a_guard_that_is_missing_on_one_side_is_found() -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let redeem = Step::Redeem { code: 0, by_another: false, right: true };
    let by_code = [Step::Authorize(0), Step::Approve(0), redeem];
    let stop = |who, block| Step::Stop { who, block };
    let id_jag = Step::IdJag { again: false };
    let last = usize::MAX;
    let cases = [
        (vec![Step::Machine], stop(1, false), Step::Call(0)),
        (vec![Step::Machine], stop(1, true), Step::Machine),
        (vec![Step::Machine], Step::Bar(0), Step::Machine),
        (by_code.to_vec(), Step::LogOut, Step::Call(0)),
        (by_code.to_vec(), Step::LogOut, Step::Exchange(0)),
        (by_code.to_vec(), stop(0, true), id_jag),
        ([&by_code[..], &[id_jag]].concat(), stop(0, false), Step::Call(last)),
        ([&by_code[..], &[id_jag]].concat(), Step::Bar(2), Step::Call(last)),
        ([&by_code[..], &[Step::Exchange(0)]].concat(), stop(2, false), Step::Call(last)),
        ([&by_code[..], &[Step::Exchange(0)]].concat(), Step::Bar(1), Step::Exchange(0)),
        ([&by_code[..], &[Step::Exchange(0)]].concat(), Step::Block(0), Step::Call(last)),
    ];
    runtime.block_on(async {
        for (before, guard, then) in cases {
            let mut pair = Pair::new(None).await?;
            for step in before.iter().copied() {
                pair.take(step).await.map_err(|why| format!("{step:?} of {before:?}: {why}"))?;
            }
            let ignorant = pair.model.clone();
            pair.take(guard).await?;
            // It knows nothing of the guard.
            pair.model = ignorant;
            assert!(pair.take(then).await.is_err(), "{before:?}, {guard:?}, {then:?}: nobody noticed");
        }
        Ok(())
    })
}
