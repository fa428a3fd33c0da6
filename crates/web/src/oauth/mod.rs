//! The endpoints of the authorization server, one file each: parse, one call of the role, respond.

pub(crate) mod authorize;
pub(crate) mod device_authorization;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod par;
pub(crate) mod register;
pub(crate) mod revocations;
pub(crate) mod revoke;
pub(crate) mod token;

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use protocol::oauth::{ClientAuthentication, ErrorCode, Form};

use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::layers::body::BodyError;
use crate::layers::limits::Budget;
use crate::respond::{self, Failure};

/// Every `Authorization` header as text; one that is not text is passed on as something that no scheme is.
fn authorization_headers(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(header::AUTHORIZATION).iter().map(|value| value.to_str().unwrap_or("?")).collect()
}

/// Every `DPoP` header as text; one that is not text is passed on as something that is no proof.
fn dpop_headers(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("dpop").iter().map(|value| value.to_str().unwrap_or("?")).collect()
}

/// Whoever sent a proof is told the nonce for the next one, if there must be one (RFC 9449, section 8.2).
fn with_nonce(visit: &Visit, dpop: &[&str], mut response: Response) -> Response {
    let nonce = if dpop.is_empty() { None } else { visit.authorization_server().dpop_nonce() };
    if let Some(nonce) = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
        response.headers_mut().insert(respond::DPOP_NONCE, nonce);
    }
    response
}

/// A form that could not be read, as an OAuth error.
pub(crate) fn refused_form(refusal: FormRefusal, code: ErrorCode) -> Response {
    let status = match refusal {
        FormRefusal::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        FormRefusal::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
        FormRefusal::Body(BodyError::Broken) | FormRefusal::MediaType | FormRefusal::Parameters(_) => {
            StatusCode::BAD_REQUEST
        }
    };
    respond::oauth_with_status(status, code)
}

/// The form of a request, or what is answered because there is none.
async fn read_form(visit: &Visit, request: Request, endpoint: &'static str) -> Result<Form, Box<Response>> {
    form::read(request).await.map_err(|refusal| {
        Failure::at_the_door(endpoint, refusal.reason()).log(visit);
        Box::new(refused_form(refusal, ErrorCode::InvalidRequest))
    })
}

/// The headers and the form of a client, after its budget was drawn on; or what is answered in place of it.
async fn form_of_client(
    visit: &Visit,
    request: Request,
    endpoint: &'static str,
) -> Result<(HeaderMap, Form), Box<Response>> {
    let headers = request.headers().clone();
    let form = read_form(visit, request, endpoint).await?;
    draw_client(visit, &authorization_headers(&headers), &form, endpoint)?;
    Ok((headers, form))
}

/// Draws on the budget of the client that the request says it is of. The claim is not proven yet, so the budget is
/// that of this client in this network: nobody can use up another's.
fn draw_client(
    visit: &Visit,
    authorization: &[&str],
    form: &Form,
    endpoint: &'static str,
) -> Result<(), Box<Response>> {
    // Not the header as it came: each guess at a secret would have a budget of its own (attacks TK-46). What cannot be
    // read proves nothing and is refused for that.
    let presented = ClientAuthentication::parse(authorization, form);
    let named = presented.as_ref().ok().map(|presented| presented.client_id.as_str());
    let claimed = named.or_else(|| form.get("client_id").once());
    let Some(claimed) = claimed else { return Ok(()) };
    let now = visit.front.parts.clock.monotonic();
    visit.front.limiter.draw_client(claimed, visit.address, now).map_err(|limited| {
        Failure::at_the_door(endpoint, "too_many_requests").log(visit);
        visit.front.metrics.limited(Budget::Client);
        let mut response =
            respond::oauth_with_status(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TemporarilyUnavailable);
        respond::retry_after(&mut response, limited);
        Box::new(response)
    })
}
