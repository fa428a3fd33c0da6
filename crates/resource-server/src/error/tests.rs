use http::HeaderMap;
use protocol::jose::dpop::ProofError;
use protocol::mcp::McpCall;
use protocol::oauth::ErrorCode;
use store::StoreError;
use upstream::oauth_client::{Malformed, OauthClientError, Obstacle, Place, Rejection};

use super::*;
use crate::limits::{Exhausted, LimitReached};
use crate::signature::SignatureFault;

type Row = (CallReason, &'static str, u16, &'static str, Blame);

/// The rows of which the MCP server is to blame.
fn of_the_mcp_server() -> Vec<Row> {
    use Blame::Upstream;
    vec![
        (CallReason::CircuitOpen(Duration::from_secs(3)), "circuit_open", 503, "-32603", Upstream),
        (CallReason::Credential(Obstacle::Scope.into()), "connection_scope_refused", 502, "-32603", Upstream),
        (CallReason::ListTooLarge, "list_too_large", 502, "-32603", Upstream),
        (CallReason::ListUnreadable, "list_unreadable", 502, "-32603", Upstream),
        (CallReason::UpstreamBroken, "upstream_broken", 502, "-32603", Upstream),
        (CallReason::UpstreamEncoded, "upstream_encoded", 502, "-32603", Upstream),
        (CallReason::UpstreamMalformed, "upstream_malformed", 502, "-32603", Upstream),
        (CallReason::UpstreamMediaType, "upstream_media_type", 502, "-32603", Upstream),
        (CallReason::UpstreamRedirected, "upstream_redirected", 502, "-32603", Upstream),
        (CallReason::UpstreamRefused, "upstream_refused", 502, "-32603", Upstream),
        (CallReason::UpstreamTimedOut, "upstream_timed_out", 504, "-32603", Upstream),
        (CallReason::UpstreamUnreachable, "upstream_unreachable", 502, "-32603", Upstream),
    ]
}

/// The rows of accounts that people connect.
fn of_connections() -> Vec<Row> {
    use Blame::{Upstream, User};
    vec![
        (CallReason::ConnectionDead, "connection_dead", 403, "-31403", User),
        (CallReason::ConnectionMissing, "connection_missing", 403, "-31403", User),
        (CallReason::ConnectionTooNarrow, "connection_too_narrow", 403, "-31403", User),
        (CallReason::ConnectionUnavailable, "connection_unavailable", 503, "-32603", Upstream),
    ]
}

/// The rows of what tools say of themselves.
fn of_tools() -> Vec<Row> {
    vec![
        (CallReason::ArgumentsRefused, "arguments_refused", 200, "result", Blame::Client),
        (CallReason::ArgumentsUnchecked, "arguments_unchecked", 200, "result", Blame::Upstream),
        (CallReason::ToolChanged, "tool_changed", 200, "result", Blame::Upstream),
        (CallReason::ToolNotAccepted, "tool_not_accepted", 403, "access_denied", Blame::User),
    ]
}

