//! Steps that tests of tokens, consent and flows share: a house in which one person has allowed one client, what that
//! client holds, and whether it is still worth something.
//!
//! Whatever is issued here is looked for at the end, in the record and in the log: it must stand in neither.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::Value;
use store::{AuditKind, AuditRow, Counts};
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, TestClient, allow, log_in, parameter};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::log::Log;
use testkit::outcomes::{Verdict, rs401, tok400};

/// How long a client comes again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks as a client does that comes again when it is told to: a node that is starved for seconds refuses on purpose.
pub(crate) async fn patiently(ask: impl AsyncFn() -> Result<Answer, String>) -> Result<Answer, String> {
    let asking = async {
        loop {
            let answer = ask().await?;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return Ok(answer);
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.map_err(|_| "nobody is served".to_owned())?
}

/// A code and what redeems it.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) verifier: String,
}

/// What a client holds.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    /// Reads a token response.
    pub(crate) fn of(answer: &Answer) -> Result<Self, String> {
        let json = answer.json();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let both = text("access_token").zip(text("refresh_token")).filter(|_| answer.status == 200);
        let (access, refresh) =
            both.ok_or_else(|| format!("no tokens: {} {}", answer.status, answer.text()))?;
        Ok(Self { access, refresh })
    }

    /// The claims of the access token, not verified.
    pub(crate) fn claims(&self) -> Result<Value, String> {
        let part = self.access.split('.').nth(1).ok_or("not a JWT")?;
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}

/// A house, a client, a person's browser.
pub(crate) struct Flow {
    pub(crate) house: House,
    pub(crate) client: TestClient,
    pub(crate) browser: Browser,
    pub(crate) log: Log,
    pub(crate) login: &'static str,
    pub(crate) server: &'static str,
    secrets: Mutex<Vec<String>>,
    codes: AtomicU32,
}

impl Flow {
    /// The usual house, a client that registered itself, Alice.
    pub(crate) async fn new() -> Result<Self, String> {
        Self::with(Plan::default()).await
    }

    /// The same with another plan.
    pub(crate) async fn with(plan: Plan) -> Result<Self, String> {
        // First of all, so that nothing is done before somebody listens.
        let log = Log::begin();
        let house = House::with(plan).await?;
        let client = house.client().await?;
        let browser = house.browser();
        let (secrets, codes) = (Mutex::default(), AtomicU32::new(0));
        Ok(Self { house, client, browser, log, login: "alice", server: "notes", secrets, codes })
    }

    /// One of the clients of the plan in place of the one that registered itself.
    pub(crate) async fn with_known(client_id: &str) -> Result<Self, String> {
        let mut flow = Self::new().await?;
        flow.client = flow.house.known_client(client_id)?;
        Ok(flow)
    }

    /// A client that registered with this method of authentication.
    pub(crate) async fn with_method(method: &str) -> Result<Self, String> {
        let mut flow = Self::new().await?;
        let metadata = serde_json::json!({
            "client_name": "Confidential Client",
            "redirect_uris": ["https://client.example/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": method,
        });
        flow.client = TestClient::register_with(&flow.house.http, &flow.house.issuer, &metadata).await?;
        if let Some(secret) = flow.client.secret.clone() {
            flow.keep(&secret);
        }
        Ok(flow)
    }

    /// Writes a secret down, to be looked for at the end.
    pub(crate) fn keep(&self, secret: &str) {
        self.house.remember_secret(secret);
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    /// What was written down so far.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another pair of challenge and verifier.
    pub(crate) fn pkce(&self) -> Pkce {
        Pkce::new(&format!("flow {}", self.codes.fetch_add(1, Ordering::Relaxed)))
    }

    /// The consent page of a new authorization request.
    pub(crate) async fn consent(&mut self, challenge: &str) -> Result<Page, String> {
        let fields = self.client.authorization_request(&self.house.resource(self.server), challenge);
        let page = self.browser.open(&self.client.authorization_url(&fields)).await?.page()?;
        log_in(&mut self.browser, page, self.login).await
    }

    /// A code that the person's consent gave.
    pub(crate) async fn code(&mut self) -> Result<Code, String> {
        let pkce = self.pkce();
        let page = self.consent(&pkce.challenge).await?;
        let callback = allow(&mut self.browser, &page).await?;
        let code = parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))?;
        self.keep(&code);
        self.keep(&pkce.verifier);
        Ok(Code { code, verifier: pkce.verifier })
    }

    /// Redeems a code as its rightful holder.
    pub(crate) async fn redeem(&self, code: &Code) -> Result<Answer, String> {
        let answer = self.client.redeem(&code.code, &code.verifier).await?;
        self.keep_tokens(&answer);
        Ok(answer)
    }

    /// The tokens for a code: NOCONSUME of everything that was tried with it before.
    pub(crate) async fn redeemed(&self, code: &Code) -> Result<Tokens, String> {
        Tokens::of(&self.redeem(code).await?)
    }

    /// Code and tokens.
    pub(crate) async fn tokens(&mut self) -> Result<Tokens, String> {
        let code = self.code().await?;
        self.redeemed(&code).await
    }

    /// An access token that reads and does not write.
    pub(crate) async fn reader(&mut self) -> Result<String, String> {
        let pkce = self.pkce();
        let resource = self.house.resource(self.server);
        let mut fields = self.client.authorization_request(&resource, &pkce.challenge);
        fields.push(("scope".to_owned(), "read".to_owned()));
        let page = self.browser.open(&self.client.authorization_url(&fields)).await?.page()?;
        let page = log_in(&mut self.browser, page, self.login).await?;
        let callback = allow(&mut self.browser, &page).await?;
        let code = parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))?;
        let answer = self.client.redeem(&code, &pkce.verifier).await?;
        self.keep_tokens(&answer);
        Ok(Tokens::of(&answer)?.access)
    }

    /// Refreshes.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Answer, String> {
        let answer = self.client.refresh(refresh_token).await?;
        self.keep_tokens(&answer);
        Ok(answer)
    }

    fn keep_tokens(&self, answer: &Answer) {
        for name in ["access_token", "refresh_token"] {
            if let Some(secret) = answer.json()[name].as_str() {
                self.keep(secret);
            }
        }
    }

    /// The family lives: its access token calls, its refresh token refreshes, and what that gives calls too.
    pub(crate) async fn lives(&self, tokens: &Tokens) -> Result<Tokens, String> {
        self.calls(&tokens.access).await?;
        let next = Tokens::of(&self.refresh(&tokens.refresh).await?)?;
        self.calls(&next.access).await?;
        Ok(next)
    }

    /// An access token calls.
    pub(crate) async fn calls(&self, access: &str) -> Verdict {
        let answer = self.house.echo(self.server, access).await?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(format!("a call is refused: {} {}", answer.status, answer.text()))
        }
    }

    /// FAMILY-: none of these calls or refreshes any more.
    pub(crate) async fn is_dead(&self, all: &[&Tokens]) -> Verdict {
        for tokens in all {
            rs401(&self.house.echo(self.server, &tokens.access).await?)?;
            tok400(&self.refresh(&tokens.refresh).await?, "invalid_grant")?;
        }
        Ok(())
    }

    /// A URL of the house.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.house.issuer)
    }

    /// Sends a form to the token endpoint exactly as it is: nothing of the client is added.
    pub(crate) async fn post(
        &self,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Result<Answer, String> {
        self.house.http.post_form(&self.at("/oauth/token"), headers, fields).await
    }

    /// The same to the revocation endpoint.
    pub(crate) async fn revoke(&self, fields: &[(&str, &str)]) -> Result<Answer, String> {
        self.house.http.post_form(&self.at("/oauth/revoke"), &[], fields).await
    }

    /// NOSTORE looks at this: everything but what is written down of refusals.
    pub(crate) async fn stored(&self) -> Result<Counts, String> {
        let counts = self.house.counts().await?;
        Ok(Counts { audit_events: 0, audit_subjects: 0, ..counts })
    }

    /// AUD: the one event of this kind and reason. It names the client and the address, and no secret.
    pub(crate) async fn aud(&self, kind: AuditKind, reason: &str) -> Result<AuditRow, String> {
        let events = self.events(kind, reason).await?;
        let [event] = events.as_slice() else {
            return Err(format!("one event {} with {reason} is expected, seen: {events:?}", kind.as_str()));
        };
        let whole = event.client_id.is_some() && event.address.is_some();
        if whole { Ok(event.clone()) } else { Err(format!("client and address are expected: {event:?}")) }
    }

    /// All events of a kind with this reason; an empty reason is none.
    pub(crate) async fn events(&self, kind: AuditKind, reason: &str) -> Result<Vec<AuditRow>, String> {
        let all = self.house.audit(kind).await?;
        Ok(all.into_iter().filter(|event| event.reason.as_deref().unwrap_or_default() == reason).collect())
    }

    /// Ends the house. Nothing that was issued stands in the record or in the log, and nothing broke.
    pub(crate) async fn close(self) -> Verdict {
        let Self { house, log, secrets, .. } = self;
        house.close().await?;
        let text = log.text();
        for secret in secrets.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(line) = text.lines().find(|line| line.contains(&secret)) {
                return Err(format!("a secret stands in the log: {line}"));
            }
        }
        match text.lines().find(|line| line.split_whitespace().nth(1) == Some("ERROR")) {
            Some(line) => Err(format!("something broke: {line}")),
            None => Ok(()),
        }
    }
}

/// `Authorization: Basic` for these credentials, form-encoded first (RFC 6749, section 2.3.1).
pub(crate) fn basic(client_id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// Says what was tried when it did not go right.
pub(crate) fn while_trying(what: &str) -> impl Fn(String) -> String {
    move |why| format!("while trying {what}: {why}")
}
