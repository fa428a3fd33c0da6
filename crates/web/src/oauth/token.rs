//! The token endpoint (RFC 6749, section 3.2): a form in, JSON out. The query of the URL is not read at all, so a
//! secret in it is never honoured (attacks TK-19).

use std::sync::Arc;

use authorization_server::{Caller, TokenError, TokenHeaders};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::{ErrorCode, Form, TokenResponse};

use super::{authorization_headers, dpop_headers, draw_client, refused_form, with_nonce};
use crate::form;
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "token";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let authorization = authorization_headers(&headers);
    let form = match form::read(request).await {
        Ok(form) => form,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            visit.front.metrics.token(refusal.reason());
            return refused_form(refusal, ErrorCode::InvalidRequest);
        }
    };
    if let Err(response) = draw_client(&visit, &authorization, &form, NAME) {
        return *response;
    }
    let dpop = dpop_headers(&headers);
    let response =
        exchange(&visit, &TokenHeaders { authorization: &authorization, dpop: &dpop }, &form).await;
    with_nonce(&visit, &dpop, response)
}

async fn exchange(visit: &Visit, headers: &TokenHeaders<'_>, form: &Form) -> Response {
    let role = visit.authorization_server();
    // Settled before, so that the event of a refusal has it as well.
    let caller = Caller { told: Some(role.new_reference()), ..visit.caller() };
    match role.token(headers, form, &caller).await {
        Ok(token) => issued(visit, &token),
        Err(error) => refuse(visit, &error, (headers.authorization, form), &caller),
    }
}

fn issued(visit: &Visit, token: &TokenResponse) -> Response {
    visit.front.metrics.token("issued");
    respond::json(StatusCode::OK, token)
}

fn refuse(
    visit: &Visit,
    error: &TokenError,
    (authorization, form): (&[&str], &Form),
    caller: &Caller,
) -> Response {
    visit.front.metrics.token(error.reason());
    let role = visit.authorization_server();
    let reference = role.token_refused(error, authorization, form, caller);
    Failure {
        blame: error.blame().into(),
        endpoint: NAME,
        error: Some(error),
        reason: error.reason(),
        reference: reference.as_ref(),
    }
    .log(visit);
    match &reference {
        Some(reference) => respond::oauth_told(error.code(), error.basic_tried(), reference),
        None => respond::oauth(error.code(), error.basic_tried()),
    }
}
