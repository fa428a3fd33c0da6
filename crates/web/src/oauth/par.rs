//! The pushed authorization request endpoint (RFC 9126, section 2): a form in, JSON out, as at the token endpoint.

use std::sync::Arc;

use authorization_server::{PushError, TokenHeaders};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::Form;
use store::SignInStep;

use super::{authorization_headers, dpop_headers, form_of_client, with_nonce};
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "par";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let (headers, form) = match form_of_client(&visit, request, NAME).await {
        Ok(read) => read,
        Err(refused) => return *refused,
    };
    let authorization = authorization_headers(&headers);
    let dpop = dpop_headers(&headers);
    let headers = TokenHeaders { authorization: &authorization, dpop: &dpop };
    let response = push(&visit, &headers, &form).await;
    with_nonce(&visit, &dpop, response)
}

async fn push(visit: &Visit, headers: &TokenHeaders<'_>, form: &Form) -> Response {
    let role = visit.authorization_server();
    match role.push(headers, form, &visit.caller()).await {
        Ok(pushed) => respond::json(StatusCode::CREATED, &pushed),
        Err(error) => {
            let reference = role.refused_stranger(SignInStep::PushRefused, error.reason(), &visit.caller());
            Failure {
                blame: error.blame().into(),
                endpoint: NAME,
                error: Some(&error),
                reason: error.reason(),
                reference: Some(&reference),
            }
            .log(visit);
            let mut response = respond::oauth_told(error.code(), error.basic_tried(), &reference);
            // Section 2.3.
            if matches!(error, PushError::TooLarge) {
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            }
            response
        }
    }
}
