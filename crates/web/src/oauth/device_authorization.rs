//! The device authorization endpoint (RFC 8628, section 3.1): a form in, JSON out, as at the token endpoint.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;

use super::{authorization_headers, form_of_client};
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "device_authorization";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let (headers, form) = match form_of_client(&visit, request, NAME).await {
        Ok(read) => read,
        Err(refused) => return *refused,
    };
    let authorization = authorization_headers(&headers);
    match visit.authorization_server().device_authorization(&authorization, &form, &visit.caller()).await {
        Ok(begun) => respond::json(StatusCode::OK, &begun),
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
