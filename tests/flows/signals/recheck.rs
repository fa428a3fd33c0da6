//! Asking the provider at a refresh whether the person is still there: a no ends everything, silence ends nothing.

use std::time::Duration;

use authorization_server::OnLogout;
use policy::Access;
use protocol::world::Clock as _;
use serde_json::json;
use store::{AuditKind, Maintenance as _};
use testkit::house::Plan;
use testkit::identity_providers::Brand;
use testkit::outcomes::{Verdict, rs401, tok400};
use upstream::connectors::oidc::Offline;

use super::{IDP, Scene, closes, open_stream};
use crate::abroad::Abroad;
use crate::record::{Record, on_postgres, tamper};
use crate::steps::Tokens;

const QUARTER: Duration = Duration::from_secs(15 * 60);

async fn scene(mut plan: Plan) -> Result<Scene, String> {
    plan.lifetimes.access_token = Duration::from_secs(3000);
    Scene::asking(plan).await
}

impl Scene {
    /// The provider is asked later.
    async fn asking(mut plan: Plan) -> Result<Self, String> {
        let provider = testkit::openid_provider::OpenIdProvider::start(&plan.clock).await?;
        let offline = Offline { scopes: vec!["offline_access".to_owned()], parameters: Vec::new() };
        plan.connectors.push(provider.connector(IDP, |settings| settings.offline = Some(offline))?);
        plan.backchannel_logouts.push(provider.backchannel_logout(IDP, OnLogout::Access)?);
        let house = testkit::house::House::with(plan).await?;
        let client = house.client().await?;
        Ok(Self { house, provider, client })
    }

    async fn jane(&self) -> Result<Tokens, String> {
        self.person("jane", None);
        self.connect(&mut self.house.browser()).await
    }

    fn asked(&self) -> usize {
        self.provider.asked("/token?refresh")
    }

    async fn refreshed(&self, tokens: &Tokens) -> Result<Tokens, String> {
        Tokens::of(&self.client.refresh(&tokens.refresh).await?)
    }
}

/// AS-240.
#[tokio::test]
async fn a_person_who_is_gone_stops_at_the_refresh_with_everything_and_at_once() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let first = scene.jane().await?;
    let mut browser = scene.house.browser();
    let second = scene.connect(&mut browser).await?;
    let stream = open_stream(&scene.house, &scene.house, &second.access).await?;
    scene.provider.forget("jane");
    scene.house.advance(QUARTER).await?;
    tok400(&scene.client.refresh(&first.refresh).await?, "invalid_grant")?;
    closes(stream).await?;
    scene.is_dead(&first).await?;
    scene.is_dead(&second).await?;
    assert!(!scene.is_signed_in(&mut browser).await?);
    let events = scene.house.audit(AuditKind::SignalReceived).await?;
    let [event] = events.as_slice() else { return Err(format!("{events:?}")) };
    assert_eq!((event.reason.as_deref(), event.user.is_some()), (Some("gone_at_provider"), true));
    // Whoever is there signs in again.
    scene.refreshed(&scene.jane().await?).await?;
    scene.house.close().await
}

#[tokio::test]
async fn the_provider_is_asked_at_most_every_quarter_of_an_hour() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let mut tokens = scene.jane().await?;
    for _ in 0..3 {
        tokens = scene.refreshed(&tokens).await?;
    }
    assert_eq!(scene.asked(), 0, "the sign-in was just now");
    scene.house.advance(QUARTER).await?;
    let other = scene.connect(&mut scene.house.browser()).await?;
    assert_eq!(scene.asked(), 0);
    scene.house.advance(QUARTER).await?;
    for _ in 0..3 {
        tokens = scene.refreshed(&tokens).await?;
    }
    scene.refreshed(&other).await?;
    assert_eq!(scene.asked(), 1);
    scene.house.close().await
}

/// F-13: a claim that was made by a clock which ran far ahead keeps nobody from asking until it is over by the right one.
#[tokio::test]
async fn f_13_a_claim_that_was_made_by_a_wrong_clock_keeps_nobody_from_asking() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let mut tokens = scene.jane().await?;
    for (ahead, asked) in [(Duration::from_secs(60), 0), (Duration::from_secs(24 * 60 * 60), 1)] {
        scene.house.advance(QUARTER).await?;
        let until = scene.house.clock.now().plus(ahead).micros();
        tamper(&scene.house, &format!("UPDATE offline_access SET claimed_until = {until}"))?;
        tokens = scene.refreshed(&tokens).await?;
        assert_eq!(scene.asked(), asked, "{ahead:?}");
    }
    scene.house.close().await
}

