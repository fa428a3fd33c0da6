//! open∘mint = id, and nobody else's identifier opens.

use proptest::prelude::*;
use protocol::oauth::dynamic_client::{client_secret, mint, open};
use protocol::oauth::{ClientId, ClientIdKind};
use protocol::world::{Entropy, Timestamp};

use super::client_metadata::metadata;
use super::{Mutation, policy, ring};

#[derive(Debug)]
struct Fixed(u8);

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

proptest! {
    #[test]
    fn what_is_minted_opens_as_what_it_was(metadata in metadata(), seconds in 0..1_i64 << 40, chance: u8, material: [u8; 32]) {
        let keys = ring(material);
        let issued_at = Timestamp::from_secs(seconds);
        if let Ok(id) = mint(keys.active(), issued_at, &Fixed(chance), &metadata) {
            prop_assert!(id.as_str().len() <= 1024);
            prop_assert_eq!(id.kind(), ClientIdKind::Dynamic);
            let opened = open(&keys, &id, &policy()).unwrap();
            prop_assert_eq!(opened.metadata, metadata);
            prop_assert_eq!(opened.issued_at, issued_at);
        }
    }

    #[test]
    fn a_flipped_bit_makes_it_unknown(metadata in metadata(), at: prop::sample::Index, bit in 0..7_u32, material: [u8; 32]) {
        let keys = ring(material);
        let Ok(id) = mint(keys.active(), Timestamp::from_secs(1), &Fixed(7), &metadata) else { return Ok(()) };
        let mut bytes = id.as_str().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(flipped) = ClientId::parse(&String::from_utf8(bytes).unwrap()) {
            prop_assert!(open(&keys, &flipped, &policy()).is_err());
            prop_assert!(client_secret(&keys, &flipped).is_none());
        }
    }

    #[test]
    fn a_changed_byte_makes_it_unknown(metadata in metadata(), mutation in Mutation::any(), material: [u8; 32]) {
        let keys = ring(material);
        let Ok(id) = mint(keys.active(), Timestamp::from_secs(1), &Fixed(7), &metadata) else { return Ok(()) };
        if let Ok(mutated) = ClientId::parse(&mutation.of(id.as_str())) && mutated != id {
            prop_assert!(open(&keys, &mutated, &policy()).is_err());
        }
    }

    #[test]
    fn another_key_does_not_open_it(metadata in metadata(), material: [u8; 32]) {
        let Ok(id) = mint(ring(material).active(), Timestamp::from_secs(1), &Fixed(7), &metadata) else { return Ok(()) };
        let mut other = material;
        other[0] ^= 1;
        prop_assert!(open(&ring(other), &id, &policy()).is_err());
        prop_assert!(client_secret(&ring(other), &id).is_none());
    }

    #[test]
    fn no_text_panics(text in "dcr_[A-Za-z0-9_-]{0,200}") {
        prop_assert!(open(&ring([1; 32]), &ClientId::parse(&text).unwrap(), &policy()).is_err());
    }
}
