//! JWTs of workloads (attacks.md, JA, where a platform speaks and no identity provider): of others, for others, twice, too
//! long, by other keys, as another kind of token.

use authorization_server::{Platform, WorkloadRule};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, tok400, tok401};
use testkit::workloads::WorkloadPlatform;

use crate::record::on_postgres;
use crate::steps::while_trying;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A house that believes GitHub and a cluster, whose keys have one name.
struct Believing {
    house: House,
    github: WorkloadPlatform,
    cluster: WorkloadPlatform,
}

fn rule(platform: &WorkloadPlatform, claims: &[&str]) -> Result<WorkloadRule, String> {
    let claims: Vec<String> = claims.iter().map(|&claim| claim.to_owned()).collect();
    WorkloadRule::new(&platform.issuer, platform.platform, &claims).map_err(|flaw| flaw.to_string())
}

async fn present(house: &House, assertion: &str) -> Result<Answer, String> {
    let resource = house.resource("notes");
    let fields = [("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", resource.as_str())];
    house.http.post_form(&format!("{}/oauth/token", house.issuer), &[], &fields).await
}

impl Believing {
    async fn new() -> Result<Self, String> {
        Self::with(Plan::default()).await
    }

    async fn with(mut plan: Plan) -> Result<Self, String> {
        let github = WorkloadPlatform::start(Platform::GitHubActions, &plan.clock).await?;
        let cluster = WorkloadPlatform::start(Platform::Kubernetes, &plan.clock).await?;
        plan.workload_issuers = vec![github.trusted()?, cluster.trusted()?];
        plan.workloads = vec![
            ("ci", rule(&github, &["repository=acme/app", "ref=refs/heads/main"])?),
            ("nightly", rule(&cluster, &["sub=system:serviceaccount:prod:runner"])?),
        ];
        Ok(Self { house: House::with(plan).await?, github, cluster })
    }

    /// `invalid_grant`, and a good one with the same `jti` is served afterwards (NOCONSUME).
    async fn refuses(&self, what: &str, assertion: &str, good: &Value) -> Verdict {
        tok400(&present(&self.house, assertion).await?, "invalid_grant").map_err(while_trying(what))?;
        let answer = present(&self.house, &self.github.sign(&json!({}), good)?).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{what}: {}", answer.text())) }
    }

    async fn refuses_all(&self, all: &[Value]) -> Verdict {
        for changes in all {
            let good = self.github.claims(&self.house.issuer, &json!({}));
            let mut bad = good.clone();
            for (name, value) in changes.as_object().into_iter().flatten() {
                bad[name] = value.clone();
            }
            if let Some(bad) = bad.as_object_mut() {
                bad.retain(|_, value| !value.is_null());
            }
            self.refuses(&changes.to_string(), &self.github.sign(&json!({}), &bad)?, &good).await?;
        }
        Ok(())
    }
}

/// The header and claims of a JWT, with a signature that nobody made.
fn forged(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([7; 256]))
}

/// AS-212, AS-217.
#[tokio::test]
async fn ja_01_a_jwt_of_another_type_or_algorithm_is_no_workload() -> Verdict {
    let believing = Believing::new().await?;
    let claims = || believing.github.claims(&believing.house.issuer, &json!({}));
    for typ in ["at+jwt", "client-authentication+jwt", "dpop+jwt", "wit+jwt", "secevent+jwt", "logout+jwt"] {
        let good = claims();
        believing.refuses(typ, &believing.github.sign(&json!({"typ": typ}), &good)?, &good).await?;
    }
    let good = claims();
    let critical = believing.github.sign(&json!({"crit": ["x"], "x": 1}), &good)?;
    believing.refuses("crit", &critical, &good).await?;
    for alg in ["none", "None", "HS256", "ES256", "PS256", "RS512", "", "RS256 "] {
        let good = claims();
        let header = json!({"alg": alg, "kid": "key-of-the-platform"});
        believing.refuses(alg, &forged(&header, &good), &good).await?;
        // Also where the signature is right for another algorithm.
        let signed = believing.github.sign(&json!({"alg": alg}), &good)?;
        tok400(&present(&believing.house, &signed).await?, "invalid_grant").map_err(while_trying(alg))?;
    }
    // An ID-JAG asks for a client that authenticates.
    let id_jag = believing.github.sign(&json!({"typ": "oauth-id-jag+jwt"}), &claims())?;
    tok401(&present(&believing.house, &id_jag).await?, false)?;
    believing.house.close().await
}

