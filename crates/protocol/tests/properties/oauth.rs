//! Properties of the words of OAuth.

mod client_authentication;
mod client_metadata;
mod dynamic_client;
mod form;
mod redirect_uri;
mod refresh_token;
mod resource;
mod response;
mod scope;

use proptest::prelude::*;
use proptest::sample::Index;
use protocol::keys::{KeyId, KeyRing, MacKey};
use protocol::oauth::RedirectPolicy;

fn policy() -> RedirectPolicy {
    RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() }
}

fn ring(material: [u8; 32]) -> KeyRing<MacKey> {
    KeyRing::new(MacKey::new(KeyId::from_bytes([1, 2, 3, 4]), &material), Vec::new())
}

/// One byte of a text changed, added or taken away.
#[derive(Debug, Clone, Copy)]
enum Mutation {
    Delete(Index),
    Insert(Index, u8),
    Replace(Index, u8),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let index = any::<Index>;
        // Printable bytes, digits above all: the interesting neighbours of a port.
        let byte = || prop_oneof![2 => b'0'..=b'9', 3 => 0x20_u8..=0x7e, 1 => Just(0_u8)];
        prop_oneof![
            index().prop_map(Self::Delete),
            (index(), byte()).prop_map(|(at, byte)| Self::Insert(at, byte)),
            (index(), byte()).prop_map(|(at, byte)| Self::Replace(at, byte)),
        ]
    }

    fn of(self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        match self {
            Self::Delete(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), byte),
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}
