//! The push endpoint of a transmitter of security events (RFC 8935, section 2): 202 when it is taken, 400 with `err` and
//! `description` when it is not, 503 when it should come again.

use std::sync::Arc;

use authorization_server::{SignalError, SignalRefusal};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_LANGUAGE, HeaderValue};
use protocol::jose::JoseError;
use protocol::oauth::ErrorCode;
use protocol::secret::Secret;

use super::told;
use crate::form;
use crate::front::Visit;
use crate::layers::body::{self, BodyError};
use crate::respond::{self, Failure};
use crate::router::nothing_here;
use crate::routes::{self, SECURITY_EVENTS};

pub(super) const NAME: &str = "security_events";
/// The media type of a SET (RFC 8417, section 7.2).
const SET: &str = "application/secevent+jwt";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let connector = path.strip_prefix(SECURITY_EVENTS).unwrap_or_default();
    if !routes::is_name(connector) {
        return nothing_here(&visit, &headers);
    }
    if !form::is_media_type(&headers, SET) {
        Failure::at_the_door(NAME, "media_type_unsupported").log(&visit);
        return refused(StatusCode::BAD_REQUEST, INVALID_REQUEST);
    }
    let bytes = body::read(request.into_body(), visit.front.settings.body_timeout).await;
    let token = match bytes {
        Ok(bytes) => Secret::new(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) => {
            Failure::at_the_door(NAME, error.reason()).log(&visit);
            let status = match error {
                BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken => StatusCode::BAD_REQUEST,
            };
            return refused(status, INVALID_REQUEST);
        }
    };
    let answer = visit.authorization_server().security_event(connector, &token, &visit.caller()).await;
    told(&visit, NAME, &answer);
    match answer {
        Ok(_) => respond::empty(StatusCode::ACCEPTED),
        Err(SignalError::NotOffered) => nothing_here(&visit, &headers),
        Err(SignalError::Refused(SignalRefusal::KeysMissing) | SignalError::Store(_)) => {
            respond::oauth(ErrorCode::TemporarilyUnavailable, false)
        }
        Err(SignalError::Refused(refusal)) => refused(StatusCode::BAD_REQUEST, code(refusal)),
    }
}

/// A code of RFC 8935, section 2.4, and what it means.
type Code = (&'static str, &'static str);

const INVALID_REQUEST: Code =
    ("invalid_request", "The request cannot be read as a security event for this receiver.");

const fn code(refusal: SignalRefusal) -> Code {
    match refusal {
        SignalRefusal::Audience => ("invalid_audience", "The audience is not this receiver."),
        SignalRefusal::Issuer => ("invalid_issuer", "The issuer is not that of this stream."),
        SignalRefusal::Jose(
            JoseError::Algorithm
            | JoseError::Key
            | JoseError::KeyMissing
            | JoseError::KeySet
            | JoseError::KeyUnknown
            | JoseError::Signature
            | JoseError::Signing,
        ) => ("invalid_key", "The signature cannot be verified by a key of the issuer."),
        SignalRefusal::Event
        | SignalRefusal::Expired
        | SignalRefusal::IdMissing
        | SignalRefusal::Jose(
            JoseError::Claims
            | JoseError::Critical
            | JoseError::Header
            | JoseError::Malformed
            | JoseError::TooLarge
            | JoseError::Type,
        )
        | SignalRefusal::KeysMissing
        | SignalRefusal::LivesTooLong
        | SignalRefusal::Malformed
        | SignalRefusal::Nonce
        | SignalRefusal::NotYet
        | SignalRefusal::SubjectFormat
        | SignalRefusal::SubjectMissing
        | SignalRefusal::Unauthenticated => INVALID_REQUEST,
    }
}

fn refused(status: StatusCode, (err, description): Code) -> Response {
    let mut response = respond::json(status, &serde_json::json!({ "err": err, "description": description }));
    response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    response
}
