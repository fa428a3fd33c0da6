//! What an identity provider says of people after the sign-in: everything that it ends is over within T, on every node, to the
//! last byte of an open stream (product.md, P-2); and nothing else.

mod events;
mod logout;
mod recheck;
mod revocation;

use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};
use testkit::browser::{Browser, Place};
use testkit::client::{Pkce, TestClient, allow, parameter};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::mcp_server::OpenStream;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::{Verdict, rs401, tok400};

use crate::steps::Tokens;

/// How soon it is over (product.md, P-2).
const T: Duration = Duration::from_secs(5);
/// The name of the connector.
const IDP: &str = "idp";

/// A house whose people sign in at an OpenID provider, and a client.
struct Scene {
    house: House,
    provider: OpenIdProvider,
    client: TestClient,
}

impl Scene {
    async fn with(
        mut plan: Plan,
        tell: impl FnOnce(&mut Plan, &OpenIdProvider) -> Verdict,
    ) -> Result<Self, String> {
        let provider = OpenIdProvider::start(&plan.clock).await?;
        plan.connectors.push(provider.connector(IDP, |_| {})?);
        tell(&mut plan, &provider)?;
        let house = House::with(plan).await?;
        let client = house.client().await?;
        Ok(Self { house, provider, client })
    }

    /// From now on this person is signed in at the provider, in this session there.
    fn person(&self, sub: &str, sid: Option<&str>) {
        self.person_with(sub, &format!("{sub}@example.com"), sid);
    }

    /// The same with this address.
    fn person_at(&self, sub: &str, email: &str) {
        self.person_with(sub, email, None);
    }

    fn person_with(&self, sub: &str, email: &str, sid: Option<&str>) {
        let mut person = json!({ "sub": sub, "name": sub, "email": email, "email_verified": true });
        if let Some(sid) = sid {
            person["sid"] = json!(sid);
        }
        self.provider.sign_in_as(person);
    }

    /// The person who is signed in at the provider allows the client; by the session of the browser, if it has one.
    async fn connect(&self, browser: &mut Browser) -> Result<Tokens, String> {
        let code = self.code(browser).await?;
        Tokens::of(&self.client.redeem(&code, &Pkce::new("signals").verifier).await?)
    }

    async fn code(&self, browser: &mut Browser) -> Result<String, String> {
        let challenge = Pkce::new("signals").challenge;
        let fields = self.client.authorization_request(&self.house.resource("notes"), &challenge);
        let mut page = browser.open(&self.client.authorization_url(&fields)).await?.page()?;
        if page.forms().iter().any(|form| form.buttons.iter().any(|(_, value)| value == IDP)) {
            let there = browser.submit(&page, page.form()?, Some(("connector", IDP))).await?.left()?;
            let callback = browser.open(there.as_str()).await?.left()?;
            page = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        }
        parameter(&allow(browser, &page).await?, "code").ok_or_else(|| format!("no code: {}", page.words()))
    }

    /// Whether the browser is signed in: it is asked for consent without a detour.
    async fn is_signed_in(&self, browser: &mut Browser) -> Result<bool, String> {
        let challenge = Pkce::new("signals").challenge;
        let fields = self.client.authorization_request(&self.house.resource("notes"), &challenge);
        let Place::Page(page) = browser.open(&self.client.authorization_url(&fields)).await? else {
            return Err("the browser left".to_owned());
        };
        Ok(page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision")))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.house.issuer)
    }

    async fn lives(&self, tokens: &Tokens) -> Result<Tokens, String> {
        let answer = self.house.echo("notes", &tokens.access).await?;
        if answer.status != 200 {
            return Err(format!("a call is refused: {} {}", answer.status, answer.text()));
        }
        Tokens::of(&self.client.refresh(&tokens.refresh).await?)
    }

    async fn is_dead(&self, tokens: &Tokens) -> Verdict {
        rs401(&self.house.echo("notes", &tokens.access).await?)?;
        tok400(&self.client.refresh(&tokens.refresh).await?, "invalid_grant")
    }
}

/// A stream of an MCP server: its client's end, and the server's.
async fn open_stream(
    node: &House,
    mcp: &House,
    access: &str,
) -> Result<(Response<Incoming>, OpenStream), String> {
    let params = json!({"name": "stream", "arguments": {}});
    let open = node.http.stream(node.call_request("notes", access, "tools/call", params)?).await?;
    if open.status() != 200 {
        return Err(format!("no stream: {}", open.status()));
    }
    Ok((open, mcp.mcp.next_stream().await))
}

/// Both ends are told within T.
async fn closes((client, server): (Response<Incoming>, OpenStream)) -> Verdict {
    use http_body_util::BodyExt as _;
    tokio::time::timeout(T, server.closed()).await.map_err(|_| "the MCP server's end is open after T")?;
    let mut body = client.into_body();
    let rest = tokio::time::timeout(T, body.frame()).await.map_err(|_| "the client's end is open after T")?;
    if rest.is_none() { Ok(()) } else { Err(format!("more came: {rest:?}")) }
}

/// The other node serves until it has heard, and then not any more; within T.
async fn is_dead_within_t(node: &House, access: &str) -> Verdict {
    let refused = async {
        loop {
            let answer = node.echo("notes", access).await?;
            if answer.status != 200 {
                return Ok::<Answer, String>(answer);
            }
        }
    };
    rs401(&tokio::time::timeout(T, refused).await.map_err(|_| "the node still serves after T")??)
}

/// With another value of one claim.
fn changed(base: &Value, name: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[name] = value;
    changed
}
