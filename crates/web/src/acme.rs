//! What a certificate authority is shown over HTTP (RFC 8555, section 8.3): the answers it was promised, by token.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use crate::front::{Front, Visit};
use crate::layers::security_headers::NO_STORE;
use crate::router::nothing_here;
use crate::routes::ACME_CHALLENGE;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Front {
    /// Shows these answers, by token, to whoever asks for them, and no others.
    pub fn prove(&self, answers: HashMap<String, String>) {
        self.proofs.store(Arc::new(answers));
    }
}

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let token = request.uri().path().strip_prefix(ACME_CHALLENGE).unwrap_or_default();
    match visit.front.proofs.load().get(token) {
        Some(answer) => {
            let headers = [(header::CONTENT_TYPE, OCTETS), (header::CACHE_CONTROL, NO_STORE)];
            (headers, answer.clone()).into_response()
        }
        None => nothing_here(&visit, request.headers()),
    }
}