#[tokio::test]
async fn groups_that_changed_at_the_provider_count_from_then_on() -> Verdict {
    let servers = vec![("notes", Access::Groups(vec!["staff".to_owned()]))];
    let scene = scene(Plan { servers, ..Plan::default() }).await?;
    let person = |groups: &[&str]| scene.provider.sign_in_as(json!({"sub": "jane", "groups": groups}));
    person(&["staff"]);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    person(&["other"]);
    let tokens = scene.refreshed(&tokens).await?;
    scene.house.advance(QUARTER).await?;
    tok400(&scene.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    person(&["staff"]);
    scene.house.advance(QUARTER).await?;
    scene.refreshed(&tokens).await?;
    scene.house.close().await
}

#[tokio::test]
async fn no_answer_and_no_word_about_the_person_ends_nothing() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let mut tokens = scene.jane().await?;
    for refusal in [
        (500, "server_error"),
        (503, "temporarily_unavailable"),
        (400, "temporarily_unavailable"),
        (401, "invalid_client"),
        (400, "unauthorized_client"),
        (400, "invalid_request"),
        (429, "slow_down"),
    ] {
        scene.provider.change(|held| held.refuses_refresh = Some(refusal));
        scene.house.advance(QUARTER).await?;
        let asked = scene.asked();
        tokens = scene.refreshed(&tokens).await.map_err(|why| format!("{refusal:?}: {why}"))?;
        assert_eq!(scene.asked(), asked + 1, "{refusal:?}");
        // It is not asked again by everybody who comes.
        tokens = scene.refreshed(&tokens).await?;
        assert_eq!(scene.asked(), asked + 1, "{refusal:?}");
        scene.house.advance(Duration::from_secs(60)).await?;
        tokens = scene.refreshed(&tokens).await?;
        assert_eq!(scene.asked(), asked + 2, "{refusal:?}");
    }
    assert_eq!(scene.house.audit(AuditKind::SignalReceived).await?.len(), 0);
    scene.provider.repent();
    scene.provider.forget("jane");
    scene.house.advance(Duration::from_secs(60)).await?;
    // It may be that an answer was lost with a newer token in it: then a no is none.
    scene.refreshed(&tokens).await?;
    scene.house.close().await
}

#[tokio::test]
async fn f_14_a_provider_that_hangs_holds_a_refresh_for_seconds_and_then_nobody() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let tokens = scene.jane().await?;
    scene.provider.change(|held| held.hangs = true);
    scene.house.advance(QUARTER).await?;
    let waited = tokio::time::timeout(Duration::from_secs(9), scene.client.refresh(&tokens.refresh)).await;
    let first = Tokens::of(&waited.map_err(|_| "the refresh waits for the provider")??)?;
    // Nobody waits a second time.
    let asked = scene.asked();
    scene.refreshed(&first).await?;
    assert_eq!(scene.asked(), asked);
    scene.house.close().await
}

#[tokio::test]
async fn a_token_that_is_good_once_is_exchanged_and_kept_each_time() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.provider.change(|held| held.rotates = true);
    let mut tokens = scene.jane().await?;
    for round in 1..=4 {
        scene.house.advance(QUARTER).await?;
        tokens = scene.refreshed(&tokens).await?;
        assert_eq!(scene.asked(), round);
    }
    scene.provider.forget("jane");
    scene.house.advance(QUARTER).await?;
    tok400(&scene.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    rs401(&scene.house.echo("notes", &tokens.access).await?)?;
    scene.house.close().await
}

/// ST-02: what a provider gave for one person is nothing that it is asked about another by. The audit has it, and nobody is shut out.
#[tokio::test]
async fn st_02_what_was_given_for_somebody_else_is_not_what_a_provider_is_asked_by() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.jane().await?;
    scene.person("joe", None);
    let joe = scene.connect(&mut scene.house.browser()).await?;
    let of_joe = "(SELECT id FROM users WHERE subject = 'joe')";
    tamper(&scene.house, &format!("DELETE FROM offline_access WHERE user_id = {of_joe}"))?;
    tamper(&scene.house, &format!("UPDATE offline_access SET user_id = {of_joe}"))?;
    scene.provider.forget("jane");
    scene.house.advance(QUARTER).await?;
    let joe = scene.refreshed(&joe).await?;
    assert_eq!(scene.asked(), 0, "by what is Jane's");
    let events = scene.house.audit(AuditKind::SealBroken).await?;
    let [event] = events.as_slice() else { return Err(format!("{events:?}")) };
    assert!(event.user.is_some() && event.detail["place"] == "offline_access.sealed", "{event:?}");
    let record = Record::Sqlite(scene.house.folder().join("record.db"));
    assert_eq!(record.rows("SELECT 1 FROM offline_access").await?, [""; 0]);
    scene.refreshed(&joe).await?;
    // Whoever signs in again is asked about as before.
    scene.person("joe", None);
    let joe = scene.connect(&mut scene.house.browser()).await?;
    scene.house.advance(QUARTER).await?;
    scene.refreshed(&joe).await?;
    assert_eq!((scene.asked(), scene.house.audit(AuditKind::SealBroken).await?.len()), (1, 1));
    scene.house.close().await
}

