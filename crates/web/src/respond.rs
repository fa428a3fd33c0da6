//! Every failure becomes HTTP here, once, in one of five shapes: OAuth JSON, redirect, page, bearer challenge,
//! JSON-RPC. And it is logged here, once: whose doing it was chooses the level, and nothing of what was sent is told.

use std::error::Error as StdError;

use authorization_server::AuthorizeError;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use protocol::id::Reference;
use protocol::oauth::ErrorCode;
use resource_server::CallError;
use serde::Serialize;

use crate::body::Body;
use crate::front::Visit;
use crate::layers::limits::Limited;
use crate::layers::security_headers::{self, Csp, NO_STORE};
use crate::pages;
use crate::text::Trouble;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 9449, section 8.1.
pub(crate) const DPOP_NONCE: &str = "dpop-nonce";
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The challenge of the token endpoint (RFC 6749, section 5.2; RFC 7617).
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"Sekisho\", charset=\"UTF-8\"");
/// When to come again after we could not answer, in seconds.
const RETRY_SOON: HeaderValue = HeaderValue::from_static("5");

/// Whose doing a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    Client,
    House,
    Upstream,
    User,
}

impl From<authorization_server::Blame> for Blame {
    fn from(blame: authorization_server::Blame) -> Self {
        match blame {
            authorization_server::Blame::Client => Self::Client,
            authorization_server::Blame::House => Self::House,
            authorization_server::Blame::Upstream => Self::Upstream,
            authorization_server::Blame::User => Self::User,
        }
    }
}

impl From<resource_server::Blame> for Blame {
    fn from(blame: resource_server::Blame) -> Self {
        match blame {
            resource_server::Blame::Client => Self::Client,
            resource_server::Blame::House => Self::House,
            resource_server::Blame::Upstream => Self::Upstream,
            resource_server::Blame::User => Self::User,
        }
    }
}

/// A failure, as it is logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) blame: Blame,
    pub(crate) endpoint: &'static str,
    /// With its sources, for whoever must repair it; told to nobody else.
    pub(crate) error: Option<&'a (dyn StdError + 'static)>,
    pub(crate) reason: &'static str,
    pub(crate) reference: Option<&'a Reference>,
}

impl<'a> Failure<'a> {
    /// A refusal of the doors themselves: no role was asked.
    pub(crate) const fn at_the_door(endpoint: &'static str, reason: &'static str) -> Self {
        Self { blame: Blame::Client, endpoint, error: None, reason, reference: None }
    }