/// One row for each reason: its name, status, what the client is told, and whose doing it was.
fn table() -> Vec<Row> {
    use Blame::{Client, House, User};
    let refused = Box::new(McpCall::read(&HeaderMap::new(), b"[]").unwrap_err());
    let store = StoreError::unavailable("gone");
    let limit = LimitReached { exhausted: Exhausted::Tool, retry_after: Duration::from_secs(7) };
    let signature = SignatureFault::Unbound;
    let mut table = of_the_mcp_server();
    table.extend(of_tools());
    table.extend(of_connections());
    table.extend([
        (CallReason::AcceptUnusable, "accept_unusable", 406, "-32600", Client),
        (CallReason::AssertionUnsigned, "assertion_unsigned", 500, "-32603", House),
        (CallReason::AuditUnavailable, "audit_unavailable", 503, "-32603", House),
        (CallReason::AuthorizationRepeated, "authorization_repeated", 400, "invalid_request", Client),
        (CallReason::BodyTimedOut, "body_timed_out", 408, "-32600", Client),
        (CallReason::BodyTooLarge, "body_too_large", 413, "-32600", Client),
        (CallReason::BodyUnreadable, "body_unreadable", 400, "-32600", Client),
        (CallReason::ContentTypeUnsupported, "content_type_unsupported", 415, "-32600", Client),
        (CallReason::HeaderRefused, "header_refused", 400, "-32020", Client),
        (CallReason::LimitReached(limit), "limit_of_tool", 429, "-32603", User),
        (CallReason::MessageRefused(refused), "batch", 400, "-32600", Client),
        (CallReason::MethodNotAllowed, "method_not_allowed", 405, "", Client),
        (CallReason::ParameterMismatch, "parameter_mismatch", 400, "-32020", Client),
        (CallReason::PersonCallsExhausted, "person_calls_exhausted", 429, "-32603", User),
        (CallReason::PersonNotAllowed, "person_not_allowed", 403, "access_denied", User),
        (CallReason::PersonStopped, "person_stopped", 401, "invalid_token", User),
        (CallReason::PersonStreamsExhausted, "person_streams_exhausted", 429, "-32603", User),
        (CallReason::PersonUnknown, "person_unknown", 401, "invalid_token", User),
        (
            CallReason::ProofInvalid(ProofError::Url),
            "proof_of_another_url",
            401,
            "invalid_dpop_proof",
            Client,
        ),
        (CallReason::ProofMissing, "proof_missing", 401, "invalid_dpop_proof", Client),
        (CallReason::ProofNonceNeeded, "proof_nonce_needed", 401, "use_dpop_nonce", Client),
        (CallReason::ProofRepeated, "proof_repeated", 401, "invalid_dpop_proof", Client),
        (CallReason::ProofReplayed, "proof_replayed", 401, "invalid_dpop_proof", Client),
        (CallReason::RevocationsStale, "revocations_stale", 503, "-32603", House),
        (CallReason::ScopeInsufficient, "scope_insufficient", 403, "insufficient_scope", User),
        (CallReason::ServerUnknown, "server_unknown", 404, "", Client),
        (CallReason::SessionMissing, "session_missing", 400, "-32600", Client),
        (CallReason::SessionUnknown, "session_unknown", 404, "-32600", Client),
        (CallReason::Signature(signature), "signature_unbound", 401, "-32600", Client),
        (CallReason::StoreUnavailable(store), "store_unavailable", 503, "-32603", House),
        (CallReason::StreamsExhausted, "streams_exhausted", 503, "-32603", House),
        (CallReason::TokenBound, "token_bound", 401, "invalid_token", Client),
        (CallReason::TokenExpired, "token_expired", 401, "invalid_token", Client),
        (CallReason::TokenInvalid, "token_invalid", 401, "invalid_token", Client),
        (CallReason::TokenMalformed, "token_malformed", 401, "invalid_token", Client),
        (CallReason::TokenMissing, "token_missing", 401, "", Client),
        (CallReason::TokenNotYetIssued, "token_not_yet_issued", 401, "invalid_token", Client),
        (CallReason::TokenOfAnotherIssuer, "token_of_another_issuer", 401, "invalid_token", Client),
        (CallReason::TokenOfAnotherResource, "token_of_another_resource", 401, "invalid_token", Client),
        (CallReason::TokenRevoked, "token_revoked", 401, "invalid_token", Client),
        (CallReason::TokenUnbound, "token_unbound", 401, "invalid_token", Client),
        (CallReason::TokensRefused, "tokens_refused", 429, "", Client),
        (CallReason::VersionUnsupported, "version_unsupported", 400, "-32600", Client),
    ]);
    table
}

