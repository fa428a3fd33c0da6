//! The registration endpoint (RFC 7591): JSON in, a client id that carries its own metadata out. Nothing is stored, so
//! a flood costs what it costs to answer it (product.md, P-4).

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use protocol::id::Reference;
use protocol::oauth::ErrorCode;
use protocol::secret::Secret;
use store::SignInStep;

use super::refused_form;
use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::layers::body;
use crate::respond::{self, Failure};

const NAME: &str = "register";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let token = bearer(request.headers());
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
    match visit.authorization_server().register(&bytes, token).await {
        Ok(registered) => {
            visit.authorization_server().registered(&registered.client_id, &visit.caller());
            respond::json(StatusCode::CREATED, &registered)
        }
        Err(error) => {
            let step = SignInStep::RegistrationRefused;
            let role = visit.authorization_server();
            let reference = role.refused_stranger(step, error.reason(), &visit.caller());
            Failure {
                blame: error.blame().into(),
                endpoint: NAME,
                error: Some(&error),
                reason: error.reason(),
                reference: Some(&reference),
            }
            .log(&visit);
            refuse(error.code(), &reference)
        }
    }
}

/// The initial access token, if exactly one bearer token came (RFC 7591, section 3; RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token.to_owned()))
}

fn refuse(code: ErrorCode, reference: &Reference) -> Response {
    if code == ErrorCode::AccessDenied {
        return respond::oauth_with_status(StatusCode::FORBIDDEN, code);
    }
    let mut response = respond::oauth_told(code, false, reference);
    if code == ErrorCode::InvalidToken {
        // "the resource server MUST include the HTTP "WWW-Authenticate" response header field" (RFC 6750, section 3)
        let challenge = HeaderValue::from_static("Bearer realm=\"Sekisho\", error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