    /// The one line. The span around it carries the request id.
    pub(crate) fn log(&self, visit: &Visit) {
        let Self { endpoint, reason, .. } = self;
        let address = visit.address;
        let reference = self.reference.map(tracing::field::display);
        match self.blame {
            Blame::Client | Blame::User => {
                tracing::info!(endpoint, reason, %address, reference, blame = ?self.blame, "refused");
            }
            Blame::Upstream => {
                let error = self.error.map(chain);
                tracing::warn!(endpoint, reason, %address, reference, error, "refused by a server behind us");
            }
            Blame::House => {
                let error = self.error.map(chain);
                tracing::error!(endpoint, reason, %address, reference, error, "failed");
            }
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A JSON document of ours that holds nothing secret, to be kept for so many seconds.
pub(crate) fn document(value: &impl Serialize, max_age: u32) -> Response {
    let mut response = json(StatusCode::OK, value);
    let kept = HeaderValue::try_from(format!("public, max-age={max_age}")).unwrap_or(NO_STORE);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, kept);
    headers.remove(header::PRAGMA);
    response
}

/// A JSON answer that nobody may keep (RFC 6749, section 5.1).
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut response = Response::new(json_body(value));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// An answer that is its status alone, and that nobody may keep.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

fn json_body(value: &impl Serialize) -> axum::body::Body {
    // Our own types: their maps have text keys, so they cannot fail.
    axum::body::Body::from(serde_json::to_vec(value).unwrap_or_default())
}

/// An OAuth error (RFC 6749, section 5.2). The sentence is fixed for each code: nothing that was sent comes back.
pub(crate) fn oauth(code: ErrorCode, basic_tried: bool) -> Response {
    let mut response = oauth_with_status(status_of(code), code);
    let headers = response.headers_mut();
    match response_class(code) {
        Class::Unauthenticated if basic_tried => {
            headers.insert(header::WWW_AUTHENTICATE, BASIC);
        }
        Class::Away => {
            headers.insert(header::RETRY_AFTER, RETRY_SOON);
        }
        Class::Broken | Class::Refused | Class::Unauthenticated => {}
    }
    response
}

/// The same with a reference, under which whoever runs the place finds what happened. It is one that was just made, so it
/// tells nothing about what was asked.
pub(crate) fn oauth_told(code: ErrorCode, basic_tried: bool, reference: &Reference) -> Response {
    let mut response = oauth(code, basic_tried);
    let told = format!("{} Reference {reference}.", code.sentence());
    *response.body_mut() =
        json_body(&serde_json::json!({ "error": code.as_str(), "error_description": told }));
    response
}

/// The same where HTTP itself has a better word than 400.
pub(crate) fn oauth_with_status(status: StatusCode, code: ErrorCode) -> Response {
    json(status, &serde_json::json!({ "error": code.as_str(), "error_description": code.sentence() }))
}

enum Class {
    Away,
    Broken,
    Refused,
    Unauthenticated,
}

fn response_class(code: ErrorCode) -> Class {
    match code {
        ErrorCode::InvalidClient | ErrorCode::InvalidToken => Class::Unauthenticated,
        ErrorCode::ServerError => Class::Broken,
        ErrorCode::TemporarilyUnavailable => Class::Away,
        ErrorCode::AccessDenied
        | ErrorCode::AuthorizationPending
        | ErrorCode::ConsentRequired
        | ErrorCode::ExpiredToken
        | ErrorCode::InsufficientScope
        | ErrorCode::InvalidClientMetadata
        | ErrorCode::InvalidDpopProof
        | ErrorCode::InvalidGrant
        | ErrorCode::InvalidRedirectUri
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidRequestUri
        | ErrorCode::InvalidScope
        | ErrorCode::InvalidTarget
        | ErrorCode::LoginRequired
        | ErrorCode::RequestNotSupported
        | ErrorCode::RequestUriNotSupported
        | ErrorCode::SlowDown
        | ErrorCode::UnauthorizedClient
        | ErrorCode::UnsupportedGrantType
        | ErrorCode::UnsupportedResponseType
        | ErrorCode::UnsupportedTokenType
        | ErrorCode::UseDpopNonce => Class::Refused,
    }
}

/// The status of a code at an OAuth endpoint (RFC 6749, section 5.2; RFC 7009, section 2.2.1).
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    match response_class(code) {
        Class::Away => StatusCode::SERVICE_UNAVAILABLE,
        Class::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        Class::Refused => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
    }
}

/// Sends the browser on. 303: the next request is a GET, whatever this one was (RFC 9700, section 4.12).
///
/// The address is one of ours, an identity provider's, or made from a `VerifiedRedirectUri`; callers have no other.
pub(crate) fn redirect(to: &str) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    match HeaderValue::try_from(to) {
        Ok(mut location) => {
            location.set_sensitive(true);
            headers.insert(header::LOCATION, location);
            *response.status_mut() = StatusCode::SEE_OTHER;
        }
        // Every address above is ASCII by its type.
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// A page.
pub(crate) fn page(visit: &Visit, status: StatusCode, csp: &Csp, html: String) -> Response {
    let mut response = Response::new(axum::body::Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(visit.language.tag()));
    security_headers::page(headers, csp);
    response
}

/// A page that says what happened, what it means and what to do.
pub(crate) fn trouble(visit: &Visit, trouble: Trouble, reference: Option<&Reference>) -> Response {
    let html = pages::trouble(visit, trouble, reference, None);
    let mut response = page(visit, status_of_trouble(trouble), &Csp::sign_in(), html);
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_SOON);
    }
    response
}

/// An error of the authorization endpoint that goes to the client: at once, or after the person followed a link
/// (RFC 9700, section 4.11.2).
pub(crate) fn to_client(visit: &Visit, error: &AuthorizeError, url: &str) -> Response {
    match error {
        AuthorizeError::Redirect { act_first: true, reference, .. } => {
            trouble_with_way_back(visit, Trouble::ClientMistake, reference, url)
        }
        AuthorizeError::Redirect { act_first: false, .. } => redirect(url),
        AuthorizeError::Page { reference, .. } => trouble(visit, Trouble::ClientMistake, Some(reference)),
    }
}

/// The same, with a link back to the client, which the person may follow.
pub(crate) fn trouble_with_way_back(
    visit: &Visit,
    trouble: Trouble,
    reference: &Reference,
    url: &str,
) -> Response {
    let html = pages::trouble(visit, trouble, Some(reference), Some(url));
    page(visit, StatusCode::BAD_REQUEST, &Csp::sign_in(), html)
}