fn code(code: CallCode) -> String {
    match code {
        CallCode::Bare => String::new(),
        CallCode::JsonRpc(code) => code.to_string(),
        CallCode::OAuth(code) => code.as_str().to_owned(),
        CallCode::ToolError => "result".to_owned(),
    }
}

#[test]
fn every_reason_has_its_status_code_and_blame() {
    let table = table();
    let names: std::collections::BTreeSet<_> = table.iter().map(|row| row.1).collect();
    assert_eq!(names.len(), table.len(), "a name stands twice");
    for (reason, name, status, expected, blame) in table {
        assert_eq!((reason.reason(), reason.status().as_u16()), (name, status));
        assert_eq!((code(reason.code()).as_str(), reason.blame()), (expected, blame), "{name}");
    }
}

/// The table is whole: a reason without a row does not compile in `reason`, and one in the enum but not here is seen
/// by its count.
#[test]
fn the_table_has_a_row_for_every_reason() {
    let source = include_str!("../reason.rs");
    let names = source.split("pub const fn status").next().unwrap().matches("=> \"").count();
    // `Credential`, `LimitReached`, `MessageRefused`, `ProofInvalid` and `Signature` take their names from the refusal.
    assert_eq!(table().len(), names + 5);
}

#[test]
fn a_credential_that_is_not_to_be_had_is_told_by_who_says_so() {
    for (error, status, expected, blame) in [
        (OauthClientError::from(Malformed::Token), 502, "-32603", Blame::Upstream),
        (Rejection::Grant.into(), 403, "access_denied", Blame::User),
        (OauthClientError::Unreachable(Place::Token), 503, "-32603", Blame::Upstream),
    ] {
        let reason = CallReason::Credential(error);
        let told = (reason.status().as_u16(), code(reason.code()), reason.blame(), reason.reason());
        assert_eq!(told, (status, expected.to_owned(), blame, error.reason()));
    }
}

#[test]
fn json_rpc_errors_echo_the_id() {
    for (id, echoed) in [("1", "1"), ("\"1\"", "\"1\""), ("\"\\u0061\"", "\"\\u0061\"")] {
        let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let call = McpCall::read(&HeaderMap::new(), message.as_bytes()).unwrap();
        let protocol::mcp::CallKind::Request(id) = call.kind else { panic!("a request") };
        let error = CallError::new(CallReason::SessionUnknown, Some(id), None);
        let body = String::from_utf8(error.body().to_vec()).unwrap();
        assert!(body.contains(&format!("\"id\":{echoed},")), "{body}");
    }
}

#[test]
fn no_error_says_more_than_its_sentence() {
    for (reason, name, ..) in table() {
        let inner = reason.to_string();
        let body = String::from_utf8(CallError::new(reason, None, None).body().to_vec()).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        let names_it = name != "batch" && body.contains(name);
        assert!(!body.contains("gone") && !body.contains(&inner) && !names_it, "{body}");
    }
}

#[test]
fn refused_access_is_told_in_words_of_oauth() {
    let body = CallError::new(CallReason::ScopeInsufficient, None, None).body();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"], "insufficient_scope");
    assert_eq!(body["error_description"], ErrorCode::InsufficientScope.sentence());
}

#[test]
fn an_unserved_version_says_which_are_served() {
    let mut headers = HeaderMap::new();
    headers.insert("mcp-protocol-version", "2099-01-01".parse().unwrap());
    let refused = McpCall::read(&headers, br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).unwrap_err();
    let body = CallError::new(CallReason::MessageRefused(Box::new(refused)), None, None).body();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], -32022);
    assert_eq!(body["error"]["data"]["requested"], "2099-01-01");
}

#[test]
fn what_goes_with_a_status_goes_with_it() {
    for (reason, name, status, ..) in table() {
        let error = CallError::new(reason, None, None);
        assert_eq!(error.allow().is_some(), status == 405, "{name}");
        assert_eq!(error.retry_after().is_some(), status == 503 || status == 429, "{name}");
    }
}
