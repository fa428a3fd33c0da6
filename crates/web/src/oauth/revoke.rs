//! The revocation endpoint (RFC 7009): 200 for everything that is not a malformed request, a client we do not know, or
//! a record that does not answer; the last is never 200 (attacks RV-03).

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::{authorization_headers, form_of_client};
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "revoke";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let (headers, form) = match form_of_client(&visit, request, NAME).await {
        Ok(read) => read,
        Err(refused) => return *refused,
    };
    let authorization = authorization_headers(&headers);
    match visit.authorization_server().revoke(&authorization, &form, &visit.caller()).await {
        Ok(()) => respond::json(StatusCode::OK, &serde_json::json!({})),
        Err(error) => {
            Failure {
                blame: error.blame().into(),
                endpoint: NAME,
                error: Some(&error),
                reason: error.reason(),
                reference: None,
            }
            .log(&visit);
            respond::oauth(error.code(), error.basic_tried())
        }
    }
}
