//! The authorization endpoint (RFC 6749, section 3.1): by GET with a query, by POST with a form, never both halves of
//! one parameter. HEAD is not answered, because asking here leaves something behind (attacks AZ-13, AZ-35).

use std::sync::Arc;

use authorization_server::{AuthorizeError, Authorized, Next, PageReason};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, header};
use protocol::oauth::{AuthorizationRequest, AuthorizationResponse, Form};

use crate::cookies::Cookie;
use crate::form::{self, FormRefusal};
use crate::front::Visit;
use crate::login;
use crate::pages;
use crate::respond::{self, Failure};
use crate::text::Trouble;

const NAME: &str = "authorize";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let headers = request.headers().clone();
    match read(request).await {
        Ok(form) => decide(&visit, &headers, &form).await,
        Err(refusal) => refuse_form(&visit, refusal),
    }
}

/// Query and body together: a parameter that is in both is repeated (RFC 6749, section 3.1).
async fn read(request: Request) -> Result<Form, FormRefusal> {
    let parse = |bytes: &[u8]| Form::parse_authorization_request(bytes).map_err(FormRefusal::Parameters);
    let query = parse(request.uri().query().unwrap_or_default().as_bytes())?;
    if request.method() != Method::POST {
        return Ok(query);
    }
    query.join(parse(&form::read_bytes(request).await?)?).map_err(FormRefusal::Parameters)
}

async fn decide(visit: &Visit, headers: &HeaderMap, form: &Form) -> Response {
    let role = visit.authorization_server();
    let request = AuthorizationRequest::parse(form);
    match role.authorize(request, visit.browser(headers), &visit.caller()).await {
        Ok(Authorized { next, set_binding }) => {
            let mut response = match next {
                Next::Answer(answer) => respond::redirect(&answer.to.with_response(&answer.response)),
                Next::Approval(id) => respond::redirect(&format!("/login/approval?authorization={id}")),
                Next::Consent(page) => pages::consent(visit, &page),
                Next::Login(page) => pages::login(visit, &page),
            };
            let cookie = set_binding.and_then(|value| visit.front.cookies.set(Cookie::Binding, value, None));
            if let Some(cookie) = cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => refuse(visit, &error),
    }
}

fn refuse(visit: &Visit, error: &AuthorizeError) -> Response {
    Failure {
        blame: error.blame().into(),
        endpoint: NAME,
        error: Some(error),
        reason: error.reason(),
        reference: Some(error.reference()),
    }
    .log(visit);
    match error {
        AuthorizeError::Page { reason, reference } => {
            respond::trouble(visit, trouble_of(reason), Some(reference))
        }
        AuthorizeError::Redirect { reason, state, to, reference, .. } => {
            let iss = visit.authorization_server().issuer().to_owned();
            let (code, state, reference) = (reason.code(), state.clone(), reference.clone());
            let response = AuthorizationResponse::Error { code, state, iss, reference };
            respond::to_client(visit, error, &to.with_response(&response))
        }
    }
}

fn trouble_of(reason: &PageReason) -> Trouble {
    match reason {
        PageReason::ClientBlocked => Trouble::ClientBlocked,
        PageReason::ClientOutside => Trouble::ClientOutside,
        PageReason::ClientDocument | PageReason::ClientWeaker => Trouble::ClientDocument,
        PageReason::ClientHostRefused => Trouble::ClientHostRefused,
        PageReason::ClientUnknown => Trouble::ClientUnknown,
        PageReason::ClientIdMissing
        | PageReason::ClientIdRepeated
        | PageReason::RedirectUriMissing
        | PageReason::RedirectUriRepeated => Trouble::RequestBroken,
        PageReason::RedirectUriUnknown => Trouble::RedirectUnknown,
        PageReason::RequestUriExpired | PageReason::RequestUriUsed => Trouble::Expired,
        PageReason::RequestUriUnknown | PageReason::StateTooLong => Trouble::RequestBroken,
        PageReason::Store(_) => pages::trouble_of_house(reason.code()),
        PageReason::ClientDocumentBusy | PageReason::TooManyPending => Trouble::HouseBusy,
    }
}

fn refuse_form(visit: &Visit, refusal: FormRefusal) -> Response {
    login::refused_form(visit, NAME, refusal)
}
