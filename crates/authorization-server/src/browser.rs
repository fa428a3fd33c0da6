//! What a browser carries: cookies of three kinds, and whether the request came from another site (product.md, P-10).
//!
//! Cookie values are secrets of 256 bits; the record keeps their hashes. A value that we could not have made is
//! treated as absent.

use std::time::Duration;

use protocol::secret::{Hash, Secret};
use protocol::world::Entropy;

/// The prefix of the cookie that ties pending authorizations to a browser.
const BINDING: &str = "skb_";
/// The prefix of the cookie that ties an upstream leg to a browser.
const LEG: &str = "skl_";
/// The prefix of the browser session's cookie.
const SESSION: &str = "sks_";
/// Length of a random secret without its prefix: 32 bytes in base64url.
const RANDOM_CHARACTERS: usize = 43;

/// What one request of a browser carries.
#[derive(Debug, Default)]
pub struct Browser {
    /// The cookies that tie pending authorizations to this browser. One; or several, if several tabs were opened at
    /// once before the first of them was answered, as clients of several MCP servers do.
    pub bindings: Vec<Secret>,
    /// Whether the request came from another site, or nobody says (`Sec-Fetch-Site` is neither `none` nor
    /// `same-origin`).
    pub from_outside: bool,
    /// The cookie that ties the upstream leg to this browser; set by the approval only.
    pub leg: Option<Secret>,
    /// The browser session.
    pub session: Option<Secret>,
}

impl Browser {
    /// What the record may know this browser by, if it has been here before.
    pub(crate) fn binding_hashes(&self) -> impl Iterator<Item = Hash> {
        self.bindings.iter().filter_map(|binding| recognised(BINDING, Some(binding)))
    }

    /// What the record knows its upstream leg by.
    pub(crate) fn leg_hash(&self) -> Option<Hash> {
        recognised(LEG, self.leg.as_ref())
    }

    /// What the record knows its session by.
    pub(crate) fn session_hash(&self) -> Option<Hash> {
        recognised(SESSION, self.session.as_ref())
    }

    /// The binding of this browser: the one it has, so that a second tab does not end the first, or a new one to set.
    pub(crate) fn bind(&self, entropy: &dyn Entropy) -> (Hash, Option<Secret>) {
        if let Some(hash) = self.binding_hashes().next() {
            return (hash, None);
        }
        let minted = Secret::random(BINDING, entropy);
        (minted.hash(), Some(minted))
    }

    /// The cookie that the record knows by this hash, to be set once more for longer.
    pub(crate) fn binding_again(&self, hash: &Hash, life: Duration) -> Option<(Secret, Duration)> {
        let held = self.bindings.iter().find(|binding| binding.hash().matches(hash))?;
        Some((held.expose(|text| Secret::new(text.to_owned())), life))
    }

    /// The same for the upstream leg, whose cookie is set each time: it lives as long as the leg that begins now.
    pub(crate) fn bind_leg(&self, entropy: &dyn Entropy) -> Secret {
        let held = self.leg.as_ref().filter(|_| self.leg_hash().is_some());
        held.map_or_else(
            || Secret::random(LEG, entropy),
            |held| held.expose(|text| Secret::new(text.to_owned())),
        )
    }
}

/// A fresh session secret. Never reused: the session's id changes at every sign-in (attacks.md, AZ-40).
pub(crate) fn mint_session(entropy: &dyn Entropy) -> Secret {
    Secret::random(SESSION, entropy)
}

/// The hash of a cookie that has the form of ours.
fn recognised(prefix: &str, secret: Option<&Secret>) -> Option<Hash> {
    let secret = secret?;
    let is_random = |text: &str| {
        text.len() == RANDOM_CHARACTERS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    secret.expose(|text| text.strip_prefix(prefix).is_some_and(is_random)).then(|| secret.hash())
}
