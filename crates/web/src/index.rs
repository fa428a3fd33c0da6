//! The first page: which MCP servers there are, and how to connect to one.

use std::sync::Arc;

use axum::Extension;
use axum::response::Response;

use crate::front::Visit;
use crate::pages;

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>) -> Response {
    pages::index(&visit)
}
