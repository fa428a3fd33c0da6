//! Refresh tokens: opaque, one living generation per grant (OAuth 2.1, section 4.3).
//!
//! `skr_` and base64url of: version 1, key id (4), grant id (16), generation (4), MAC (32). The MAC covers a
//! random seed that is in the grant's row only, so neither the key nor the row alone can make one. Nothing in
//! a token is believed before [`RefreshToken::verify`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ClientId;
use crate::id::{Grant, Id};
use crate::keys::{KeyId, KeyRing, MacKey};
use crate::secret::Secret;

const PREFIX: &str = "skr_";
const VERSION: u8 = 1;
const LABEL: &str = "refresh token";
/// Version, key id, grant id, generation, MAC.
const LENGTH: usize = 1 + 4 + 16 + 4 + 32;

/// A refresh token taken apart; not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The key that is said to have made it.
    pub key: KeyId,
    /// The grant it says it belongs to.
    pub grant: Id<Grant>,
    /// The generation it says it is.
    pub generation: u32,
    mac: [u8; 32],
}

/// The token of one generation of a grant. The same input gives the same token, so that a repeated request
/// can be answered as before.
#[must_use]
pub fn mint(
    key: &MacKey,
    grant: Id<Grant>,
    generation: u32,
    seed: &[u8; 16],
    client_id: &ClientId,
) -> Secret {
    let mac = mark(key, grant, generation, seed, client_id);
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.push(VERSION);
    bytes.extend_from_slice(key.id().as_bytes());
    bytes.extend_from_slice(grant.as_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&mac);
    let mut text = String::with_capacity(PREFIX.len() + LENGTH.div_ceil(3) * 4);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
    Secret::new(text)
}

/// Takes a token apart; `None` if it has not the form of one.
#[must_use]
pub fn parse(text: &str) -> Option<RefreshToken> {
    let encoded = text.strip_prefix(PREFIX)?;
    if encoded.len() != LENGTH.div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (key, rest) = rest.split_first_chunk::<4>()?;
    let (grant, rest) = rest.split_first_chunk::<16>()?;
    let (generation, mac) = rest.split_first_chunk::<4>()?;
    let mac = <[u8; 32]>::try_from(mac).ok()?;
    (*version == VERSION).then_some(RefreshToken {
        key: KeyId::from_bytes(*key),
        grant: Id::from_bytes(*grant),
        generation: u32::from_be_bytes(*generation),
        mac,
    })
}

fn mark(key: &MacKey, grant: Id<Grant>, generation: u32, seed: &[u8; 16], client_id: &ClientId) -> [u8; 32] {
    key.mac(LABEL, &[grant.as_bytes(), &generation.to_be_bytes(), seed, client_id.as_str().as_bytes()])
}

impl RefreshToken {
    /// Whether the token was made here for the grant with this seed and for this client. Which generation
    /// lives is for the grant's row to say.
    #[must_use]
    pub fn verify(&self, keys: &KeyRing<MacKey>, seed: &[u8; 16], client_id: &ClientId) -> bool {
        let parts: [&[u8]; 4] =
            [self.grant.as_bytes(), &self.generation.to_be_bytes(), seed, client_id.as_str().as_bytes()];
        keys.find(self.key).is_some_and(|key| key.verify(LABEL, &parts, &self.mac))
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken")
            .field("key", &self.key)
            .field("grant", &self.grant)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: Id<Grant> = Id::from_bytes([7; 16]);
    const SEED: [u8; 16] = [8; 16];

    fn key(byte: u8) -> MacKey {
        MacKey::new(KeyId::from_bytes([byte; 4]), &[byte; 32])
    }

    fn ring(active: u8, older: &[u8]) -> KeyRing<MacKey> {
        KeyRing::new(key(active), older.iter().map(|byte| key(*byte)).collect())
    }

    fn client(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    fn token() -> String {
        mint(&key(1), GRANT, 3, &SEED, &client("c")).reveal()
    }

    #[test]
    fn a_token_says_its_grant_and_generation_and_verifies() {
        let token = parse(&token()).unwrap();
        assert_eq!((token.key, token.grant, token.generation), (KeyId::from_bytes([1; 4]), GRANT, 3));
        assert!(token.verify(&ring(1, &[]), &SEED, &client("c")));
        assert!(token.verify(&ring(2, &[1]), &SEED, &client("c")));
    }

    #[test]
    fn the_same_generation_is_the_same_token() {
        assert_eq!(token(), token());
        assert_ne!(token(), mint(&key(1), GRANT, 4, &SEED, &client("c")).reveal());
        assert_eq!(token().len(), 80);
    }

    /// AS-177.
    #[test]
    fn another_seed_client_generation_or_key_does_not_verify() {
        let token = parse(&token()).unwrap();
        assert!(!token.verify(&ring(1, &[]), &[9; 16], &client("c")));
        assert!(!token.verify(&ring(1, &[]), &SEED, &client("d")));
        assert!(!token.verify(&ring(2, &[]), &SEED, &client("c")));
        let later = RefreshToken { generation: 4, ..token };
        assert!(!later.verify(&ring(1, &[]), &SEED, &client("c")));
        let other = RefreshToken { grant: Id::from_bytes([6; 16]), ..token };
        assert!(!other.verify(&ring(1, &[]), &SEED, &client("c")));
    }

    /// TK-31, TK-04.
    #[test]
    fn what_has_not_the_form_of_a_token_is_none() {
        let token = token();
        let encoded = token.strip_prefix(PREFIX).unwrap();
        for bad in [
            "",
            "skr_",
            "skr_AQ",
            encoded,
            &token.replace("skr_", "ska_"),
            &format!("{token}A"),
            &format!("{token}="),
            &format!(" {token}"),
            &token.replace("skr_AQ", "skr_Ag"),
            "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
            &format!("skr_{}", "+".repeat(76)),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_debug_text_does_not_hold_the_mac() {
        let text = format!("{:?}", parse(&token()).unwrap());
        assert!(text.contains("generation: 3") && !text.contains("mac"));
    }
}
