//! The public keys (RFC 7517, section 5). Kept by clients for a minute only: a key that is taken back must go.

use std::sync::Arc;

use axum::Extension;
use axum::response::Response;

use crate::front::Visit;
use crate::respond;

const MAX_AGE: u32 = 60;

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>) -> Response {
    respond::document(&visit.authorization_server().jwks(), MAX_AGE)
}
