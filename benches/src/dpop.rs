//! What a proof of possession (RFC 9449) costs a call: the same calls with a bearer token and with one that is bound.

use testkit::browser::Browser;
use testkit::client::Pkce;
use testkit::dpop::{DpopKey, ath, claims};

use crate::flows::{self, CONNECTIONS, Session, text};
use crate::load::{Connection, Template, now, today};
use crate::machines::{Holders, present};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::{Line, Rounds};
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Calls of each connection in a round.
const CALLS: usize = 400;
/// Bare verifications in a round.
const VERIFICATIONS: u32 = 2000;

/// Rounds of bearer calls and of calls with a proof of their own, signed before.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let mut setup = Setup::new(&upstream.url);
    setup.more = "dpop = \"optional\"\n".to_owned();
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let (key, url) = (DpopKey::new()?, format!("{}/{SERVER}/mcp", product.peer.url));
    let bound = bound_token(&product, &session, &key, &url).await?;
    let plain = calls::checked(&session);
    let [mut bearer, mut proved] = [(); 2].map(|()| Line::default());
    let mut bare = Rounds::default();
    for _ in 0..plan.rounds {
        let each = if plan.quick { CALLS / 10 } else { CALLS };
        let holders = held(&product, each, || Ok(plain.clone())).await?;
        bearer.round(&product.peer, present(holders)).await?;
        let with_proof = || {
            let mut call = plain.clone();
            call.headers.retain(|(name, _)| name != "authorization");
            let mut claims = claims("POST", &url, today().secs());
            claims["ath"] = ath(&bound).into();
            call.headers.push(("authorization".to_owned(), format!("DPoP {bound}")));
            call.headers.push(("dpop".to_owned(), key.proof(&claims)?));
            Ok(call)
        };
        proved.round(&product.peer, present(held(&product, each, with_proof).await?)).await?;
        bare.push(verification(&key, &key.proof(&claims("POST", &url, today().secs()))?)?);
    }
    let (with, without) = (proved.cpu.show("µs", 1), bearer.cpu.show("µs", 1));
    let more = proved.cpu.median() - bearer.cpu.median();
    table.row(
        "MCP call with a proof of its own: CPU",
        &format!("{with}; the same as bearer {without}: {more:.1} µs more"),
        "45 µs more",
    );
    table.row(
        "the signature of a proof alone, verified by the crypto library in a loop",
        &format!("{}; a proof costs {:.2} × that", bare.show("µs", 1), more / bare.median()),
        "–",
    );
    Ok(())
}

/// Microseconds that the bare verification takes on the other core.
fn verification(key: &DpopKey, proof: &str) -> Outcome<f64> {
    let begin = now();
    let held = (0..VERIFICATIONS).all(|_| key.signed(std::hint::black_box(proof)));
    let micros = begin.elapsed().as_secs_f64() * 1e6 / f64::from(VERIFICATIONS);
    if held { Ok(micros) } else { Err("a proof does not hold".to_owned()) }
}

async fn held(product: &Product, each: usize, call: impl Fn() -> Outcome<Template>) -> Outcome<Holders> {
    let mut holders = Vec::new();
    for _ in 0..CONNECTIONS {
        let calls = (0..each).map(|_| call()).collect::<Outcome<Vec<_>>>()?;
        holders.push((Connection::open(&product.target).await?, calls));
    }
    Ok(holders)
}

async fn bound_token(product: &Product, session: &Session, key: &DpopKey, url: &str) -> Outcome<String> {
    let (client, pkce) = (&session.client, Pkce::new("bound"));
    let mut browser = Browser::new(product.http.clone());
    let code = client.obtain_code(&mut browser, "alice", url, &pkce.challenge).await?;
    let proof = key.proof(&claims("POST", &format!("{}/oauth/token", product.peer.url), today().secs()))?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", client.redirect_uri.as_str()),
        ("code_verifier", pkce.verifier.as_str()),
    ];
    let answer = client.token_with(&[("dpop", proof.as_str())], &fields).await?;
    let tokens = answer.json();
    if text(&tokens, "token_type")? == "DPoP" {
        text(&tokens, "access_token")
    } else {
        Err("the token is not bound".to_owned())
    }
}
