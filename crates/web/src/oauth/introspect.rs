//! The introspection endpoint (RFC 7662): for the MCP servers of this house, each about tokens for itself. The resource
//! server answers, by what it goes by itself.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::ErrorCode;
use resource_server::{AskError, Caller};

use super::{authorization_headers, refused_form};
use crate::form;
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "introspect";

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
    let resource_server = &visit.front.parts.resource_server;
    match resource_server.introspect(&authorization, &form, Caller::at(visit.address)).await {
        Ok(answer) => respond::json(StatusCode::OK, &answer),
        Err(error) => refuse(&visit, NAME, &error),
    }
}

/// The refusal of an MCP server's question.
pub(super) fn refuse(visit: &Visit, endpoint: &'static str, error: &AskError) -> Response {
    Failure {
        blame: error.blame().into(),
        endpoint,
        error: Some(error),
        reason: error.reason(),
        reference: None,
    }
    .log(visit);
    respond::oauth(error.code(), error.basic_tried())
}
