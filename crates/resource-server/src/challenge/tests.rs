use super::*;

const URL: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/files/mcp";

fn said(reason: &CallReason, held: &str, needed: &str) -> Option<String> {
    said_by(DpopMode::Optional, reason, Scheme::Bearer, (held, needed))
}

fn said_by(
    dpop: DpopMode,
    reason: &CallReason,
    scheme: Scheme,
    (held, needed): (&str, &str),
) -> Option<String> {
    let challenges = Challenges::new(URL.to_owned(), Scope::parse("read write").unwrap(), dpop);
    let scope = |text: &str| Scope::parse(text).ok();
    let value = challenges.for_reason(reason, scheme, (scope(held).as_ref(), scope(needed).as_ref()))?;
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

/// RS-022, RS-198: an error stands at the scheme that was tried, and where only one is taken it is that one.
#[test]
fn who_tried_a_proof_is_told_by_the_scheme_of_proofs() {
    let algs = ", algs=\"ES256 EdDSA\"";
    for (reason, error) in [
        (CallReason::ProofMissing, "invalid_dpop_proof"),
        (CallReason::ProofNonceNeeded, "use_dpop_nonce"),
        (CallReason::TokenUnbound, "invalid_token"),
        (CallReason::TokenExpired, "invalid_token"),
    ] {
        let challenge = said_by(DpopMode::Off, &reason, Scheme::Dpop, ("", "")).unwrap();
        let start = format!("DPoP resource_metadata=\"{URL}\", scope=\"read write\", error=\"{error}\"");
        assert!(challenge.starts_with(&start) && challenge.ends_with(algs), "{challenge}");
    }
    let required = said_by(DpopMode::Required, &CallReason::TokenMissing, Scheme::Bearer, ("", ""));
    assert_eq!(required, Some(format!("DPoP resource_metadata=\"{URL}\", scope=\"read write\"{algs}")));
    let challenges = |dpop| Challenges::new(URL.to_owned(), Scope::parse("read write").unwrap(), dpop);
    for (dpop, reason, beside) in [
        (DpopMode::Off, CallReason::TokenMissing, false),
        (DpopMode::Off, CallReason::TokenBound, true),
        (DpopMode::Optional, CallReason::TokenMissing, true),
        (DpopMode::Optional, CallReason::TokenBound, true),
        (DpopMode::Optional, CallReason::TokenExpired, false),
        (DpopMode::Required, CallReason::TokenMissing, false),
    ] {
        assert_eq!(challenges(dpop).beside(&reason).is_some(), beside, "{dpop:?} {reason}");
    }
}
