//! ID-JAGs (attacks.md, JA): of others, for others, twice, too long, with what cannot be kept.

use protocol::jose::SigningKey;
use protocol::keys::KeyId;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use authorization_server::{IssuerKeys, NewPeople, TrustedIssuer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::AuditKind;
use testkit::dpop::{DpopKey, claims};
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::{Verdict, tok400};
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};
use upstream::trust::Trust;

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens, while_trying};

const TYP: &str = "oauth-id-jag+jwt";
const CLIENT: &str = "known-confidential";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A house that trusts an identity provider, and a person of it who signed in once.
struct Trusting {
    flow: Flow,
    okta: OpenIdProvider,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Trusting {
    async fn new() -> Result<Self, String> {
        Self::with(Plan::default()).await
    }

    async fn with(mut plan: Plan) -> Result<Self, String> {
        let okta = OpenIdProvider::start(&plan.clock).await?;
        let egress = Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?));
        let clock = Arc::clone(&plan.clock) as Arc<dyn protocol::world::Clock>;
        let sets = Arc::new(KeySets::new(egress, clock, Duration::from_secs(5)));
        plan.trusted_issuers = vec![TrustedIssuer {
            clients: Vec::new(),
            connector: "development".to_owned(),
            issuer: okta.issuer.clone(),
            keys: IssuerKeys::Fetched(sets, KeySource::Discovery { issuer: okta.issuer.clone() }),
            link_by_email: false,
            new_people: NewPeople::Refuse,
            tenant: None,
        }];
        let mut flow = Flow::with(plan).await?;
        flow.tokens().await?;
        flow.client = flow.house.known_client(CLIENT)?;
        Ok(Self { flow, okta })
    }

    fn now(&self) -> i64 {
        self.flow.house.time.now().secs()
    }

    /// The claims of a good one, changed; `null` takes one out.
    fn claims(&self, jti: &str, changes: &Value) -> Value {
        let now = self.now();
        let mut claims = json!({
            "iss": self.okta.issuer, "sub": "alice", "aud": self.flow.house.issuer, "client_id": CLIENT,
            "jti": jti, "iat": now, "exp": now + 300, "resource": self.flow.at("/notes/mcp"), "scope": "read",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        claims
    }

    fn signed(&self, jti: &str, changes: &Value) -> String {
        self.okta.sign(TYP, &self.claims(jti, changes))
    }

    async fn present(&self, assertion: &str) -> Result<Answer, String> {
        self.flow.client.token(&[("grant_type", JWT_BEARER), ("assertion", assertion)]).await
    }

    /// `invalid_grant`, and a good one with the same `jti` is served afterwards (NOCONSUME).
    async fn refuses(&self, what: &str, jti: &str, assertion: &str) -> Verdict {
        tok400(&self.present(assertion).await?, "invalid_grant").map_err(while_trying(what))?;
        self.serves(&self.signed(jti, &json!({}))).await.map_err(while_trying(what)).map(drop)
    }

    async fn serves(&self, assertion: &str) -> Result<Value, String> {
        let answer = self.present(assertion).await?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    }

    /// Every one of these is refused.
    async fn refuses_all(&self, all: &[Value]) -> Verdict {
        for (number, changes) in all.iter().enumerate() {
            let jti = format!("{number}");
            self.refuses(&changes.to_string(), &jti, &self.signed(&jti, changes)).await?;
        }
        Ok(())
    }
}

fn forged(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([7; 64]))
}

/// AS-212, AS-217.
#[tokio::test]
async fn ja_01_a_jwt_of_another_type_or_algorithm_is_no_id_jag() -> Verdict {
    let trusting = Trusting::new().await?;
    for (number, typ) in ["JWT", "at+jwt", "client-authentication+jwt", "dpop+jwt"].into_iter().enumerate() {
        let jti = format!("typ {number}");
        let assertion = trusting.okta.sign(typ, &trusting.claims(&jti, &json!({})));
        trusting.refuses(typ, &jti, &assertion).await?;
    }
    for (number, alg) in ["none", "HS256", "RS256", "ES384"].into_iter().enumerate() {
        let jti = format!("alg {number}");
        let header = json!({"alg": alg, "typ": TYP, "kid": "01010101"});
        trusting.refuses(alg, &jti, &forged(&header, &trusting.claims(&jti, &json!({})))).await?;
    }
    trusting.flow.close().await
}

