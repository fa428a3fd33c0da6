//! `private_key_jwt`: assertions that were made for others, by others, too early, too late, or twice.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::ClientKeys;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::jose::SigningKey;
use protocol::keys::KeyId;
use protocol::secret::Hash;
use protocol::world::Clock;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::{Verdict, tok401};
use testkit::wire::Fault;
use testkit::world::TestClock;
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};
use upstream::trust::Trust;

use crate::record::on_postgres;
use crate::steps::{Code, Flow, Tokens, while_trying};

const KEYED: &str = "known-keyed";
const TOLERATED: &str = "known-tolerated";
/// Where the host of keys has them.
const JWKS: &str = "/keys";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn key(number: u8) -> Result<SigningKey, String> {
    let pkcs8 = SigningKey::generate_pkcs8().map_err(|error| error.to_string())?;
    SigningKey::from_pkcs8(KeyId::from_bytes([number; 4]), &pkcs8).map_err(|error| error.to_string())
}

/// The keys at this host, as a client's `jwks_uri` names them.
fn keys_at(host: &OpenIdProvider, clock: &Arc<TestClock>) -> Result<ClientKeys, String> {
    let trust = Trust::new(&[]).map_err(|error| error.to_string())?;
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let sets = KeySets::new(Arc::new(Fetcher::new(&trust)), clock, Duration::from_secs(5));
    Ok(ClientKeys::Fetched(Arc::new(sets), KeySource::Uri(format!("{}{JWKS}", host.issuer))))
}

/// A house in which a client has its keys elsewhere, and what it needs for one code.
async fn keys_elsewhere(mut plan: Plan, host: &OpenIdProvider) -> Result<Keyed, String> {
    plan.clients.push((KEYED, vec!["https://client.example/cb".to_owned()], None));
    plan.client_keys_at.push((KEYED, keys_at(host, &plan.clock)?));
    let mut flow = Flow::with(plan).await?;
    flow.client = flow.house.known_client(KEYED)?;
    // Never published by anybody.
    Ok(Keyed { flow, key: key(9)? })
}

/// A house in which two clients have this key, the second with the old audience.
fn plan(key: &SigningKey) -> Plan {
    let mut plan = Plan::default();
    let jwks = json!({"keys": [key.public_jwk()]});
    for (id, tolerated) in [(KEYED, false), (TOLERATED, true)] {
        plan.clients.push((id, vec!["https://client.example/cb".to_owned()], None));
        plan.client_keys.push((id, jwks.clone(), tolerated));
    }
    plan
}

struct Keyed {
    flow: Flow,
    key: SigningKey,
}

impl Keyed {
    async fn new() -> Result<Self, String> {
        let key = key(1)?;
        let mut flow = Flow::with(plan(&key)).await?;
        flow.client = flow.house.known_client(KEYED)?;
        Ok(Self { flow, key })
    }

    fn now(&self) -> i64 {
        self.flow.house.time.now().secs()
    }

