//! The global token revocation endpoint of a provider (draft-parecki-oauth-global-token-revocation-06, section 3): 204 when it is
//! done, 401 when nobody says who asks, 400 when it does not say about whom.

use std::sync::Arc;

use authorization_server::{SignalError, SignalRefusal};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use protocol::oauth::ErrorCode;

use super::told;
use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::layers::body;
use crate::oauth::refused_form;
use crate::oauth::register::bearer;
use crate::respond::{self, Failure};
use crate::router::nothing_here;
use crate::routes::{self, GLOBAL_TOKEN_REVOCATION};

pub(super) const NAME: &str = "global_token_revocation";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let connector = path.strip_prefix(GLOBAL_TOKEN_REVOCATION).unwrap_or_default();
    if !routes::is_name(connector) {
        return nothing_here(&visit, &headers);
    }
    let bytes = if form::is_media_type(&headers, form::JSON) {
        body::read(request.into_body(), visit.front.settings.body_timeout).await.map_err(FormRefusal::Body)
    } else {
        Err(FormRefusal::MediaType)
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(refusal) => {
            Failure::at_the_door(NAME, refusal.reason()).log(&visit);
            return refused_form(refusal, ErrorCode::InvalidRequest);
        }
    };
    let token = bearer(&headers);
    let role = visit.authorization_server();
    let answer = role.global_token_revocation(connector, token.as_ref(), &bytes, &visit.caller()).await;
    told(&visit, NAME, &answer);
    match answer {
        Ok(_) => respond::empty(StatusCode::NO_CONTENT),
        Err(SignalError::NotOffered) => nothing_here(&visit, &headers),
        Err(SignalError::Refused(SignalRefusal::SubjectFormat | SignalRefusal::SubjectMissing)) => {
            respond::oauth(ErrorCode::InvalidRequest, false)
        }
        Err(SignalError::Refused(SignalRefusal::KeysMissing)) => {
            respond::oauth(ErrorCode::TemporarilyUnavailable, false)
        }
        Err(SignalError::Store(error)) => respond::oauth(SignalError::Store(error).code(), false),
        Err(SignalError::Refused(_)) => {
            let mut response = respond::oauth(ErrorCode::InvalidToken, false);
            let challenge = HeaderValue::from_static("Bearer realm=\"Sekisho\", error=\"invalid_token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }
    }
}
