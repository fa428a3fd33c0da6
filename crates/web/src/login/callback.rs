//! The way back from the identity provider: signs the person in, then goes on to consent by a redirect of its own, so
//! that no page is shown under a URL that holds a code (attacks AZ-38).

use std::sync::Arc;

use authorization_server::{Completed, Returned, SignedIn};
use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use http::header;
use protocol::id::{Authorization, Id};
use protocol::secret::Secret;

use super::{log_refusal, refuse, refused_form, trouble_of};
use crate::cookies::Cookie;
use crate::form;
use crate::front::Visit;
use crate::respond;
use crate::router::nothing_here;
use crate::routes::{self, CALLBACK};

const NAME: &str = "callback";

pub(crate) async fn answer(Extension(visit): Extension<Arc<Visit>>, request: Request) -> Response {
    let connector = request.uri().path().strip_prefix(CALLBACK).unwrap_or_default();
    if !routes::is_name(connector) {
        return nothing_here(&visit, request.headers());
    }
    let form = match form::query(&request) {
        Ok(form) => form,
        Err(refusal) => return refused_form(&visit, NAME, refusal),
    };
    let browser = visit.browser(request.headers());
    match visit.authorization_server().complete_login(connector, form, browser, &visit.caller()).await {
        Ok(Completed::Returned(returned)) => back_to_client(&visit, &returned),
        Ok(Completed::SignedIn(SignedIn { resume, set_session, .. })) => go_on(&visit, resume, set_session),
        Err(error) => refuse(&visit, NAME, &error),
    }
}

/// A person signed in: the cookie of the session, and on to consent.
pub(super) fn go_on(visit: &Visit, resume: Id<Authorization>, set_session: Secret) -> Response {
    let mut response = respond::redirect(&format!("/consent?authorization={resume}"));
    // Without a lifetime of its own: the session lives on in the record while it is used, and a date in the cookie would
    // end it earlier.
    if let Some(cookie) = visit.front.cookies.set(Cookie::Session, set_session, None) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The identity provider sent the person back with an error, and the client is told: at once, or by a link.
fn back_to_client(visit: &Visit, returned: &Returned) -> Response {
    log_refusal(visit, NAME, &returned.error);
    let url = returned.to.with_response(&returned.response);
    if returned.act_first {
        let trouble = trouble_of(&returned.error.reason);
        return respond::trouble_with_way_back(visit, trouble, &returned.error.reference, &url);
    }
    respond::redirect(&url)
}
