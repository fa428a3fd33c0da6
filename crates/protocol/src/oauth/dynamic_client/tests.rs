use super::*;
use crate::secret::Hash;
use crate::test_world::Counting;

fn key(byte: u8) -> MacKey {
    MacKey::new(KeyId::from_bytes([byte; 4]), &[byte; 32])
}

fn ring(active: u8, older: &[u8]) -> KeyRing<MacKey> {
    KeyRing::new(key(active), older.iter().map(|byte| key(*byte)).collect())
}

fn policy() -> RedirectPolicy {
    RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() }
}

fn metadata(body: &str) -> ClientMetadata {
    ClientMetadata::parse_registration(body.as_bytes(), &policy()).unwrap()
}

fn common() -> ClientMetadata {
    metadata(
        r#"{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com",
            "grant_types":["authorization_code","refresh_token"],"response_types":["code"],
            "redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/",
            "http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}"#,
    )
}

fn minted() -> ClientId {
    mint(&key(1), Timestamp::from_secs(1_770_000_000), &Counting::new(), &common()).unwrap()
}

#[test]
fn an_identifier_holds_what_was_registered() {
    let opened = open(&ring(1, &[]), &minted(), &policy()).unwrap();
    assert_eq!(opened, Opened { issued_at: Timestamp::from_secs(1_770_000_000), metadata: common() });
}

#[test]
fn an_identifier_of_common_software_is_short() {
    assert!(minted().as_str().len() <= 300, "{}", minted().as_str().len());
    assert!(minted().as_str().starts_with("dcr_"));
    assert_eq!(ClientId::parse(minted().as_str()), Ok(minted()));
}

/// RFC 7591, section 3.2.1: "The authorization server [...] SHOULD NOT be valid for any other registered client".
///
/// AS-085.
#[test]
fn two_registrations_of_the_same_metadata_differ() {
    let entropy = Counting::new();
    let mint = || mint(&key(1), Timestamp::from_secs(0), &entropy, &common()).unwrap();
    assert_ne!(mint(), mint());
}

/// AS-091.
#[test]
fn a_retired_key_is_understood_and_a_withdrawn_one_is_not() {
    assert!(open(&ring(2, &[1]), &minted(), &policy()).is_ok());
    assert_eq!(open(&ring(2, &[3]), &minted(), &policy()), Err(UnknownClient));
    let same_id = KeyRing::new(MacKey::new(KeyId::from_bytes([1; 4]), &[9; 32]), Vec::new());
    assert_eq!(open(&same_id, &minted(), &policy()), Err(UnknownClient));
}

