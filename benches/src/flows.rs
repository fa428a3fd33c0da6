//! Registrations, whole code flows and refreshes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient, parameter};
use tokio::task::JoinSet;
use url::Url;

use crate::load::{Connection, Seen, Template, gather, now, repeat};
use crate::product::{INTROSPECTION_SECRET, Product, SERVER};
use crate::rounds::Line;
use crate::table::Table;
use crate::{Outcome, Plan, passthrough};

/// Connections of the closed loops here.
pub(crate) const CONNECTIONS: usize = 32;
/// Grants that each of them revokes in a round.
pub(crate) const REVOCATIONS: usize = 100;

/// A person who has signed in once, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The client.
    pub client: TestClient,
    /// The `Cookie` header of the browser.
    pub cookies: String,
    /// An access token.
    pub access_token: String,
}

fn resource(product: &Product) -> String {
    format!("{}/{SERVER}/mcp", product.peer.url)
}

/// Registers a client and signs Alice in.
pub(crate) async fn sign_in(product: &Product) -> Outcome<Session> {
    let client = TestClient::register(&product.http, &product.peer.url, LOOPBACK_REDIRECT).await?;
    let mut browser = Browser::new(product.http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &resource(product)).await?;
    let url = Url::parse(&product.peer.url).map_err(|error| error.to_string())?;
    Ok(Session { cookies: browser.cookie_header(&url), access_token: text(&tokens, "access_token")?, client })
}

/// A member of a JSON object that is a text.
pub(crate) fn text(value: &Value, name: &str) -> Outcome<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no {name} in {value}"))
}

/// Everything of the authorization server: registrations, code flows, refreshes, revocations.
pub(crate) async fn measure(plan: &Plan, product: &Product, goals: bool, table: &mut Table) -> Outcome<()> {
    let session = sign_in(product).await?;
    let flow = Arc::new(Flow::new(product, &session));
    let [mut registrations, mut introspections, mut flows, mut refreshes, mut revocations] =
        [(); 5].map(|()| Line::default());
    for _ in 0..plan.rounds {
        let seen = repeat(&product.target, registration(), CONNECTIONS, plan.seconds);
        registrations.round(&product.peer, seen).await?;
        let seen = repeat(&product.target, introspection(&session), CONNECTIONS, plan.seconds);
        introspections.round(&product.peer, seen).await?;
        flows.round(&product.peer, run_flows(product, &flow, plan.seconds)).await?;
        let holders = hold(product, &flow, 1).await?;
        refreshes.round(&product.peer, refresh(&flow, holders, plan.seconds)).await?;
        let holders = hold(product, &flow, REVOCATIONS).await?;
        revocations.round(&product.peer, revoke(&flow, holders)).await?;
    }
    let row = |table: &mut Table, what: &str, line: &Line, goal: &str| {
        let (cost, rate) = (line.per_core.show("/s and core", 0), line.rate.show("/s", 0));
        let slow = line.p99.median() / 1e3;
        table.row(what, &format!("{cost}; {rate}; p99 {slow:.1} ms"), if goals { goal } else { "–" });
    };
    row(table, "registrations", &registrations, "20,000 /s and core");
    row(table, "introspections of one access token", &introspections, "20,000 /s and core");
    row(table, "code flows (authorize, consent, token), durable", &flows, "1,500 /s and core");
    row(table, "refreshes, durable", &refreshes, "4,000 /s and core");
    row(table, "revocations of a refresh token, durable", &revocations, "–");
    Ok(())
}

/// An open registration.
pub(crate) fn registration() -> Template {
    let body = format!(
        r#"{{"client_name":"Bench","redirect_uris":["{LOOPBACK_REDIRECT}"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"native"}}"#
    );
    Template {
        method: Method::POST,
        path: passthrough::REGISTER.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body),
    }
}

/// An introspection of the session's access token, as the MCP server.
fn introspection(session: &Session) -> Template {
    let body =
        format!("token={}&client_id={SERVER}&client_secret={INTROSPECTION_SECRET}", session.access_token);
    Template {
        method: Method::POST,
        path: "/oauth/introspect".to_owned(),
        headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: Bytes::from(body),
    }
}

/// Authorize, consent and token with a browser session, over and over: three requests each.
async fn run_flows(product: &Product, flow: &Arc<Flow>, seconds: f64) -> Outcome<Seen> {
    let flow = Arc::clone(flow);
    many(product, seconds, move |connection| {
        let flow = Arc::clone(&flow);
        async move {
            let mut connection = connection;
            let tokens = flow.run(&mut connection).await;
            (connection, tokens.map(drop))
        }
    })
    .await
}

/// Connections, each with refresh tokens of grants of its own.
#[derive(Debug)]
pub(crate) struct Holders(Vec<(Connection, Vec<String>)>);

/// Obtains so many grants for each connection.
pub(crate) async fn hold(product: &Product, flow: &Arc<Flow>, each: usize) -> Outcome<Holders> {
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(&product.target).await?;
        let flow = Arc::clone(flow);
        tasks.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..each {
                held.push(text(&flow.run(&mut connection).await?, "refresh_token")?);
            }
            Ok::<_, String>((connection, held))
        });
    }
    tasks.join_all().await.into_iter().collect::<Outcome<Vec<_>>>().map(Holders)
}

