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

use crate::load::{Connection, Seen, Template, count, gather, now, repeat};
use crate::product::{Product, SERVER};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Connections of the closed loops here.
const CONNECTIONS: usize = 32;

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

fn text(value: &Value, name: &str) -> Outcome<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no {name} in {value}"))
}

#[derive(Debug, Default)]
struct PerCore {
    rate: Rounds,
    per_core: Rounds,
}

impl PerCore {
    fn push(&mut self, seen: &Seen, cpu_seconds: f64) {
        self.rate.push(seen.rate());
        self.per_core.push(count(seen.micros.len()) / cpu_seconds.max(0.001));
    }

    fn show(&self, work: &str, goal: &str, table: &mut Table) {
        let measured = format!("{}; {}", self.per_core.show("/s and core", 0), self.rate.show("/s", 0));
        table.row(work, &measured, goal);
    }
}

/// Open registrations.
pub(crate) async fn registrations(plan: &Plan, product: &Product, table: &mut Table) -> Outcome<()> {
    let body = format!(
        r#"{{"client_name":"Bench","redirect_uris":["{LOOPBACK_REDIRECT}"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"native"}}"#
    );
    let template = Template {
        method: Method::POST,
        path: "/oauth/register".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body),
    };
    let mut line = PerCore::default();
    for _ in 0..plan.rounds {
        let before = product.peer.cpu_seconds()?;
        let seen = repeat(&product.peer.url, template.clone(), CONNECTIONS, plan.seconds).await?;
        line.push(&seen, product.peer.cpu_seconds()? - before);
    }
    line.show("registrations", "20,000 /s and core", table);
    Ok(())
}

/// Authorize, consent and token with a browser session: three requests each.
pub(crate) async fn code_flows(
    plan: &Plan,
    product: &Product,
    session: &Session,
    table: &mut Table,
) -> Outcome<()> {
    let mut line = PerCore::default();
    let flow = Arc::new(Flow::new(product, session));
    for _ in 0..plan.rounds {
        let before = product.peer.cpu_seconds()?;
        let flow = Arc::clone(&flow);
        let seen = many(product, plan.seconds, move |connection| {
            let flow = Arc::clone(&flow);
            async move {
                let mut connection = connection;
                let tokens = flow.run(&mut connection).await;
                (connection, tokens.map(drop))
            }
        })
        .await?;
        line.push(&seen, product.peer.cpu_seconds()? - before);
    }
    line.show("code flows (authorize, consent, token), durable", "1,500 /s and core", table);
    Ok(())
}

/// Refreshes, each connection with a grant of its own.
pub(crate) async fn refreshes(
    plan: &Plan,
    product: &Product,
    session: &Session,
    table: &mut Table,
) -> Outcome<()> {
    let mut line = PerCore::default();
    let flow = Arc::new(Flow::new(product, session));
    for _ in 0..plan.rounds {
        let mut holders = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = Connection::open(&product.peer.url).await?;
            let refresh_token = text(&flow.run(&mut connection).await?, "refresh_token")?;
            holders.push((connection, refresh_token));
        }
        let before = product.peer.cpu_seconds()?;
        let begin = now();
        let end = begin + Duration::from_secs_f64(plan.seconds);
        let mut tasks = JoinSet::new();
        for (mut connection, mut refresh_token) in holders {
            let flow = Arc::clone(&flow);
            tasks.spawn(async move {
                let mut micros = Vec::new();
                while now() < end {
                    let sent = now();
                    refresh_token = flow.refresh(&mut connection, &refresh_token).await?;
                    micros.push(sent.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<_, String>(micros)
            });
        }
        let seen = gather(tasks, begin).await?;
        line.push(&seen, product.peer.cpu_seconds()? - before);
    }
    line.show("refreshes, durable", "4,000 /s and core", table);
    Ok(())
}

/// Runs `one` over and over on each connection.
async fn many<F, R>(product: &Product, seconds: f64, one: F) -> Outcome<Seen>
where
    F: Fn(Connection) -> R + Clone + Send + 'static,
    R: Future<Output = (Connection, Outcome<()>)> + Send,
{
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(Connection::open(&product.peer.url).await?);
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
struct Flow {
    authorize: Template,
    consent_headers: Vec<(String, String)>,
    client: TestClient,
    pkce: Pkce,
}

impl Flow {
    fn new(product: &Product, session: &Session) -> Self {
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

    async fn run(&self, connection: &mut Connection) -> Outcome<Value> {
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

    async fn refresh(&self, connection: &mut Connection, refresh_token: &str) -> Outcome<String> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", self.client.client_id.as_str()),
        ];
        text(&self.token(connection, &fields).await?, "refresh_token")
    }

    async fn token(&self, connection: &mut Connection, fields: &[(&str, &str)]) -> Outcome<Value> {
        let request = Template {
            method: Method::POST,
            path: "/oauth/token".to_owned(),
            headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
            body: Bytes::from(testkit::http::form(fields)),
        };
        let (parts, body) = connection.send(&request).await?;
        if !parts.status.is_success() {
            return Err(format!("token answered {}: {}", parts.status, String::from_utf8_lossy(&body)));
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}
