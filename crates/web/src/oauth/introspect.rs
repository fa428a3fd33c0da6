//! The introspection endpoint (RFC 7662): for the MCP servers of this house, each about tokens for itself. The resource
//! server answers, by what it goes by itself.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use resource_server::{AskError, Caller};

use super::{authorization_headers, read_form};
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "introspect";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let form = match read_form(&visit, request, NAME).await {
        Ok(form) => form,
        Err(refused) => return *refused,
    };
    let authorization = authorization_headers(&headers);
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
