//! ST-02: a sealed value belongs to its row, and its row to whom it was made for. Whoever can write into the record and gives a row to
//! another person, another MCP server or another place gets nothing by it, and is told of.

use std::time::Duration;

use authorization_server::keys::{Resealed, Sealing, When};
use http::StatusCode;
use protocol::keys::{KeyRing, MasterKey};
use store::{AuditKind, KeyPurpose};
use testkit::house::{Connected, MASTER_KEY, Plan};
use testkit::remote_server::canary;
use testkit::world::TestEntropy;

use super::connections::{Done, Scene, connect, link_in, text, token};
use crate::record::{Record, on_postgres, tamper};

/// Longer than what was read is believed.
const LATER: Duration = Duration::from_secs(6);
const OF_ALICE: &str = "(SELECT id FROM users WHERE subject = 'alice')";

/// What somebody does who can write into the record.
fn changes() -> [Vec<String>; 4] {
    let one = |change: &str| vec![format!("UPDATE connections SET {change}")];
    [
        vec![
            format!("DELETE FROM connections WHERE user_id = {OF_ALICE}"),
            format!("UPDATE connections SET user_id = {OF_ALICE}"),
        ],
        one("binding = replace(binding, '\"client_id\":\"', '\"client_id\":\"x')"),
        one("binding = replace(binding, '\"issuer\":\"', '\"issuer\":\"x')"),
        one("binding = binding || ' '"),
    ]
}

async fn gives_nothing(changes: &[String], postgres: Option<String>) -> Done {
    let plan = Plan { postgres: postgres.clone(), ..Plan::default() };
    let mut scene = Scene::connected_over(plan, "ada").await?;
    let mut other = scene.house.browser();
    let bob = token(&scene.house, &mut other, "bob").await?;
    scene.remote.sign_in("grace");
    connect(&mut other, &link_in(&scene.house.echo("notes", &bob).await?)?).await?;
    assert!(scene.is("ada").await?);
    let file = Record::Sqlite(scene.house.folder().join("record.db"));
    let record = postgres.map_or(file, Record::Postgres);
    for change in changes {
        record.rows(change).await?;
    }
    scene.house.advance(LATER).await?;
    let calls = scene.remote.change(|held| held.calls.len());
    let (first, second, third) = tokio::join!(scene.echo(), scene.echo(), scene.echo());
    let told = first?;
    for told in [&told, &second?, &third?, &scene.echo().await?] {
        let (told, theirs) = (told.text(), [canary("ada"), canary("grace")]);
        assert!(told.contains("/connect/notes") && !theirs.iter().any(|one| told.contains(one)), "{told}");
    }
    assert_eq!(scene.remote.change(|held| held.calls.len()), calls, "{changes:?}: nothing was sent there");
    let events = scene.house.audit(AuditKind::SealBroken).await?;
    let [event] = events.as_slice() else { return Err(format!("{changes:?}: {events:?}")) };
    assert_eq!(event.detail["place"], "connections.access_token");
    assert!(event.user.is_some() && event.server.as_deref() == Some("notes"), "{event:?}");
    assert_eq!(scene.house.audit(AuditKind::ConnectionDead).await?.len(), 1);
    scene.remote.sign_in("ada");
    connect(&mut scene.browser, &link_in(&told)?).await?;
    assert!(scene.is("ada").await?, "{changes:?}");
    scene.house.close().await
}

