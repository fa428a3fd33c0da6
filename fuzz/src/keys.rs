//! What is sealed or signed: nothing opens but what was closed here, for its place, unchanged.

use std::sync::LazyLock;

use protocol::id::Id;
use protocol::jose::{Algorithm, Expect, SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use protocol::mcp::session::{SessionOwner, open_session, seal_session};
use protocol::oauth::{ClientId, refresh_token};
use protocol::secret::Sealed;
use serde_json::Value;

use crate::text::{changed, halves, text};
use crate::world::{KEY, MACS, SEALS, Same};

/// Sealed blobs, sealed sessions and refresh tokens (attacks ST-02, SE-04, TK-27). The first line changes what the rest
/// was sealed into.
pub(crate) fn sealed(data: &[u8]) {
    let (by, plaintext) = halves(data);
    let key = SEALS.active();
    let context: [&[u8]; 2] = [b"here", by];
    assert!(SEALS.open(&context, &Sealed::from_bytes(data.to_vec())).is_err(), "made by nobody");
    let sealed = key.seal(&context, plaintext, &Same);
    let opened = SEALS.open(&context, &Sealed::from_bytes(sealed.as_bytes().to_vec()));
    assert_eq!(opened.map(|opened| opened.to_vec()).as_deref(), Ok(plaintext));
    assert!(SEALS.open(&context, &Sealed::from_bytes(changed(sealed.as_bytes(), by))).is_err(), "changed");
    // Two parts are not one, and a moved border is another place.
    for elsewhere in [vec![&b"here"[..]], vec![&b"her"[..], b"e", by], vec![by, &b"here"[..], b""], vec![]] {
        assert!(SEALS.open(&elsewhere, &sealed).is_err(), "in another place");
    }
    let cut = sealed.as_bytes().len() - 1;
    let cut = sealed.as_bytes().get(..cut).unwrap_or_default().to_vec();
    assert!(SEALS.open(&context, &Sealed::from_bytes(cut)).is_err(), "cut");
    sessions(data, by, plaintext);
    refresh_tokens(data, by);
}

fn sessions(data: &[u8], by: &[u8], plaintext: &[u8]) {
    let owner = |user: u8, server: &'static str| SessionOwner {
        user: Id::from_bytes([user; 16]),
        server,
        client_id: "c",
        signer: None,
    };
    if let Some(made_up) = text(data) {
        assert!(open_session(&SEALS, made_up, &owner(1, "notes")).is_err(), "made by nobody");
    }
    let Some(upstream) = text(plaintext) else { return };
    let given = seal_session(SEALS.active(), upstream, &owner(1, "notes"), &Same);
    assert!(given.bytes().all(|byte| byte.is_ascii_graphic()), "{given}");
    // Longer ones are not made by the gateway and not read by it.
    if given.len() <= 8 * 1024 {
        assert_eq!(open_session(&SEALS, &given, &owner(1, "notes")).as_deref(), Ok(upstream));
    }
    for stranger in [owner(2, "notes"), owner(1, "ledger"), owner(1, "note")] {
        assert!(open_session(&SEALS, &given, &stranger).is_err(), "of somebody else");
    }
    if let Ok(other) = String::from_utf8(changed(given.as_bytes(), by)) {
        assert!(open_session(&SEALS, &other, &owner(1, "notes")).is_err(), "changed");
    }
}

fn refresh_tokens(data: &[u8], by: &[u8]) {
    let seed = [9; 16];
    let Ok(client) = ClientId::parse("c") else { return };
    if let Some(token) = text(data).and_then(refresh_token::parse) {
        assert!(!token.verify(&MACS, &seed, &client), "made by nobody");
    }
    let minted = refresh_token::mint(MACS.active(), Id::from_bytes([5; 16]), 7, &seed, &client).reveal();
    let token = refresh_token::parse(&minted);
    assert!(token.is_some_and(|token| token.verify(&MACS, &seed, &client)));
    if let Ok(other) = String::from_utf8(changed(minted.as_bytes(), by)) {
        let token = refresh_token::parse(&other);
        assert!(token.is_none_or(|token| !token.verify(&MACS, &seed, &client)), "{other}");
    }
}

static SIGNING: LazyLock<Option<SigningKey>> = LazyLock::new(|| {
    let pkcs8 = SigningKey::generate_pkcs8().ok()?;
    SigningKey::from_pkcs8(KeyId::from_bytes(KEY), &pkcs8).ok()
});

/// Signed tokens and key sets (attacks ST-14). The first line changes a token whose claims are the rest; the whole is taken
/// for a token and for a key set.
pub(crate) fn tokens(data: &[u8]) {
    const EXPECT: Expect<'static> = Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256] };
    const ANY: Expect<'static> = Expect {
        typ: None,
        algorithms: &[Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256, Algorithm::EdDsa],
    };
    let Some(key) = &*SIGNING else { return };
    let keys = VerifyingKeys::of([key].into_iter());
    if let Some(token) = text(data) {
        for expect in [&EXPECT, &ANY] {
            assert!(keys.verify::<Value>(token, expect).is_err(), "signed by nobody");
        }
    }
    if let Ok(set) = serde_json::from_slice::<Value>(data)
        && let Ok(theirs) = VerifyingKeys::from_jwks(&set)
    {
        let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.c2ln";
        assert!(theirs.verify::<Value>(token, &ANY).is_err(), "no signature");
    }
    let (by, claims) = halves(data);
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else { return };
    let Ok(token) = key.sign("at+jwt", &claims) else { return };
    let read = keys.verify::<Value>(&token, &EXPECT);
    let fits = claims.is_object() && token.len() <= 16 * 1024;
    // A number that is no integer may be written in another way than it came.
    assert!(read.is_ok() == fits || claims.to_string().contains(['.', 'e']), "{claims}");
    assert!(keys.verify::<Value>(&token, &ANY).is_err(), "of another type");
    if let Ok(other) = String::from_utf8(changed(token.as_bytes(), by)) {
        assert!(keys.verify::<Value>(&other, &EXPECT).is_err(), "changed: {other}");
    }
}