/// AS-214.
#[tokio::test]
async fn ja_02_only_our_issuer_alone_is_an_audience() -> Verdict {
    let trusting = Trusting::new().await?;
    let us = trusting.flow.house.issuer.clone();
    trusting
        .refuses_all(&[
            json!({"aud": [us, "https://other.example"]}),
            json!({"aud": [us, us]}),
            json!({"aud": []}),
            json!({"aud": {}}),
            json!({"aud": format!("{us}/oauth/token")}),
            json!({"aud": format!("{us}/")}),
            json!({"aud": null}),
        ])
        .await?;
    trusting.serves(&trusting.signed("a list of one", &json!({"aud": [us]}))).await?;
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_03_one_for_another_client_is_refused_and_not_used_up() -> Verdict {
    let trusting = Trusting::new().await?;
    trusting.refuses_all(&[json!({"client_id": "known-public"}), json!({"client_id": null})]).await?;
    trusting.flow.close().await
}

/// AS-215.
#[tokio::test]
async fn ja_04_a_public_client_is_refused() -> Verdict {
    let mut trusting = Trusting::new().await?;
    let assertion = trusting.signed("one", &json!({"client_id": "known-public"}));
    trusting.flow.client = trusting.flow.house.known_client("known-public")?;
    tok400(&trusting.present(&assertion).await?, "unauthorized_client")?;
    trusting.flow.close().await
}

/// AS-213, AS-217.
#[tokio::test]
async fn ja_05_keys_come_from_the_configured_place_alone() -> Verdict {
    let trusting = Trusting::new().await?;
    let thief = OpenIdProvider::start(&trusting.flow.house.clock).await?;
    let stolen = thief.sign(TYP, &trusting.claims("kid", &json!({})));
    trusting.refuses("the same kid elsewhere", "kid", &stolen).await?;
    let own = thief.sign(TYP, &trusting.claims("iss", &json!({"iss": thief.issuer})));
    trusting.refuses("an issuer that nobody trusts", "iss", &own).await?;
    let header = json!({"alg": "ES256", "typ": TYP, "kid": "x", "jku": format!("{}/keys", thief.issuer)});
    trusting.refuses("jku", "jku", &forged(&header, &trusting.claims("jku", &json!({})))).await?;
    assert_eq!(thief.asked("/keys"), 0, "NOUP");
    trusting.refuses_all(&[json!({"iss": format!("{}/", trusting.okta.issuer)})]).await?;
    trusting.flow.close().await
}

/// AS-213.
#[tokio::test]
async fn ja_06_a_mistyped_time_is_invalid_and_a_century_too_long() -> Verdict {
    let trusting = Trusting::new().await?;
    let now = trusting.now();
    trusting
        .refuses_all(&[
            json!({"exp": "soon"}),
            json!({"exp": 1.5}),
            json!({"exp": -1}),
            json!({"exp": null}),
            json!({"exp": now - 31}),
            json!({"exp": now + 100 * 365 * 86_400}),
            json!({"iat": "now"}),
            json!({"iat": null}),
            json!({"iat": now + 600}),
            json!({"nbf": "now"}),
            json!({"nbf": now + 600}),
        ])
        .await?;
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_07_an_id_jag_is_taken_once_also_after_a_restart() -> Verdict {
    let mut trusting = Trusting::new().await?;
    let assertion = trusting.signed("once", &json!({}));
    trusting.serves(&assertion).await?;
    tok400(&trusting.present(&assertion).await?, "invalid_grant")?;
    trusting.flow.house = trusting.flow.house.restart().await?;
    trusting.flow.client = trusting.flow.house.known_client(CLIENT)?;
    tok400(&trusting.present(&assertion).await?, "invalid_grant")?;
    assert_eq!(trusting.flow.events(AuditKind::TokenRefused, "id_jag_replayed").await?.len(), 2);
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_07_an_id_jag_is_taken_once_on_all_nodes() -> Verdict {
    on_postgres(async |url| {
        let trusting = Trusting::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let other = trusting.flow.house.second_node().await?;
        let there = other.known_client(CLIENT)?;
        for number in 0..10 {
            let assertion = trusting.signed(&format!("{number}"), &json!({}));
            let fields = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
            let (one, another) = tokio::join!(trusting.flow.client.token(&fields), there.token(&fields));
            let (one, another) = (one?, another?);
            let served = [&one, &another].iter().filter(|answer| answer.status == 200).count();
            assert_eq!(served, 1, "{} {}", one.text(), another.text());
        }
        other.close().await?;
        trusting.flow.close().await
    })
    .await
}

#[tokio::test]
async fn ja_08_with_seconds_left_it_is_still_taken_once() -> Verdict {
    let trusting = Trusting::new().await?;
    let soon = trusting.signed("soon over", &json!({"exp": trusting.now() + 5}));
    trusting.serves(&soon).await?;
    trusting.flow.house.advance(Duration::from_secs(34)).await?;
    tok400(&trusting.present(&soon).await?, "invalid_grant")?;
    trusting.flow.house.advance(Duration::from_secs(2)).await?;
    tok400(&trusting.present(&soon).await?, "invalid_grant")?;
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_10_a_constraint_that_is_not_kept_is_not_ignored() -> Verdict {
    let trusting = Trusting::new().await?;
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    trusting
        .refuses_all(&[
            json!({"cnf": {"jkt": jkt}}),
            json!({"cnf": {}}),
            json!({"cnf": {"jkt": jkt, "x5t#S256": jkt}}),
            json!({"cnf": {"jwk": {"kty": "oct", "k": "AAAA"}}}),
            json!({"authorization_details": [{"type": "payment"}]}),
            json!({"act": {"sub": "agent"}}),
        ])
        .await?;
    trusting.flow.close().await
}

/// An ID-JAG that is bound to a key (its draft, section 4.4; RFC 9449, section 6.1) buys a token that is bound to the same.
#[tokio::test]
async fn ja_10_the_key_of_an_id_jag_is_kept_and_nobody_without_it_uses_it_up() -> Verdict {
    let trusting = Trusting::new().await?;
    let (key, thief) = (DpopKey::new()?, DpopKey::new()?);
    let bound = trusting.signed("bound", &json!({"cnf": {"jkt": key.thumbprint()}}));
    let present = async |assertion: &str, key: &DpopKey| {
        let proof = key.proof(&claims("POST", &trusting.flow.at("/oauth/token"), trusting.now()))?;
        let fields = [("grant_type", JWT_BEARER), ("assertion", assertion)];
        trusting.flow.client.token_with(&[("dpop", &proof)], &fields).await
    };
    tok400(&trusting.present(&bound).await?, "invalid_grant")?;
    tok400(&present(&bound, &thief).await?, "invalid_grant")?;
    let cases = [
        (bound, &key),
        // One that is bound to none is bound to the key that is proved.
        (trusting.signed("unbound", &json!({})), &thief),
    ];
    for (assertion, key) in cases {
        let answer = present(&assertion, key).await?.json();
        assert_eq!(answer["token_type"], "DPoP", "{answer}");
        let access = answer["access_token"].as_str().ok_or("no token")?.to_owned();
        trusting.flow.keep(&access);
        let tokens = Tokens { access, refresh: String::new() };
        assert_eq!(tokens.claims()?["cnf"], json!({"jkt": key.thumbprint()}));
    }
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_11_a_tenant_that_is_not_the_trusted_one_is_refused() -> Verdict {
    let trusting = Trusting::new().await?;
    trusting.refuses_all(&[json!({"tenant": "other"}), json!({"tenant": ""})]).await?;
    trusting.flow.close().await
}

/// AS-216.
#[tokio::test]
async fn ja_13_no_refresh_token_is_issued_and_the_access_token_works() -> Verdict {
    let trusting = Trusting::new().await?;
    let tokens = trusting.serves(&trusting.signed("one", &json!({}))).await?;
    assert!(tokens.get("refresh_token").is_none());
    trusting.flow.calls(tokens["access_token"].as_str().unwrap_or_default()).await?;
    trusting.flow.close().await
}

/// AS-212.
#[tokio::test]
async fn ja_14_a_jwt_of_our_own_is_no_id_jag() -> Verdict {
    let trusting = Trusting::new().await?;
    let tokens = trusting.serves(&trusting.signed("one", &json!({}))).await?;
    let access = tokens["access_token"].as_str().unwrap_or_default().to_owned();
    tok400(&trusting.present(&access).await?, "invalid_grant")?;
    trusting.refuses_all(&[json!({"iss": trusting.flow.house.issuer})]).await?;
    trusting.flow.close().await
}

/// AS-213.
#[tokio::test]
async fn ja_16_what_is_no_jwt_is_refused() -> Verdict {
    let trusting = Trusting::new().await?;
    let good = trusting.signed("form", &json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let deep = format!("{{\"iss\":{}{}}}", "[".repeat(4_000), "]".repeat(4_000));
    for assertion in [
        "x".repeat(20_000),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{good}.x.y"),
        format!("{}.{}.{}", part("[]"), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], part("[]"), parts[2]),
        format!("{}.{}.{}", parts[0], part(&deep), parts[2]),
        format!("{}.{}.{}", parts[0], part(r#"{"iss":"a","iss":"b"}"#), parts[2]),
    ] {
        tok400(&trusting.present(&assertion).await?, "invalid_grant").map_err(while_trying(&assertion))?;
    }
    trusting.serves(&good).await?;
    trusting.flow.close().await
}

#[tokio::test]
async fn ja_17_nobody_is_told_which_issuers_are_trusted() -> Verdict {
    let trusting = Trusting::new().await?;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let document = trusting.flow.house.http.get(&trusting.flow.at(path), &[]).await?.text();
        assert!(document.contains("grant-profile:id-jag"));
        assert!(!document.contains(&trusting.okta.issuer));
    }
    // An issuer that is trusted and one that is not are told in the same words, but for the reference, which is new each time.
    let stranger = SigningKey::generate_pkcs8().map_err(text)?;
    let stranger = SigningKey::from_pkcs8(KeyId::from_bytes([1; 4]), &stranger).map_err(text)?;
    let mut answers = Vec::new();
    for issuer in [trusting.okta.issuer.as_str(), "https://idp.example"] {
        let claims = trusting.claims("one", &json!({"iss": issuer}));
        let answer = trusting.present(&stranger.sign(TYP, &claims).map_err(text)?).await?;
        let told = answer.text();
        let (words, reference) = told.split_once(" Reference ").ok_or("no reference")?;
        assert_eq!(reference.len(), "4E3Z-N4C8.\"}".len());
        answers.push((answer.status, words.to_owned()));
    }
    assert_eq!(answers[0], answers[1]);
    trusting.flow.close().await
}