/// ST-02: a connection whose row was given to another person, or says that it came from elsewhere, is used by nobody; the audit has it
/// once, however many calls come, and the person connects again.
#[tokio::test]
async fn st_02_a_connection_whose_row_was_given_to_somebody_else_is_used_by_nobody() -> Done {
    for changes in changes() {
        gives_nothing(&changes, None).await.map_err(|why| format!("{changes:?}: {why}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn st_02_the_same_on_the_other_engine() -> Done {
    for changes in changes() {
        on_postgres(|url| gives_nothing(&changes, Some(url))).await?;
    }
    Ok(())
}

/// ST-02: what was given for one MCP server is good for no other, whatever the row says.
#[tokio::test]
async fn st_02_a_connection_that_was_moved_to_another_mcp_server_is_used_at_neither() -> Done {
    let mut scene = Scene::over(Plan::default()).await?;
    let mut browser = scene.house.browser();
    let dario = token(&scene.house, &mut browser, "dario").await?;
    scene.remote.sign_in("ada");
    connect(&mut browser, &link_in(&scene.house.echo("notes", &dario).await?)?).await?;
    assert!(scene.house.echo("notes", &dario).await?.text().contains(&canary("ada")));
    let connected = Connected::to("ledger", &scene.remote);
    scene.house = scene.house.restart_with(|plan| plan.connected = Some(connected)).await?;
    tamper(&scene.house, "UPDATE connections SET server = 'ledger'")?;
    let client = scene.house.client().await?;
    let tokens = client.obtain_tokens(&mut browser, "dario", &scene.house.resource("ledger")).await?;
    let dario = tokens["access_token"].as_str().unwrap_or_default();
    let calls = scene.remote.change(|held| held.calls.len());
    let told = scene.house.echo("ledger", dario).await?;
    assert!(told.text().contains("/connect/ledger"), "{}", told.text());
    assert_eq!(scene.remote.change(|held| held.calls.len()), calls);
    assert_eq!(scene.house.audit(AuditKind::SealBroken).await?.len(), 1);
    connect(&mut browser, &link_in(&told)?).await?;
    assert!(scene.house.echo("ledger", dario).await?.text().contains(&canary("ada")));
    scene.house.close().await
}

/// ST-02: nobody comes back as somebody else than who was sent away, nor to another provider.
#[tokio::test]
async fn st_02_an_attempt_that_was_changed_is_not_finished() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    scene.remote.sign_in("ada");
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    let back = scene.browser.open(away.as_str()).await?.left()?;
    tamper(&scene.house, "UPDATE connecting SET leg = leg || ' '")?;
    let refused = scene.browser.open_from_elsewhere(back.as_str()).await?.page()?;
    assert!(!refused.answer.status.is_success(), "{}", refused.words());
    assert_eq!(scene.remote.counts().codes, 0, "the code was sent nowhere");
    assert_eq!(scene.house.audit(AuditKind::SealBroken).await?.len(), 1);
    scene.house.close().await
}

/// ST-05: what people connected is sealed anew with a new key and goes on; ST-02: what was given to somebody else meanwhile is not.
#[tokio::test]
async fn st_05_connections_are_sealed_anew_for_whose_they_are_and_for_nobody_else() -> Done {
    let mut scene = Scene::connected("ada").await?;
    let master = KeyRing::new(MasterKey::parse(MASTER_KEY).map_err(text)?, Vec::new());
    let chance = TestEntropy::seeded(83);
    for moved in [false, true] {
        let change = scene.house.change_keys(&master, &chance);
        let old = change.working_key(KeyPurpose::Sealing).await.map_err(text)?;
        change.rotate(KeyPurpose::Sealing, When::AtOnce).await.map_err(text)?;
        scene.house.advance(Duration::from_secs(1)).await?;
        if moved {
            tamper(&scene.house, "UPDATE connections SET server = 'ledger'")?;
        }
        let resealed = Sealing { change, progress: &|_, _| {} }.reseal().await.map_err(text)?;
        // Both tokens, and nothing else is sealed here.
        let expected = if moved { (0, 2) } else { (2, 0) };
        assert_eq!(resealed, Resealed { done: expected.0, broken: expected.1, finished: true });
        if !moved {
            assert!(change.withdraw(&[old]).await.map_err(text)?);
            scene.house.read().await?;
            scene.later().await?;
            assert!(scene.is("ada").await?, "it was refreshed by what was sealed anew");
        }
    }
    assert_eq!(scene.house.audit(AuditKind::SealBroken).await?.len(), 2);
    assert_eq!(scene.echo().await?.status, StatusCode::OK, "told to connect, in words");
    scene.house.close().await
}
