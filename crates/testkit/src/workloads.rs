//! Platforms that speak for programs, under test control: each publishes its keys on a loopback port and makes JWTs with the
//! claims that its public documentation shows.
//!
//! - GitHub Actions: <https://docs.github.com/en/actions/reference/security/oidc> ("OIDC token claims"; RS256, `typ: JWT`, keys
//!   at `/.well-known/jwks`, a new `jti` each time, five minutes).
//! - Kubernetes: <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/> ("Bound service account
//!   tokens"; RS256, no `typ`, `aud` a list, keys at `/openid/v1/jwks`, an hour; the kubelet hands out the same one for a while).
//! - SPIFFE: <https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md>, and SPIRE's OIDC Discovery Provider
//!   <https://github.com/spiffe/spire/tree/main/support/oidc-discovery-provider> (keys at `/keys`; `iss` if `jwt_issuer` is set,
//!   no `jti`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use authorization_server::Platform;
use authorization_server::{IssuerKeys, WorkloadIssuer};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::world::Clock;
use serde_json::{Value, json};
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};
use upstream::trust::Trust;

use crate::openid_provider::{Instead, OpenIdProvider};
use crate::world::TestClock;

const KEY_ID: &str = "key-of-the-platform";

/// One platform; it ends when it is dropped.
#[derive(Debug)]
pub struct WorkloadPlatform {
    /// Its issuer.
    pub issuer: String,
    /// Which kind.
    pub platform: Platform,
    clock: Arc<TestClock>,
    given: AtomicU32,
    key: Mutex<KeyPair>,
    server: OpenIdProvider,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl WorkloadPlatform {
    /// Starts on a loopback port that the system chose. `clock` is that of the house.
    pub async fn start(platform: Platform, clock: &Arc<TestClock>) -> Result<Self, String> {
        let server = OpenIdProvider::start(clock).await?;
        let started = Self {
            issuer: server.issuer.clone(),
            platform,
            clock: Arc::clone(clock),
            given: AtomicU32::new(0),
            key: Mutex::new(KeyPair::generate(KeySize::Rsa2048).map_err(text)?),
            server,
        };
        started.publish();
        Ok(started)
    }

    fn publish(&self) {
        let (path, jwks) = (self.keys_path(), json!({ "keys": [self.public_jwk()] }));
        let description = json!({
            "issuer": self.issuer, "jwks_uri": format!("{}{path}", self.issuer),
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        });
        self.server.change(|held| {
            held.pages.insert("/.well-known/openid-configuration".to_owned(), description);
            held.pages.insert(path.to_owned(), jwks);
        });
    }

    const fn keys_path(&self) -> &'static str {
        match self.platform {
            Platform::GitHubActions => "/.well-known/jwks",
            Platform::Kubernetes => "/openid/v1/jwks",
            Platform::Other | Platform::Spiffe => "/keys",
        }
    }

    /// Exchanges the key for another one of the same name; the old one is gone.
    pub fn rotate(&self) -> Result<(), String> {
        *self.key() = KeyPair::generate(KeySize::Rsa2048).map_err(text)?;
        self.publish();
        Ok(())
    }

    /// Answers nothing any more.
    pub fn break_down(&self) {
        let instead = Instead { status: 503, headers: Vec::new(), body: bytes::Bytes::new() };
        self.server.change(|held| held.instead = Some(instead));
    }

    /// How often its keys were asked for.
    pub fn asked_for_keys(&self) -> usize {
        self.server.asked(self.keys_path())
    }

    /// It as a house believes it, with what its kind of platform implies.
    pub fn trusted(&self) -> Result<WorkloadIssuer, String> {
        let egress = Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let sets = Arc::new(KeySets::new(egress, clock, Duration::from_secs(5)));
        Ok(WorkloadIssuer {
            issuer: self.issuer.clone(),
            keys: IssuerKeys::Fetched(sets, KeySource::Discovery { issuer: self.issuer.clone() }),
            longest_life: Duration::from_secs(60 * 60),
            platform: self.platform,
            reuse: self.platform.repeats_itself(),
        })
    }

    /// The claims of a program there, for this audience, changed; `null` takes one out.
    pub fn claims(&self, audience: &str, changes: &Value) -> Value {
        let now = self.clock.now().secs();
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut claims = match self.platform {
            Platform::GitHubActions => json!({
                "jti": format!("6f4762ed-0758-4ccb-808d-{number:012}"), "aud": audience, "iat": now, "nbf": now - 600,
                "exp": now + 300, "sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app",
                "repository_owner": "acme", "repository_id": "456789", "repository_owner_id": "123456",
                "ref": "refs/heads/main", "ref_type": "branch", "event_name": "push", "actor": "octocat",
                "workflow": "release", "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
                "runner_environment": "github-hosted", "run_id": "1", "run_attempt": "1",
            }),
            Platform::Kubernetes => json!({
                "aud": [audience], "exp": now + 3600, "iat": now, "nbf": now,
                "jti": format!("ea28ed49-2e11-4280-9ec5-{number:012}"), "sub": "system:serviceaccount:prod:runner",
                "kubernetes.io": {
                    "namespace": "prod", "node": {"name": "node-1", "uid": "u"}, "pod": {"name": "runner-0", "uid": "v"},
                    "serviceaccount": {"name": "runner", "uid": "w"},
                },
            }),
            Platform::Other => json!({
                "aud": audience, "exp": now + 300, "iat": now, "jti": format!("{number}"), "sub": "program",
            }),
            Platform::Spiffe => json!({
                "aud": [audience], "exp": now + 300, "iat": now, "sub": "spiffe://acme.org/ns/prod/sa/runner",
            }),
        };
        claims["iss"] = self.issuer.clone().into();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        claims
    }

    /// The JWT of a program there, for this audience, with changed claims.
    pub fn token(&self, audience: &str, changes: &Value) -> Result<String, String> {
        let header = match self.platform {
            Platform::GitHubActions | Platform::Other => json!({"typ": "JWT"}),
            Platform::Kubernetes => json!({}),
            Platform::Spiffe => json!({"typ": "JOSE"}),
        };
        self.sign(&header, &self.claims(audience, changes))
    }

    /// These claims, signed by the key of the platform; `alg` and `kid` are added to the header where it has none.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, String> {
        let mut whole = json!({"alg": "RS256", "kid": KEY_ID});
        for (name, value) in header.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&whole), part(claims));
        let key = self.key();
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(text)?;
        let pair = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(der.as_ref()).map_err(text)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).map_err(text)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Its public key, as it is published.
    pub fn public_jwk(&self) -> Value {
        let key = self.key();
        let public = key.public_key();
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": encoded(public.modulus().big_endian_without_leading_zero()),
            "e": encoded(public.exponent().big_endian_without_leading_zero()),
        })
    }

    fn key(&self) -> std::sync::MutexGuard<'_, KeyPair> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
