//! Every kind of signed token at every door that takes one (RFC 8725, sections 2.8 and 3.11): each passes at its own and at no
//! other, though all of them are honest, of this minute, and signed by whom somebody here believes. The keys of the client, of the
//! identity provider and of the platform are one and the same, so that nothing but the rules keeps them apart.

use std::sync::Arc;

use authorization_server::{IssuerKeys, NewPeople, Platform, TrustedIssuer, WorkloadIssuer, WorkloadRule};
use protocol::jose::{SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401};

use crate::steps::{Flow, while_trying};

const OKTA: &str = "https://acme.okta.example";
const CLUSTER: &str = "https://cluster.example";
const KEYED: &str = "known-keyed";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Where a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// As the grant of a client that authenticates.
    Grant,
    /// As the grant of nobody.
    GrantOfNobody,
    /// As the proof of a client.
    Proof,
    /// As the token of a person, to be exchanged.
    Subject,
    /// At an MCP server.
    Bearer,
}

const DOORS: [Door; 5] = [Door::Grant, Door::GrantOfNobody, Door::Proof, Door::Subject, Door::Bearer];

struct Scene {
    flow: Flow,
    key: SigningKey,
    number: u32,
}

impl Scene {
    async fn new() -> Result<Self, String> {
        let pkcs8 = SigningKey::generate_pkcs8().map_err(text)?;
        let key = SigningKey::from_pkcs8(KeyId::from_bytes([3; 4]), &pkcs8).map_err(text)?;
        let keys = || IssuerKeys::Held(Arc::new(VerifyingKeys::of(std::iter::once(&key))));
        let mut plan = Plan::default();
        plan.clients.push((KEYED, vec!["https://client.example/cb".to_owned()], None));
        plan.client_keys.push((KEYED, json!({"keys": [key.public_jwk()]}), false));
        plan.trusted_issuers = vec![TrustedIssuer {
            clients: Vec::new(),
            connector: "development".to_owned(),
            issuer: OKTA.to_owned(),
            keys: keys(),
            link_by_email: false,
            new_people: NewPeople::Refuse,
            tenant: None,
        }];
        plan.workload_issuers = vec![WorkloadIssuer {
            issuer: CLUSTER.to_owned(),
            keys: keys(),
            longest_life: Duration::from_secs(3600),
            platform: Platform::Kubernetes,
            reuse: false,
        }];
        let rule = ["sub=system:serviceaccount:prod:runner".to_owned()];
        let rule = WorkloadRule::new(CLUSTER, Platform::Kubernetes, &rule).map_err(text)?;
        plan.workloads = vec![("ci", rule)];
        Ok(Self { flow: Flow::with(plan).await?, key, number: 0 })
    }

    fn house(&self) -> &House {
        &self.flow.house
    }

    /// Signed by the one key, of this minute, with an id of its own.
    fn signed(&mut self, typ: &'static str, mut claims: Value) -> Result<String, String> {
        self.number += 1;
        let now = self.house().time.now().secs();
        (claims["iat"], claims["exp"], claims["jti"]) =
            (json!(now), json!(now + 60), json!(format!("{}", self.number)));
        self.key.sign(typ, &claims).map_err(text)
    }

    fn id_jag(&mut self) -> Result<String, String> {
        let (aud, resource) = (self.house().issuer.clone(), self.house().resource("notes"));
        let claims = json!({"iss": OKTA, "sub": "alice", "aud": aud, "client_id": "known-confidential", "resource": resource});
        self.signed("oauth-id-jag+jwt", claims)
    }

    fn workload(&mut self) -> Result<String, String> {
        let aud = self.house().issuer.clone();
        self.signed("JWT", json!({"iss": CLUSTER, "sub": "system:serviceaccount:prod:runner", "aud": aud}))
    }

    fn proof(&mut self, typ: &'static str) -> Result<String, String> {
        let aud = self.house().issuer.clone();
        self.signed(typ, json!({"iss": KEYED, "sub": KEYED, "aud": aud}))
    }

    /// As an identity provider makes them at a sign-in of this client, whose audience is an issuer by accident.
    fn id_token(&mut self) -> Result<String, String> {
        let aud = self.house().issuer.clone();
        self.signed(
            "JWT",
            json!({"iss": OKTA, "sub": "alice", "aud": aud, "client_id": "known-confidential"}),
        )
    }

    async fn passes(&self, door: Door, token: &str) -> Result<bool, String> {
        let (house, notes) = (self.house(), self.house().resource("notes"));
        let endpoint = format!("{}/oauth/token", house.issuer);
        let grant = [("grant_type", JWT_BEARER), ("assertion", token), ("resource", notes.as_str())];
        let status = match door {
            Door::Grant => house.known_client("known-confidential")?.token(&grant).await?.status,
            Door::GrantOfNobody => house.http.post_form(&endpoint, &[], &grant).await?.status,
            Door::Proof => {
                // Whoever is believed is told that this refresh token is none, and not that it is no client.
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", "x"),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", token),
                ];
                let answer = house.http.post_form(&endpoint, &[], &fields).await?;
                return Ok(answer.json()["error"] == "invalid_grant");
            }
            Door::Subject => {
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                    ("subject_token", token),
                    ("subject_token_type", ACCESS_TOKEN),
                    ("resource", notes.as_str()),
                ];
                crate::flows::machine(house, "agent-client", "secret-of-the-agent")
                    .token(&fields)
                    .await?
                    .status
            }
            Door::Bearer => {
                let answer = house.echo("notes", token).await?;
                if answer.status != 200 {
                    rs401(&answer)?;
                }
                answer.status
            }
        };
        Ok(status == 200)
    }
}

/// AS-212.
#[tokio::test]
async fn tk_31_every_kind_of_signed_token_passes_at_its_own_door_and_at_no_other() -> Verdict {
    let mut scene = Scene::new().await?;
    let access = scene.flow.tokens().await?.access;
    scene.flow.calls(&access).await?;
    let told = scene.house().mcp.received().last().map(|call| call.header("sekisho-identity").to_owned());
    let told = told.ok_or("the MCP server was told nothing")?;
    for door in DOORS {
        for (what, own, token) in [
            ("an access token", &[Door::Subject, Door::Bearer][..], access.clone()),
            ("an identity assertion", &[], told.clone()),
            ("an ID-JAG", &[Door::Grant], scene.id_jag()?),
            ("the JWT of a workload", &[Door::GrantOfNobody], scene.workload()?),
            ("a client assertion", &[Door::Proof], scene.proof("client-authentication+jwt")?),
            ("an untyped client assertion", &[Door::Proof], scene.proof("JWT")?),
            ("a client assertion that says it is an access token", &[], scene.proof("at+jwt")?),
            ("an ID token", &[], scene.id_token()?),
        ] {
            let passes = scene.passes(door, &token).await.map_err(while_trying(what))?;
            assert_eq!(passes, own.contains(&door), "{what} at {door:?}");
        }
    }
    scene.flow.close().await
}
