//! Enterprise-managed authorization with a fake Okta (Cross App Access), from a login there to a tool through the gateway; and
//! the client by which a gateway does the same at somebody else's authorization server.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{IssuerKeys, NewPeople, TrustedIssuer};
use policy::Access;
use protocol::oauth::Scope;
use protocol::secret::Secret;
use protocol::world::Clock;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::client::Pkce;
use testkit::house::{House, Plan};
use testkit::identity_providers::{AppConnection, Brand, CLIENT_ID, CLIENT_SECRET, IdentityProvider, Reply};
use testkit::outcomes::Verdict;
use upstream::egress::{Egress, Fetcher};
use upstream::identity_assertion::{
    ClientProof, Granted, IdentityAssertionClient, IdentityAssertionError, Peer, Step, Subject, Trouble,
    Wanted,
};
use upstream::key_sets::{KeySets, KeySource};
use upstream::trust::Trust;
use url::form_urlencoded;

use super::machines::claims;
use crate::abroad::Abroad;

const CLIENT: (&str, &str) = ("known-confidential", "secret-of-the-known-client");

/// An organisation: Okta, a house that trusts it, and the apps connected there.
struct Organisation {
    house: House,
    okta: IdentityProvider,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn egress() -> Result<Arc<dyn Egress>, String> {
    Ok(Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?)))
}

impl Organisation {
    async fn new(new_people: NewPeople) -> Result<Self, String> {
        Self::with(Plan::default(), |trusted| trusted.new_people = new_people).await
    }

    async fn with(mut plan: Plan, change: impl FnOnce(&mut TrustedIssuer)) -> Result<Self, String> {
        let okta = IdentityProvider::start(Brand::Okta, &plan.clock).await?;
        plan.connectors.push(okta.connector("idp")?);
        let clock = Arc::clone(&plan.clock) as Arc<dyn Clock>;
        let sets = Arc::new(KeySets::new(egress()?, clock, Duration::from_secs(5)));
        let mut trusted = TrustedIssuer {
            clients: Vec::new(),
            connector: "idp".to_owned(),
            issuer: okta.url.clone(),
            keys: IssuerKeys::Fetched(sets, KeySource::Discovery { issuer: okta.url.clone() }),
            link_by_email: false,
            new_people: NewPeople::Refuse,
            tenant: None,
        };
        change(&mut trusted);
        plan.trusted_issuers = vec![trusted];
        let house = House::with(plan).await?;
        let connection = AppConnection {
            audience: house.issuer.clone(),
            client_id: CLIENT.0.to_owned(),
            resources: vec![house.resource("notes"), house.resource("ledger")],
            scopes: vec!["read".to_owned(), "write".to_owned()],
        };
        okta.change(|held| held.connections = vec![connection]);
        Ok(Self { house, okta })
    }