    /// The claims of a good assertion, changed; `null` takes one out.
    fn claims(&self, jti: &str, changes: &Value) -> Value {
        let now = self.now();
        let mut claims = json!({
            "iss": KEYED, "sub": KEYED, "aud": self.flow.house.issuer, "iat": now, "exp": now + 60, "jti": jti,
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        claims
    }

    /// A code, whether or not the person is asked again.
    async fn code(&mut self) -> Result<Code, String> {
        let (resource, pkce) = (self.flow.house.resource("notes"), self.flow.pkce());
        let browser = &mut self.flow.house.browser();
        let code = self.flow.client.obtain_code(browser, "alice", &resource, &pkce.challenge).await?;
        self.flow.house.remember_secret(&code);
        Ok(Code { code, verifier: pkce.verifier })
    }

    /// A good one by the key that the host has now.
    fn from(&self, host: &OpenIdProvider, jti: &str) -> String {
        host.sign("JWT", &self.claims(jti, &json!({})))
    }

    fn signed(&self, jti: &str, changes: &Value) -> Result<String, String> {
        self.key.sign("JWT", &self.claims(jti, changes)).map_err(|error| error.to_string())
    }
}

/// Redeems with this assertion and nothing else that says who asks.
async fn redeem(flow: &Flow, code: &Code, assertion: &str) -> Result<Answer, String> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.code.as_str()),
        ("code_verifier", code.verifier.as_str()),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    flow.post(&[], &fields).await
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 { Hash::of(key).as_bytes().to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let pad = |byte: u8| block.iter().map(|one| one ^ byte).collect::<Vec<u8>>();
    let inner = Hash::of(&[pad(0x36), text.to_vec()].concat());
    Hash::of(&[pad(0x5c), inner.as_bytes().to_vec()].concat()).as_bytes().to_vec()
}

/// What was signed by somebody else, or by nobody.
fn forged(keyed: &Keyed) -> Result<Vec<(String, String)>, String> {
    let own = keyed.signed("forged", &json!({}))?;
    let kid = keyed.key.kid();
    let (_, rest) = own.split_once('.').ok_or("no JWT")?;
    let (payload, signature) = rest.split_once('.').ok_or("no JWT")?;
    let with = |header: Value, signature: &str| format!("{}.{payload}.{signature}", encoded(&header));
    let thief = key(9)?;
    let thiefs = thief.sign("JWT", &keyed.claims("thief", &json!({}))).map_err(|error| error.to_string())?;
    let thiefs_signature = thiefs.rsplit('.').next().unwrap_or_default().to_owned();
    let public = keyed.key.public_jwk().to_string();
    let mac_header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
    let mac = hmac(public.as_bytes(), format!("{}.{payload}", encoded(&mac_header)).as_bytes());
    let url = format!("{}/jwks", keyed.flow.house.mcp.url);
    let mut all = vec![
        ("another's key".to_owned(), thiefs),
        ("no signature".to_owned(), with(json!({"alg": "none", "typ": "JWT"}), "")),
        ("a MAC by the public key".to_owned(), with(mac_header, &URL_SAFE_NO_PAD.encode(mac))),
        ("another header".to_owned(), with(json!({"alg": "ES256", "kid": kid}), signature)),
    ];
    for (what, header) in [
        ("jku", json!({"alg": "ES256", "typ": "JWT", "kid": "x", "jku": url})),
        ("x5u", json!({"alg": "ES256", "typ": "JWT", "kid": "x", "x5u": url})),
        ("a key of its own", json!({"alg": "ES256", "typ": "JWT", "kid": kid, "jwk": thief.public_jwk()})),
        ("a kid that is a path", json!({"alg": "ES256", "typ": "JWT", "kid": "../../x"})),
        ("a kid that is SQL", json!({"alg": "ES256", "typ": "JWT", "kid": "' OR '1'='1"})),
        ("crit", json!({"alg": "ES256", "typ": "JWT", "kid": kid, "crit": ["exp"]})),
    ] {
        all.push((what.to_owned(), with(header, &thiefs_signature)));
    }
    for typ in ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt"] {
        let other = keyed.key.sign(typ, &keyed.claims(typ, &json!({}))).map_err(|error| error.to_string())?;
        all.push((format!("an honest {typ}"), other));
    }
    Ok(all)
}

/// AS-147, AS-148, AS-151.
#[tokio::test]
async fn tk_43_an_assertion_that_is_not_the_clients_own_for_us_and_for_now_is_nobody() -> Verdict {
    let mut keyed = Keyed::new().await?;
    let code = keyed.flow.code().await?;
    let (now, issuer) = (keyed.now(), keyed.flow.house.issuer.clone());
    let before = keyed.flow.stored().await?;
    let mut bad = forged(&keyed)?;
    for changes in [
        json!({"aud": [issuer, "https://other.example"]}),
        json!({"aud": "https://other.example"}),
        json!({"aud": format!("{issuer}/oauth/token")}),
        json!({"aud": format!("{issuer}//oauth/token")}),
        json!({"aud": format!("{issuer}/")}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": 7}),
        json!({"iss": "known-public"}),
        json!({"iss": null}),
        json!({"iss": "known-public", "sub": "known-public"}),
        json!({"iss": TOLERATED, "sub": "known-confidential"}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"exp": now - 61}),
        json!({"exp": now + 7 * 60}),
        json!({"exp": now + 10 * 365 * 86_400}),
        json!({"nbf": now + 120}),
        json!({"iat": now + 120}),
    ] {
        bad.push((changes.to_string(), keyed.signed("bad", &changes)?));
    }
    for (what, assertion) in &bad {
        tok401(&redeem(&keyed.flow, &code, assertion).await?, false).map_err(while_trying(what))?;
    }
    // Beside a good one, nothing that says something else is believed.
    for extra in [("client_id", "known-public"), ("client_assertion_type", "urn:x"), ("client_secret", "x")] {
        let good = keyed.signed("beside", &json!({}))?;
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_assertion", &good), extra];
        let answer = keyed.flow.post(&[], &fields).await?;
        assert!([400, 401].contains(&answer.status.as_u16()), "{extra:?}: {}", answer.text());
    }
    assert_eq!(keyed.flow.stored().await?, before, "NOSTORE");
    assert_eq!(keyed.flow.house.mcp.connections(), 0, "NOUP");
    // NOCONSUME: a good one, even as a list of one, is served.
    let good = keyed.signed("good", &json!({"aud": [issuer]}))?;
    Tokens::of(&redeem(&keyed.flow, &code, &good).await?)?;
    keyed.flow.house.close().await
}

