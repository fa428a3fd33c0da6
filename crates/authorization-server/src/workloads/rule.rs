//! A rule: which workloads of a platform act as a service account.
//!
//! Every claim that it names must be there and match. It must name somebody: claims by which one tenant of the platform is
//! told from another, and which no other tenant can set.

use protocol::oauth::WorkloadClaims;
use thiserror::Error;

use super::{Pattern, Platform};

/// Claims that are judged by themselves, for everybody alike.
const NOT_FOR_RULES: &[&str] = &["aud", "cnf", "exp", "iat", "iss", "jti", "nbf"];

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadRule {
    claims: Vec<(String, Pattern)>,
    issuer: String,
}

/// Why a rule is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RuleFlaw {
    /// A claim that is no `NAME=PATTERN`.
    #[error(
        "has a claim that is not written `NAME=PATTERN`, where `*` is a part between `/` and `:` and `**` all the rest"
    )]
    Claim,
    /// It would let everybody of the platform in.
    #[error(
        "would let everybody of this issuer in: name whose workloads they are, by {}",
        wanted(*.0)
    )]
    Everybody(Platform),
    /// A claim that is judged for everybody alike.
    #[error(
        "has a claim that is judged by itself: `iss`, `aud`, `exp`, `iat`, `nbf`, `jti` and `cnf` are not for rules"
    )]
    Judged,
    /// It names a claim twice, so that it could never match or says the same twice.
    #[error("names a claim twice")]
    Twice,
}

const fn wanted(platform: Platform) -> &'static str {
    match platform {
        Platform::GitHubActions => {
            "`repository=OWNER/…`, `repository_id`, `repository_owner` or `repository_owner_id`, or a `sub` that begins with \
             `repo:OWNER/`"
        }
        Platform::Kubernetes => {
            "a `sub` that begins with `system:serviceaccount:NAMESPACE:`, or `/kubernetes.io/namespace`"
        }
        Platform::Other => "a `sub` without `*`",
        Platform::Spiffe => "a `sub` that begins with `spiffe://TRUST-DOMAIN/` and a part of the path",
    }
}

impl WorkloadRule {
    /// A rule of claims as they are written, `NAME=PATTERN`.
    ///
    /// # Errors
    /// [`RuleFlaw`].
    pub fn new(issuer: &str, platform: Platform, written: &[String]) -> Result<Self, RuleFlaw> {
        let mut claims: Vec<(String, Pattern)> = Vec::new();
        for one in written {
            let (name, pattern) = one.split_once('=').ok_or(RuleFlaw::Claim)?;
            if name.is_empty() || name.trim() != name {
                return Err(RuleFlaw::Claim);
            }
            if NOT_FOR_RULES.contains(&name) {
                return Err(RuleFlaw::Judged);
            }
            if claims.iter().any(|(known, _)| known == name) {
                return Err(RuleFlaw::Twice);
            }
            claims.push((name.to_owned(), Pattern::parse(pattern).map_err(|_| RuleFlaw::Claim)?));
        }
        if !claims.iter().any(|(name, pattern)| names_somebody(platform, name, pattern)) {
            return Err(RuleFlaw::Everybody(platform));
        }
        Ok(Self { claims, issuer: issuer.to_owned() })
    }

    /// Whether it admits this workload.
    #[must_use]
    pub fn admits(&self, claims: &WorkloadClaims) -> bool {
        claims.iss == self.issuer
            && self
                .claims
                .iter()
                .all(|(name, pattern)| claims.text(name).is_some_and(|text| pattern.matches(text)))
    }
}

/// Whether this claim tells one tenant of the platform from another, and the pattern names one.
fn names_somebody(platform: Platform, name: &str, pattern: &Pattern) -> bool {
    let begins = pattern.beginning();
    match (platform, name) {
        // A workflow that is called (`job_workflow_ref`) may be called by everybody, and `ref`, `environment`, `actor` and the
        // names of workflows are chosen by each for themselves.
        (Platform::GitHubActions, "repository") => has_owner(&begins),
        (Platform::GitHubActions, "repository_id" | "repository_owner" | "repository_owner_id") => {
            pattern.is_exact()
        }
        (Platform::GitHubActions, "sub") => github_subject(&begins, pattern.is_exact()),
        (Platform::Kubernetes, "sub") => {
            let namespace =
                begins.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
            namespace.is_some_and(|(namespace, _)| !namespace.is_empty())
        }
        (Platform::Kubernetes, "/kubernetes.io/namespace") | (Platform::Other, "sub") => pattern.is_exact(),
        (Platform::Spiffe, "sub") => {
            let path = begins.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
            path.is_some_and(|(domain, path)| !domain.is_empty() && !path.is_empty())
        }
        (Platform::GitHubActions | Platform::Kubernetes | Platform::Other | Platform::Spiffe, _) => false,
    }
}