#[tokio::test]
async fn what_is_kept_is_sealed_and_goes_when_nothing_is_left_of_the_person() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let tokens = scene.jane().await?;
    let record = Record::Sqlite(scene.house.folder().join("record.db"));
    let kept = "SELECT hex(sealed) FROM offline_access";
    let rows = record.rows(kept).await?;
    let [sealed] = rows.as_slice() else { return Err(format!("{rows:?}")) };
    // "refresh" in hex.
    assert!(sealed.len() > 80 && !sealed.to_lowercase().contains("72656672657368"), "{sealed}");
    let fields = [("client_id", scene.client.client_id.as_str()), ("token", tokens.refresh.as_str())];
    assert_eq!(scene.house.http.post_form(&scene.at("/oauth/revoke"), &[], &fields).await?.status, 200);
    scene.house.advance(Duration::from_secs(2 * 3600)).await?;
    let now = protocol::world::Clock::now(scene.house.time.as_ref());
    let swept = scene.house.store.sweep(now).await.map_err(|error| error.to_string())?;
    assert_eq!(swept.offline_access, 1);
    assert_eq!(record.rows(kept).await?, [""; 0]);
    scene.house.close().await
}

/// GitHub answers 401 to a token that was revoked, a GitHub App `bad_refresh_token`; Atlassian 403 `unauthorized_client`.
#[tokio::test]
async fn github_and_atlassian_are_asked_in_their_own_way() -> Verdict {
    for brand in [Brand::GitHub, Brand::GitHubApp, Brand::Atlassian] {
        let rechecking = |provider: &testkit::identity_providers::IdentityProvider| {
            provider.connector_with(IDP, |given| given.recheck = true)
        };
        let abroad = Abroad::with(brand, Plan::default(), rechecking).await?;
        let mut tokens = abroad.tokens().await.map_err(|why| format!("{brand:?}: {why}"))?;
        for _ in 0..2 {
            abroad.house.advance(QUARTER).await?;
            tokens = Tokens::of(&abroad.client.refresh(&tokens.refresh).await?)
                .map_err(|why| format!("{brand:?}: {why}"))?;
        }
        abroad.provider.switch_off();
        abroad.house.advance(QUARTER).await?;
        tok400(&abroad.client.refresh(&tokens.refresh).await?, "invalid_grant")
            .map_err(|why| format!("{brand:?}: {why}"))?;
        let events = abroad.house.audit(AuditKind::SignalReceived).await?;
        assert_eq!(events.len(), 1, "{brand:?}");
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_asks_and_a_no_is_heard_at_both() -> Verdict {
    on_postgres(|url| async move {
        let scene = scene(Plan { postgres: Some(url), ..Plan::default() }).await?;
        scene.provider.change(|held| held.rotates = true);
        let second = scene.house.second_node().await?;
        let there = testkit::client::TestClient { http: second.http.clone(), ..scene.client.clone() };
        let mut all = vec![scene.jane().await?];
        for _ in 0..3 {
            all.push(scene.connect(&mut scene.house.browser()).await?);
        }
        scene.house.advance(QUARTER).await?;
        second.advance(Duration::ZERO).await?;
        let (a, b, c, d) = tokio::join!(
            scene.client.refresh(&all[0].refresh),
            there.refresh(&all[1].refresh),
            scene.client.refresh(&all[2].refresh),
            there.refresh(&all[3].refresh),
        );
        let mut next = Vec::new();
        for answer in [a, b, c, d] {
            next.push(Tokens::of(&answer?)?);
        }
        assert_eq!(scene.asked(), 1, "whoever finds it claimed goes on");
        scene.provider.forget("jane");
        scene.house.advance(QUARTER).await?;
        second.advance(Duration::ZERO).await?;
        tok400(&there.refresh(&next[1].refresh).await?, "invalid_grant")?;
        rs401(&second.echo("notes", &next[0].access).await?)?;
        super::is_dead_within_t(&scene.house, &next[0].access).await?;
        tok400(&scene.client.refresh(&next[0].refresh).await?, "invalid_grant")?;
        second.close().await?;
        scene.house.close().await
    })
    .await
}
