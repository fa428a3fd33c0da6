use protocol::keys::KeyId;

use super::*;
use crate::fixture::{self, TestClock};

/// RFC 9449, section 7.2; RS-038: by scheme, binding and what the MCP server asks for.
#[test]
fn a_bound_token_needs_its_proof_and_one_that_is_not_bound_needs_leave() {
    let clock = TestClock::new();
    let who = fixture::who(&clock);
    let unbound = &who.verdict.access;
    let key = Thumbprint::from_bytes([7; 32]);
    let bound = Access {
        actors: unbound.actors.clone(),
        user: unbound.user,
        client: unbound.client.clone(),
        grant: unbound.grant,
        issuer: unbound.issuer.clone(),
        resource: unbound.resource.clone(),
        scope: unbound.scope.clone(),
        key: KeyId::from_bytes([7; 4]),
        bound_to: Some(key),
        issued_at: unbound.issued_at,
        expires_at: unbound.expires_at,
    };
    let told = |access, scheme, mode| demanded(access, scheme, mode).map_err(|reason| reason.reason());
    for mode in [DpopMode::Off, DpopMode::Optional, DpopMode::Required] {
        assert_eq!(told(&bound, Scheme::Dpop, mode), Ok(Some(key)));
        assert_eq!(told(&bound, Scheme::Bearer, mode), Err("token_bound"));
        assert_eq!(told(unbound, Scheme::Dpop, mode), Err("token_unbound"));
        let by_bearer = if mode == DpopMode::Required { Err("token_unbound") } else { Ok(None) };
        assert_eq!(told(unbound, Scheme::Bearer, mode), by_bearer);
    }
}

#[test]
fn a_proof_is_one_header_of_text() {
    let mut headers = HeaderMap::new();
    assert_eq!(present(&headers).unwrap_err().reason(), "proof_missing");
    headers.append(HEADER, "a.b.c".parse().unwrap());
    assert_eq!(present(&headers).unwrap(), "a.b.c");
    headers.append(HEADER, "a.b.c".parse().unwrap());
    assert_eq!(present(&headers).unwrap_err().reason(), "proof_repeated");
    headers.insert(HEADER, http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
    assert_eq!(present(&headers).unwrap_err().reason(), "proof_malformed");
}