/// `OWNER/` and whatever comes then.
fn has_owner(begins: &str) -> bool {
    begins.split_once('/').is_some_and(|(owner, _)| !owner.is_empty())
}

/// A `sub` is put together from names and values of claims, as the repository's owner customised it; values have no `:`.
/// What it begins with must be whole, or `acme*` would be `acme-evil` too.
fn github_subject(begins: &str, is_exact: bool) -> bool {
    let Some((name, value)) = begins.split_once(':') else { return false };
    let whole =
        || value.split_once(':').map_or(is_exact && !value.is_empty(), |(value, _)| !value.is_empty());
    match name {
        "repo" | "repository" => has_owner(value),
        "repository_id" | "repository_owner" | "repository_owner_id" => whole(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://platform.example";

    fn rule(platform: Platform, claims: &[&str]) -> Result<WorkloadRule, RuleFlaw> {
        let claims: Vec<String> = claims.iter().map(|&claim| claim.to_owned()).collect();
        WorkloadRule::new(ISSUER, platform, &claims)
    }

    fn claims(more: &Value) -> WorkloadClaims {
        let mut claims = json!({"iss": ISSUER, "sub": "s", "aud": "a", "iat": 1, "exp": 2});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        serde_json::from_value(claims).unwrap()
    }

    #[test]
    fn a_rule_that_would_let_everybody_of_a_platform_in_is_none() {
        use Platform::{GitHubActions, Kubernetes, Other, Spiffe};
        for (platform, written) in [
            (GitHubActions, &[][..]),
            (GitHubActions, &["sub=**"]),
            (GitHubActions, &["sub=*"]),
            (GitHubActions, &["sub=repo:**"]),
            (GitHubActions, &["sub=repo:*/**"]),
            (GitHubActions, &["sub=repo:acme*/app:**"]),
            (GitHubActions, &["sub=repo:acme**"]),
            (GitHubActions, &["sub=repo:/app"]),
            (GitHubActions, &["sub=ref:refs/heads/main"]),
            (GitHubActions, &["sub=environment:production"]),
            (GitHubActions, &["sub=repository_owner:acme*"]),
            (GitHubActions, &["sub=repository_owner:acme**"]),
            (GitHubActions, &["sub=repository_owner:"]),
            (GitHubActions, &["sub=repository_owner::x"]),
            (GitHubActions, &["sub=job_workflow_ref:acme/flows/.github/workflows/x.yml@refs/heads/main"]),
            (GitHubActions, &["repository=*"]),
            (GitHubActions, &["repository=**"]),
            (GitHubActions, &["repository=*/app"]),
            (GitHubActions, &["repository=acme*/app"]),
            (GitHubActions, &["repository=/app"]),
            (GitHubActions, &["repository_owner=acme*"]),
            (GitHubActions, &["repository_owner_id=**"]),
            (GitHubActions, &["repository_id=*"]),
            (GitHubActions, &["ref=refs/heads/main", "environment=production", "workflow=release"]),
            (GitHubActions, &["job_workflow_ref=acme/flows/.github/workflows/x.yml@refs/heads/main"]),
            (GitHubActions, &["actor=octocat"]),
            (Kubernetes, &[]),
            (Kubernetes, &["sub=**"]),
            (Kubernetes, &["sub=system:serviceaccount:**"]),
            (Kubernetes, &["sub=system:serviceaccount:*:default"]),
            (Kubernetes, &["sub=system:serviceaccount:prod*:default"]),
            (Kubernetes, &["sub=system:serviceaccount::default"]),
            (Kubernetes, &["/kubernetes.io/namespace=*"]),
            (Kubernetes, &["/kubernetes.io/serviceaccount/name=default"]),
            (Spiffe, &[]),
            (Spiffe, &["sub=**"]),
            (Spiffe, &["sub=spiffe://**"]),
            (Spiffe, &["sub=spiffe://acme.org/**"]),
            (Spiffe, &["sub=spiffe://acme.org"]),
            (Spiffe, &["sub=spiffe://acme*/ns/prod"]),
            (Spiffe, &["sub=spiffe:///ns/prod"]),
            (Spiffe, &["sub=acme.org/ns/prod"]),
            (Other, &[]),
            (Other, &["sub=project_path:*:ref:main"]),
            (Other, &["sub=acme*"]),
            (Other, &["tenant=acme"]),
        ] {
            assert_eq!(rule(platform, written).unwrap_err(), RuleFlaw::Everybody(platform), "{written:?}");
        }
    }

    #[test]
    fn a_rule_that_names_somebody_is_one() {
        use Platform::{GitHubActions, Kubernetes, Other, Spiffe};
        for (platform, written) in [
            (GitHubActions, &["repository=acme/app", "ref=refs/heads/main"][..]),
            (GitHubActions, &["repository=acme/*"]),
            (GitHubActions, &["repository_owner=acme"]),
            (GitHubActions, &["repository_owner_id=1234", "environment=*"]),
            (GitHubActions, &["repository_id=1234"]),
            (GitHubActions, &["sub=repo:acme/app:ref:refs/heads/main"]),
            (GitHubActions, &["sub=repo:acme/**"]),
            (GitHubActions, &["sub=repo:acme@123456/app@456789:environment:production"]),
            (GitHubActions, &["sub=repository_owner:acme:**"]),
            (GitHubActions, &["sub=repository_owner_id:1234"]),
            (Kubernetes, &["sub=system:serviceaccount:prod:runner"]),
            (Kubernetes, &["sub=system:serviceaccount:prod:*"]),
            (Kubernetes, &["/kubernetes.io/namespace=prod"]),
            (Spiffe, &["sub=spiffe://acme.org/ns/prod/sa/runner"]),
            (Spiffe, &["sub=spiffe://acme.org/ns/prod/**"]),
            (Other, &["sub=project_path:acme/app:ref_type:branch:ref:main", "ref_protected=true"]),
        ] {
            rule(platform, written).unwrap_or_else(|flaw| panic!("{written:?}: {flaw}"));
        }
    }

    #[test]
    fn what_is_no_claim_of_a_rule_is_refused() {
        for (written, flaw) in [
            (&["sub"][..], RuleFlaw::Claim),
            (&["=x"], RuleFlaw::Claim),
            (&["sub="], RuleFlaw::Claim),
            (&[" sub=x"], RuleFlaw::Claim),
            (&["sub=a**b"], RuleFlaw::Claim),
            (&["iss=https://a.example"], RuleFlaw::Judged),
            (&["aud=x"], RuleFlaw::Judged),
            (&["jti=x"], RuleFlaw::Judged),
            (&["sub=x", "sub=y"], RuleFlaw::Twice),
        ] {
            assert_eq!(rule(Platform::Other, written).unwrap_err(), flaw, "{written:?}");
        }
    }

    #[test]
    fn every_claim_of_a_rule_must_be_there_as_a_text_and_match() {
        let rule = rule(Platform::GitHubActions, &["repository=acme/*", "ref=refs/heads/main"]).unwrap();
        let says = |repository: Value, branch: Value| {
            rule.admits(&claims(&json!({"repository": repository, "ref": branch})))
        };
        assert!(says(json!("acme/app"), json!("refs/heads/main")));
        assert!(!says(json!("evil/app"), json!("refs/heads/main")));
        assert!(!says(json!("acme/app"), json!("refs/heads/main2")));
        assert!(!says(json!("acme/app"), json!(["refs/heads/main"])));
        assert!(!says(json!("acme/app"), json!(null)));
        assert!(!says(json!("acme/app/../../evil/app"), json!("refs/heads/main")));
        assert!(!rule.admits(&claims(&json!({"repository": "acme/app"}))));
        let elsewhere =
            json!({"iss": "https://other.example", "repository": "acme/app", "ref": "refs/heads/main"});
        assert!(!rule.admits(&claims(&elsewhere)), "a rule is of one issuer");
    }
}