/// AS-214.
#[tokio::test]
async fn ja_02_only_this_issuer_or_its_token_endpoint_alone_is_an_audience_of_a_workload() -> Verdict {
    let believing = Believing::new().await?;
    let us = believing.house.issuer.clone();
    believing
        .refuses_all(&[
            json!({"aud": [us, "https://other.example"]}),
            json!({"aud": [us, us]}),
            json!({"aud": [us, format!("{us}/oauth/token")]}),
            json!({"aud": []}),
            json!({"aud": {}}),
            json!({"aud": null}),
            json!({"aud": format!("{us}/")}),
            json!({"aud": us.to_uppercase()}),
            json!({"aud": "https://github.com/acme"}),
            json!({"aud": believing.house.resource("notes")}),
        ])
        .await?;
    for audience in [json!(us), json!([us]), json!(format!("{us}/oauth/token"))] {
        let good = believing.github.token(&us, &json!({"aud": audience}))?;
        assert_eq!(present(&believing.house, &good).await?.status, 200, "{audience}");
    }
    believing.house.close().await
}

/// AS-217. NOUP: nothing that a token says leads to a key.
#[tokio::test]
async fn ja_05_the_keys_of_a_platform_come_from_the_configured_place_alone() -> Verdict {
    let believing = Believing::new().await?;
    let thief = WorkloadPlatform::start(Platform::GitHubActions, &believing.house.clock).await?;
    let claims = || believing.github.claims(&believing.house.issuer, &json!({}));
    let jku = format!("{}/.well-known/jwks", thief.issuer);
    for header in [
        json!({}),
        json!({"jku": jku}),
        json!({"x5u": jku}),
        json!({"jwk": thief.public_jwk()}),
        json!({"kid": "../../.well-known/jwks"}),
        json!({"kid": jku}),
        json!({"kid": ""}),
        json!({"kid": "x".repeat(8_000)}),
        json!({"kid": 7}),
        json!({"kid": null}),
    ] {
        let good = claims();
        believing.refuses(&header.to_string(), &thief.sign(&header, &good)?, &good).await?;
    }
    let own = thief.token(&believing.house.issuer, &json!({}))?;
    tok400(&present(&believing.house, &own).await?, "invalid_grant")?;
    assert_eq!(thief.asked_for_keys(), 0);
    // The key of one platform signs for no other, also under the same name.
    let good = claims();
    believing
        .refuses("the key of the cluster", &believing.cluster.sign(&json!({"typ": "JWT"}), &good)?, &good)
        .await?;
    let swapped = believing.cluster.claims(&believing.house.issuer, &json!({"iss": believing.github.issuer}));
    tok400(
        &present(&believing.house, &believing.cluster.sign(&json!({}), &swapped)?).await?,
        "invalid_grant",
    )?;
    // A flood of keys that nobody has asks the platform once.
    let before = believing.github.asked_for_keys();
    for number in 0..20 {
        let unknown = thief.sign(&json!({"kid": format!("{number}")}), &claims())?;
        tok400(&present(&believing.house, &unknown).await?, "invalid_grant")?;
    }
    assert!(believing.github.asked_for_keys() <= before + 1, "{}", believing.github.asked_for_keys());
    believing.house.close().await
}

/// AS-213.
#[tokio::test]
async fn ja_06_a_mistyped_time_of_a_workload_is_invalid_and_a_century_too_long() -> Verdict {
    let believing = Believing::new().await?;
    let now = believing.house.time.now().secs();
    believing
        .refuses_all(&[
            json!({"exp": "soon"}),
            json!({"exp": 1.5}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"exp": null}),
            json!({"exp": now - 31}),
            json!({"exp": now + 100 * 365 * 86_400}),
            json!({"exp": u64::MAX}),
            json!({"iat": "now"}),
            json!({"iat": null}),
            json!({"iat": now + 600}),
            json!({"nbf": now + 600}),
            json!({"nbf": [now]}),
            json!({"jti": null}),
            json!({"sub": ["repo:acme/app:ref:refs/heads/main"]}),
        ])
        .await?;
    believing.house.close().await
}

#[tokio::test]
async fn ja_07_the_jwt_of_a_workload_is_taken_once_on_all_nodes_and_after_a_restart() -> Verdict {
    on_postgres(async |url| {
        let believing = Believing::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let other = believing.house.second_node().await?;
        for _ in 0..5 {
            let assertion = believing.github.token(&believing.house.issuer, &json!({}))?;
            let (one, another) =
                tokio::join!(present(&believing.house, &assertion), present(&other, &assertion));
            let (one, another) = (one?, another?);
            let served = [&one, &another].iter().filter(|answer| answer.status == 200).count();
            assert_eq!(served, 1, "{} {}", one.text(), another.text());
        }
        other.close().await?;
        let assertion = believing.github.token(&believing.house.issuer, &json!({}))?;
        assert_eq!(present(&believing.house, &assertion).await?.status, 200);
        let house = believing.house.restart().await?;
        tok400(&present(&house, &assertion).await?, "invalid_grant")?;
        house.close().await
    })
    .await
}