/// Refreshes over and over, each connection its first grant.
pub(crate) async fn refresh(flow: &Arc<Flow>, holders: Holders, seconds: f64) -> Outcome<Seen> {
    let begin = now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for (mut connection, mut held) in holders.0 {
        let flow = Arc::clone(flow);
        tasks.spawn(async move {
            let mut refresh_token = held.pop().ok_or("no refresh token")?;
            let mut micros = Vec::new();
            while now() < end {
                let sent = now();
                let tokens = flow.refresh(&mut connection, &refresh_token).await?;
                refresh_token = text(&tokens, "refresh_token")?;
                micros.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, String>(micros)
        });
    }
    gather(tasks, begin).await
}

/// Revokes every grant that is held (RFC 7009).
pub(crate) async fn revoke(flow: &Arc<Flow>, holders: Holders) -> Outcome<Seen> {
    let begin = now();
    let mut tasks = JoinSet::new();
    for (mut connection, held) in holders.0 {
        let flow = Arc::clone(flow);
        tasks.spawn(async move {
            let mut micros = Vec::new();
            for refresh_token in held {
                let sent = now();
                flow.revoke(&mut connection, &refresh_token).await?;
                micros.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, String>(micros)
        });
    }
    gather(tasks, begin).await
}

/// Runs `one` over and over on each connection.
async fn many<F, R>(product: &Product, seconds: f64, one: F) -> Outcome<Seen>
where
    F: Fn(Connection) -> R + Clone + Send + 'static,
    R: Future<Output = (Connection, Outcome<()>)> + Send,
{
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(Connection::open(&product.target).await?);
    }
    let begin = now();
    let end = begin + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let one = one.clone();
        tasks.spawn(async move {
            let mut micros = Vec::new();
            while now() < end {
                let sent = now();
                let (back, done) = one(connection).await;
                connection = back;
                done?;
                micros.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, String>(micros)
        });
    }
    gather(tasks, begin).await
}

/// The three requests of a code flow, ready to be sent.
#[derive(Debug)]
pub(crate) struct Flow {
    authorize: Template,
    consent_headers: Vec<(String, String)>,
    client: TestClient,
    pkce: Pkce,
}

impl Flow {
    /// For this person and client.
    pub(crate) fn new(product: &Product, session: &Session) -> Self {
        let pkce = Pkce::new("bench");
        let fields = session.client.authorization_request(&resource(product), &pkce.challenge);
        let url = session.client.authorization_url(&fields);
        let path = url.strip_prefix(&product.peer.url).unwrap_or_default().to_owned();
        let headers = |more: &[(&str, &str)]| {
            let mut headers = vec![("cookie".to_owned(), session.cookies.clone())];
            headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            headers
        };
        Self {
            authorize: Template {
                method: Method::GET,
                path,
                headers: headers(&[("sec-fetch-site", "none"), ("accept", "text/html")]),
                body: Bytes::new(),
            },
            consent_headers: headers(&[
                ("content-type", "application/x-www-form-urlencoded"),
                ("sec-fetch-site", "same-origin"),
                ("origin", &product.peer.url),
            ]),
            client: session.client.clone(),
            pkce,
        }
    }

    /// One whole flow; the token response.
    pub(crate) async fn run(&self, connection: &mut Connection) -> Outcome<Value> {
        let (parts, page) = connection.send(&self.authorize).await?;
        let base = Url::parse(&self.client.issuer).map_err(|error| error.to_string())?;
        let answer = testkit::http::Answer { status: parts.status, headers: parts.headers, body: page };
        let page = testkit::browser::Page { url: base, answer };
        let form = page.form()?;
        let mut fields: Vec<(&str, &str)> =
            form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        fields.push(("decision", "allow"));
        let consent = Template {
            method: Method::POST,
            path: form.action.clone(),
            headers: self.consent_headers.clone(),
            body: Bytes::from(testkit::http::form(&fields)),
        };
        let (parts, body) = connection.send(&consent).await?;
        let location = parts.headers.get("location").and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| {
            format!("consent answered {}: {}", parts.status, String::from_utf8_lossy(&body))
        })?;
        let code = Url::parse(location).ok().and_then(|url| parameter(&url, "code")).ok_or("no code")?;
        self.token(
            connection,
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", &self.client.redirect_uri),
                ("code_verifier", &self.pkce.verifier),
                ("client_id", &self.client.client_id),
            ],
        )
        .await
    }

    /// One refresh; the token response.
    pub(crate) async fn refresh(&self, connection: &mut Connection, refresh_token: &str) -> Outcome<Value> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", self.client.client_id.as_str()),
        ];
        self.token(connection, &fields).await
    }

    /// One revocation.
    pub(crate) async fn revoke(&self, connection: &mut Connection, token: &str) -> Outcome<()> {
        let request =
            form_post("/oauth/revoke", &[("token", token), ("client_id", self.client.client_id.as_str())]);
        let (parts, body) = connection.send(&request).await?;
        if parts.status.is_success() {
            return Ok(());
        }
        Err(format!("revocation answered {}: {}", parts.status, String::from_utf8_lossy(&body)))
    }

    async fn token(&self, connection: &mut Connection, fields: &[(&str, &str)]) -> Outcome<Value> {
        let (parts, body) = connection.send(&form_post("/oauth/token", fields)).await?;
        if !parts.status.is_success() {
            return Err(format!("token answered {}: {}", parts.status, String::from_utf8_lossy(&body)));
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

fn form_post(path: &str, fields: &[(&str, &str)]) -> Template {
    Template {
        method: Method::POST,
        path: path.to_owned(),
        headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: Bytes::from(testkit::http::form(fields)),
    }
}