    /// Logs in at Okta as an app of its own does: the ID token.
    async fn log_in(&self) -> Result<Secret, String> {
        let pkce = Pkce::new("an app");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", CLIENT_ID),
                ("redirect_uri", "http://127.0.0.1/callback"),
                ("scope", "openid"),
                ("nonce", "n"),
                ("code_challenge", pkce.challenge.as_str()),
            ])
            .finish();
        let back =
            self.house.http.get(&format!("{}/oauth2/v1/authorize?{query}", self.okta.url), &[]).await?;
        let location = url::Url::parse(back.header("location")).map_err(text)?;
        let code = location.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?.1.into_owned();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", "http://127.0.0.1/callback"),
            ("code_verifier", pkce.verifier.as_str()),
            ("client_id", CLIENT_ID),
            ("client_secret", CLIENT_SECRET),
        ];
        let tokens =
            self.house.http.post_form(&format!("{}/oauth2/v1/token", self.okta.url), &[], &fields).await?;
        let id_token = tokens.json()["id_token"].as_str().map(str::to_owned).ok_or("no ID token")?;
        self.house.remember_secret(&id_token);
        Ok(Secret::new(id_token))
    }

    fn client(&self) -> Result<IdentityAssertionClient, String> {
        self.client_with(|_, _| {})
    }

    fn client_with(
        &self,
        change: impl FnOnce(&mut Peer, &mut Peer),
    ) -> Result<IdentityAssertionClient, String> {
        let peer = |issuer: &str, (id, secret): (&str, &str), post: bool| {
            let secret = Secret::new(secret.to_owned());
            Ok::<_, String>(Peer {
                client_id: id.to_owned(),
                egress: egress()?,
                issuer: issuer.to_owned(),
                proof: if post { ClientProof::Post(secret) } else { ClientProof::Basic(secret) },
            })
        };
        let mut okta = peer(&self.okta.url, (CLIENT_ID, CLIENT_SECRET), true)?;
        let mut house = peer(&self.house.issuer, CLIENT, false)?;
        change(&mut okta, &mut house);
        let clock = Arc::clone(&self.house.clock) as Arc<dyn Clock>;
        Ok(IdentityAssertionClient::new(okta, house, clock, Duration::from_secs(10)))
    }

    fn wanted(&self, server: &str, scope: &str) -> Result<Wanted, String> {
        Ok(Wanted { resource: self.house.resource(server), scope: Scope::parse(scope).map_err(text)? })
    }

    async fn obtain(&self) -> Result<Result<Granted, IdentityAssertionError>, String> {
        let subject = Subject::IdToken(self.log_in().await?);
        let obtained = self.client()?.obtain(subject, &self.wanted("notes", "read")?).await;
        if let Ok(granted) = &obtained {
            granted.access_token.expose(|token| self.house.remember_secret(token));
        }
        Ok(obtained)
    }

    async fn refused(&self) -> Result<(Step, Trouble), String> {
        match self.obtain().await? {
            Ok(_) => Err("it was granted".to_owned()),
            Err(error) => Ok((error.step, error.trouble)),
        }
    }
}

/// The MCP extension, whole: after the login at the identity provider no browser opens again.
#[tokio::test]
async fn who_logged_in_at_okta_calls_a_tool_and_no_browser_opens_again() -> Verdict {
    let organisation = Organisation::new(NewPeople::Create).await?;
    let granted = organisation.obtain().await?.map_err(text)?;
    assert_eq!(granted.scope.to_string(), "read");
    assert_eq!(granted.expires_in, Some(Duration::from_secs(600)));
    let token = granted.access_token.reveal();
    let called = organisation.house.echo("notes", &token).await?;
    assert_eq!(called.status, 200, "{}", called.text());
    let said = claims(&token)?;
    assert_eq!((&said["client_id"], &said["scope"]), (&json!(CLIENT.0), &json!("read")));
    // Made just in time, once, and told.
    let made = organisation.house.audit(AuditKind::PersonMade).await?;
    assert_eq!((made.len(), made[0].detail["issuer"].as_str()), (1, organisation.okta.url.as_str()));
    assert_eq!(made[0].user.map(|user| user.to_string()).as_deref(), said["sub"].as_str());
    organisation.obtain().await?.map_err(text)?;
    assert_eq!(organisation.house.audit(AuditKind::PersonMade).await?.len(), 1);
    // Who signs in by a browser later is the same person.
    let client = organisation.house.client().await?;
    let abroad = Abroad { house: organisation.house, provider: organisation.okta, client };
    let tokens = abroad.tokens().await?;
    assert_eq!(abroad.user(&tokens).await?.id.to_string().as_str(), said["sub"].as_str().unwrap_or_default());
    assert_eq!(abroad.house.counts().await?.users, 1);
    abroad.house.close().await
}

#[tokio::test]
async fn somebody_who_never_signed_in_is_refused_unless_the_operator_says_otherwise() -> Verdict {
    let organisation = Organisation::new(NewPeople::Refuse).await?;
    assert_eq!(organisation.refused().await?, (Step::AuthorizationServer, Trouble::Refused));
    let told = organisation.house.audit(AuditKind::TokenRefused).await?;
    assert_eq!(told[0].reason.as_deref(), Some("id_jag_person_unknown"));
    assert_eq!(organisation.house.counts().await?.users, 0);
    organisation.house.close().await?;

    // Who may use nothing here is not made either: somebody new is in no group.
    let plan = Plan {
        servers: vec![("notes", Access::Groups(vec!["staff".to_owned()])), ("ledger", Access::Everyone)],
        ..Plan::default()
    };
    let organisation = Organisation::with(plan, |trusted| trusted.new_people = NewPeople::Create).await?;
    assert_eq!(organisation.refused().await?, (Step::AuthorizationServer, Trouble::Refused));
    assert_eq!(organisation.house.counts().await?.users, 0);
    organisation.house.close().await
}

