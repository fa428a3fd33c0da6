//! How the answer of a provider is read: JSON that says that it is JSON, of a status that means what it is taken for.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use protocol::secret::Secret;
use serde::de::DeserializeOwned;

use super::{ConnectorError, Malformation};
pub(super) use crate::document::protected;
use crate::egress::{Egress, FetchError, Limits};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Sends a request. That there is no answer is told; every answer is the caller's to judge.
pub(super) async fn send(
    egress: &dyn Egress,
    request: Request<Bytes>,
    limits: Limits,
    malformed: Malformation,
) -> Result<Response<Bytes>, ConnectorError> {
    let response = egress.fetch(request, limits).await.map_err(|error| told(error, malformed))?;
    if busy(response.status()) { Err(ConnectorError::Unreachable) } else { Ok(response) }
}

/// Fetches a JSON document: status 200 and a JSON media type, or it is none.
pub(super) async fn get_json<T: DeserializeOwned>(
    egress: &dyn Egress,
    url: &str,
    limits: Limits,
    malformed: Malformation,
) -> Result<T, ConnectorError> {
    let request = Request::get(url).header(ACCEPT, JSON).body(Bytes::new()).map_err(|_| malformed)?;
    document(&send(egress, request, limits, malformed).await?, malformed)
}

/// The document of an answer.
pub(super) fn document<T: DeserializeOwned>(
    response: &Response<Bytes>,
    malformed: Malformation,
) -> Result<T, ConnectorError> {
    if response.status() != StatusCode::OK {
        tracing::debug!(status = response.status().as_u16(), "not a document");
        return Err(malformed.into());
    }
    read_json(response).ok_or_else(|| malformed.into())
}

/// A request with the access token of the person who is signing in.
pub(super) fn with_token(
    request: http::request::Builder,
    token: &Secret,
) -> Result<http::request::Builder, Malformation> {
    let bearer = token.expose(|token| HeaderValue::try_from(format!("Bearer {token}")));
    let mut bearer = bearer.map_err(|_| Malformation::TokenResponse)?;
    bearer.set_sensitive(true);
    Ok(request.header(ACCEPT, JSON).header(AUTHORIZATION, bearer))
}

/// Whether the provider says that it cannot now, which says nothing about the request.
fn busy(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// How a failed fetch is told: a provider that answers too much is not one (F-14).
const fn told(error: FetchError, malformed: Malformation) -> ConnectorError {
    match error {
        FetchError::TooLarge => ConnectorError::Malformed(malformed),
        FetchError::TimedOut | FetchError::Unreachable => ConnectorError::Unreachable,
    }
}

/// The body, if it is JSON, says so, and has the members it must have.
pub(super) fn read_json<T: DeserializeOwned>(response: &Response<Bytes>) -> Option<T> {
    if !is_json(response.headers()) {
        tracing::debug!("the answer does not say that it is json");
        return None;
    }
    serde_json::from_slice(response.body())
        .inspect_err(|error| {
            tracing::debug!(line = error.line(), column = error.column(), "not the json it must be")
        })
        .ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
