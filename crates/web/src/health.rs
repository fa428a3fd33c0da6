//! `/healthz`: the process lives. `/readyz`: it can do its work, that is, the record answers and takes writes, and revocations are known
//! (product.md, P-2). Both answer in bounded time, to anybody, under any host.

use std::sync::Arc;

use crate::front::Visit;
use crate::respond;
use axum::Extension;
use axum::response::Response;
use http::StatusCode;

pub(crate) async fn alive() -> Response {
    respond::json(StatusCode::OK, &serde_json::json!({ "status": "alive" }))
}

pub(crate) async fn ready(Extension(visit): Extension<Arc<Visit>>) -> Response {
    let parts = &visit.front.parts;
    let store = parts.store.ready().await.is_ok();
    let revocations = parts.resource_server.ready();
    let status = if store && revocations { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |good: bool| if good { "ok" } else { "unavailable" };
    respond::json(status, &serde_json::json!({ "store": word(store), "revocations": word(revocations) }))
}