/// What comes from the identity provider is held against what was asked, and is not carried on if it is something else.
#[tokio::test]
async fn an_id_jag_that_is_not_what_was_asked_for_is_carried_nowhere() -> Verdict {
    let organisation = Organisation::new(NewPeople::Create).await?;
    let now = organisation.house.time.now().secs();
    for (claim, lie) in [
        ("aud", json!("https://other.example")),
        ("aud", json!([organisation.house.issuer, "https://other.example"])),
        ("aud", Value::Null),
        ("client_id", json!("somebody-else")),
        ("client_id", Value::Null),
        ("iss", json!("https://other.example")),
        ("resource", json!("https://other.example/mcp")),
        ("resource", json!(organisation.house.resource("ledger"))),
        ("exp", json!(now - 61)),
        ("exp", json!("soon")),
    ] {
        organisation.okta.change(|held| drop(held.assertion_lies.insert(claim.to_owned(), lie.clone())));
        let refused = organisation.refused().await?;
        assert_eq!(refused, (Step::IdentityProvider, Trouble::OtherAnswer), "{claim}: {lie}");
        organisation.okta.repent();
    }
    organisation.okta.change(|held| held.assertion_type = "JWT");
    assert_eq!(organisation.refused().await?, (Step::IdentityProvider, Trouble::OtherAnswer));
    organisation.okta.repent();
    // All that while nothing reached the authorization server's record.
    assert_eq!(organisation.house.audit(AuditKind::TokenRefused).await?.len(), 0);
    organisation.house.close().await
}

