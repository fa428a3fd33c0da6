//! Vault: AppRole and the transit engine (Vault HTTP API).

use serde_json::json;

use super::{Asked, KEY, State, VAULT_TOKEN, ok, said};

pub(super) const BROKEN: (u16, &str) = (503, r#"{"errors":["Vault is sealed"]}"#);
pub(super) const THROTTLED: (u16, &str) = (429, r#"{"errors":["request path: rate limit quota exceeded"]}"#);

/// The login.
pub(super) fn around(asked: &Asked) -> Option<(u16, String)> {
    if asked.path != "/v1/auth/approle/login" {
        return None;
    }
    let body = asked.json();
    let right = body["role_id"] == "a-role" && body["secret_id"] == "a-secret-id";
    let auth = right.then(|| json!({ "auth": { "client_token": VAULT_TOKEN, "lease_duration": 1200 } }));
    Some(ok(auth, json!({ "errors": ["invalid role or secret ID"] }), 400))
}

pub(super) fn answer(asked: &Asked, state: &State) -> (u16, String) {
    if asked.header("x-vault-token") != VAULT_TOKEN {
        return said(403, &json!({ "errors": ["permission denied"] }));
    }
    let body = asked.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let context = text("associated_data");
    let answer = if asked.path == format!("/v1/transit/encrypt/{KEY}") {
        let sealed = state.seal("vault", context, text("plaintext"));
        sealed
            .map(|sealed| json!({ "data": { "ciphertext": format!("vault:v1:{sealed}"), "key_version": 1 } }))
    } else if asked.path == format!("/v1/transit/decrypt/{KEY}") {
        let wrapped = text("ciphertext").strip_prefix("vault:v1:").unwrap_or_default();
        state.open("vault", context, wrapped).map(|opened| json!({ "data": { "plaintext": opened } }))
    } else {
        None
    };
    ok(answer, json!({ "errors": ["unable to decrypt"] }), 400)
}
