//! A form is read as it was written, and no bytes panic.

use proptest::prelude::*;
use protocol::oauth::{
    AuthorizationRequest, ClientAuthentication, Form, Parameter, RevocationRequest, TokenRequest,
};
use url::form_urlencoded::Serializer;

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "(grant_type|code|client_id|client_secret|token|resource|[a-z%&=+]){0,3}[=&%0-9a-fA-F]{0,6}(&(code|state|client_id)=[^\u{0}]{0,5}){0,4}"
            .prop_map(String::into_bytes),
    ]) {
        if let Ok(form) = Form::parse(&bytes) {
            let _ = AuthorizationRequest::parse(&form).echoed_state();
            let _ = TokenRequest::parse(&form);
            let _ = RevocationRequest::parse(&form);
            let _ = ClientAuthentication::parse(&[], &form);
        }
    }

    #[test]
    fn what_was_written_is_read(values in prop::collection::btree_map("[^\0\u{feff}]{0,6}", "[^\0]{0,12}", 0..12)) {
        let text = Serializer::new(String::new()).extend_pairs(&values).finish();
        let form = Form::parse(text.as_bytes()).unwrap();
        for (name, value) in &values {
            let expected = if value.is_empty() { Parameter::Absent } else { Parameter::Once(value.as_str()) };
            prop_assert_eq!(form.get(name), expected);
            prop_assert!(form.contains(name));
        }
        prop_assert!(!form.repeats_any_but(&[]));
    }

    #[test]
    fn a_parameter_written_twice_is_never_read(name in "[a-z]{1,6}", one in "[a-z]{0,4}", other in "[a-z]{0,4}", between in "(&[A-Z]=1){0,3}") {
        let form = Form::parse(format!("{name}={one}{between}&{name}={other}").as_bytes()).unwrap();
        prop_assert_eq!(form.get(&name), Parameter::Repeated);
        prop_assert!(form.repeats_any_but(&[]));
        let single = |value: &str| Form::parse(format!("{name}={value}").as_bytes()).unwrap();
        let joined = single(&one).join(single(&other)).unwrap();
        prop_assert_eq!(joined.get(&name), Parameter::Repeated);
    }
}
