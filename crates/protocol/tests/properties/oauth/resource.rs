//! A resource identifier has one canonical text, and its path is nobody else's.

use proptest::prelude::*;
use protocol::oauth::{BearerChallenge, ErrorCode, ProtectedResourceMetadata, ResourceUri, Scope};

fn resource() -> impl Strategy<Value = String> {
    "(https?|HTTPS)://[a-zA-Z]{1,6}\\.example(:[1-9][0-9]{0,3}|:443|:80)?(/[a-zA-Z0-9_~%]{0,0}[a-zA-Z0-9]{1,5}){0,3}/?(\\?[a-z=&]{0,6})?"
}

proptest! {
    #[test]
    fn the_canonical_text_is_its_own_canonical_text(raw in resource()) {
        let resource = ResourceUri::parse(&raw).unwrap();
        prop_assert_eq!(&ResourceUri::parse(resource.as_str()).unwrap(), &resource);
        prop_assert_eq!(format!("{}{}", resource.origin(), resource.path()), resource.as_str());
        prop_assert!(raw.ends_with(resource.path()), "path and query are never touched");
        prop_assert_eq!(resource.origin(), url::Url::parse(&raw).unwrap().origin().ascii_serialization());
    }

    #[test]
    fn no_text_panics(raw in prop_oneof![any::<String>(), "https?://.{0,20}", "[a-z:/?#@%.\\\\\\[\\]0-9]{0,30}"]) {
        if let Ok(resource) = ResourceUri::parse(&raw) {
            prop_assert!(resource.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(&ResourceUri::parse(resource.as_str()).unwrap(), &resource);
            let metadata = ProtectedResourceMetadata::url_of(&resource);
            prop_assert!(metadata.starts_with(resource.origin()));
        }
    }

    #[test]
    fn no_challenge_can_leave_its_quotes(url in any::<String>(), scope in "[a-z!#~]{1,5}( [a-z\\[\\]]{1,5}){0,3}", error in prop::sample::select(ErrorCode::ALL)) {
        let challenge = BearerChallenge { scope: Scope::parse(&scope).ok(), error: Some(error), ..BearerChallenge::new(url) };
        let text = challenge.to_string();
        prop_assert_eq!(text.bytes().filter(|byte| *byte == b'"').count(), 8);
        prop_assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && byte != b'\\'));
        let header = challenge.header_value();
        prop_assert_eq!(header.to_str().unwrap(), text);
    }
}
