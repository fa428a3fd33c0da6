//! Keys and chance that are the same in every run, so that a finding can be run again.

use std::sync::LazyLock;

use protocol::keys::{KeyId, KeyRing, MacKey, SealingKey};
use protocol::oauth::RedirectPolicy;
use protocol::world::Entropy;

pub(crate) const KEY: [u8; 4] = [1, 2, 3, 4];

/// Chance that is none.
#[derive(Debug)]
pub(crate) struct Same;

impl Entropy for Same {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

pub(crate) static MACS: LazyLock<KeyRing<MacKey>> =
    LazyLock::new(|| KeyRing::new(MacKey::new(KeyId::from_bytes(KEY), &[3; 32]), Vec::new()));

pub(crate) static SEALS: LazyLock<KeyRing<SealingKey>> =
    LazyLock::new(|| KeyRing::new(SealingKey::new(KeyId::from_bytes(KEY), &[5; 32]), Vec::new()));

pub(crate) static POLICY: LazyLock<RedirectPolicy> = LazyLock::new(|| RedirectPolicy {
    private_schemes: vec!["cursor".to_owned(), "com.example.app".to_owned()],
    own_origins: vec!["https://mcp.example.com".to_owned()],
});
