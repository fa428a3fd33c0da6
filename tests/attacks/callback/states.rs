//! `state`: of another leg, another provider, made up, used up, too late; and who was gone meanwhile.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use store::{AuditKind, Clients as _, Revocation, RevocationKind};
use testkit::client::parameter;
use testkit::outcomes::{Verdict, page, page400};

use super::{Abroad, consents, depart, two_providers, with};

/// AS-237.
#[tokio::test]
async fn cb_04_a_state_of_one_provider_is_not_taken_at_another() -> Verdict {
    let (abroad, other) = two_providers().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    for connector in ["other", "development", "nobody", "idp2"] {
        let mut moved = callback.clone();
        moved.set_path(&format!("/login/callback/{connector}"));
        let refused = browser.open_from_elsewhere(moved.as_str()).await?.page()?;
        assert!(refused.answer.status.is_client_error(), "{connector}: {}", refused.words());
    }
    assert_eq!((abroad.provider.asked("/token"), other.asked("/token")), (0, 0));
    assert_eq!(abroad.people().await?, (0, 0, 0));
    let refused = abroad.house.audit(AuditKind::SignInRefused).await?;
    assert!(refused.iter().any(|event| event.reason.as_deref() == Some("connector_mismatch")), "{refused:?}");
    // The leg itself is unharmed.
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

/// AS-238.
#[tokio::test]
async fn cb_04_the_code_of_one_provider_is_not_taken_in_the_leg_of_another() -> Verdict {
    let (abroad, other) = two_providers().await?;
    let mut browser = abroad.house.browser();
    let first = abroad.callback(&mut browser).await?;
    let login = abroad.login(&mut browser).await?;
    let there = depart(&mut browser, &login, "other").await?;
    let second = browser.open(there.as_str()).await?.left()?;
    // Mix-up: the code and the `iss` of one, the state of the other.
    let code = parameter(&first, "code").ok_or("no code")?;
    let mixed = with(&second, "code", Some(&code));
    page400(&browser.open_from_elsewhere(mixed.as_str()).await?.page()?.answer)?;
    let with_its_issuer = with(&mixed, "iss", Some(&abroad.provider.issuer));
    page400(&browser.open_from_elsewhere(with_its_issuer.as_str()).await?.page()?.answer)?;
    assert_eq!(other.asked("/token"), 1, "only the answer whose issuer fits is taken to the provider");
    assert_eq!(abroad.people().await?, (0, 0, 0));
    consents(browser.open_from_elsewhere(second.as_str()).await?)?;
    abroad.house.close().await
}

/// AS-235.
#[tokio::test]
async fn cb_17_state_is_an_opaque_id_that_cannot_be_changed() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let state = parameter(&callback, "state").ok_or("no state")?;
    assert_eq!(state.len(), 43, "{state}");
    let inside = URL_SAFE_NO_PAD.decode(&state).map_err(|error| error.to_string())?;
    let inside = String::from_utf8_lossy(&inside);
    for told in ["http", "client", "dcr_", &abroad.house.issuer] {
        assert!(!inside.contains(told), "{inside}");
    }
    let flipped = format!("{}{}", &state[..42], if state.ends_with('A') { 'B' } else { 'A' });
    let inner = testkit::client::parameter(&callback, "code").unwrap_or_default();
    for other in [
        &flipped,
        &state[..42],
        &format!("{state}A"),
        &state.to_ascii_lowercase(),
        "",
        &inner,
        &"x".repeat(20_000),
    ] {
        let changed = with(&callback, "state", Some(other));
        page400(&browser.open_from_elsewhere(changed.as_str()).await?.page()?.answer)
            .map_err(|why| format!("{other}: {why}"))?;
    }
    page400(&browser.open_from_elsewhere(with(&callback, "state", None).as_str()).await?.page()?.answer)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    abroad.house.close().await
}

#[tokio::test]
async fn a_leg_that_was_begun_anew_ends_the_one_before() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    let first = depart(&mut browser, &login, "idp").await?;
    let first = browser.open(first.as_str()).await?.left()?;
    let second = depart(&mut browser, &login, "idp").await?;
    let second = browser.open(second.as_str()).await?.left()?;
    page400(&browser.open_from_elsewhere(first.as_str()).await?.page()?.answer)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    consents(browser.open_from_elsewhere(second.as_str()).await?)?;
    abroad.house.close().await
}

