//! Nonces for proofs (RFC 9449, sections 8 and 9): the time, sealed. Nothing is kept of them, any node takes those of any
//! other, and they go with the key that sealed them.
//!
//! A nonce is none of the client's business: whatever does not open is answered in one way, so nothing is learned by trying.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{KeyId, KeyRing, SealingKey};
use crate::secret::Sealed;
use crate::world::{Entropy, Timestamp, between_nodes};

/// How long one is handed out. All who ask meanwhile get the same, so that a key seals one a minute and not one a request.
const HANDED_OUT: Duration = Duration::from_secs(60);
/// How long one is taken.
const TAKEN: Duration = between_nodes(Duration::from_secs(5 * 60));
/// How far the clock of the node that made it may be ahead of ours.
const AHEAD: Duration = between_nodes(Duration::from_secs(60));
const PLACE: [&[u8]; 2] = [b"dpop", b"nonce"];

/// The nonce that is handed out at the moment.
#[derive(Debug, Default)]
pub struct Nonces {
    current: RwLock<Option<Current>>,
}

#[derive(Debug, Clone)]
struct Current {
    made_at: Timestamp,
    key: KeyId,
    text: String,
}

impl Nonces {
    /// The nonce to hand out now.
    #[must_use]
    pub fn current(&self, keys: &KeyRing<SealingKey>, now: Timestamp, entropy: &dyn Entropy) -> String {
        let key = keys.active();
        let is_good = |current: &&Current| {
            current.key == key.id() && current.made_at <= now && now < current.made_at.plus(HANDED_OUT)
        };
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = known.as_ref().filter(is_good) {
            return current.text.clone();
        }
        drop(known);
        let sealed = key.seal(&PLACE, &now.micros().to_be_bytes(), entropy);
        let text = URL_SAFE_NO_PAD.encode(sealed.as_bytes());
        let current = Current { made_at: now, key: key.id(), text: text.clone() };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
        text
    }

    /// Whether this is a nonce of this house, and not too old.
    #[must_use]
    pub fn takes(keys: &KeyRing<SealingKey>, nonce: &str, now: Timestamp) -> bool {
        let opened = URL_SAFE_NO_PAD
            .decode(nonce)
            .ok()
            .and_then(|bytes| keys.open(&PLACE, &Sealed::from_bytes(bytes)).ok())
            .and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
        let made_at = opened.map(|bytes| Timestamp::from_micros(i64::from_be_bytes(bytes)));
        made_at.is_some_and(|made_at| made_at <= now.plus(AHEAD) && now < made_at.plus(TAKEN))
    }
}
