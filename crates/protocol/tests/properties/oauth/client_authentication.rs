//! Credentials are read as they were written, and no header panics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use protocol::oauth::{ClientAuthentication, Form, TokenEndpointAuthMethod};
use url::form_urlencoded::byte_serialize;

fn nothing() -> Form {
    Form::parse(b"").unwrap()
}

proptest! {
    #[test]
    fn basic_credentials_are_read_as_they_were_written(id in "[!-~]{1,40}", secret in "[^\0]{0,40}", scheme in "[bB][aA][sS][iI][cC]") {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let header = format!("{scheme} {}", STANDARD.encode(format!("{}:{}", encode(&id), encode(&secret))));
        let presented = ClientAuthentication::parse(&[&header], &nothing()).unwrap();
        prop_assert_eq!(presented.method, TokenEndpointAuthMethod::ClientSecretBasic);
        prop_assert_eq!(presented.client_id.as_str(), id);
        prop_assert_eq!(presented.secret.unwrap().reveal(), secret);
    }

    #[test]
    fn no_header_panics(header in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = ClientAuthentication::parse(&[&header], &nothing());
        let _ = ClientAuthentication::parse(&[&format!("Basic {header}")], &nothing());
        let _ = ClientAuthentication::parse(&[&format!("Basic {}", STANDARD.encode(bytes))], &nothing());
    }
}
