//! `[[workload_issuer]]` and `[[service_account.workload]]`: platforms whose word about programs is taken in place of a secret
//! (workload identity federation).

use std::time::Duration;

use authorization_server::{Platform, WorkloadRule};

use super::parse;
use super::reader::Section;
use super::service_accounts::ServiceAccountConfig;
use super::settings::settings;
use super::trusted_issuers::{TrustedIssuer, is_protected};

settings! {
    /// A platform that signs JWTs for the programs that run on it: GitHub Actions, a Kubernetes cluster, a SPIFFE trust domain.
    /// With such a JWT a program gets an access token of a service account, without a client and without a secret. It speaks
    /// of no person, and by itself lets nobody in: which programs act as which service account stands at
    /// `[[service_account]]`. docs/workloads.md has the steps for each platform.
    WorkloadIssuer = "[[workload_issuer]]" {
        /// Its issuer identifier, byte for byte as it stands in `iss`.
        issuer: String = required, "an https URL", parse::text;
        /// What kind of platform it is. By it is judged which claims of a rule tell one tenant from another; with "other" a
        /// rule must name the whole `sub`.
        platform: Platform = required, "\"github-actions\", \"kubernetes\", \"spiffe\" or \"other\"", platform;
        /// Where its keys are. Without it, and without `jwks_file`, the issuer's own discovery document says so.
        jwks_uri: Option<String> = optional, "an https URL", parse::text;
        /// Its keys as a JWK set in a file. Read again at a reload.
        jwks_file: Option<String> = optional, "a path", parse::text;
        /// Whether the same JWT may come again until it ends. If it is left out: yes with "kubernetes" and "spiffe", which
        /// hand out one JWT for a while; no with "github-actions" and "other", where each must have a `jti` and is taken once.
        reuse: Option<bool> = optional, "true or false", parse::boolean;
        /// How long a JWT may be good for at most, from when it is presented.
        longest_life: Duration = "'1h'", "1m to 1d", parse::duration::<60, 86_400>;
    }
}

settings! {
    /// A rule: programs that act as the service account. All claims must match. A program for which two service accounts have
    /// rules gets nothing.
    Workload = "[[service_account.workload]]" {
        /// The `issuer` of one of `[[workload_issuer]]`.
        issuer: String = required, "the issuer of a [[workload_issuer]]", parse::text;
        /// Claims of its JWT as `NAME=VALUE`. `*` in a value is a part of it without `/` and `:`; `**` at its end is all the
        /// rest. A claim further in has a name that begins with `/`, as in `/kubernetes.io/namespace=prod` (RFC 6901). A rule
        /// that would let everybody of the platform in is refused.
        claims: Vec<String> = required, "a list such as [\"repository=acme/app\", \"ref=refs/heads/main\"]", parse::texts;
    }
}

fn platform(value: &toml::de::DeValue<'_>) -> Result<Platform, String> {
    let text = parse::text(value)?;
    Platform::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| "is no platform".to_owned())
}

impl WorkloadIssuer {
    /// Reads every `[[workload_issuer]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let read = |mut section: Section<'_>| {
            let issuer = Self::read(&mut section);
            if let Some(issuer) = &issuer {
                issuer.judge(&section);
            }
            section.finish();
            issuer
        };
        root.tables("workload_issuer").into_iter().map(read).collect()
    }

    fn judge(&self, section: &Section<'_>) {
        let protected = "https, or http on this machine";
        if !is_protected(&self.issuer) {
            section.mistake("issuer", "is no https URL", protected);
        }
        if self.jwks_uri.as_deref().is_some_and(|uri| !is_protected(uri)) {
            section.mistake("jwks_uri", "is no https URL", protected);
        }
        if self.jwks_uri.is_some() && self.jwks_file.is_some() {
            section.mistake(
                "jwks_file",
                "is not the only place of its keys",
                "one of jwks_uri and jwks_file",
            );
        }
        if Platform::known_by_issuer(&self.issuer).is_some_and(|known| known != self.platform) {
            section.mistake(
                "platform",
                "is another one than this issuer is known to be, at which everybody in the world has workloads",
                "\"github-actions\"",
            );
        }
    }
}

impl Workload {
    /// The rule as it is judged.
    pub fn rule(
        &self,
        issuers: &[WorkloadIssuer],
    ) -> Option<Result<WorkloadRule, authorization_server::RuleFlaw>> {
        let issuer = issuers.iter().find(|known| known.issuer == self.issuer)?;
        Some(WorkloadRule::new(&issuer.issuer, issuer.platform, &self.claims))
    }
}

