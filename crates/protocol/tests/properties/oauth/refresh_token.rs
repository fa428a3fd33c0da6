//! A refresh token is read as it was minted and verifies for its own grant, seed and client only.

use proptest::prelude::*;
use protocol::id::Id;
use protocol::oauth::ClientId;
use protocol::oauth::refresh_token::{mint, parse};

use super::{Mutation, ring};

proptest! {
    #[test]
    fn what_is_minted_verifies(grant: [u8; 16], generation: u32, seed: [u8; 16], client in "[!-~]{1,40}", material: [u8; 32]) {
        let (keys, client) = (ring(material), ClientId::parse(&client).unwrap());
        let token = parse(&mint(keys.active(), Id::from_bytes(grant), generation, &seed, &client).reveal()).unwrap();
        prop_assert_eq!((token.grant.as_bytes(), token.generation), (&grant, generation));
        prop_assert!(token.verify(&keys, &seed, &client));
    }

    #[test]
    fn what_was_changed_does_not_verify(generation: u32, seed: [u8; 16], mutation in Mutation::any(), material: [u8; 32]) {
        let (keys, client) = (ring(material), ClientId::parse("c").unwrap());
        let minted = mint(keys.active(), Id::from_bytes([5; 16]), generation, &seed, &client).reveal();
        let mutated = mutation.of(&minted);
        prop_assume!(mutated != minted);
        prop_assert!(parse(&mutated).is_none_or(|token| !token.verify(&keys, &seed, &client)));
    }

    #[test]
    fn a_token_of_one_generation_is_none_of_another(a: u32, b: u32, seed: [u8; 16]) {
        let (keys, client) = (ring([3; 32]), ClientId::parse("c").unwrap());
        let token = |generation| mint(keys.active(), Id::from_bytes([5; 16]), generation, &seed, &client).reveal();
        prop_assert_eq!(token(a) == token(b), a == b);
    }

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), "skr_[A-Za-z0-9_-]{70,80}"]) {
        if let Some(token) = parse(&text) {
            prop_assert!(!token.verify(&ring([1; 32]), &[0; 16], &ClientId::parse("c").unwrap()));
        }
    }
}
