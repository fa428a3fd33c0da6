//! Keys: what one made another cannot use, and nothing of them is shown.

use super::*;
use crate::secret::Sealed;
use crate::test_world::Counting;

fn sealing(id: u8) -> SealingKey {
    SealingKey::new(KeyId::from_bytes([id; 4]), &[id; 32])
}

fn mac_key(id: u8) -> MacKey {
    MacKey::new(KeyId::from_bytes([id; 4]), &[id; 32])
}

#[test]
fn a_key_id_is_eight_hex_digits_both_ways() {
    let id = KeyId::from_bytes([0x00, 0x0a, 0xbc, 0xde]);
    assert_eq!(id.to_string(), "000abcde");
    assert_eq!("000abcde".parse(), Ok(id));
    for text in ["", "000ABCDE", "+00abcde", "00abcde", "000abcde0", "000abcdg"] {
        assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
    }
}

#[test]
fn what_is_sealed_opens_in_its_place_only() {
    let entropy = Counting::new();
    let key = sealing(1);
    let context: [&[u8]; 3] = [b"users", b"token", b"7"];
    let sealed = key.seal(&context, b"hunter2", &entropy);
    assert_eq!(sealed.key_id(), Some(key.id()));
    assert_eq!(key.open(&context, &sealed).unwrap().as_slice(), b"hunter2");
    let elsewhere: [&[&[u8]]; 5] = [
        &[b"users", b"token", b"8"],
        &[b"userst", b"oken", b"7"],
        &[b"users", b"token"],
        &[b"users", b"token", b"7", b""],
        &[],
    ];
    for context in elsewhere {
        assert_eq!(key.open(context, &sealed).unwrap_err(), OpenError::NotAuthentic);
    }
}

#[test]
fn a_sealed_value_of_another_key_is_named_so() {
    let entropy = Counting::new();
    let sealed = sealing(1).seal(&[b"x"], b"secret", &entropy);
    assert_eq!(
        sealing(2).open(&[b"x"], &sealed).unwrap_err(),
        OpenError::OtherKey(KeyId::from_bytes([1; 4]))
    );
    let same_name = SealingKey::new(KeyId::from_bytes([1; 4]), &[9; 32]);
    assert_eq!(same_name.open(&[b"x"], &sealed).unwrap_err(), OpenError::NotAuthentic);
    let ring = KeyRing::new(sealing(2), vec![sealing(1)]);
    assert_eq!(ring.open(&[b"x"], &sealed).unwrap().as_slice(), b"secret");
    assert!(KeyRing::new(sealing(2), vec![sealing(3)]).open(&[b"x"], &sealed).is_err());
}

#[test]
fn the_key_id_in_the_blob_cannot_be_rewritten() {
    let entropy = Counting::new();
    // The same material under two names: only the associated data tells them apart.
    let one = SealingKey::new(KeyId::from_bytes([1; 4]), &[5; 32]);
    let two = SealingKey::new(KeyId::from_bytes([2; 4]), &[5; 32]);
    let mut bytes = one.seal(&[], b"secret", &entropy).as_bytes().to_vec();
    bytes[1..5].copy_from_slice(&[2; 4]);
    assert_eq!(two.open(&[], &Sealed::from_bytes(bytes)).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn nothing_and_short_blobs_are_malformed() {
    assert_eq!(sealing(1).open(&[], &Sealed::from_bytes(vec![])).unwrap_err(), OpenError::Malformed);
    assert_eq!(sealing(1).open(&[], &Sealed::from_bytes(vec![1; 17])).unwrap_err(), OpenError::NotAuthentic);
}

#[test]
fn a_mark_holds_for_its_label_and_parts_only() {
    let key = mac_key(1);
    let mac = key.mac("form", &[b"ab", b"c"]);
    assert!(key.verify("form", &[b"ab", b"c"], &mac));
    assert!(!key.verify("form", &[b"a", b"bc"], &mac));
    assert!(!key.verify("form", &[b"abc"], &mac));
    assert!(!key.verify("other", &[b"ab", b"c"], &mac));
    assert!(!key.verify("form", &[b"ab", b"c"], &mac[..16]));
    assert!(!key.verify("form", &[b"ab", b"c"], &[]));
    assert!(!mac_key(2).verify("form", &[b"ab", b"c"], &mac));
}

#[test]
fn a_ring_makes_with_the_active_key_and_finds_the_older() {
    let ring = KeyRing::new(mac_key(2), vec![mac_key(1)]);
    assert_eq!(ring.active().id(), KeyId::from_bytes([2; 4]));
    assert_eq!(ring.find(KeyId::from_bytes([1; 4])).map(MacKey::id), Some(KeyId::from_bytes([1; 4])));
    assert!(ring.find(KeyId::from_bytes([3; 4])).is_none());
    assert_eq!(ring.iter().count(), 2);
}

#[test]
fn a_master_key_is_read_in_three_spellings() {
    let entropy = Counting::new();
    let (made, text) = MasterKey::generate(&entropy);
    let read = text.expose(MasterKey::parse).unwrap();
    assert_eq!(read.fingerprint(), made.fingerprint());

    let base64 = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let base64url = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
    let hex = MasterKey::parse("000102030405060708090a0b0c0d0e0F101112131415161718191a1b1c1d1e1f").unwrap();
    assert_eq!(base64.fingerprint(), hex.fingerprint());
    assert_eq!(base64url.fingerprint(), hex.fingerprint());
    assert_ne!(made.fingerprint(), hex.fingerprint());
}

#[test]
fn what_is_no_master_key_is_refused_unseen() {
    for text in
        ["", "changeme", "AAECAwQFBgcICQoLDA0ODw", &"00".repeat(32), &"zz".repeat(32), &"A".repeat(43)]
    {
        assert_eq!(MasterKey::parse(text).unwrap_err(), MasterKeyError);
    }
}

#[test]
fn a_wrapped_key_opens_for_its_purpose_and_id_only() {
    let entropy = Counting::new();
    let (master, _) = MasterKey::generate(&entropy);
    let id = KeyId::from_bytes([4; 4]);
    let wrapped = master.wrap("sealing", id, &[7; 32], &entropy);
    assert_eq!(master.unwrap("sealing", id, &wrapped).unwrap().as_slice(), [7; 32]);
    assert!(master.unwrap("signing", id, &wrapped).is_err());
    assert!(master.unwrap("sealing", KeyId::from_bytes([5; 4]), &wrapped).is_err());
    let (other, _) = MasterKey::generate(&entropy);
    assert_eq!(other.unwrap("sealing", id, &wrapped).unwrap_err(), OpenError::OtherKey(master.fingerprint()));
}

#[test]
fn no_key_is_shown() {
    let entropy = Counting::new();
    let (master, _) = MasterKey::generate(&entropy);
    assert_eq!(format!("{:?}", sealing(0xab)), "SealingKey(abababab)");
    assert_eq!(format!("{:?}", mac_key(0xab)), "MacKey(abababab)");
    assert_eq!(format!("{master:?}"), format!("MasterKey({})", master.fingerprint()));
}