/// AS-149.
#[tokio::test]
async fn tk_43_the_token_endpoint_is_an_audience_for_the_client_that_is_known_for_it() -> Verdict {
    let mut keyed = Keyed::new().await?;
    keyed.flow.client = keyed.flow.house.known_client(TOLERATED)?;
    let code = keyed.flow.code().await?;
    let endpoint = keyed.flow.at("/oauth/token");
    let own = |aud: Value| json!({"iss": TOLERATED, "sub": TOLERATED, "aud": aud});
    for aud in [json!(endpoint.replacen("/oauth", "//oauth", 1)), json!(keyed.flow.at("/oauth/revoke"))] {
        let assertion = keyed.signed("bad", &own(aud))?;
        tok401(&redeem(&keyed.flow, &code, &assertion).await?, false)?;
    }
    let assertion = keyed.signed("good", &own(json!(endpoint)))?;
    Tokens::of(&redeem(&keyed.flow, &code, &assertion).await?)?;
    keyed.flow.house.close().await
}

#[tokio::test]
async fn tk_44_an_assertion_is_used_once_at_every_endpoint_and_until_it_is_over() -> Verdict {
    let mut keyed = Keyed::new().await?;
    let code = keyed.flow.code().await?;
    for (what, jti) in [
        ("no jti", Value::Null),
        ("an empty jti", json!("")),
        ("a number", json!(7)),
        ("an object", json!({"a": "b"})),
        ("a list", json!(["one"])),
        ("20 KiB", json!("j".repeat(20 * 1024))),
    ] {
        let assertion = keyed.signed("", &json!({"jti": jti}))?;
        tok401(&redeem(&keyed.flow, &code, &assertion).await?, false).map_err(while_trying(what))?;
    }
    let huge = keyed.signed("", &json!({"jti": "j".repeat(1 << 20)}))?;
    assert_eq!(redeem(&keyed.flow, &code, &huge).await?.status, 413);
    let once = keyed.signed("once", &json!({}))?;
    let tokens = Tokens::of(&redeem(&keyed.flow, &code, &once).await?)?;
    // The same, at the other endpoint, in another dress, and at the last moment at which it could count.
    let refreshing = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
    let by = |assertion: String| {
        [("client_assertion_type", JWT_BEARER.to_owned()), ("client_assertion", assertion)]
    };
    let again = keyed.signed("once", &json!({"exp": keyed.now() + 200}))?;
    for assertion in [once.clone(), again.clone()] {
        let own = by(assertion);
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tok401(&keyed.flow.post(&[], &[&refreshing[..], &own].concat()).await?, false)?;
        let revoking = [&[("token", tokens.access.as_str())][..], &own].concat();
        tok401(&keyed.flow.revoke(&revoking).await?, false)?;
    }
    keyed.flow.house.advance(Duration::from_secs(119)).await?;
    tok401(&redeem(&keyed.flow, &code, &once).await?, false)?;
    keyed.flow.house.advance(Duration::from_secs(2)).await?;
    tok401(&redeem(&keyed.flow, &code, &once).await?, false)?;
    assert!(!keyed.flow.events(AuditKind::TokenRefused, "client_assertion_replayed").await?.is_empty());
    // Another one refreshes: nobody was harmed.
    let own = by(keyed.signed("another", &json!({}))?);
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Tokens::of(&keyed.flow.post(&[], &[&refreshing[..], &own].concat()).await?)?;
    keyed.flow.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_44_of_two_nodes_one_takes_an_assertion() -> Verdict {
    on_postgres(|url| async move {
        let key = key(1)?;
        let mut flow = Flow::with(Plan { postgres: Some(url), ..plan(&key) }).await?;
        flow.client = flow.house.known_client(KEYED)?;
        let second = flow.house.second_node().await?;
        let keyed = Keyed { flow, key };
        let fields = |assertion: &str| {
            [("token", "x"), ("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        for round in 0..10 {
            let assertion = keyed.signed(&format!("round {round}"), &json!({}))?;
            let all = fields(&assertion);
            let all: Vec<(&str, &str)> =
                all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let (url, headers) = (keyed.flow.at("/oauth/revoke"), []);
            let (here, there) = tokio::join!(
                keyed.flow.house.http.post_form(&url, &headers, &all),
                second.http.post_form(&url, &headers, &all)
            );
            let mut statuses = [here?.status.as_u16(), there?.status.as_u16()];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 401], "round {round}");
        }
        second.close().await?;
        keyed.flow.house.close().await
    })
    .await
}

/// AS-151: keys of the client's own choosing time: a rotated one is known at once, and a flood of keys that nobody has is no
/// flood of fetches.
#[tokio::test]
async fn tk_43_keys_at_a_jwks_uri_are_fetched_once_and_anew_for_a_rotated_one() -> Verdict {
    let plan = Plan::default();
    let host = OpenIdProvider::start(&plan.clock).await?;
    let mut keyed = keys_elsewhere(plan, &host).await?;
    let first = keyed.code().await?;
    for number in 0..10 {
        let forged = keyed.signed(&format!("forged {number}"), &json!({}))?;
        tok401(&redeem(&keyed.flow, &first, &forged).await?, false)?;
    }
    assert!(host.asked(JWKS) <= 2, "{} fetches", host.asked(JWKS));
    Tokens::of(&redeem(&keyed.flow, &first, &keyed.from(&host, "first")).await?)?;
    tok401(&redeem(&keyed.flow, &first, &keyed.from(&host, "first")).await?, false)?;
    let before = keyed.from(&host, "before");
    host.rotate(2)?;
    keyed.flow.house.advance(Duration::from_secs(31)).await?;
    let second = keyed.code().await?;
    Tokens::of(&redeem(&keyed.flow, &second, &keyed.from(&host, "second")).await?)?;
    // Its key is gone.
    let third = keyed.code().await?;
    tok401(&redeem(&keyed.flow, &third, &before).await?, false)?;
    keyed.flow.house.close().await
}

#[tokio::test]
async fn tk_43_a_host_of_keys_that_is_away_ends_nothing_and_lets_nobody_in() -> Verdict {
    let plan = Plan::default();
    let (host, wire) = OpenIdProvider::start_through(&plan.clock).await?;
    let mut keyed = keys_elsewhere(plan, &host).await?;
    let code = keyed.code().await?;
    wire.set(Fault::Cut);
    // Nothing was ever fetched: nobody is let in, and the client may try again.
    let answer = redeem(&keyed.flow, &code, &keyed.from(&host, "early")).await?;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (503, "temporarily_unavailable"));
    wire.set(Fault::None);
    keyed.flow.house.advance(Duration::from_secs(31)).await?;
    Tokens::of(&redeem(&keyed.flow, &code, &keyed.from(&host, "first")).await?)?;
    wire.set(Fault::Cut);
    for (hours, served) in [(2, true), (20, true), (24, false)] {
        keyed.flow.house.advance(Duration::from_secs(hours * 60 * 60)).await?;
        let code = keyed.code().await?;
        let answer = redeem(&keyed.flow, &code, &keyed.from(&host, &format!("after {hours}"))).await?;
        assert_eq!(answer.status == 200, served, "after {hours} more hours: {}", answer.text());
    }
    keyed.flow.house.close().await
}
