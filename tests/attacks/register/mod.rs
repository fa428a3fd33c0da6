//! Dynamic client registration (attacks.md, 1.4): what is refused, what is dropped, and that nothing is ever written.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

mod after;
mod hostile;
mod initial_access_token;
mod many;
mod metadata;
mod redirect_uris;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::outcomes::{harmless, reg400};

use super::scene::{CANARY, Scene, right};

/// Metadata that is right, with one member more or other.
pub(super) fn with(member: &str, value: Value) -> String {
    let mut metadata =
        json!({"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"});
    metadata[member] = value;
    metadata.to_string()
}

/// REG400(e) and NOSTORE, and nothing of what was sent comes back.
pub(super) async fn refused(scene: &Scene, body: impl Into<Bytes>, error: &str, what: &str) {
    let before = scene.house.counts().await.unwrap();
    let answer = scene.register(body).await;
    right(reg400(&answer, error), what);
    right(harmless(&answer, &[CANARY]), what);
    assert_eq!(scene.house.counts().await.unwrap(), before, "{what}");
}

/// 201 and nothing written: what was registered.
pub(super) async fn accepted(scene: &Scene, body: String) -> Value {
    let before = scene.house.counts().await.unwrap();
    let answer = scene.register(body.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{body}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(scene.house.counts().await.unwrap(), before, "{body}");
    answer.json()
}
