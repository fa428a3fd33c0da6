//! Programs that a platform speaks for, from outside: no client, no secret, and a tool is called.

use std::time::Duration;

use authorization_server::{Platform, Stopping, Target, WorkloadRule};
use serde_json::json;
use store::{AuditKind, Users as _};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, rs401, tok400};
use testkit::workloads::WorkloadPlatform;
use testkit::world::TestEntropy;

use super::machines::claims;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A house that believes a platform, and programs of it that act as `ci`.
struct Scene {
    house: House,
    platform: WorkloadPlatform,
}

impl Scene {
    async fn new(platform: Platform, rule: &[&str]) -> Result<Self, String> {
        let mut plan = Plan::default();
        let platform = WorkloadPlatform::start(platform, &plan.clock).await?;
        let rule: Vec<String> = rule.iter().map(|&claim| claim.to_owned()).collect();
        let rule =
            WorkloadRule::new(&platform.issuer, platform.platform, &rule).map_err(|flaw| flaw.to_string())?;
        plan.workload_issuers = vec![platform.trusted()?];
        plan.workloads = vec![("ci", rule)];
        Ok(Self { house: House::with(plan).await?, platform })
    }

    async fn ask(&self, assertion: &str) -> Result<Answer, String> {
        let fields = [
            ("grant_type", JWT_BEARER),
            ("assertion", assertion),
            ("resource", &self.house.resource("notes")),
            ("scope", "read"),
        ];
        self.house.http.post_form(&format!("{}/oauth/token", self.house.issuer), &[], &fields).await
    }

    async fn token(&self, assertion: &str) -> Result<String, String> {
        let answer = self.ask(assertion).await?;
        let json = answer.json();
        let token =
            json["access_token"].as_str().ok_or_else(|| format!("{} {}", answer.status, answer.text()))?;
        assert!(json.get("refresh_token").is_none());
        self.house.remember_secret(token);
        Ok(token.to_owned())
    }
}

#[tokio::test]
async fn a_program_of_each_platform_calls_a_tool_without_a_secret_and_the_audit_says_which_it_was() -> Verdict
{
    for (platform, rule, subject, comes_again) in [
        (
            Platform::GitHubActions,
            &["repository=acme/app", "ref=refs/heads/main"][..],
            "repo:acme/app:ref:refs/heads/main",
            false,
        ),
        (
            Platform::Kubernetes,
            &["/kubernetes.io/namespace=prod", "/kubernetes.io/serviceaccount/name=runner"],
            "system:serviceaccount:prod:runner",
            true,
        ),
        (
            Platform::Spiffe,
            &["sub=spiffe://acme.org/ns/prod/**"],
            "spiffe://acme.org/ns/prod/sa/runner",
            true,
        ),
    ] {
        let scene = Scene::new(platform, rule).await?;
        let assertion = scene.platform.token(&scene.house.issuer, &json!({}))?;
        let token = scene.token(&assertion).await?;
        let said = claims(&token)?;
        assert_eq!(
            (&said["service_account"], &said["client_id"]),
            (&json!("ci"), &json!("service-account:ci"))
        );
        assert_eq!(scene.house.echo("notes", &token).await?.status, 200);
        let issued = scene.house.audit(AuditKind::TokenIssued).await?;
        assert_eq!(issued.len(), 1);
        assert_eq!(
            (issued[0].detail["issuer"].as_str(), issued[0].detail["workload"].as_str()),
            (scene.platform.issuer.as_str(), subject)
        );
        // The same JWT again.
        let again = scene.ask(&assertion).await?;
        if comes_again {
            assert_eq!(again.status, 200)
        } else {
            tok400(&again, "invalid_grant")?
        }
        // However many ask: the keys are fetched once.
        scene.token(&scene.platform.token(&scene.house.issuer, &json!({}))?).await?;
        assert_eq!(scene.platform.asked_for_keys(), 1);
        scene.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_service_account_that_is_stopped_ends_its_programs_too() -> Verdict {
    let scene = Scene::new(Platform::Kubernetes, &["sub=system:serviceaccount:prod:runner"]).await?;
    let assertion = scene.platform.token(&scene.house.issuer, &json!({}))?;
    let token = scene.token(&assertion).await?;
    assert_eq!(scene.house.echo("notes", &token).await?.status, 200);
    let user = scene.house.audit(AuditKind::TokenIssued).await?[0].user.ok_or("nobody")?;
    let account =
        scene.house.store.find_user(user).await.map_err(|error| error.to_string())?.ok_or("nobody")?;
    let entropy = TestEntropy::seeded(5);
    let stopping = Stopping {
        clock: scene.house.clock.as_ref(),
        entropy: &entropy,
        issuer: &scene.house.issuer,
        store: scene.house.store.as_ref(),
    };
    let ended = stopping.stop(&Target::User(Box::new(account)), true, None).await;
    ended.map_err(|error| error.to_string())?;
    scene.house.advance(Duration::ZERO).await?;
    rs401(&scene.house.echo("notes", &token).await?)?;
    tok400(&scene.ask(&assertion).await?, "unauthorized_client")?;
    scene.house.close().await
}

#[tokio::test]
async fn while_a_platform_is_down_its_keys_serve_on_and_without_any_nobody_learns_that_it_is_believed()
-> Verdict {
    let scene = Scene::new(Platform::GitHubActions, &["repository=acme/app"]).await?;
    let jwt = || scene.platform.token(&scene.house.issuer, &json!({}));
    scene.token(&jwt()?).await?;
    scene.platform.break_down();
    scene.house.advance(Duration::from_secs(2 * 60 * 60)).await?;
    scene.token(&jwt()?).await?;
    scene.house.close().await?;

    let scene = Scene::new(Platform::GitHubActions, &["repository=acme/app"]).await?;
    scene.platform.break_down();
    let answer = scene.ask(&scene.platform.token(&scene.house.issuer, &json!({}))?).await?;
    tok400(&answer, "invalid_grant")?;
    scene.house.close().await
}
