//! The revocation feed (product.md, P-2): for the MCP servers of this house that verify tokens themselves. By GET, with
//! `Basic`; an answer may take some seconds, because it waits for something to tell.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::ErrorCode;

use super::introspect::refuse;
use super::{authorization_headers, refused_form};
use crate::form;
use crate::front::Visit;
use crate::respond::{self, Failure};

const NAME: &str = "revocations";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let query = match form::query(&request) {
        Ok(query) => query,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            return refused_form(refusal, ErrorCode::InvalidRequest);
        }
    };
    let authorization = authorization_headers(request.headers());
    match visit.front.parts.resource_server.revocation_feed(&authorization, &query).await {
        Ok(page) => respond::json(StatusCode::OK, &page),
        Err(error) => refuse(&visit, NAME, &error),
    }
}
