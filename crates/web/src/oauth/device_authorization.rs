//! The device authorization endpoint (RFC 8628, section 3.1): a form in, JSON out, as at the token endpoint.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::ErrorCode;

use super::{authorization_headers, draw_client, refused_form};
use crate::form;
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "device_authorization";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let authorization = authorization_headers(&headers);
    let form = match form::read(request).await {
        Ok(form) => form,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            return refused_form(refusal, ErrorCode::InvalidRequest);
        }
    };
    if let Err(response) = draw_client(&visit, &authorization, &form, NAME) {
        return *response;
    }
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