pub(crate) fn status_of_trouble(trouble: Trouble) -> StatusCode {
    match trouble {
        Trouble::AlreadyDecided
        | Trouble::ClientBlocked
        | Trouble::ClientDocument
        | Trouble::ClientHostRefused
        | Trouble::ClientMistake
        | Trouble::ClientUnknown
        | Trouble::ConnectOver
        | Trouble::ConnectProvider
        | Trouble::EmergencyCodeUnknown
        | Trouble::Expired
        | Trouble::NothingTicked
        | Trouble::ProviderDeclined
        | Trouble::ProviderUnknown
        | Trouble::ProviderUntrusted
        | Trouble::RedirectUnknown
        | Trouble::RequestBroken
        | Trouble::ServerGone
        | Trouble::StalePage
        | Trouble::Unknown
        | Trouble::UnknownPerson
        | Trouble::UserCodeUnknown
        | Trouble::UserCodeUsed => StatusCode::BAD_REQUEST,
        Trouble::ClientOutside
        | Trouble::ConnectOtherBrowser
        | Trouble::ConnectOtherPerson
        | Trouble::FormForeign
        | Trouble::NotAdmitted
        | Trouble::NotSignedIn
        | Trouble::OtherBrowser
        | Trouble::PersonDisabled
        | Trouble::ProviderNotAllowed => StatusCode::FORBIDDEN,
        Trouble::House => StatusCode::INTERNAL_SERVER_ERROR,
        Trouble::ConnectAway | Trouble::HouseAway | Trouble::HouseBusy | Trouble::ProviderAway => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        // Its challenge is that of the MCP server.
        Trouble::McpAddress => StatusCode::UNAUTHORIZED,
        Trouble::MethodUnknown => StatusCode::METHOD_NOT_ALLOWED,
        Trouble::NotFound => StatusCode::NOT_FOUND,
        Trouble::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Trouble::TooMany | Trouble::TooManyWaiting => StatusCode::TOO_MANY_REQUESTS,
        Trouble::WrongHost => StatusCode::MISDIRECTED_REQUEST,
    }
}

/// When to come again (RFC 6585, section 4).
pub(crate) fn retry_after(response: &mut Response, limited: Limited) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(limited.seconds()));
}

/// A call that no MCP server answered: the bearer challenge (RFC 6750, section 3) or a JSON-RPC error.
pub(crate) fn call(error: &CallError) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(error.body()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // One line for each scheme: not every client reads two in one.
    for challenge in [error.challenge(), error.second_challenge()].into_iter().flatten() {
        headers.append(header::WWW_AUTHENTICATE, challenge.clone());
    }
    if let Some(nonce) = error.dpop_nonce() {
        headers.insert(DPOP_NONCE, nonce.clone());
    }
    if let Some(wanted) = error.accept_signature() {
        headers.insert("accept-signature", wanted);
    }
    if let Some(allow) = error.allow() {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(after) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(Limited { retry_after: after }.seconds()));
    }
    response
}

/// The same for a browser that a person opened there: the answer is the same, and what stands in it is a page.
pub(crate) fn call_as_page(visit: &Visit, error: &CallError) -> http::Response<Body> {
    let unknown = error.status() == StatusCode::NOT_FOUND;
    let trouble = if unknown { Trouble::NotFound } else { Trouble::McpAddress };
    let mut response = self::trouble(visit, trouble, None).map(Body::page);
    let headers = call(error).into_parts().0.headers;
    for challenge in headers.get_all(header::WWW_AUTHENTICATE) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

/// A request whose body two readers may cut in different places. Nothing of it was read, and nothing behind it will be.
pub(crate) fn misframed(visit: &Visit) -> http::Response<Body> {
    Failure::at_the_door("none", "transfer_coding_unsupported").log(visit);
    visit.front.metrics.count_unmatched(StatusCode::BAD_REQUEST);
    let mut response = oauth_with_status(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest).map(Body::page);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A refusal of a call by the doors: a JSON-RPC error without `id`, as the body was not read (RS-052).
pub(crate) fn call_at_the_door(status: StatusCode, message: &'static str) -> http::Response<Body> {
    let error = serde_json::json!({ "jsonrpc": "2.0", "error": { "code": -32600, "message": message } });
    let mut response = http::Response::new(Body::from(Bytes::from(error.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}
