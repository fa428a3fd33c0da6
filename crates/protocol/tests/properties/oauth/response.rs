//! A response has exactly one of each parameter, whatever the redirect URI brings along.

use proptest::prelude::*;
use protocol::id::Reference;
use protocol::oauth::{AuthorizationResponse, ClientMetadata, ErrorCode};
use protocol::secret::Secret;
use serde_json::json;
use url::Url;

use super::policy;
use super::redirect_uri::registered;

fn url_of(raw: &str, response: &AuthorizationResponse) -> String {
    let body = json!({"redirect_uris": [raw]}).to_string();
    let metadata = ClientMetadata::parse_registration(body.as_bytes(), &policy()).unwrap();
    metadata.verify_redirect_uri(raw).unwrap().with_response(response)
}

/// What is in the query beyond the URI's own, in order.
fn added(raw: &str, url: &str) -> Result<Vec<(String, String)>, TestCaseError> {
    prop_assert!(url.starts_with(raw), "the uri is kept as it is");
    let pairs = |text: &str| Url::parse(text).unwrap().query_pairs().into_owned().collect::<Vec<_>>();
    let (own, mut all) = (pairs(raw), pairs(url));
    let added = all.split_off(own.len());
    prop_assert_eq!(own, all);
    Ok(added)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

proptest! {
    /// AS-132.
    #[test]
    fn a_code_comes_once_with_state_and_issuer(raw in registered(), state in prop::option::of(any::<String>()), code in "[A-Za-z0-9_-]{1,43}", iss in "https://[a-z]{1,8}\\.example(:[0-9]{4})?") {
        let response = AuthorizationResponse::Code { code: Secret::new(code.clone()), state: state.clone(), iss: iss.clone() };
        let url = url_of(&raw, &response);
        let mut expected = vec![pair("code", &code)];
        expected.extend(state.map(|state| pair("state", &state)));
        expected.push(pair("iss", &iss));
        prop_assert_eq!(added(&raw, &url)?, expected);
        prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
    }

    /// AS-132.
    #[test]
    fn an_error_comes_once_with_state_and_issuer(raw in registered(), state in prop::option::of(any::<String>()), code in prop::sample::select(ErrorCode::ALL)) {
        let iss = "https://mcp.example.com".to_owned();
        let reference = Reference::parse("K7Q2-9XWD").unwrap();
        let response = AuthorizationResponse::Error { code, state: state.clone(), iss: iss.clone(), reference };
        let url = url_of(&raw, &response);
        let told = format!("{} Reference K7Q2-9XWD.", code.sentence());
        let mut expected = vec![pair("error", code.as_str()), pair("error_description", &told)];
        expected.extend(state.map(|state| pair("state", &state)));
        expected.push(pair("iss", &iss));
        prop_assert_eq!(added(&raw, &url)?, expected);
    }
}
