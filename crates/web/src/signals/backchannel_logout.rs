//! The back-channel logout endpoint of a provider (OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8): 200 when it is
//! done, 400 with a JSON error when it is not, whatever the cause; and nobody may keep either.

use std::sync::Arc;

use authorization_server::SignalError;
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use protocol::oauth::ErrorCode;

use super::told;
use crate::form;
use crate::front::Visit;
use crate::oauth::refused_form;
use crate::respond::{self, Failure};
use crate::router::nothing_here;
use crate::routes::{self, BACKCHANNEL_LOGOUT};

pub(super) const NAME: &str = "backchannel_logout";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let connector = path.strip_prefix(BACKCHANNEL_LOGOUT).unwrap_or_default();
    if !routes::is_name(connector) {
        return nothing_here(&visit, &headers);
    }
    let form = match form::read(request).await {
        Ok(form) => form,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            return refused_form(refusal, ErrorCode::InvalidRequest);
        }
    };
    let answer = visit.authorization_server().backchannel_logout(connector, &form, &visit.caller()).await;
    told(&visit, NAME, &answer);
    match answer {
        Ok(_) => respond::json(StatusCode::OK, &serde_json::json!({})),
        Err(SignalError::NotOffered) => nothing_here(&visit, &headers),
        Err(error) => respond::oauth_with_status(StatusCode::BAD_REQUEST, error.code()),
    }
}
