//! The steps that need no browser: machines, agents and the organisation's word; and those by which people and machines are
//! stopped, let in again, and logged out.

use authorization_server::{
    Blocked, ClientAdministration, IssuerKeys, NewPeople, OnLogout, Stopping, Target, TrustedIssuer,
};
use protocol::oauth::ClientId;
use protocol::world::Clock as _;
use serde_json::json;
use store::Queries as _;
use testkit::client::TestClient;
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::{Verdict, tok400, tok401};
use testkit::world::TestEntropy;

use super::reference::{Asked, Told, Who};
use super::{Pair, pick};

/// Who may be stopped, as the operator names them.
const NAMES: [(Who, &str); 3] = [
    (Who::Alice, "alice@example.com"),
    (Who::Ci, "service-account:ci"),
    (Who::Agent, "service-account:agent"),
];
/// The clients that need no browser: of `ci`, of `agent`, and of the person whom the identity provider vouches for.
const CLIENTS: [(Who, &str, &str); 3] = [
    (Who::Ci, "runner", "secret-of-the-runner"),
    (Who::Agent, "agent-client", "secret-of-the-agent"),
    (Who::Alice, "known-confidential", "secret-of-the-known-client"),
];
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An identity provider whose people are the development identity provider's, that may speak of them.
pub(super) async fn provider(plan: &mut Plan) -> Result<OpenIdProvider, String> {
    let provider = OpenIdProvider::start(&plan.clock).await?;
    let keys: IssuerKeys = provider.keys()?;
    plan.backchannel_logouts = vec![provider.backchannel_logout("development", OnLogout::Access)?];
    plan.trusted_issuers = vec![TrustedIssuer {
        clients: Vec::new(),
        connector: "development".to_owned(),
        issuer: provider.issuer.clone(),
        keys,
        link_by_email: false,
        new_people: NewPeople::Refuse,
        tenant: None,
    }];
    Ok(provider)
}

fn machine(house: &House, who: Who) -> Result<TestClient, String> {
    let (_, id, secret) = CLIENTS.iter().find(|(of, ..)| *of == who).ok_or("no client")?;
    Ok(TestClient {
        http: house.http.clone(),
        issuer: house.issuer.clone(),
        client_id: (*id).to_owned(),
        secret: Some((*secret).to_owned()),
        redirect_uri: String::new(),
    })
}

impl Pair {
    /// What a token request of a client without a browser brought, beside what it must bring.
    fn issued(&mut self, answer: &Answer, must: Told) -> Verdict {
        match must {
            Told::InvalidClient => return tok401(answer, false),
            Told::Refused(error) => return tok400(answer, error),
            Told::Token => {}
        }
        let json = answer.json();
        let token = json["access_token"].as_str().map(str::to_owned);
        if json.get("refresh_token").is_some() {
            return Err("a refresh token came with it".to_owned());
        }
        self.access.push(token.ok_or_else(|| format!("a token must come: {}", answer.text()))?);
        Ok(())
    }

    pub(super) async fn machine(&mut self) -> Verdict {
        let house = self.house()?;
        let resource = house.resource("notes");
        let form = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
        let answer = machine(house, Who::Ci)?.token(&form).await?;
        let must = self.model.stand(Who::Ci, &Asked::ForItself);
        self.issued(&answer, must)
    }

    /// A new ID-JAG of the identity provider, or one that bought a token before.
    pub(super) async fn id_jag(&mut self, again: bool) -> Verdict {
        let house = self.house()?;
        let used = self.used.last().filter(|_| again).cloned();
        let is_new = used.is_none();
        let now = house.clock.now().secs();
        let assertion = used.unwrap_or_else(|| {
            let claims = json!({
                "iss": self.provider.issuer, "sub": "alice", "aud": house.issuer, "client_id": "known-confidential",
                "jti": format!("model {}", self.minted), "iat": now, "exp": now + 300,
                "resource": house.resource("notes"), "scope": "read write",
            });
            self.provider.sign("oauth-id-jag+jwt", &claims)
        });
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form = [("grant_type", grant_type), ("assertion", assertion.as_str())];
        let answer = machine(house, Who::Alice)?.token(&form).await?;
        self.minted += 1;
        let must = self.model.stand(Who::Alice, &Asked::ByAssertion { is_new });
        if must == Told::Token {
            self.used.push(assertion);
        }
        self.issued(&answer, must)
    }

