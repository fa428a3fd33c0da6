//! Inline `jwks` of a client (RFC 7517, section 5). Of a registration they are judged and then dropped: the id is the
//! registration (product.md, P-4), so a key in it could never be exchanged.
//!
//! A client that sends a private or symmetric key has published it; it is told so by a refusal.

use serde_json::Value;

/// The most keys in one set.
const MAX_KEYS: usize = 20;
/// Members of private and symmetric keys (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
/// 2048 bits in base64url.
const MIN_MODULUS: usize = 342;

/// Whether this is a set of 1 to 20 public keys, none of them too weak.
pub(in crate::oauth) fn are_public(jwks: &Value) -> bool {
    match jwks.get("keys").and_then(Value::as_array) {
        Some(keys) => (1..=MAX_KEYS).contains(&keys.len()) && keys.iter().all(is_public),
        None => false,
    }
}

fn is_public(key: &Value) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let strong = match text("kty") {
        Some("RSA") => text("n").is_some_and(|modulus| modulus.len() >= MIN_MODULUS),
        Some("EC") => text("x").is_some() && text("y").is_some(),
        Some("OKP") => text("x").is_some(),
        Some(_) | None => false,
    };
    strong && PRIVATE.iter().all(|member| key.get(member).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn public_keys_pass() {
        let rsa = json!({"kty": "RSA", "n": "A".repeat(342), "e": "AQAB"});
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"});
        assert!(are_public(&json!({"keys": [rsa, ec]})));
    }

    /// RG-11.
    #[test]
    fn private_symmetric_weak_and_countless_keys_do_not() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"});
        let mut private = ec.clone();
        private["d"] = json!("c");
        for bad in [
            json!({"keys": [private]}),
            json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
            json!({"keys": [{"kty": "oct"}]}),
            json!({"keys": [{"kty": "RSA", "n": "A".repeat(86), "e": "AQAB"}]}),
            json!({"keys": vec![ec; 1000]}),
            json!({"keys": null}),
            json!({"keys": []}),
            json!({"keys": [1]}),
            json!({"keys": {}}),
            json!({}),
            json!([]),
            json!("x"),
        ] {
            assert!(!are_public(&bad), "{bad}");
        }
    }
}
