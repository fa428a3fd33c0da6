//! Ids and references: parsing what was printed gives it back, and nothing else is parsed.

use proptest::prelude::*;
use protocol::id::{Grant, Id, Reference};
use protocol::keys::KeyId;
use protocol::world::Timestamp;

use crate::counting::Counting;

proptest! {
    #[test]
    fn an_id_survives_its_text(bytes in any::<[u8; 16]>()) {
        let id = Id::<Grant>::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_text_that_is_an_id_is_the_text_of_that_id(text in "[0-9a-fA-F-]{36}|\\PC{0,40}") {
        if let Ok(id) = text.parse::<Id<Grant>>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn a_minted_id_holds_its_time(micros in 0..(1i64 << 57)) {
        let id = Id::<Grant>::mint(Timestamp::from_micros(micros), &Counting::new());
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&id.as_bytes()[..6]);
        prop_assert_eq!(u64::from_be_bytes(millis), (micros / 1000) as u64);
    }

    #[test]
    fn a_key_id_survives_its_text(bytes in any::<[u8; 4]>()) {
        let id = KeyId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_reference_has_one_printed_form(text in "[ -]?[0-9A-Za-z]{4}-?[0-9A-Za-z]{4}|\\PC{0,12}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(reference.as_str()), Ok(reference.clone()));
            prop_assert_eq!(reference.as_str().len(), 9);
        }
    }
}
