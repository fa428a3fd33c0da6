//! Clients of several nodes who write down what they do, and what must be true of it at the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, TestClient, allow, log_in, mcp_request, parameter};
use testkit::history::{Answered, Asked, Code as CodeRegister, Family, History, Token, explained};
use testkit::http::{Answer, Http};
use testkit::outcomes::Verdict;

use crate::record::Record;
use crate::steps::{Code, Tokens};

use super::chance::Stopwatch;

/// How soon every node must know of a revocation (product.md, P-2).
pub(crate) const T: Duration = Duration::from_secs(5);
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tokens of one family.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) family: String,
    pub(crate) tokens: Tokens,
}

/// The clients: one registration, one person, any number of requests at once.
pub(crate) struct Players {
    pub(crate) issuer: String,
    pub(crate) server: &'static str,
    pub(crate) history: History,
    pub(crate) client: TestClient,
    ports: Vec<u16>,
    https: Mutex<Vec<Http>>,
    cookies: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    codes: AtomicU32,
    given: Mutex<Vec<Code>>,
    issued: Mutex<Vec<Issued>>,
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Players {
    /// Registers at the first of these nodes.
    pub(crate) async fn at(issuer: &str, ports: &[u16]) -> Result<Self, String> {
        let https: Vec<Http> = ports.iter().map(|port| Http::via(*port)).collect();
        let http = https.first().ok_or("no node")?;
        let client = TestClient::register(http, issuer, testkit::client::LOOPBACK_REDIRECT).await?;
        Ok(Self {
            issuer: issuer.to_owned(),
            server: "notes",
            history: History::default(),
            client,
            ports: ports.to_vec(),
            https: Mutex::new(https),
            cookies: Mutex::default(),
            codes: AtomicU32::new(0),
            given: Mutex::default(),
            issued: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// The same clients, who from now on reach all nodes through one port.
    pub(crate) fn through(mut self, port: u16) -> Self {
        self.ports = vec![port];
        self.https = Mutex::new(vec![Http::via(port)]);
        self
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.ports.len()
    }

    /// The way to a node.
    pub(crate) fn http(&self, node: usize) -> Http {
        lock(&self.https).get(node).cloned().unwrap_or_default()
    }

    /// Forgets the connections to a node, which has died.
    pub(crate) fn reconnect(&self, node: usize) {
        if let (Some(http), Some(port)) = (lock(&self.https).get_mut(node), self.ports.get(node)) {
            *http = Http::via(*port);
        }
    }

    /// The MCP endpoint.
    pub(crate) fn resource(&self) -> String {
        format!("{}/{}/mcp", self.issuer, self.server)
    }

    fn client(&self, node: usize) -> TestClient {
        TestClient { http: self.http(node), ..self.client.clone() }
    }

    /// Everything that was issued so far.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        lock(&self.issued).clone()
    }

    /// The person's browser, at a node.
    pub(crate) fn browser(&self, node: usize) -> Browser {
        let mut browser = Browser::new(self.http(node));
        browser.cookies.clone_from(&lock(&self.cookies));
        browser
    }

    /// The consent page of a new request at a node, the browser that sees it, and the pair of its request.
    pub(crate) async fn consent(&self, node: usize) -> Result<(Browser, Page, Pkce), String> {
        let pkce = Pkce::new(&format!("player {}", self.codes.fetch_add(1, Ordering::Relaxed)));
        let client = self.client(node);
        let mut browser = self.browser(node);
        let fields = client.authorization_request(&self.resource(), &pkce.challenge);
        let page = browser.open(&client.authorization_url(&fields)).await?.page()?;
        let page = log_in(&mut browser, page, "alice").await?;
        lock(&self.cookies).clone_from(&browser.cookies);
        Ok((browser, page, pkce))
    }

    /// A code, consented to at a node.
    pub(crate) async fn code(&self, node: usize) -> Result<Code, String> {
        let (mut browser, page, pkce) = self.consent(node).await?;
        let callback = allow(&mut browser, &page).await?;
        let code = parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))?;
        let code = Code { code, verifier: pkce.verifier };
        lock(&self.given).push(code.clone());
        Ok(code)
    }

    /// A code that was given out before, with its verifier.
    pub(crate) fn code_again(&self, code: &str) -> Code {
        lock(&self.given)
            .iter()
            .find(|given| given.code == code)
            .cloned()
            .unwrap_or(Code { code: code.to_owned(), verifier: String::new() })
    }

    /// A new family.
    pub(crate) async fn family(&self, node: usize) -> Result<Issued, String> {
        let code = self.code(node).await?;
        self.redeem(node, &code, true).await.1.ok_or_else(|| format!("no tokens: {:?}", self.wrongs()))
    }

    /// What was answered that may never be.
    pub(crate) fn wrongs(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    fn judge(&self, answer: Result<Answer, String>, what: &str) -> (Answered, Option<Tokens>) {
        let Ok(answer) = answer else { return (Answered::Unknown, None) };
        if let Ok(tokens) = Tokens::of(&answer) {
            return (Answered::Tokens(Token::of(&tokens.refresh)), Some(tokens));
        }
        let answered = match answer.status.as_u16() {
            200 => Answered::Done,
            400 if answer.error() == "invalid_grant" => Answered::Refused,
            401 if what == "call" => Answered::Refused,
            503 if !answer.header("retry-after").is_empty() => Answered::Unknown,
            _ => {
                lock(&self.wrong).push(format!("{what}: {} {}", answer.status, answer.text()));
                Answered::Unknown
            }
        };
        (answered, None)
    }

    /// Redeems a code, with the right verifier or a wrong one.
    pub(crate) async fn redeem(&self, node: usize, code: &Code, right: bool) -> (Answered, Option<Issued>) {
        let wrong = Pkce::new("a stranger").verifier;
        let verifier = if right { &code.verifier } else { &wrong };
        let begun = self.history.begin(node);
        let answer = soon(self.client(node).redeem(&code.code, verifier)).await;
        let (answered, tokens) = self.judge(answer, "redeem");
        self.history.end(begun, &format!("code {}", code.code), Asked::Redeem { right }, answered);
        (answered, tokens.and_then(|tokens| self.keep(tokens)))
    }

    fn keep(&self, tokens: Tokens) -> Option<Issued> {
        let family = tokens.claims().ok()?["grant_id"].as_str()?.to_owned();
        let issued = Issued { family, tokens };
        lock(&self.issued).push(issued.clone());
        Some(issued)
    }

    /// Refreshes with any token of a family.
    pub(crate) async fn refresh(&self, node: usize, held: &Issued) -> (Answered, Option<Issued>) {
        let begun = self.history.begin(node);
        let answer = soon(self.client(node).refresh(&held.tokens.refresh)).await;
        let (answered, tokens) = self.judge(answer, "refresh");
        let asked = Asked::Refresh(Token::of(&held.tokens.refresh));
        self.history.end(begun, &held.family, asked, answered);
        (answered, tokens.and_then(|tokens| self.keep(tokens)))
    }

    /// Revokes a family by its refresh token; whether that was acknowledged.
    pub(crate) async fn revoke(&self, node: usize, held: &Issued) -> bool {
        let begun = self.history.begin(node);
        let url = format!("{}/oauth/revoke", self.issuer);
        let fields = [("client_id", self.client.client_id.as_str()), ("token", &held.tokens.refresh)];
        let answer = soon(self.http(node).post_form(&url, &[], &fields)).await;
        let (answered, _) = self.judge(answer, "revoke");
        self.history.end(begun, &held.family, Asked::Revoke, answered);
        answered == Answered::Done
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, node: usize, held: &Issued) -> Answered {
        let begun = self.history.begin(node);
        let echo = serde_json::json!({"name": "echo", "arguments": {"said": held.family}});
        let answer = match mcp_request(&self.resource(), &held.tokens.access, "tools/call", echo) {
            Ok(request) => soon(self.http(node).send(request)).await,
            Err(why) => Err(why),
        };
        let crossed = answer.as_ref().is_ok_and(|a| a.status == 200 && !a.text().contains(&held.family));
        if crossed {
            lock(&self.wrong).push(format!("an answer of somebody else: {answer:?}"));
        }
        let (answered, _) = self.judge(answer, "call");
        self.history.end(begun, &held.family, Asked::Call, answered);
        answered
    }

    /// Every register is explained by one order, and nothing was answered that may never be.
    pub(crate) fn explained(&self) -> Verdict {
        let wrongs = self.wrongs();
        if !wrongs.is_empty() {
            return Err(format!("never may be answered: {wrongs:?}"));
        }
        let issued = self.issued();
        for (key, entries) in self.history.by_key() {
            let judged = if key.starts_with("code ") {
                explained(&CodeRegister { attempts: 3 }, &entries)
            } else {
                let first =
                    issued.iter().find(|issued| issued.family == key).ok_or("a family from nowhere")?;
                explained(&Family { first: Token::of(&first.tokens.refresh) }, &entries)
            };
            judged.map_err(|why| format!("{key}: {why}"))?;
        }
        Ok(())
    }

    /// A call that must be refused at the latest T after the check began: a node that was just cut off hears by asking, not
    /// by being told.
    async fn last_call(&self, node: usize, held: &Issued, since: &Stopwatch) -> Answered {
        loop {
            let answered = self.call(node, held).await;
            if answered != Answered::Done || since.elapsed() > T {
                return answered;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// I-3, by trying every token ever issued of the families that were revoked, at every node.
    pub(crate) async fn dead_stay_dead(&self) -> Verdict {
        let by_key = self.history.by_key();
        let revoked = |issued: &Issued| {
            by_key
                .get(&issued.family)
                .into_iter()
                .flatten()
                .any(|entry| entry.asked == Asked::Revoke && entry.answered == Answered::Done)
        };
        let since = Stopwatch::start();
        // The newest first: an old one would itself end a family that lives.
        for issued in self.issued().iter().rev().filter(|issued| revoked(issued)) {
            for node in 0..self.nodes() {
                let called = self.last_call(node, issued, &since).await;
                let refreshed = self.refresh(node, issued).await.0;
                if (called, refreshed) != (Answered::Refused, Answered::Refused) {
                    let family = &issued.family;
                    return Err(format!(
                        "revoked {family} at {node}: call {called:?}, refresh {refreshed:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everything that is asked after a fault run: the registers, the dead, the record.
    pub(crate) async fn check(&self, record: &Record) -> Verdict {
        self.dead_stay_dead().await?;
        self.explained()?;
        let in_record = super::invariants::hold(record).await;
        let families = super::invariants::families(record).await?;
        // I-4: what was issued was durable before it left.
        let missing = self.issued().into_iter().find(|issued| !families.contains(&issued.family));
        match missing {
            Some(issued) => Err(format!("I-4: the grant {} is gone", issued.family)),
            None => in_record,
        }
    }
}

/// No answer in time is no answer.
async fn soon<T>(answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "no answer".to_owned())?
}
