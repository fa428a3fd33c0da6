use super::*;

fn parse(authorization: &[&str], body: &str) -> Result<Presented, PresentedError> {
    ClientAuthentication::parse(authorization, &Form::parse(body.as_bytes()).unwrap())
}

fn basic(halves: &str) -> String {
    format!("Basic {}", STANDARD.encode(halves))
}

/// RFC 6749, section 2.3.1.
const EXAMPLE: &str = "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3";

#[test]
fn the_example_of_the_standard_is_read() {
    let presented = parse(&[EXAMPLE], "grant_type=authorization_code").unwrap();
    assert_eq!(presented.method, TokenEndpointAuthMethod::ClientSecretBasic);
    assert_eq!(presented.client_id.as_str(), "s6BhdRkqt3");
    assert_eq!(presented.secret.unwrap().reveal(), "7Fjfp0ZBr1KtDRbnfVdmIw");
    assert!(presented.basic_tried);
}

/// RFC 6749, section 2.3.1, the example with the secret in the body.
#[test]
fn the_secret_may_be_in_the_body() {
    let presented = parse(&[], "client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw").unwrap();
    assert_eq!(presented.method, TokenEndpointAuthMethod::ClientSecretPost);
    assert_eq!(presented.client_id.as_str(), "s6BhdRkqt3");
    assert_eq!(presented.secret.unwrap().reveal(), "7Fjfp0ZBr1KtDRbnfVdmIw");
    assert!(!presented.basic_tried);
}

#[test]
fn a_public_client_names_itself() {
    let presented = parse(&[], "client_id=s6BhdRkqt3").unwrap();
    assert_eq!(presented.method, TokenEndpointAuthMethod::None);
    assert!(presented.secret.is_none() && !presented.basic_tried);
}

#[test]
fn both_halves_are_form_decoded() {
    let presented = parse(&[&basic("a%3Ab%25:p%C3%A9+q:r%2b")], "").unwrap();
    assert_eq!(presented.client_id.as_str(), "a:b%");
    assert_eq!(presented.secret.unwrap().reveal(), "p\u{e9} q:r+");
}

#[test]
fn the_scheme_has_no_case() {
    for scheme in ["basic", "BASIC", "bAsIc"] {
        assert!(parse(&[&EXAMPLE.replace("Basic", scheme)], "").is_ok());
    }
    assert!(parse(&[&EXAMPLE.replace("Basic ", "Basic   ")], "client_id=s6BhdRkqt3").is_ok());
}

/// TK-16.
#[test]
fn an_empty_secret_is_a_secret() {
    let presented = parse(&[], "client_id=a&client_secret=").unwrap();
    assert_eq!(presented.method, TokenEndpointAuthMethod::ClientSecretPost);
    assert!(presented.secret.unwrap().is_empty());
    let presented = parse(&[&basic("a:")], "").unwrap();
    assert!(presented.secret.unwrap().is_empty() && presented.basic_tried);
}

/// TK-13.
#[test]
fn two_methods_or_two_clients_are_an_invalid_request() {
    for (headers, body, reason) in [
        (vec![EXAMPLE], "client_secret=x", PresentedError::MethodAmbiguous),
        (vec![EXAMPLE], "client_id=s6BhdRkqt3&client_secret=", PresentedError::MethodAmbiguous),
        (vec![EXAMPLE, EXAMPLE], "", PresentedError::MethodAmbiguous),
        (vec![EXAMPLE], "client_assertion=x", PresentedError::MethodAmbiguous),
        (vec![], "client_id=a&client_secret=x&client_assertion=y", PresentedError::MethodAmbiguous),
        (vec![EXAMPLE], "client_id=other", PresentedError::ClientIdMismatch),
        (vec![EXAMPLE], "client_id=s6BhdRkqt3&client_id=s6BhdRkqt3", PresentedError::Repeated),
        (vec![], "client_id=a&client_secret=x&client_secret=x", PresentedError::Repeated),
    ] {
        let error = parse(&headers, body).unwrap_err();
        assert_eq!((error, error.code()), (reason, ErrorCode::InvalidRequest), "{headers:?} {body}");
        assert!(!error.basic_tried());
    }
}

/// TK-14.
#[test]
fn basic_credentials_have_one_spelling() {
    let unpadded = EXAMPLE.to_owned() + "=";
    for bad in [
        "Basic",
        "Basic ",
        "Basic !!!!",
        unpadded.as_str(),
        "Basic czZCaGRSa3F0Mzo3 RmpmcDBaQnIxS3REUmJuZlZkbUl3",
        "Basic czZCaGRSa3F0Mzo3\tRmpmcDBaQnIxS3REUmJuZlZkbUl3",
        "Basic czZCaGRSa3F0Mzo3-_",
        "Basic YTpi,",
        "Basic YTo",
        "Basic YTp=",
        &basic("no colon"),
        &basic(":empty id"),
        &basic("a%:b"),
        &basic("a:b%zz"),
        &basic("a%00:b"),
        &basic("a b:c"),
        &format!("Basic {}", STANDARD.encode(b"a:\xff")),
    ] {
        let error = parse(&[bad], "").unwrap_err();
        assert_eq!(
            (error, error.code()),
            (PresentedError::BasicMalformed, ErrorCode::InvalidClient),
            "{bad}"
        );
        assert!(error.basic_tried());
    }
}

#[test]
fn what_cannot_be_verified_is_an_invalid_client() {
    for (headers, body, reason) in [
        (vec![], "", PresentedError::ClientIdMissing),
        (vec![], "client_id=", PresentedError::ClientIdMissing),
        (vec![], "client_secret=x", PresentedError::ClientIdMissing),
        (vec![], "client_id=a+b", PresentedError::ClientIdMalformed),
        (vec!["Bearer abc"], "client_id=a", PresentedError::MethodUnsupported),
        (vec![""], "client_id=a", PresentedError::MethodUnsupported),
        (vec![], "client_id=a&client_assertion=x", PresentedError::MethodUnsupported),
        (vec![], "client_assertion_type=urn:x&client_assertion=x", PresentedError::MethodUnsupported),
        (
            vec![],
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            PresentedError::AssertionMalformed,
        ),
    ] {
        let error = parse(&headers, body).unwrap_err();
        assert_eq!((error, error.code()), (reason, ErrorCode::InvalidClient), "{headers:?} {body}");
        assert!(!error.basic_tried());
    }
}
