use super::*;

const URL: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/files/mcp";

fn said(reason: &CallReason, held: &str, needed: &str) -> Option<String> {
    let challenges = Challenges::new(URL.to_owned(), Scope::parse("read write").unwrap());
    let scope = |text: &str| Scope::parse(text).ok();
    let value = challenges.for_reason(reason, scope(held).as_ref(), scope(needed).as_ref())?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn without_a_token_no_error_is_named() {
    let expected = format!("Bearer resource_metadata=\"{URL}\", scope=\"read write\"");
    assert_eq!(said(&CallReason::TokenMissing, "", ""), Some(expected));
}

#[test]
fn a_dead_token_is_invalid_whatever_is_wrong_with_it() {
    for reason in [
        CallReason::PersonStopped,
        CallReason::PersonUnknown,
        CallReason::TokenExpired,
        CallReason::TokenInvalid,
        CallReason::TokenMalformed,
        CallReason::TokenNotYetIssued,
        CallReason::TokenOfAnotherIssuer,
        CallReason::TokenOfAnotherResource,
        CallReason::TokenRevoked,
    ] {
        let challenge = said(&reason, "", "").unwrap();
        let start =
            format!("Bearer resource_metadata=\"{URL}\", scope=\"read write\", error=\"invalid_token\"");
        assert!(challenge.starts_with(&start), "{reason}: {challenge}");
    }
}

/// RS-044: what the call needs, and what the token has.
#[test]
fn too_little_scope_is_answered_with_the_union() {
    let challenge = said(&CallReason::ScopeInsufficient, "profile read", "write").unwrap();
    let start = format!(
        "Bearer resource_metadata=\"{URL}\", scope=\"profile read write\", error=\"insufficient_scope\""
    );
    assert!(challenge.starts_with(&start), "{challenge}");
}

#[test]
fn who_is_not_admitted_is_not_sent_to_ask_for_more() {
    assert_eq!(
        said(&CallReason::PersonNotAllowed, "read", ""),
        Some(format!("Bearer resource_metadata=\"{URL}\""))
    );
}

#[test]
fn two_tokens_are_an_invalid_request() {
    let challenge = said(&CallReason::AuthorizationRepeated, "", "").unwrap();
    assert!(challenge.contains("error=\"invalid_request\""), "{challenge}");
}

#[test]
fn what_is_not_about_access_has_no_challenge() {
    for reason in [CallReason::BodyTooLarge, CallReason::RevocationsStale, CallReason::ServerUnknown] {
        assert_eq!(said(&reason, "", ""), None, "{reason}");
    }
}
