//! Ids and references: one text each, and chance from where it must come.

use super::*;
use crate::test_world::Counting;

#[test]
fn an_id_prints_hyphenated_and_lower_case_and_reads_back() {
    let id = Id::<Grant>::from_bytes(*b"\x01\x9a\xbc\xde\xf0\x12\x73\x45\x81\x23\x45\x67\x89\xab\xcd\xef");
    assert_eq!(id.to_string(), "019abcde-f012-7345-8123-456789abcdef");
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(format!("{id:?}"), "Grant(019abcde-f012-7345-8123-456789abcdef)");
}

#[test]
fn an_id_has_no_second_spelling() {
    for text in [
        "",
        "019ABCDE-f012-7345-8123-456789abcdef",
        "019abcdef01273458123456789abcdef",
        "{019abcde-f012-7345-8123-456789abcdef}",
        "urn:uuid:019abcde-f012-7345-8123-456789abcdef",
        "019abcde-f012-7345-8123-456789abcdef ",
        "019abcde+f012-7345-8123-456789abcdef",
    ] {
        assert_eq!(text.parse::<Id<User>>(), Err(IdError), "{text}");
    }
}

#[test]
fn a_minted_id_is_a_version_7_uuid_that_sorts_by_time() {
    let entropy = Counting::new();
    let first = Id::<User>::mint(Timestamp::from_secs(1_700_000_000), &entropy);
    let second = Id::<User>::mint(Timestamp::from_micros(1_700_000_000_001_000), &entropy);
    assert!(first < second);
    for id in [first, second] {
        let uuid = Uuid::from_bytes(*id.as_bytes());
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }
    assert_ne!(
        Id::<User>::mint(Timestamp::from_secs(0), &entropy),
        Id::mint(Timestamp::from_secs(0), &entropy)
    );
}

#[test]
fn an_id_is_that_string_in_json() {
    let id = Id::<Authorization>::from_bytes([7; 16]);
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, "\"07070707-0707-0707-0707-070707070707\"");
    assert_eq!(serde_json::from_str::<Id<Authorization>>(&json).unwrap(), id);
    assert!(serde_json::from_str::<Id<Authorization>>("7").is_err());
}

#[test]
fn a_reference_is_two_groups_of_four_crockford_digits() {
    let entropy = Counting::new();
    let reference = Reference::mint(&entropy);
    assert_eq!(reference.as_str().len(), 9);
    assert_eq!(Reference::parse(reference.as_str()), Ok(reference));
}

#[test]
fn a_reference_is_read_as_people_type_it() {
    let reference = Reference::parse("K7Q2-9X10").unwrap();
    for typed in ["k7q2-9x10", "K7Q29X10", " K7Q2-9XIO ", "k7q29xlo"] {
        assert_eq!(Reference::parse(typed).as_ref(), Ok(&reference), "{typed}");
    }
    for typed in ["", "K7Q2-9X1", "K7Q2-9X1U", "K7-Q29X10", "K7Q2--9X10", "K7Q2-9X1\u{1f1}", "K7Q2-9X1\u{e9}"]
    {
        assert_eq!(Reference::parse(typed), Err(ReferenceError), "{typed}");
    }
}