/// A program that no rule names gets nothing, though its platform is believed: another repository, a pull request, another
/// account of the cluster; and nobody is told by what it failed.
#[tokio::test]
async fn ja_03_a_workload_that_no_rule_names_is_refused_and_its_jwt_not_used_up() -> Verdict {
    let believing = Believing::new().await?;
    believing
        .refuses_all(&[
            json!({"repository": "evil/app"}),
            json!({"repository": "acme/app2"}),
            json!({"repository": "ACME/APP"}),
            json!({"repository": "acme/app\u{0}"}),
            json!({"repository": null}),
            json!({"repository": {"": "acme/app"}}),
            json!({"ref": "refs/pull/7/merge"}),
            json!({"ref": "refs/heads/main/../x"}),
        ])
        .await?;
    for subject in ["system:serviceaccount:prod:default", "system:serviceaccount:dev:runner", "runner"] {
        let other = believing.cluster.token(&believing.house.issuer, &json!({"sub": subject}))?;
        tok400(&present(&believing.house, &other).await?, "invalid_grant").map_err(while_trying(subject))?;
    }
    believing.house.close().await
}

/// AS-216.
#[tokio::test]
async fn ja_13_no_refresh_token_is_issued_to_a_workload() -> Verdict {
    let believing = Believing::new().await?;
    let token = believing.github.token(&believing.house.issuer, &json!({}))?;
    assert!(present(&believing.house, &token).await?.json().get("refresh_token").is_none());
    believing.house.close().await
}

/// AS-212.
#[tokio::test]
async fn ja_14_a_token_of_our_own_is_no_jwt_of_a_workload() -> Verdict {
    let believing = Believing::new().await?;
    let token = believing.github.token(&believing.house.issuer, &json!({}))?;
    let access = present(&believing.house, &token).await?.json()["access_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(!access.is_empty());
    believing.house.remember_secret(&access);
    tok400(&present(&believing.house, &access).await?, "invalid_grant")?;
    believing.house.close().await
}

/// AS-213.
#[tokio::test]
async fn ja_16_what_is_no_jwt_is_no_workload() -> Verdict {
    let believing = Believing::new().await?;
    let good = believing.github.token(&believing.house.issuer, &json!({}))?;
    let parts: Vec<&str> = good.split('.').collect();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let deep = format!("{{\"iss\":{}{}}}", "[".repeat(4_000), "]".repeat(4_000));
    let twice = format!(r#"{{"iss":"{}","iss":"b"}}"#, believing.github.issuer);
    for assertion in [
        "x".repeat(20_000),
        "x".repeat(50_000),
        ".".repeat(1_000),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{good}.x.y"),
        format!("{}.{}.{}", part("[]"), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], part("[]"), parts[2]),
        format!("{}.{}.{}", parts[0], part(&deep), parts[2]),
        format!("{}.{}.{}", parts[0], part(&twice), parts[2]),
        format!("{good}="),
        format!("{good}\n"),
    ] {
        let answer = present(&believing.house, &assertion).await?;
        tok400(&answer, "invalid_grant").map_err(while_trying(&assertion[..assertion.len().min(80)]))?;
        assert!(!answer.text().contains("acme"), "nothing is echoed");
    }
    assert_eq!(present(&believing.house, &good).await?.status, 200);
    believing.house.close().await
}

/// Whether an issuer is believed, is told to nobody: neither in the metadata nor by another answer.
#[tokio::test]
async fn ja_17_nobody_is_told_which_platforms_are_believed() -> Verdict {
    let believing = Believing::new().await?;
    let document = format!("{}/.well-known/oauth-authorization-server", believing.house.issuer);
    let document = believing.house.http.get(&document, &[]).await?.text();
    assert!(document.contains(JWT_BEARER) && !document.contains(&believing.github.issuer));
    let words = |answer: &Answer| answer.text().split(" Reference ").next().map(str::to_owned);
    let stranger = WorkloadPlatform::start(Platform::GitHubActions, &believing.house.clock).await?;
    let unknown = present(&believing.house, &stranger.token(&believing.house.issuer, &json!({}))?).await?;
    let of_another = json!({"repository": "evil/app"});
    let known =
        present(&believing.house, &believing.github.token(&believing.house.issuer, &of_another)?).await?;
    assert_eq!((unknown.status, words(&unknown)), (known.status, words(&known)));
    // Also while the keys of one cannot be had.
    believing.cluster.break_down();
    let down =
        present(&believing.house, &believing.cluster.token(&believing.house.issuer, &json!({}))?).await?;
    assert_eq!((unknown.status, words(&unknown)), (down.status, words(&down)));
    believing.house.close().await
}