#[test]
fn a_scheme_that_is_no_longer_allowed_ends_its_registrations() {
    let private = metadata(r#"{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback"]}"#);
    let id = mint(&key(1), Timestamp::from_secs(0), &Counting::new(), &private).unwrap();
    assert!(open(&ring(1, &[]), &id, &policy()).is_ok());
    assert_eq!(open(&ring(1, &[]), &id, &RedirectPolicy::default()), Err(UnknownClient));
}

#[test]
fn texts_that_were_not_made_here_are_unknown() {
    let minted = minted();
    let longer = format!("{minted}A");
    let shorter = minted.as_str().strip_suffix(|_| true).unwrap();
    let padded = format!("{minted}=");
    for text in [
        "dcr_",
        "dcr_A",
        "dcr_AQ",
        "dcr_AQEBAQE",
        "dcr_!!!!",
        "https://a.example/",
        "x",
        &longer,
        shorter,
        &padded,
    ] {
        let id = ClientId::parse(text).unwrap();
        assert_eq!(open(&ring(1, &[]), &id, &policy()), Err(UnknownClient), "{text}");
        assert!(client_secret(&ring(1, &[]), &id).is_none());
    }
    assert_eq!(
        open(&ring(1, &[]), &ClientId::parse(&"dcr_".repeat(512)).unwrap(), &policy()),
        Err(UnknownClient)
    );
}

/// An identifier as only somebody with the key could make it; it still has to be sound.
fn forged(length: u16, compressed: &[u8]) -> ClientId {
    let mut bytes = vec![VERSION, 1, 1, 1, 1];
    bytes.extend_from_slice(&[0; 21]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(compressed);
    let mac = key(1).mac(IDENTIFIER_LABEL, &[&bytes]);
    bytes.extend_from_slice(&mac);
    ClientId::made_here(format!("{DYNAMIC_PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes)))
}

#[test]
fn the_output_of_decompression_is_capped() {
    let bomb = compress_with_dict(&vec![b' '; 60_000], dictionary::V1);
    for length in [0, 10, 8192, 8193, 60_000] {
        assert_eq!(open(&ring(1, &[]), &forged(length, &bomb), &policy()), Err(UnknownClient), "{length}");
    }
    let sound = compress_with_dict(br#"{"redirect_uris":["https://a.example/"]}"#, dictionary::V1);
    assert!(open(&ring(1, &[]), &forged(40, &sound), &policy()).is_ok());
    assert_eq!(open(&ring(1, &[]), &forged(39, &sound), &policy()), Err(UnknownClient));
    assert_eq!(open(&ring(1, &[]), &forged(40, b"\xff\xff\xff"), &policy()), Err(UnknownClient));
}

#[test]
fn metadata_over_one_kilobyte_does_not_fit() {
    // Text that cannot be compressed: hashes in hexadecimal.
    let uris = |count: u8| {
        let uri = |n: u8| {
            let text: String = Hash::of(&[n]).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\"https://{}.example/\"", text.get(..60).unwrap())
        };
        let uris: Vec<String> = (0..count).map(uri).collect();
        metadata(&format!("{{\"redirect_uris\":[{}]}}", uris.join(",")))
    };
    let mint = |metadata: &ClientMetadata| mint(&key(1), Timestamp::from_secs(0), &Counting::new(), metadata);
    assert!(mint(&uris(5)).unwrap().as_str().len() <= MAX_IDENTIFIER);
    assert_eq!(mint(&uris(12)), Err(TooLarge));
    let long = format!("https://a.example/{}", "a".repeat(2000));
    let many: Vec<String> = (0..20).map(|n| format!("\"{long}{n}\"")).collect();
    assert_eq!(mint(&metadata(&format!("{{\"redirect_uris\":[{}]}}", many.join(",")))), Err(TooLarge));
}

#[test]
fn a_secret_belongs_to_one_identifier_and_one_key() {
    let entropy = Counting::new();
    let mint = || mint(&key(1), Timestamp::from_secs(0), &entropy, &common()).unwrap();
    let (one, other) = (mint(), mint());
    let secret = |id: &ClientId| client_secret(&ring(2, &[1]), id).unwrap();
    assert!(secret(&one).matches(&secret(&one)));
    assert!(!secret(&one).matches(&secret(&other)));
    assert_eq!(secret(&one).len(), 4 + 43);
    assert!(secret(&one).expose(|text| text.starts_with("skc_")));
    assert!(client_secret(&ring(3, &[]), &one).is_none());
}

#[test]
fn times_outside_of_five_bytes_do_no_harm() {
    for micros in [i64::MIN, -1, 0, i64::MAX] {
        let issued_at = Timestamp::from_micros(micros);
        let id = mint(&key(1), issued_at, &Counting::new(), &common()).unwrap();
        let opened = open(&ring(1, &[]), &id, &policy()).unwrap();
        assert_eq!(opened.issued_at.secs(), issued_at.secs().clamp(0, MAX_SECONDS));
    }
}

/// Identifiers in the field were made with this very text.
#[test]
fn the_dictionary_has_not_changed() {
    assert_eq!(format!("{:?}", Hash::of(dictionary::V1)), "Hash(31f2d05d..)");
}
