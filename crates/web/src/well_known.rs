//! The documents by which clients find us (RFC 8414, RFC 9728, OpenID Connect Discovery). Built from the settings
//! alone, so that nothing in a request can be found in them (attacks DS-01, DS-04).

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;

use crate::front::Visit;
use crate::respond;
use crate::router::nothing_here;
use crate::routes::{self, PROTECTED_RESOURCE};

const MAX_AGE: u32 = 300;

pub(crate) async fn authorization_server(Extension(visit): Extension<Arc<Visit>>) -> Response {
    visit.authorization_server().saw_metadata(None, &visit.caller());
    respond::document(&visit.authorization_server().metadata(), MAX_AGE)
}

/// The same for parsers that know only the other name.
pub(crate) async fn openid_configuration(Extension(visit): Extension<Arc<Visit>>) -> Response {
    visit.authorization_server().saw_metadata(None, &visit.caller());
    respond::document(&visit.authorization_server().metadata().openid_alias(), MAX_AGE)
}

/// What an MCP endpoint says of itself; its path stands behind the well-known name (RFC 9728, section 3.1).
pub(crate) async fn protected_resource(
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    let endpoint = request.uri().path().strip_prefix(PROTECTED_RESOURCE).unwrap_or_default();
    let server = routes::mcp_server(endpoint);
    let metadata = |server| visit.front.parts.resource_server.protected_resource_metadata(server);
    match server.and_then(metadata) {
        Some(metadata) => {
            visit.authorization_server().saw_metadata(server, &visit.caller());
            respond::document(&metadata, MAX_AGE)
        }
        None => nothing_here(&visit, request.headers()),
    }
}