#[tokio::test]
async fn a_callback_that_comes_too_late_is_refused_to_the_second() -> Verdict {
    for (waits, good) in [(Duration::from_micros(599_999_999), true), (Duration::from_secs(600), false)] {
        let abroad = Abroad::new().await?;
        let mut browser = abroad.house.browser();
        let there = abroad.leave(&mut browser).await?;
        abroad.house.advance(waits).await?;
        let callback = browser.open(there.as_str()).await?.left()?;
        let place = browser.open_from_elsewhere(callback.as_str()).await?;
        if good {
            consents(place)?;
        } else {
            page400(&place.page()?.answer)?;
            assert_eq!(abroad.people().await?, (0, 0, 0));
            assert_eq!(abroad.provider.asked("/token"), 0);
        }
        abroad.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cb_13_a_client_that_was_blocked_meanwhile_gets_nobody() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    block(&abroad).await?;
    let refused = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
    page400(&refused.answer)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    assert_eq!(abroad.people().await?, (0, 0, 0));
    abroad.house.close().await
}

/// What an administrator will do with a button.
async fn block(abroad: &Abroad) -> Verdict {
    let text = |error: store::StoreError| error.to_string();
    let id = protocol::oauth::ClientId::parse(&abroad.client.client_id).map_err(|error| error.to_string())?;
    let now = protocol::world::Clock::now(&*abroad.house.clock);
    let entropy = testkit::world::TestEntropy::seeded(99);
    let event = store::AuditEvent::new(
        protocol::id::Id::mint(now, &entropy),
        now,
        AuditKind::ClientBlocked,
        store::Outcome::Ok,
    );
    let expires_at = now.plus(Duration::from_secs(3600));
    let revocation =
        Revocation { kind: RevocationKind::Client, id: id.as_str().to_owned(), not_before: now, expires_at };
    let record = store::ClientRecord {
        kind: id.kind(),
        client_id: id,
        metadata: "{}".to_owned(),
        fingerprint: protocol::secret::Hash::of(b"x"),
        name: None,
        first_consented_at: now,
        last_used_at: now,
        blocked_at: Some(now),
    };
    abroad.house.store.block_client(record, revocation, event).await.map_err(text)?;
    Ok(())
}

#[tokio::test]
async fn cb_13_a_redirect_uri_that_is_gone_meanwhile_is_not_gone_to() -> Verdict {
    for client_is_gone in [false, true] {
        let mut abroad = Abroad::new().await?;
        abroad.client = abroad.house.known_client("known-public")?;
        let mut browser = abroad.house.browser();
        let callback = abroad.callback(&mut browser).await?;
        let Abroad { house, provider, .. } = abroad;
        let house = house
            .restart_with(|plan| {
                if client_is_gone {
                    plan.clients.clear();
                }
                for (_, uris, _) in &mut plan.clients {
                    *uris = vec!["https://client.example/new".to_owned()];
                }
            })
            .await?;
        let refused = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        page400(&refused.answer)?;
        assert!(!refused.answer.text().contains("client.example/cb"), "{}", refused.answer.text());
        assert_eq!(provider.asked("/token"), 0);
        house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_sign_in_loses_nothing() -> Verdict {
    let abroad = Abroad::new().await?;
    let mut browser = abroad.house.browser();
    let callback = abroad.callback(&mut browser).await?;
    let Abroad { house, provider, client } = abroad;
    let house = house.restart().await?;
    let abroad = Abroad { house, provider, client };
    let consent = consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    let Abroad { house, provider, client } = abroad;
    let house = house.restart().await?;
    testkit::client::allow(&mut browser, &consent).await?;
    drop((provider, client));
    house.close().await
}

#[tokio::test]
async fn a_verifier_that_was_moved_to_another_row_does_not_open() -> Verdict {
    let abroad = Abroad::new().await?;
    let (mut first, mut second) = (abroad.house.browser(), abroad.house.browser());
    let callback = abroad.callback(&mut first).await?;
    abroad.callback(&mut second).await?;
    let swap = "UPDATE authorizations SET upstream_verifier = \
        (SELECT other.upstream_verifier FROM authorizations other WHERE other.id <> authorizations.id)";
    crate::record::tamper(&abroad.house, swap)?;
    let refused = first.open_from_elsewhere(callback.as_str()).await?.page()?;
    page(&refused.answer, StatusCode::INTERNAL_SERVER_ERROR)?;
    assert_eq!(abroad.provider.asked("/token"), 0);
    assert_eq!(abroad.people().await?, (0, 0, 0));
    assert_eq!(abroad.house.audit(AuditKind::SealBroken).await?.len(), 1);
    abroad.house.close().await
}
