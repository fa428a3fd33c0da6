//! The registration endpoint (RFC 7591): JSON in, a client id that carries its own metadata out. Nothing is stored, so
//! a flood costs what it costs to answer it (product.md, P-4).

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::ErrorCode;

use super::refused_form;
use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::layers::body;
use crate::respond::{self, Failure};

const NAME: &str = "register";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let bytes = if form::is_media_type(request.headers(), form::JSON) {
        body::read(request.into_body(), visit.front.settings.body_timeout).await.map_err(FormRefusal::Body)
    } else {
        Err(FormRefusal::MediaType)
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            return refused_form(refusal, ErrorCode::InvalidClientMetadata);
        }
    };
    match visit.authorization_server().register(&bytes) {
        Ok(registered) => respond::json(StatusCode::CREATED, &registered),
        Err(error) => {
            Failure {
                blame: error.blame().into(),
                endpoint: NAME,
                error: Some(&error),
                reason: error.reason(),
                reference: None,
            }
            .log(&visit);
            respond::oauth(error.code(), false)
        }
    }
}
