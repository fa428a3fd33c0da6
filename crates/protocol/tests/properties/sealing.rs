//! Sealing and marking: what goes in comes out, in its place and unchanged, or not at all.

use proptest::prelude::*;
use protocol::id::Id;
use protocol::keys::{KeyId, KeyRing, MacKey, MasterKey, SealingKey};
use protocol::mcp::session::{SessionOwner, open_session, seal_session};
use protocol::secret::Sealed;

use crate::counting::Counting;

fn key() -> SealingKey {
    SealingKey::new(KeyId::from_bytes([7; 4]), &[3; 32])
}

fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..4)
}

fn slices(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}

proptest! {
    #[test]
    fn open_after_seal_is_what_was_sealed(context in parts(), plaintext in prop::collection::vec(any::<u8>(), 0..200)) {
        let sealed = key().seal(&slices(&context), &plaintext, &Counting::new());
        let opened = key().open(&slices(&context), &Sealed::from_bytes(sealed.as_bytes().to_vec()));
        prop_assert_eq!(opened.expect("sealed here").to_vec(), plaintext);
    }

    #[test]
    fn a_sealed_value_with_a_changed_bit_does_not_open(
        plaintext in prop::collection::vec(any::<u8>(), 0..50), place in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let mut bytes = key().seal(&[b"here"], &plaintext, &Counting::new()).as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        prop_assert!(key().open(&[b"here"], &Sealed::from_bytes(bytes)).is_err());
    }

    #[test]
    fn a_sealed_value_that_was_cut_or_made_longer_does_not_open(
        plaintext in prop::collection::vec(any::<u8>(), 0..50), place in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let bytes = key().seal(&[], &plaintext, &Counting::new()).as_bytes().to_vec();
        let cut = bytes[..place.index(bytes.len())].to_vec();
        prop_assert!(key().open(&[], &Sealed::from_bytes(cut)).is_err());
        prop_assert!(key().open(&[], &Sealed::from_bytes([bytes, tail].concat())).is_err());
    }

    #[test]
    fn a_sealed_value_opens_in_no_other_context(context in parts(), other in parts()) {
        let sealed = key().seal(&slices(&context), b"secret", &Counting::new());
        prop_assert_eq!(key().open(&slices(&other), &sealed).is_ok(), context == other);
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(key().open(&[], &Sealed::from_bytes(bytes)).is_err());
    }

    #[test]
    fn a_mark_holds_for_its_parts_alone(context in parts(), other in parts(), label in "[ab]{0,2}", other_label in "[ab]{0,2}") {
        let key = MacKey::new(KeyId::from_bytes([7; 4]), &[3; 32]);
        let mac = key.mac(&label, &slices(&context));
        let same = context == other && label == other_label;
        prop_assert_eq!(key.verify(&other_label, &slices(&other), &mac), same);
    }

    #[test]
    fn a_session_opens_for_its_owner_alone(upstream in "[!-~]{1,40}", one in 0..2u8, two in 0..2u8, server in "[ab]{1,2}", other in "[ab]{1,2}") {
        let keys = KeyRing::new(key(), vec![]);
        let owner = SessionOwner { user: Id::from_bytes([one; 16]), server: &server, client_id: "c", signer: None };
        let asking = SessionOwner { user: Id::from_bytes([two; 16]), server: &other, client_id: "c", signer: None };
        let id = seal_session(keys.active(), &upstream, &owner, &Counting::new());
        let opened = open_session(&keys, &id, &asking).ok();
        prop_assert_eq!(opened, (owner == asking).then_some(upstream));
    }

    #[test]
    fn no_text_makes_a_master_key_panic(text in "\\PC{0,70}") {
        let _ = MasterKey::parse(&text);
    }
}