    pub(super) async fn exchange(&mut self, number: usize) -> Verdict {
        let Some(number) = pick(number, self.access.len()) else { return Ok(()) };
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", self.access[number].as_str()),
            ("subject_token_type", ACCESS_TOKEN),
        ];
        let answer = machine(self.house()?, Who::Agent)?.token(&form).await?;
        let must = self.model.stand(Who::Agent, &Asked::For { access: number });
        self.issued(&answer, must)
    }

    /// What an operator does about somebody at the command line.
    pub(super) async fn stop(&mut self, number: usize, block: bool) -> Verdict {
        let (who, name) = NAMES[number % NAMES.len()];
        self.takes_codes_back().await?;
        let house = self.house()?;
        let found = house.store.find_people(name).await.map_err(|error| error.to_string())?;
        // Who was never here is nobody to stop.
        let Some(user) = found.into_iter().next() else { return Ok(()) };
        let entropy = self.entropy().await?;
        let stopping = self.stopping(&entropy)?;
        let target = Target::User(Box::new(user));
        stopping.stop(&target, block, None).await.map_err(|error| error.to_string())?;
        self.model.stop(who, block);
        self.hear().await
    }

    pub(super) async fn allow(&mut self, number: usize) -> Verdict {
        let (who, name) = NAMES[number % NAMES.len()];
        let found = self.house()?.store.find_people(name).await.map_err(|error| error.to_string())?;
        let Some(user) = found.into_iter().next() else { return Ok(()) };
        let entropy = self.entropy().await?;
        self.stopping(&entropy)?.allow_user(user, None).await.map_err(|error| error.to_string())?;
        self.model.allow(who);
        self.hear().await
    }

    /// An administrator blocks a client that needs no browser, or takes that back.
    pub(super) async fn bar(&mut self, number: usize, bar: bool) -> Verdict {
        let (who, id, _) = CLIENTS[number % CLIENTS.len()];
        self.takes_codes_back().await?;
        let entropy = self.entropy().await?;
        let desk = ClientAdministration(self.stopping(&entropy)?);
        let client = Blocked::Client(ClientId::parse(id).map_err(|error| error.to_string())?);
        let done = match bar {
            true => desk.block(&client, None).await.map(drop),
            false => desk.unblock(&client, None).await.map(drop),
        };
        done.map_err(|error| error.to_string())?;
        self.model.bar(who, bar);
        self.hear().await
    }

    /// The person logs out at the identity provider, which says so.
    pub(super) async fn log_out(&mut self) -> Verdict {
        self.takes_codes_back().await?;
        let changes = json!({"sub": "alice", "jti": format!("logout {}", self.minted)});
        self.minted += 1;
        let token = self.provider.logout_token(&changes);
        let house = self.house()?;
        let url = format!("{}/oauth/backchannel_logout/development", house.issuer);
        let answer = house.http.post_form(&url, &[], &[("logout_token", token.as_str())]).await?;
        if answer.status != 200 {
            return Err(format!("a logout: {} {}", answer.status, answer.text()));
        }
        self.model.stop(Who::Alice, false);
        self.hear().await
    }

    /// It takes codes back whose events stay: the invariants, which count them, are not asked again.
    pub(super) async fn takes_codes_back(&mut self) -> Verdict {
        self.invariants().await?;
        self.swept = true;
        Ok(())
    }

    /// Chance of the operator's own, never the same twice.
    pub(super) async fn entropy(&self) -> Result<TestEntropy, String> {
        Ok(TestEntropy::seeded(0xAD << 32 | self.house()?.counts().await?.audit_events))
    }

    pub(super) fn stopping<'a>(&'a self, entropy: &'a TestEntropy) -> Result<Stopping<'a>, String> {
        let house = self.house()?;
        let store = house.store.as_ref();
        Ok(Stopping { clock: house.clock.as_ref(), entropy, issuer: &house.issuer, store })
    }
}
