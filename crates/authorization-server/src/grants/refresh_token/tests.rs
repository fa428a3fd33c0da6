//! Refresh tokens: each reason reached, the rows TK-25 .. TK-39 of attacks.md, and the state machine against a model.

mod model;

use std::collections::HashSet;

use protocol::id::{Grant, Id};
use protocol::oauth::ErrorCode;
use protocol::world::Clock;
use store::{Grants, KeysRecord as _, Queries, Revocations};

use super::*;
use crate::test_house::*;
use crate::{Settings, TokenHeaders};

fn refusal(answer: Result<TokenResponse, TokenError>) -> RefreshRefusal {
    match answer {
        Err(TokenError::Refresh(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was refreshed"),
    }
}

/// Any generation of a grant's refresh token, as the house would make it.
async fn token_of(house: &House, grant: Id<Grant>, generation: u32) -> String {
    let record = house.store.find_grant(grant).await.unwrap().unwrap();
    house.server.mint_refresh_token(&GrantRecord { generation, ..record }).reveal()
}

async fn with(
    house: &House,
    client: &str,
    token: &str,
    more: Pairs<'_>,
) -> Result<TokenResponse, TokenError> {
    let mut all = vec![("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    all.extend_from_slice(more);
    house.token(&all).await
}

/// As if the restore of the record had ended this grant.
async fn restored_when_ended(house: &House, grant: Id<Grant>) {
    let ended = house.store.find_grant(grant).await.unwrap().unwrap().revoked_at.unwrap();
    house.store.put_meta("restored_at", &ended.micros().to_string()).await.unwrap();
}

/// AS-181.
#[tokio::test]
async fn each_reason_is_reached_by_a_request() {
    let house = House::new().await;
    let mut reached = every_reason!(RefreshRefusal {
        Ended,
        Expired,
        Foreign,
        GoneAtProvider,
        Malformed,
        OtherKey,
        Person,
        ProofMissing,
        ResourceMismatch,
        Restored,
        Reused,
        ScopeExceeds,
        ScopeMalformed,
        SetBack,
        StepUp,
        Unknown,
    });
    let (client, tokens) = house.tokens().await;
    let (grant, current) = (house.grant_of(&tokens), tokens.refresh());
    let other = house.public_client();
    let keys = house.server.parts.keys.load_full();
    let id = ClientId::parse(&client).unwrap();
    let mint = |grant, seed| refresh_token::mint(keys.refresh_tokens.active(), grant, 0, seed, &id).reveal();
    let (nowhere, forged) = (mint(Id::from_bytes([9; 16]), &[0; 16]), mint(grant, &[0; 16]));
    let set_back = token_of(&house, grant, 1).await;
    let table: &[(&str, &str, Pairs<'_>, &str, ErrorCode)] = &[
        (&client, "skr_short", &[], "Malformed", ErrorCode::InvalidGrant),
        (&client, &tokens.access_token, &[], "Malformed", ErrorCode::InvalidGrant),
        (&client, &nowhere, &[], "Unknown", ErrorCode::InvalidGrant),
        (&client, &forged, &[], "Foreign", ErrorCode::InvalidGrant),
        (&other, current, &[], "Foreign", ErrorCode::InvalidGrant),
        (&client, &set_back, &[], "SetBack", ErrorCode::InvalidGrant),
        (&client, current, &[("resource", VAULT)], "ResourceMismatch", ErrorCode::InvalidTarget),
        (&client, current, &[("scope", "read admin")], "ScopeExceeds", ErrorCode::InvalidScope),
        (&client, current, &[("scope", "a  b")], "ScopeMalformed", ErrorCode::InvalidScope),
    ];
    for (client, token, more, name, code) in table {
        let refused = refusal(with(&house, client, token, more).await);
        assert_eq!((reached.reach(&refused), refused.code()), (*name, *code), "{more:?}");
        let record = house.store.find_grant(grant).await.unwrap().unwrap();
        assert_eq!((record.generation, record.revoked_at), (0, None), "TK-32: as good as it was");
    }
    let refused = elsewhere(&house, &client, current).await;
    assert_eq!((reached.reach(&refused), refused.reason()), ("Person", "server_gone"));

    let successor = Tokens::of(house.refresh(&client, current).await.unwrap());
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(reached.reach(&refusal(house.refresh(&client, current).await)), "Reused");
    assert_eq!(reached.reach(&refusal(house.refresh(&client, successor.refresh()).await)), "Ended");
    restored_when_ended(&house, grant).await;
    assert_eq!(reached.reach(&refusal(house.refresh(&client, successor.refresh()).await)), "Restored");
    for (key, name) in [(None, "ProofMissing"), (Some(Thumbprint::from_bytes([1; 32])), "OtherKey")] {
        assert_eq!(reached.reach(&bound(&house, key, DpopMode::Off).await.unwrap_err()), name);
    }
    let (client, tokens) = house.tokens().await;
    house.clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(reached.reach(&refusal(house.refresh(&client, tokens.refresh()).await)), "Expired");
    assert_eq!(reached.reach(&stepping(&house).await), "StepUp");
    // That one needs a provider that can be asked: the flows of signals have it.
    reached.all_but(&["GoneAtProvider"]);
}

/// Where the client was told just now that it needs more scope.
async fn stepping(house: &House) -> RefreshRefusal {
    let (client, tokens) = house.tokens().await;
    house.server.parts.timeline.needs_more(house.grant_of(&tokens), house.clock.now());
    refusal(house.refresh(&client, tokens.refresh()).await)
}

/// Where its MCP server is gone.
async fn elsewhere(house: &House, client: &str, token: &str) -> RefreshRefusal {
    let settings = Settings { servers: Vec::new(), ..settings() };
    let elsewhere = AuthorizationServer::new(settings, house.server.parts.clone());
    let refresh = form(&[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]);
    refusal(elsewhere.token(&TokenHeaders::default(), &refresh, &caller()).await)
}

/// What a refresh token of an old generation is worth that is bound to a key, with the proof of another key or none.
async fn bound(house: &House, key: Option<Thumbprint>, dpop: DpopMode) -> Result<Refresh, RefreshRefusal> {
    let (client, tokens) = house.tokens().await;
    let record = house.store.find_grant(house.grant_of(&tokens)).await.unwrap().unwrap();
    let keys = house.server.parts.keys.load_full();
    let record = GrantRecord { dpop_key: Some(Thumbprint::from_bytes([7; 32])), generation: 5, ..record };
    let attempt = Attempt {
        client_id: &ClientId::parse(&client).unwrap(),
        dpop,
        key,
        keys: &keys.refresh_tokens,
        now: house.clock.now(),
        repeat: Duration::ZERO,
        resource: &[],
        resource_now: None,
        scope: None,
        steps_up: None,
        token: &refresh_token::parse(tokens.refresh()).unwrap(),
    };
    decide(Some(&record), &attempt)
}

/// RFC 9449, section 5: what is bound stays bound, and who does not hold the key ends nothing with what was stolen.
#[tokio::test]
async fn a_bound_refresh_token_is_judged_by_its_key_before_it_can_end_anything() {
    let house = House::new().await;
    let holder = Some(Thumbprint::from_bytes([7; 32]));
    for dpop in [DpopMode::Off, DpopMode::Optional, DpopMode::Required] {
        assert_eq!(bound(&house, None, dpop).await, Err(RefreshRefusal::ProofMissing));
        let other = Some(Thumbprint::from_bytes([8; 32]));
        assert_eq!(bound(&house, other, dpop).await, Err(RefreshRefusal::OtherKey));
        // It is of an old generation, and its holder is told so.
        assert_eq!(bound(&house, holder, dpop).await, Err(RefreshRefusal::Reused));
    }
}

/// Product.md, P-12: a client that was told that its scope is too small and refreshes at once is told once to begin anew.
#[tokio::test]
async fn a_refresh_in_place_of_a_step_up_is_refused_once_and_ends_nothing() {
    let house = House::new().await;
    let (client, mut tokens) = house.tokens().await;
    let grant = house.grant_of(&tokens);
    let needs_more = || house.server.parts.timeline.needs_more(grant, house.clock.now());
    let seconds = |seconds| house.clock.advance(Duration::from_secs(seconds));
    needs_more();
    seconds(29);
    // With more scope than was granted it is the same fault.
    let more = [("grant_type", "refresh_token"), ("client_id", &client), ("scope", "read write admin")];
    let more = form(&[&more[..], &[("refresh_token", tokens.refresh())]].concat());
    let refused = refusal(house.server.token(&TokenHeaders::default(), &more, &caller()).await);
    assert_eq!((refused, refused.code()), (RefreshRefusal::StepUp, ErrorCode::InvalidGrant));
    assert_eq!(house.events(AuditKind::TokenRefused).await[0].reason.as_deref(), Some("step_up_by_refresh"));
    tokens = Tokens::of(house.refresh(&client, tokens.refresh()).await.unwrap());
    // Whoever waits, or whose token is half over, refreshes for another reason.
    for wait in [[0, 30], [300, 1]] {
        seconds(wait[0]);
        needs_more();
        seconds(wait[1]);
        tokens = Tokens::of(house.refresh(&client, tokens.refresh()).await.unwrap());
    }
    // A repeat of a refresh whose answer was lost is answered.
    let lost = tokens.refresh().to_owned();
    house.refresh(&client, &lost).await.unwrap();
    needs_more();
    house.refresh(&client, &lost).await.unwrap();
}

/// AS-178.
#[tokio::test]
async fn a_refresh_rotates_and_is_written_down() {
    let house = House::new().await;
    let (client, first) = house.tokens().await;
    house.clock.advance(Duration::from_secs(3600));
    let second = Tokens::of(house.refresh(&client, first.refresh()).await.unwrap());
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_eq!(second.scope, "read write");
    assert_eq!(house.claims(&second.access_token).iat, house.clock.now().secs());
    let grant = house.store.find_grant(house.grant_of(&first)).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.rotated_at), (1, house.clock.now()));
    assert_eq!(grant.idle_expires_at, house.clock.now().plus(Duration::from_secs(30 * 86_400)));
    let events = house.events(AuditKind::TokenRefreshed).await;
    assert_eq!((events.len(), events[0].grant), (1, Some(grant.id)));
}

/// TK-26: the answer was lost; the same successor once more, and a fresh access token.
#[tokio::test]
async fn a_repeat_in_time_gets_the_same_successor() {
    let house = House::new().await;
    let (client, first) = house.tokens().await;
    let second = Tokens::of(house.refresh(&client, first.refresh()).await.unwrap());
    house.clock.advance(Duration::from_secs(60));
    let again = Tokens::of(house.refresh(&client, first.refresh()).await.unwrap());
    assert_eq!(again.refresh_token, second.refresh_token);
    assert_ne!(again.access_token, second.access_token);
    assert_eq!(house.events(AuditKind::RefreshRepeated).await.len(), 1);
    house.refresh(&client, second.refresh()).await.unwrap();
}

/// TK-25 and TK-27.
#[tokio::test]
async fn a_repeat_that_is_late_or_whose_successor_was_used_ends_the_family() {
    let house = House::new().await;
    for (uses_successor, wait) in [(false, 60_000_001), (true, 0)] {
        let (client, first) = house.tokens().await;
        let mut last = Tokens::of(house.refresh(&client, first.refresh()).await.unwrap());
        if uses_successor {
            last = Tokens::of(house.refresh(&client, last.refresh()).await.unwrap());
        }
        house.clock.advance(Duration::from_micros(wait));
        assert_eq!(refusal(house.refresh(&client, first.refresh()).await), RefreshRefusal::Reused);
        assert_eq!(refusal(house.refresh(&client, last.refresh()).await), RefreshRefusal::Ended);
        let revocations = house.store.list_revocations(house.clock.now()).await.unwrap();
        let id = house.grant_of(&first).to_string();
        assert!(
            revocations
                .iter()
                .any(|revocation| revocation.id == id && revocation.not_before > house.clock.now())
        );
    }
    assert_eq!(house.events(AuditKind::RefreshReused).await.len(), 2);
}

/// P-3: the window is the server's own, and zero means never.
#[tokio::test]
async fn with_no_window_the_first_repeat_ends_the_family() {
    let mut settings = settings();
    settings.servers[0].refresh_repeat = Duration::ZERO;
    let house = House::with(settings).await;
    let (client, first) = house.tokens().await;
    house.refresh(&client, first.refresh()).await.unwrap();
    assert_eq!(refusal(house.refresh(&client, first.refresh()).await), RefreshRefusal::Reused);
}

/// TK-28.
#[tokio::test]
async fn of_many_refreshes_at_once_all_get_the_same_successor() {
    let house = House::new().await;
    let (client, first) = house.tokens().await;
    let all = (0..32).map(|_| house.refresh(&client, first.refresh()));
    let answers = futures_util::future::join_all(all).await;
    let successors: HashSet<_> =
        answers.into_iter().map(|answer| Tokens::of(answer.unwrap()).refresh_token).collect();
    assert_eq!(successors.len(), 1);
    let grant = house.store.find_grant(house.grant_of(&first)).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.revoked_at), (1, None));
    let counted = (
        house.events(AuditKind::TokenRefreshed).await.len(),
        house.events(AuditKind::RefreshRepeated).await.len(),
    );
    assert_eq!(counted, (1, 31), "one event for each answer");
}

/// RV-05: whatever the order, after both have returned no live token exists.
#[tokio::test]
async fn a_refresh_and_a_revocation_at_once_leave_nothing_alive() {
    let house = House::new().await;
    for _ in 0..20 {
        let (client, first) = house.tokens().await;
        let revocation = form(&[("client_id", &client), ("token", first.refresh())]);
        let caller = caller();
        let (refreshed, revoked) = futures_util::future::join(
            house.refresh(&client, first.refresh()),
            house.server.revoke(&[], &revocation, &caller),
        )
        .await;
        revoked.unwrap();
        let grant = house.store.find_grant(house.grant_of(&first)).await.unwrap().unwrap();
        assert!(grant.revoked_at.is_some());
        if let Ok(response) = refreshed {
            let tokens = Tokens::of(response);
            assert_eq!(refusal(house.refresh(&client, tokens.refresh()).await), RefreshRefusal::Ended);
            let revocations = house.store.list_revocations(house.clock.now()).await.unwrap();
            let iat = protocol::world::Timestamp::from_secs(house.claims(&tokens.access_token).iat);
            let id = grant.id.to_string();
            assert!(revocations.iter().any(|revocation| revocation.id == id && iat <= revocation.not_before));
        }
    }
}

/// D-8 and OAuth 2.1, section 4.3.1: the access token may have less, the refresh token keeps the whole.
#[tokio::test]
async fn a_narrower_scope_narrows_the_access_token_only() {
    let house = House::new().await;
    let (client, first) = house.tokens().await;
    let second = Tokens::of(with(&house, &client, first.refresh(), &[("scope", "read")]).await.unwrap());
    assert_eq!(
        (second.scope.as_str(), house.claims(&second.access_token).scope.as_deref()),
        ("read", Some("read"))
    );
    let third = Tokens::of(house.refresh(&client, second.refresh()).await.unwrap());
    assert_eq!(third.scope, "read write");
}

/// P-11: leaving the group ends access at the next refresh, and coming back gives it back.
#[tokio::test]
async fn a_person_who_left_the_group_is_refused_and_loses_nothing() {
    let house = House::new().await;
    house.connector.change(|alice| alice.groups = vec!["ops".to_owned()]);
    let client = house.public_client();
    let code = house.code(request(&client, &[("resource", VAULT)])).await;
    let tokens = Tokens::of(house.redeem(&client, &code).await.unwrap());
    house.connector.change(|alice| alice.groups = Vec::new());
    house.to_consent(&mut Cookies::default(), request(&client, &[])).await;
    let refused = refusal(house.refresh(&client, tokens.refresh()).await);
    assert_eq!(refused, RefreshRefusal::Person(PersonRefusal::NotAdmitted));
    assert_eq!(house.events(AuditKind::TokenRefused).await[0].reason.as_deref(), Some("not_admitted"));
    house.connector.change(|alice| alice.groups = vec!["ops".to_owned()]);
    house.to_consent(&mut Cookies::default(), request(&client, &[])).await;
    house.refresh(&client, tokens.refresh()).await.unwrap();
}

/// TK-39.
#[tokio::test]
async fn a_refresh_in_the_last_moments_of_a_grant_gives_a_short_token_or_none() {
    let house = House::new().await;
    let (client, mut tokens) = house.tokens().await;
    for _ in 0..6 {
        house.clock.advance(Duration::from_secs(29 * 86_400));
        tokens = Tokens::of(house.refresh(&client, tokens.refresh()).await.unwrap());
    }
    house.clock.advance(Duration::from_secs(6 * 86_400 - 3));
    let response = house.refresh(&client, tokens.refresh()).await.unwrap();
    assert_eq!(response.expires_in, 3);
    tokens = Tokens::of(response);
    house.clock.advance(Duration::from_millis(2_950));
    assert_eq!(refusal(house.refresh(&client, tokens.refresh()).await), RefreshRefusal::Expired);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(house.refresh(&client, tokens.refresh()).await), RefreshRefusal::Expired);
}

