//! What the rows about authorize, register and discovery share: a house with one client of each kind, an
//! authorization request that is right in everything until a test changes it, and what holds after each refusal.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not in test functions")]

use bytes::Bytes;
use http::Method;
use store::Counts;
use testkit::browser::{Browser, Page};
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient, allow, log_in};
use testkit::house::{House, Plan};
use testkit::http::{Answer, request};
use testkit::log::Log;
use testkit::outcomes::{Verdict, harmless, page400, redir_at_once, redir_by_hand};
use url::Url;

/// Stands in what is sent, and must stand nowhere else.
pub(crate) const CANARY: &str = "c4n4ry";
/// The `state` of every request.
pub(crate) const STATE: &str = "state of the c4n4ry & more";
/// Where remote clients are called back.
pub(crate) const REMOTE: &str = "https://client.example/cb";
/// The same with a query of its own.
pub(crate) const WITH_QUERY: &str = "https://client.example/cb?a=1&b=2";

/// One change to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// The parameter comes once more.
    Also(&'a str, &'a str),
    /// The parameter has this value.
    Set(&'a str, &'a str),
    /// The parameter does not come.
    Without(&'a str),
}

pub(crate) use Change::{Also, Set, Without};

/// A house with clients.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) log: Log,
    /// The operator knows it; it is called back at a remote host.
    pub(crate) known: TestClient,
    /// It registered itself and is called back on the person's own machine.
    pub(crate) native: TestClient,
    /// It registered itself and is called back at a remote host.
    pub(crate) remote: TestClient,
    pub(crate) pkce: Pkce,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(plan()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let log = Log::begin();
        let house = House::with(plan).await.unwrap();
        let known = house.known_client("known-public").unwrap();
        let native = TestClient::register(&house.http, &house.issuer, LOOPBACK_REDIRECT).await.unwrap();
        let remote = TestClient::register(&house.http, &house.issuer, REMOTE).await.unwrap();
        Self { house, log, known, native, remote, pkce: Pkce::new("scene") }
    }

    pub(crate) fn clients(&self) -> [&TestClient; 3] {
        [&self.known, &self.native, &self.remote]
    }

    /// The parameters of a request that is right but for the changes.
    pub(crate) fn fields(&self, client: &TestClient, changes: &[Change<'_>]) -> Vec<(String, String)> {
        let mut fields = client.authorization_request(&self.house.resource("notes"), &self.pkce.challenge);
        for change in [&[Set("state", STATE)], changes].concat() {
            let (Also(name, _) | Set(name, _) | Without(name)) = change;
            if !matches!(change, Also(..)) {
                fields.retain(|(field, _)| field != name);
            }
            if let Also(name, value) | Set(name, value) = change {
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
        fields
    }

    /// The same as a URL.
    pub(crate) fn ask(&self, client: &TestClient, changes: &[Change<'_>]) -> String {
        client.authorization_url(&self.fields(client, changes))
    }

    /// A URL of the house.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.house.issuer)
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.house.http.get(url, &[]).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.house.http.send(request(method, url, headers, body.into()).unwrap()).await.unwrap()
    }

    /// POSTs a registration as it is.
    pub(crate) async fn register(&self, body: impl Into<Bytes>) -> Answer {
        let headers = [("content-type", "application/json")];
        self.house.http.post(&self.at("/oauth/register"), &headers, body).await.unwrap()
    }

    /// NOSTORE looks at this: everything but what is written down about refusals.
    pub(crate) async fn stored(&self) -> Counts {
        Counts { audit_events: 0, audit_seals: 0, audit_subjects: 0, ..self.house.counts().await.unwrap() }
    }

    /// PAGE400 and NOSTORE for this URL.
    pub(crate) async fn page400(&self, url: &str) {
        let before = self.stored().await;
        let answer = self.get(url).await;
        self.is_page400(&answer, url);
        assert_eq!(self.stored().await, before, "{url}");
    }

    /// PAGE400 for an answer.
    pub(crate) fn is_page400(&self, answer: &Answer, what: &str) {
        right(page400(answer), what);
        right(harmless(answer, &[CANARY]), what);
        assert!(answer.headers.get("set-cookie").is_none(), "{what}: {:?}", answer.headers);
        assert_eq!(self.house.mcp.connections(), 0, "{what}");
    }

    /// PAGE400 and NOSTORE for each client with these changes.
    pub(crate) async fn page400_for_all(&self, changes: &[Change<'_>]) {
        for client in self.clients() {
            self.page400(&self.ask(client, changes)).await;
        }
    }

    /// REDIR(error), NOSTORE and NOUP for each client with these changes.
    pub(crate) async fn redir(&self, changes: &[Change<'_>], error: &str) {
        self.redir_with_state(changes, error, Some(STATE)).await;
    }

    /// The same with another `state` to come back.
    pub(crate) async fn redir_with_state(&self, changes: &[Change<'_>], error: &str, state: Option<&str>) {
        for client in self.clients() {
            let before = self.stored().await;
            let url = self.ask(client, changes);
            let answer = self.get(&url).await;
            self.is_redir(client, &answer, (error, state), &format!("{changes:?}"));
            assert_eq!(self.stored().await, before, "{url}");
        }
    }

    /// REDIR(error) as this kind of client gets it.
    pub(crate) fn is_redir(
        &self,
        client: &TestClient,
        answer: &Answer,
        (error, state): (&str, Option<&str>),
        what: &str,
    ) {
        let issuer = &self.house.issuer;
        let verdict = if client.client_id == self.remote.client_id {
            redir_by_hand(answer, &client.redirect_uri, error, state, issuer)
        } else {
            redir_at_once(answer, &client.redirect_uri, error, state, issuer)
                .and_then(|()| only_known_names(answer))
        };
        right(verdict, what);
        assert!(answer.headers.get("set-cookie").is_none(), "{what}: {:?}", answer.headers);
        assert_eq!(self.house.mcp.connections(), 0, "{what}");
    }

    /// REDIR with whatever error: only what is in every one of them is looked at.
    pub(crate) async fn is_redir_with_any_error(&self, client: &TestClient, change: Change<'_>) {
        let answer = self.get(&self.ask(client, &[change])).await;
        let location = answer.header("location").to_owned();
        let page = page_of(&self.house.issuer, answer.clone());
        let url = page.links().into_iter().find(|link| link.contains("error=")).unwrap_or(location);
        let error =
            Url::parse(&url).unwrap().query_pairs().find(|(name, _)| name == "error").unwrap().1.into_owned();
        self.is_redir(client, &answer, (&error, Some(STATE)), &format!("{change:?}"));
    }

    /// Signs Alice in at the page, allows, and hands over where the browser was sent.
    pub(crate) async fn allowed(&self, browser: &mut Browser, url: &str) -> Url {
        let page = self.consent(browser, url, "alice").await;
        allow(browser, &page).await.unwrap()
    }

    /// Opens an authorization request and signs somebody in, up to the consent page: it is asked for, since what was
    /// allowed before may count.
    pub(crate) async fn consent(&self, browser: &mut Browser, url: &str, login: &str) -> Page {
        let asks = if url.contains("prompt=") { "" } else { "&prompt=consent" };
        let page = browser.open(&format!("{url}{asks}")).await.unwrap().page().unwrap();
        let page = log_in(browser, page, login).await.unwrap();
        assert!(is_consent(&page), "{}", page.words());
        page
    }

    /// Ends the house: what was sent stands in no log line, and no secret in the record.
    pub(crate) async fn close(self) {
        let Self { house, log, .. } = self;
        house.close().await.unwrap();
        let leaks = log.lines_with(&[CANARY]);
        assert!(leaks.is_empty(), "{leaks:#?}");
        let text = log.text();
        let faults: Vec<&str> =
            text.lines().filter(|line| line.split_whitespace().nth(1) == Some("ERROR")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// The usual house and a client whose redirect URI has a query.
pub(crate) fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.clients.push(("known-query", vec![WITH_QUERY.to_owned()], None));
    plan
}

/// Says what was tried when it did not go right.
pub(crate) fn right(verdict: Verdict, what: &str) {
    if let Err(why) = verdict {
        panic!("{what}\n{why}");
    }
}

/// Whether it is the page on which a person decides.
pub(crate) fn is_consent(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

/// Whether it is the page on which a person approves of the client before signing in.
pub(crate) fn is_login(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "connector"))
}

/// An answer as a page.
pub(crate) fn page_of(url: &str, answer: Answer) -> Page {
    Page { url: Url::parse(url).unwrap(), answer }
}

/// Nothing of the request but `state` goes back to the client.
fn only_known_names(answer: &Answer) -> Verdict {
    let url = Url::parse(answer.header("location")).map_err(|error| error.to_string())?;
    let ours = ["error", "error_description", "iss", "state"];
    let foreign: Vec<String> = url
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .filter(|name| !ours.contains(&name.as_str()))
        .collect();
    if foreign.is_empty() && url.fragment().is_none() {
        Ok(())
    } else {
        Err(format!("{foreign:?} is not expected: {url}"))
    }
}