/// An answer that is none is told for what it is, and nothing that it says is repeated.
#[tokio::test]
async fn each_answer_of_the_identity_provider_that_is_none_has_its_reason() -> Verdict {
    let organisation = Organisation::new(NewPeople::Create).await?;
    let answer = |changes: Value| {
        let mut answer = json!({
            "access_token": "a.b.c", "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag", "token_type": "N_A",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            answer[name] = value.clone();
        }
        Reply::json(200, &answer)
    };
    let error = |status: u16, error: &str| Reply::json(status, &json!({"error": error}));
    for (reply, trouble) in [
        (answer(json!({})), Trouble::OtherAnswer),
        (
            answer(json!({"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})),
            Trouble::OtherAnswer,
        ),
        (answer(json!({"token_type": "Bearer"})), Trouble::OtherAnswer),
        (answer(json!({"access_token": "x".repeat(20_000)})), Trouble::OtherAnswer),
        (answer(json!({"access_token": "a b"})), Trouble::OtherAnswer),
        (answer(json!({"access_token": 7})), Trouble::OtherAnswer),
        (answer(json!({"scope": "read admin"})), Trouble::OtherAnswer),
        (Reply { body: "x".repeat(200_000), ..Reply::json(200, &json!({})) }, Trouble::OtherAnswer),
        (Reply { headers: Vec::new(), ..answer(json!({})) }, Trouble::OtherAnswer),
        (Reply::status(302).with("location", "https://evil.example/"), Trouble::OtherAnswer),
        (Reply::status(204), Trouble::Refused),
        (Reply::status(503), Trouble::Unreachable),
        (Reply::status(429), Trouble::Unreachable),
        (Reply::status(401), Trouble::ClientRefused),
        (error(401, "invalid_client"), Trouble::ClientRefused),
        (error(400, "unauthorized_client"), Trouble::ClientRefused),
        (error(400, "invalid_grant"), Trouble::SignInNeeded),
        (error(400, "insufficient_user_authentication"), Trouble::SignInNeeded),
        (error(400, "invalid_target"), Trouble::TargetRefused),
        (error(400, "invalid_scope"), Trouble::ScopeRefused),
        (error(400, "something_new"), Trouble::Refused),
    ] {
        let said = format!("{reply:?}");
        let subject = Subject::IdToken(organisation.log_in().await?);
        organisation.okta.next("/oauth2/v1/token", reply);
        let refused = organisation.client()?.obtain(subject, &organisation.wanted("notes", "read")?).await;
        let refused = refused.err().ok_or("it was granted")?;
        assert_eq!(
            (refused.step, refused.trouble),
            (Step::IdentityProvider, trouble),
            "{}",
            &said[..said.len().min(300)]
        );
    }
    // All that while nothing reached the authorization server's record.
    assert_eq!(organisation.house.audit(AuditKind::TokenRefused).await?.len(), 0);
    organisation.house.close().await
}

/// Okta gives an ID-JAG only where an administrator connected the apps; who we are there must be right; and the metadata must be
/// of whom we mean.
#[tokio::test]
async fn each_side_says_no_in_its_own_way_and_it_is_told_which() -> Verdict {
    let organisation = Organisation::new(NewPeople::Create).await?;
    let refused = async |client: IdentityAssertionClient, wanted: Wanted| {
        let subject = Subject::IdToken(organisation.log_in().await?);
        let error = client.obtain(subject, &wanted).await.err().ok_or("it was granted")?;
        Ok::<_, String>((error.step, error.trouble))
    };
    let (idp, server) = (Step::IdentityProvider, Step::AuthorizationServer);
    let notes = || organisation.wanted("notes", "read");
    let unconnected = Wanted { resource: "https://other.example/mcp".to_owned(), ..notes()? };
    assert_eq!(refused(organisation.client()?, unconnected).await?, (idp, Trouble::TargetRefused));
    let wide = organisation.wanted("notes", "admin")?;
    assert_eq!(refused(organisation.client()?, wide).await?, (idp, Trouble::ScopeRefused));
    // `ledger` admits nobody who is new.
    assert_eq!(
        refused(organisation.client()?, organisation.wanted("ledger", "read")?).await?,
        (server, Trouble::Refused)
    );
    let secret = || ClientProof::Basic(Secret::new("wrong".to_owned()));
    let wrong = organisation.client_with(|okta, _| okta.proof = secret())?;
    assert_eq!(refused(wrong, notes()?).await?, (idp, Trouble::ClientRefused));
    let wrong = organisation.client_with(|_, house| house.proof = secret())?;
    assert_eq!(refused(wrong, notes()?).await?, (server, Trouble::ClientRefused));
    // CL-009: by another spelling it is not the same issuer.
    let other = organisation.client_with(|okta, _| okta.issuer.push('/'))?;
    assert_eq!(refused(other, notes()?).await?, (idp, Trouble::Metadata));
    let other = organisation.client_with(|okta, _| okta.issuer = "http://issuer.example".to_owned())?;
    assert_eq!(refused(other, notes()?).await?, (idp, Trouble::Metadata));
    let elsewhere = json!({"issuer": organisation.okta.url, "token_endpoint": "http://evil.example/token"});
    organisation.okta.next("/.well-known/oauth-authorization-server", Reply::json(200, &elsewhere));
    assert_eq!(refused(organisation.client()?, notes()?).await?, (idp, Trouble::Metadata));
    // One that is over is refused by Okta: the person logs in again.
    let old = Subject::IdToken(organisation.log_in().await?);
    organisation.house.advance(Duration::from_secs(3601)).await?;
    let error = organisation.client()?.obtain(old, &notes()?).await.err().ok_or("it was granted")?;
    assert_eq!((error.step, error.trouble), (idp, Trouble::SignInNeeded));
    organisation.house.close().await
}

/// Where nobody is trusted the metadata says so, and what the person has is not sent there.
#[tokio::test]
async fn an_authorization_server_that_takes_no_id_jags_is_not_sent_one() -> Verdict {
    let organisation = Organisation::new(NewPeople::Create).await?;
    let other = House::new().await?;
    let connection = AppConnection {
        audience: other.issuer.clone(),
        client_id: CLIENT.0.to_owned(),
        resources: vec![organisation.house.resource("notes")],
        scopes: vec!["read".to_owned()],
    };
    organisation.okta.change(|held| held.connections.push(connection));
    let client = organisation.client_with(|_, server| server.issuer.clone_from(&other.issuer))?;
    let subject = Subject::IdToken(organisation.log_in().await?);
    let error =
        client.obtain(subject, &organisation.wanted("notes", "read")?).await.err().ok_or("it was granted")?;
    assert_eq!((error.step, error.trouble), (Step::AuthorizationServer, Trouble::Metadata));
    other.close().await?;
    organisation.house.close().await
}