/// P-3: set back, not stolen.
#[tokio::test]
async fn a_token_newer_than_the_record_is_written_down_as_set_back_and_ends_nothing() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let ahead = token_of(&house, house.grant_of(&tokens), 7).await;
    assert_eq!(refusal(house.refresh(&client, &ahead).await), RefreshRefusal::SetBack);
    assert_eq!(house.events(AuditKind::RefreshSetBack).await.len(), 1);
    assert!(house.events(AuditKind::RefreshReused).await.is_empty());
    house.refresh(&client, tokens.refresh()).await.unwrap();
    assert_eq!(house.store.counts().await.unwrap().revocations, 0);
}

/// A restore ends all grants at one moment; whoever comes with a token of one, of whatever generation, is no thief.
#[tokio::test]
async fn a_grant_that_a_restore_ended_is_told_apart_from_a_stolen_one() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    let grant = house.grant_of(&tokens);
    let next = Tokens::of(house.refresh(&client, tokens.refresh()).await.unwrap());
    let ahead = token_of(&house, grant, 7).await;
    house.clock.advance(Duration::from_secs(3600));
    house.store.put_meta("restored_at", &house.clock.now().micros().to_string()).await.unwrap();
    let mut audit =
        store::AuditEvent::new(Id::from_bytes([8; 16]), house.clock.now(), AuditKind::Restored, Outcome::Ok);
    audit.reason = Some("drill");
    let revocation = super::super::revocation_of(grant, house.clock.now());
    let end = store::EndGrant { grant, revocation, audit };
    assert!(house.store.end_grant(end, house.clock.now()).await.unwrap());
    for token in [tokens.refresh(), next.refresh(), ahead.as_str()] {
        assert_eq!(refusal(house.refresh(&client, token).await), RefreshRefusal::Restored);
    }
    let told = house.events(AuditKind::RefreshSetBack).await;
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|event| event.reason.as_deref() == Some("record_restored")));
    assert!(house.events(AuditKind::RefreshReused).await.is_empty());
}

#[tokio::test]
async fn a_blocked_client_refreshes_no_more() {
    let house = House::new().await;
    let (client, tokens) = house.tokens().await;
    house.block(&client).await;
    let refused = house.refresh(&client, tokens.refresh()).await.unwrap_err();
    assert_eq!((refused.reason(), refused.code()), ("client_blocked", ErrorCode::InvalidClient));
}
