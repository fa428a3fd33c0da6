//! `/healthz`: the process lives. `/readyz`: it can do its work, that is, the record answers and revocations are known
//! (product.md, P-2). Both answer in bounded time, to anybody, under any host.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::response::Response;
use http::StatusCode;
use store::AuditFilter;

use crate::front::Visit;
use crate::respond;

/// A record that takes longer than this to answer is away.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn alive() -> Response {
    respond::json(StatusCode::OK, &serde_json::json!({ "status": "alive" }))
}

pub(crate) async fn ready(Extension(visit): Extension<Arc<Visit>>) -> Response {
    let parts = &visit.front.parts;
    // What it says does not matter, only that it answers: one row, newest first, is the cheapest question there is.
    let asked = tokio::time::timeout(PATIENCE, parts.store.list_audit(AuditFilter::default(), None, 1)).await;
    let store = matches!(asked, Ok(Ok(_)));
    let revocations = parts.resource_server.ready();
    let status = if store && revocations { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool| if good { "ok" } else { "unavailable" };
    respond::json(status, &serde_json::json!({ "store": word(store), "revocations": word(revocations) }))
}
