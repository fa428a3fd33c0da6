//! What clients without a browser ask of the authorization server: exchanges of ID-JAGs.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use protocol::jose::SigningKey;
use protocol::keys::KeyId;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::workloads::{Platform, WorkloadPlatform};
use tokio::task::JoinSet;

use crate::flows::{self, CONNECTIONS};
use crate::load::{Connection, Seen, Template, gather, now, today};
use crate::product::{Product, SERVER, Setup, write_secret};
use crate::rounds::Line;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Exchanges of each connection in a round.
const EXCHANGES: usize = 300;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const CLIENT: &str = "agent";
const TYPE: &str = "oauth-id-jag+jwt";
const ISSUER: &str = "https://idp.bench.example";

/// ID-JAGs that are each presented once, of an issuer that signs as we do and of one that signs as most do: what an RS256
/// signature costs lies with its issuer, and its check takes little.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    for (issuer, how, goal) in
        [(Issuer::new()?, "ES256", "5,000 /s and core"), (Issuer::of_rsa().await?, "RS256", "–")]
    {
        let exchanges = exchanged(plan, &issuer).await?;
        let (cost, rate) = (exchanges.per_core.show("/s and core", 0), exchanges.rate.show("/s", 0));
        let measured = format!("{cost}; {rate}; p99 {:.1} ms", exchanges.p99.median() / 1e3);
        let what = format!("ID-JAGs exchanged, each taken once, durable; signed by {how}");
        table.row(&what, &measured, goal);
    }
    Ok(())
}

async fn exchanged(plan: &Plan, issuer: &Issuer) -> Outcome<Line> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let mut setup = Setup::new("http://127.0.0.1:9/mcp");
    setup.more = configure(folder.path(), issuer)?;
    let product = Product::start(&setup).await?;
    // The person must have signed in once.
    flows::sign_in(&product).await?;
    let mut exchanges = Line::default();
    for round in 0..plan.rounds {
        let each = if plan.quick { EXCHANGES / 10 } else { EXCHANGES };
        let holders = issuer.speak(&product, round, each).await?;
        exchanges.round(&product.peer, present(holders)).await?;
    }
    Ok(exchanges)
}

/// The sections, and the files that they name.
fn configure(folder: &Path, issuer: &Issuer) -> Outcome<String> {
    let file = |name: &str| folder.join(name);
    write_secret(&file("client.secret"), SECRET)?;
    let jwks = json!({ "keys": [issuer.public_jwk()] }).to_string();
    std::fs::write(file("issuer.jwks"), jwks).map_err(|error| error.to_string())?;
    let path = |name: &str| file(name).display().to_string();
    Ok(format!(
        "[[client]]\nclient_id = \"{CLIENT}\"\nname = \"Agent\"\nredirect_uris = [\"http://127.0.0.1/callback\"]\nsecret_file = \"{}\"\n\
         [[trusted_issuer]]\nissuer = \"{ISSUER}\"\nidentity_provider = \"development\"\njwks_file = \"{}\"\n",
        path("client.secret"),
        path("issuer.jwks"),
    ))
}

/// A form that is posted with HTTP Basic.
fn form(product: &Product, path: &str, fields: &[(&str, &str)]) -> Template {
    let authorization = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", product.peer.url.as_str()),
        ("authorization", authorization.as_str()),
    ];
    Template {
        method: Method::POST,
        path: path.to_owned(),
        headers: headers[..].iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::from(testkit::http::form(fields)),
    }
}

/// An identity provider that speaks of Alice.
enum Issuer {
    Es256(SigningKey),
    Rs256(Box<WorkloadPlatform>),
}

impl Issuer {
    fn new() -> Outcome<Self> {
        let text = |error: protocol::jose::JoseError| error.to_string();
        let pkcs8 = SigningKey::generate_pkcs8().map_err(text)?;
        Ok(Self::Es256(SigningKey::from_pkcs8(KeyId::from_bytes([7; 4]), &pkcs8).map_err(text)?))
    }

    async fn of_rsa() -> Outcome<Self> {
        Ok(Self::Rs256(Box::new(WorkloadPlatform::start(Platform::Other, &Arc::default()).await?)))
    }

    fn public_jwk(&self) -> Value {
        match self {
            Self::Es256(key) => json!(key.public_jwk()),
            Self::Rs256(issuer) => issuer.public_jwk(),
        }
    }

    fn sign(&self, claims: &Value) -> Outcome<String> {
        match self {
            Self::Es256(key) => key.sign(TYPE, claims).map_err(|error| error.to_string()),
            Self::Rs256(issuer) => issuer.sign(&json!({ "typ": TYPE }), claims),
        }
    }

    /// Connections, each with requests that present so many ID-JAGs.
    async fn speak(&self, product: &Product, round: usize, each: usize) -> Outcome<Holders> {
        let (begin, resource) = (today().secs(), format!("{}/{SERVER}/mcp", product.peer.url));
        let mut holders = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut held = Vec::new();
            for number in 0..each {
                let claims = json!({
                    "iss": ISSUER, "sub": "alice", "aud": product.peer.url, "client_id": CLIENT, "iat": begin,
                    "exp": begin + 300, "resource": resource, "jti": format!("{round}.{connection}.{number}"),
                });
                let assertion = self.sign(&claims)?;
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.as_str()),
                ];
                held.push(form(product, "/oauth/token", &fields));
            }
            holders.push((Connection::open(&product.target).await?, held));
        }
        Ok(holders)
    }
}

/// Connections, each with the requests that it sends, one after another.
pub(crate) type Holders = Vec<(Connection, Vec<Template>)>;

/// Sends each request once.
pub(crate) async fn present(holders: Holders) -> Outcome<Seen> {
    let begin = now();
    let mut tasks = JoinSet::new();
    for (mut connection, held) in holders {
        tasks.spawn(async move {
            let mut micros = Vec::with_capacity(held.len());
            for request in held {
                let sent = now();
                let (parts, body) = connection.send(&request).await?;
                if !parts.status.is_success() {
                    return Err(format!("answered {}: {}", parts.status, String::from_utf8_lossy(&body)));
                }
                micros.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok::<_, String>(micros)
        });
    }
    gather(tasks, begin).await
}