/// Who speaks of programs speaks of nobody else, and every rule names somebody.
pub(super) fn judge(
    root: &Section<'_>,
    issuers: &[WorkloadIssuer],
    accounts: &[ServiceAccountConfig],
    (people, ours): (&[TrustedIssuer], &[String]),
) {
    super::unique(root, "workload_issuer", issuers.iter().map(|known| known.issuer.as_str()));
    if issuers.iter().any(|known| people.iter().any(|trusted| trusted.issuer == known.issuer)) {
        root.mistake(
            "workload_issuer",
            "is a [[trusted_issuer]] too: who speaks of people must not speak of programs",
            "an issuer of its own",
        );
    }
    if issuers.iter().any(|known| ours.contains(&known.issuer)) {
        root.mistake("workload_issuer", "is this very Sekisho", "the issuer of a platform");
    }
    for account in accounts {
        for (number, workload) in account.workloads.iter().enumerate() {
            let which = format!("`{}`, rule {}:", account.settings.name, number + 1);
            match workload.rule(issuers) {
                Some(Ok(_)) => {}
                Some(Err(flaw)) => {
                    root.mistake(
                        "service_account",
                        format!("{which} {flaw}"),
                        "claims that name whose workloads are meant",
                    );
                }
                None => root.mistake(
                    "service_account",
                    format!("{which} names an issuer that is not in this file"),
                    "the issuer of one of [[workload_issuer]]",
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;

    const HEAD: &str = r#"
public_url = "https://mcp.example.com"
listen = ["127.0.0.1:8080"]
master_key_env = "KEY"
[store]
sqlite = "sekisho.db"
[[identity_provider]]
id = "okta"
kind = "oidc"
issuer = "https://example.okta.com"
client_id = "a"
[[mcp_server]]
name = "wiki"
url = "http://wiki.internal/mcp"
access = ["service-account:ci"]
[[service_account]]
name = "ci"
"#;

    const ISSUER: &str = "https://token.actions.githubusercontent.com";

    fn mistakes(more: &str) -> String {
        match Config::parse(&format!("{HEAD}{more}"), Path::new("sekisho.toml")) {
            Ok(_) => String::new(),
            Err(mistakes) => mistakes.to_string(),
        }
    }

    fn with(issuer: &str, platform: &str, claims: &str, more: &str) -> String {
        mistakes(&format!(
            "[[service_account.workload]]\nissuer = \"{issuer}\"\nclaims = [{claims}]\n\
             [[workload_issuer]]\nissuer = \"{issuer}\"\nplatform = \"{platform}\"\n{more}"
        ))
    }

    #[test]
    fn a_rule_names_somebody_at_an_issuer_that_is_there() {
        assert_eq!(with(ISSUER, "github-actions", "\"repository=acme/app\"", ""), "");
        for (platform, claims, said) in [
            ("github-actions", "\"ref=refs/heads/main\"", "would let everybody of this issuer in"),
            ("github-actions", "", "would let everybody of this issuer in"),
            ("github-actions", "\"sub=repo:*\"", "would let everybody of this issuer in"),
            ("github-actions", "\"repository\"", "NAME=PATTERN"),
            (
                "other",
                "\"sub=repo:acme/app:ref:refs/heads/main\"",
                "another one than this issuer is known to be",
            ),
            ("gitlab", "\"sub=x\"", "is no platform"),
        ] {
            let told = with(ISSUER, platform, claims, "");
            assert!(told.contains(said), "{platform} {claims}: {told}");
        }
        let gone = "[[service_account.workload]]\nissuer = \"https://gone.example\"\nclaims = [\"sub=x\"]\n";
        assert!(mistakes(gone).contains("names an issuer that is not in this file"));
    }

    #[test]
    fn an_issuer_of_people_is_none_of_workloads_and_has_one_place_of_keys() {
        let cluster = |more: &str| {
            with("https://cluster.example", "kubernetes", "\"sub=system:serviceaccount:a:b\"", more)
        };
        assert_eq!(cluster("jwks_file = \"keys.json\"\nreuse = false\nlongest_life = \"10m\"\n"), "");
        for (more, said) in [
            ("jwks_file = \"a\"\njwks_uri = \"https://a.example\"\n", "is not the only place of its keys"),
            ("jwks_uri = \"http://a.example\"\n", "is no https URL"),
            ("longest_life = \"2d\"\n", "is out of range"),
            (
                "[[trusted_issuer]]\nissuer = \"https://cluster.example\"\nidentity_provider = \"okta\"\n",
                "who speaks of people must not speak of programs",
            ),
            (
                "[[workload_issuer]]\nissuer = \"https://cluster.example\"\nplatform = \"other\"\n",
                "is there twice",
            ),
            (
                "[[workload_issuer]]\nissuer = \"https://mcp.example.com\"\nplatform = \"other\"\n",
                "is this very Sekisho",
            ),
            (
                "[[client]]\nclient_id = \"service-account:ci\"\nredirect_uris = [\"http://127.0.0.1/cb\"]\n",
                "is kept for",
            ),
        ] {
            let told = cluster(more);
            assert!(told.contains(said), "{more}: {told}");
        }
    }
}
