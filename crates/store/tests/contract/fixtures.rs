//! Records to put in. Every id and hash is its number, so that a failure can be read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::id::{Authorization, Grant, Id, Reference, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ClientId, CodeChallenge, ResourceUri, Scope};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;
use store::{
    AcceptedRequest, AuditEvent, AuditKind, AuthorizationRecord, AuthorizationState, Authorizations as _,
    BrowserSessionRecord, ClientRecord, Consent, ConsentOutcome, Engine, GrantRecord, NewAuthorization,
    NewIdentity, Outcome, PendingCaps, PutOutcome, Redeem, RedeemOutcome, Revocation, RevocationKind, SignIn,
    SignInOutcome, UpstreamLeg, UserRecord, Users as _,
};

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const CAPS: PendingCaps = PendingCaps { per_address: 1000, total: 10_000 };

pub(crate) fn id<T>(number: u64) -> Id<T> {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Id::from_bytes(bytes)
}

pub(crate) fn hash(name: &str, number: u64) -> Hash {
    Hash::of(format!("{name} {number}").as_bytes())
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

pub(crate) fn event(kind: AuditKind) -> AuditEvent {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    AuditEvent::new(id(COUNT.fetch_add(1, Ordering::Relaxed)), NOW, kind, Outcome::Ok)
}

pub(crate) fn client_id() -> ClientId {
    ClientId::parse("dcr_AAECAw").unwrap()
}

pub(crate) fn client() -> ClientRecord {
    ClientRecord {
        client_id: client_id(),
        kind: client_id().kind(),
        metadata: r#"{"client_name":"Inspector \u2713"}"#.to_owned(),
        fingerprint: hash("fingerprint", 1),
        name: Some("Inspector ✓".to_owned()),
        first_consented_at: NOW,
        last_used_at: NOW,
        blocked_at: None,
    }
}

pub(crate) fn request() -> AcceptedRequest {
    AcceptedRequest {
        redirect_uri: "http://127.0.0.1:33418/callback?x=%20".to_owned(),
        state: Some("\"quoted\" 'state' ☃".to_owned()),
        scope: scope("read write"),
        resource: ResourceUri::parse("https://mcp.example.com/docs/mcp").unwrap(),
        server: "docs".to_owned(),
        code_challenge: CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Some("S256"))
            .unwrap(),
        prompt: Some("consent".to_owned()),
        max_age: Some(3600),
        login_hint: None,
        dpop_key: Some(Thumbprint::from_bytes([8; 32])),
        from_outside: true,
        client_metadata: Some("{}".to_owned()),
    }
}

pub(crate) fn asking(number: u64) -> NewAuthorization {
    NewAuthorization {
        id: id(number),
        reference: Reference::parse("K7Q2-9XWD").unwrap(),
        browser: hash("browser", number),
        address: "192.0.2.7".to_owned(),
        network: "192.0.2.7".to_owned(),
        client_id: client_id(),
        request: request(),
        created_at: NOW,
        expires_at: NOW.plus(10 * MINUTE),
    }
}

pub(crate) fn as_record(new: NewAuthorization, state: AuthorizationState) -> AuthorizationRecord {
    AuthorizationRecord {
        id: new.id,
        reference: new.reference,
        browser: new.browser,
        address: new.address,
        client_id: new.client_id,
        request: new.request,
        state,
        created_at: new.created_at,
        expires_at: new.expires_at,
    }
}

pub(crate) fn leg(number: u64) -> UpstreamLeg {
    UpstreamLeg {
        connector: "corp".to_owned(),
        state_hash: hash("state", number),
        leg_hash: hash("leg", number),
        nonce_hash: hash("nonce", number),
        verifier: Sealed::from_bytes(vec![1, 0, 255, 7]),
    }
}

pub(crate) fn session(number: u64) -> BrowserSessionRecord {
    BrowserSessionRecord {
        hash: hash("session", number),
        user: id(0),
        created_at: NOW,
        authenticated_at: NOW.minus(MINUTE),
        expires_at: NOW.plus(12 * 60 * MINUTE),
        upstream_session: None,
    }
}

pub(crate) fn signing_in(number: u64) -> SignIn {
    SignIn {
        user: NewIdentity {
            id: id(number),
            connector: "corp".to_owned(),
            subject: format!("00u{number}"),
            name: Some("Ada Lovelace".to_owned()),
            email: None,
            groups: vec!["eng".to_owned(), "on \"call\"".to_owned()],
        },
        session: session(number),
        offline: None,
        authorization: None,
        audit: event(AuditKind::SignIn),
    }
}

/// The yes of a person in the browser session that [`person`] gave them.
pub(crate) fn consenting(number: u64, user: Id<User>) -> Consent {
    let of_user = user.as_bytes().last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    Consent {
        id: id(number),
        user,
        browser_session: hash("session", of_user),
        scope: scope("read"),
        code_hash: hash("code", number),
        code_expires_at: NOW.plus(MINUTE),
        shown: hash("shown", number),
        grant_expires_at: Some(NOW.plus(DAY)),
        by: None,
        kept: Vec::new(),
        upstream_session: None,
        client: client(),
        audit: event(AuditKind::ConsentGiven),
    }
}

pub(crate) fn grant(number: u64, user: Id<User>) -> GrantRecord {
    GrantRecord {
        id: id(number),
        user,
        client_id: client_id(),
        resource: request().resource,
        server: "docs".to_owned(),
        scope: scope("read"),
        authorization: id(number),
        seed: [7; 16],
        generation: 0,
        rotated_at: NOW,
        created_at: NOW,
        last_used_at: NOW,
        idle_expires_at: NOW.plus(30 * DAY),
        expires_at: NOW.plus(180 * DAY),
        shown: hash("shown", number),
        revoked_at: None,
        dpop_key: Some(Thumbprint::from_bytes([9; 32])),
    }
}

pub(crate) fn redeeming(number: u64, user: Id<User>) -> Redeem {
    Redeem {
        authorization: id(number),
        code_hash: hash("code", number),
        grant: grant(number, user),
        max_attempts: 5,
        audit: event(AuditKind::TokenIssued),
    }
}

pub(crate) fn revocation(kind: RevocationKind, id: &str) -> Revocation {
    Revocation { kind, id: id.to_owned(), not_before: NOW, expires_at: NOW.plus(60 * MINUTE) }
}

/// Somebody who signed in.
pub(crate) async fn person(store: &Engine, number: u64) -> UserRecord {
    let outcome = store.sign_in(signing_in(number)).await.unwrap();
    let SignInOutcome::SignedIn(user) = outcome else { panic!("{outcome:?}") };
    user
}

/// An authorization to which somebody said yes. Its code is `hash("code", number)`.
pub(crate) async fn consented(store: &Engine, number: u64, user: Id<User>) -> Id<Authorization> {
    assert_eq!(store.put_authorization(asking(number), CAPS, NOW).await.unwrap(), PutOutcome::Stored);
    let consent = store.consent(consenting(number, user), NOW).await.unwrap();
    assert_eq!(consent, ConsentOutcome::Consented);
    id(number)
}

/// A live grant.
pub(crate) async fn granted(store: &Engine, number: u64, user: Id<User>) -> Id<Grant> {
    consented(store, number, user).await;
    let redeemed = store.redeem(redeeming(number, user), NOW).await.unwrap();
    assert_eq!(redeemed, RedeemOutcome::Redeemed);
    id(number)
}
